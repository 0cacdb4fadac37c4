package shuffler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/problem"
)

// writeBatch makes the signed hand-over file of what a stage has left. Of its
// numbers the file holds the noised total and the number of rows. The file appears under its name whole and durable, or not at all.
func (s *Shuffler) writeBatch(ctx context.Context, h *hosted, b Batch, st batchStage, made result) ([32]byte, error) {
	header, err := esa.NewBatchHeader(h.task, h.id, h.hop, b.Epoch, made.told(h), made.counts.Released)
	if err != nil {
		return [32]byte{}, err
	}
	var digest esa.BatchDigest
	err = durable.Create(s.config.FS, s.outFile(b.Key()), func(w io.Writer) error {
		out, err := esa.NewBatchWriter(w, header, s.config.Identity)
		if err != nil {
			return err
		}
		if err := st.each(ctx, made, out.Write); err != nil {
			return err
		}
		digest, err = out.Close()
		return err
	})
	return digest, err
}

// told is the total that goes with a batch: the last shuffler discloses it.
func (r result) told(h *hosted) uint64 {
	if h.threshold == nil {
		return 0
	}
	return r.total
}

// deliver sends a batch to the next hop, once. Only the next hop's word that
// it has the batch counts as success, and there is no other way for a batch to
// go than to that hop.
func (s *Shuffler) deliver(ctx context.Context, h *hosted, b Batch) error {
	if err := s.put(ctx, h, b); err != nil {
		return fmt.Errorf("handing over to the %v: %w", h.next().Role, err)
	}
	s.mu.Lock()
	delete(s.away, h.next().URL)
	s.mu.Unlock()
	b.State, b.Seed = Delivered, [32]byte{}
	return s.apply(ctx, Change{Processed, b})
}

func (s *Shuffler) put(ctx context.Context, h *hosted, b Batch) error {
	f, err := s.config.FS.OpenFile(s.outFile(b.Key()), os.O_RDONLY, 0)
	if err != nil {
		return s.unreadable(h, b, s.outFile(b.Key()), err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	// A peer that hangs must not hold up the other batches for ever.
	ctx, cancel := context.WithTimeout(ctx, hop.Timeout(info.Size()))
	defer cancel()
	url := fmt.Sprintf("%s/tasks/%v/batches/%v", h.next().URL, b.Task, b.ID)
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, url, io.NewSectionReader(f, 0, info.Size()))
	if err != nil {
		return err
	}
	req.ContentLength = info.Size()
	req.Header.Set("Content-Type", hop.BatchType)
	seal, err := esa.ReadBatchSeal(f, info.Size())
	if err != nil {
		return s.unreadable(h, b, s.outFile(b.Key()), err)
	}
	req.Header.Set(hop.SealHeader, hop.FormatSeal(seal))
	resp, err := s.client.Do(req)
	if err != nil {
		return &unreachable{err}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16)) // all, so that the connection can be used again
	switch resp.StatusCode {
	case http.StatusCreated, http.StatusOK:
		// Proxies and placeholder pages answer 200 to everything.
		if err != nil || string(answer) != hop.FormatSeal(b.Output[:]) {
			return &unreachable{fmt.Errorf("HTTP %d, but without a receipt for this batch: a proxy may answer in its place", resp.StatusCode)}
		}
		return nil
	case http.StatusConflict:
		return errors.New("it has accepted another batch of this epoch (409): the two stores do not fit together; an operator must look")
	}
	err = fmt.Errorf("HTTP %d", resp.StatusCode)
	if problem.Temporary(resp.StatusCode) {
		return &unreachable{err}
	}
	if damage := s.checkOut(h, b, f, info.Size()); damage != nil { // it is ours to find out why it is refused
		return errors.Join(err, s.unreadable(h, b, s.outFile(b.Key()), damage))
	}
	return err
}

// An unreachable error concerns the next hop rather than the batch: it is no
// use to offer others there now.
type unreachable struct{ error }

func (u *unreachable) Unwrap() error { return u.error }

// removeFiles destroys the reports and the hand-over file of a batch.
func (s *Shuffler) removeFiles(k Key) error {
	if err := durable.RemoveAll(s.config.FS, s.dir(k)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("destroying the files of epoch %d: %w", k.Epoch, err)
	}
	return nil
}

// putBatch takes a batch from the hop before.
func (s *Shuffler) putBatch(w http.ResponseWriter, r *http.Request) {
	h := s.hosted(r)
	if h == nil || h.hop == 0 {
		hop.UnknownTask.Write(w, 0)
		return
	}
	hop.PutBatch(w, r, hop.Intake{
		FS: s.config.FS, Dir: s.arriving(), Serial: &s.serial,
		Task: h.task, ID: h.id, From: h.hop - 1, MaxBytes: s.config.MaxHandOver,
		Accept: func(ctx context.Context, header esa.BatchHeader, digest esa.BatchDigest, file string) (bool, error) {
			return s.acceptBatch(ctx, h, header, digest, file)
		},
	})
}

func (s *Shuffler) arriving() string { return filepath.Join(s.config.Dir, "arriving") }

// acceptBatch makes a batch of the hop before one of this hop, closed from the
// start: it takes no further reports.
func (s *Shuffler) acceptBatch(ctx context.Context, h *hosted, header esa.BatchHeader, digest esa.BatchDigest, file string) (bool, error) {
	s.acceptMu.Lock()
	defer s.acceptMu.Unlock()
	key := Key{h.id, header.Epoch}
	known, err := s.config.Store.Batch(ctx, key) // also if it is destroyed
	if err != nil {
		return false, err
	}
	if known.State != None {
		if known.Input != digest {
			return false, hop.ErrConflict
		}
		return false, nil
	}
	if err := s.config.FS.MkdirAll(s.dir(key), 0o700); err != nil {
		return false, err
	}
	if err := s.config.FS.Rename(file, s.inFile(key)); err != nil {
		return false, err
	}
	if err := s.config.FS.SyncDir(s.dir(key)); err != nil {
		return false, err
	}
	seed, err := dp.NewSeed(s.config.Rand)
	if err != nil {
		return false, err
	}
	b := Batch{Task: h.id, Epoch: header.Epoch, State: Closed, ID: esa.NewBatchID(h.id, header.Epoch, h.hop), Seed: seed, Input: digest}
	if err := s.measure(b); err != nil {
		return false, err
	}
	if err := s.apply(ctx, Change{None, b}); err != nil {
		return false, err
	}
	s.alert()
	return true, nil
}
