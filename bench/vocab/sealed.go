package vocab

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-project/shoal/bench/stages"
	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/engine/local"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// Sealed is the Secret-Crowd experiment with all layers of encryption, on files
// and all cores, without a network: seconds by stage.
type Sealed struct {
	Cores       int     `json:"cores"`
	ReportBytes int     `json:"report_bytes"`
	Encode      float64 `json:"encode"`    // clients: share, seal twice
	Open        float64 `json:"open"`      // shuffler: open the outer layer
	Threshold   float64 `json:"threshold"` // shuffler: duplicates, crowds, permutation
	HandOver    float64 `json:"hand_over"` // write the signed batch, verify it
	Analyze     float64 `json:"analyze"`   // analyzer: open the inner layer, recover
	Words       int     `json:"words"`

	Paper *PaperTime `json:"paper,omitempty"`
}

// A route is a task with the keys of its shuffler and its analyzer.
type route struct {
	task     *task.Task
	id       task.ID
	epoch    task.Epoch
	keys     []*esa.PrivateKey
	shuffler task.IdentityKey // the last one
}

func newRoute() (*route, error) { return newRouteOf(task.Shuffler, task.Analyzer) }

// newRouteOf returns a route of some parties. Crowds are blinded if there are two shufflers.
func newRouteOf(roles ...task.Role) (*route, error) {
	begin := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	end := begin.AddDate(0, 1, 0)
	owner, err := task.GenerateIdentityKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	r := &route{task: &task.Task{
		Owner: owner.Public(), OwnedBy: "Benchmark", Metric: "vocab", Question: "Which words are used?", Method: task.Crowd,
		Schema:    task.Schema{{Name: "word", Kind: task.String, Max: wordWidth}},
		Crowd:     task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.NoisyDrop, T: quorum, D: 10, SigmaMilli: 2000},
		MinBatch:  1, EpochSeconds: 3600, PerEpoch: 1, PerCrowd: 1, PayloadSize: 128,
		NotBefore: begin.Unix(), Expires: end.Unix(),
	}}
	r.task.Protection.Blinded = len(roles) > 2
	for i, role := range roles {
		identity, err := task.GenerateIdentityKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		key, err := esa.GenerateKey(esa.X25519, begin, end, rand.Reader)
		if err != nil {
			return nil, err
		}
		if role == task.Shuffler {
			r.shuffler = identity
		}
		r.keys = append(r.keys, key)
		r.task.Hops = append(r.task.Hops, task.Party{Role: role, URL: fmt.Sprintf("http://127.0.0.1:%d", 8001+i), Identity: identity.Public()})
	}
	r.epoch = r.task.EpochAt(begin)
	r.id, err = r.task.ID()
	return r, err
}

// public returns the public keys of the parties.
func (r *route) public() []task.Key {
	var all []task.Key
	for _, k := range r.keys {
		all = append(all, k.Public())
	}
	return all
}

// sealed sends a sample through encryption, shuffler and analyzer.
func (r *runner) sealed(ctx context.Context, s sample) (*Sealed, error) {
	route, err := newRoute()
	if err != nil {
		return nil, err
	}
	out := &Sealed{Cores: runtime.GOMAXPROCS(0)}
	if p, ok := paperTime(len(s.ranks)); ok {
		out.Paper = &p
	}
	err = r.scratch(func(e *local.Engine, dir string) error {
		if err := r.timed(&out.Encode, func() error { return r.seal(ctx, e, route, s, out) }); err != nil {
			return fmt.Errorf("sealing reports: %w", err)
		}
		counts, b, err := r.shuffle(ctx, e, route, out)
		if err != nil {
			return fmt.Errorf("shuffling: %w", err)
		}
		file := filepath.Join(dir, "batch")
		if err := r.timed(&out.HandOver, func() error { return route.write(ctx, b, file, counts) }); err != nil {
			return fmt.Errorf("writing the batch: %w", err)
		}
		return r.analyzeBatch(route, file, s, out)
	})
	return out, err
}

// seal writes the reports of all clients to the dataset "sealed", on all cores.
func (r *runner) seal(ctx context.Context, e engine.Engine, route *route, s sample, out *Sealed) error {
	sealer, err := esa.NewSealer(route.task, route.id, route.public())
	if err != nil {
		return err
	}
	enc, err := secretshare.NewEncoder(secretshare.MessageHash{}, binding, quorum)
	if err != nil {
		return err
	}
	out.ReportBytes = sealer.ReportSize()
	w, err := e.Create(ctx, "sealed", []engine.Column{{Name: "report", Width: out.ReportBytes}})
	if err != nil {
		return err
	}
	defer w.Abort()
	one := func(word string) ([]byte, error) {
		payload, err := appendShare(ctx, nil, enc, word, rand.Reader)
		if err != nil {
			return nil, err
		}
		tag := esa.SaltedTag(route.id, route.task.SaltWindow(route.epoch), []byte(word))
		return sealer.Seal(route.epoch, tag, payload)
	}
	const block = 1024 // clients whose reports are made before they are written
	reports := make([][]byte, block)
	for from := 0; from < len(s.ranks); from += block {
		ranks := s.ranks[from:min(from+block, len(s.ranks))]
		var g errgroup.Group
		for worker := range out.Cores {
			g.Go(func() error {
				for i := worker; i < len(ranks); i += out.Cores {
					report, err := one(r.words[ranks[i]])
					if err != nil {
						return err
					}
					reports[i] = report
				}
				return nil
			})
		}
		if err := errors.Join(g.Wait(), ctx.Err()); err != nil {
			return err
		}
		for _, report := range reports[:len(ranks)] {
			if err := w.Write(report); err != nil {
				return err
			}
		}
	}
	return w.Close()
}

// rows yields the rows of a dataset.
func rows(ctx context.Context, e engine.Engine, name string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		r, err := e.Open(ctx, name)
		if err != nil {
			yield(nil, err)
			return
		}
		defer r.Close()
		for {
			row, err := r.Next()
			if err == io.EOF || !yield(row, err) || err != nil {
				return
			}
		}
	}
}

// shuffle opens the outer layers, drops duplicates and small crowds, and
// permutes. The dataset "released" is what goes on.
func (r *runner) shuffle(ctx context.Context, e engine.Engine, route *route, out *Sealed) (esa.Counts, *stages.Batch, error) {
	opener, err := esa.NewOpener(route.task, route.id, 0, route.keys[0])
	if err != nil {
		return esa.Counts{}, nil, err
	}
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return esa.Counts{}, nil, err
	}
	b, err := stages.NewBatch(e, seed, opener.NextSize())
	if err != nil {
		return esa.Counts{}, nil, err
	}
	if err := r.timed(&out.Open, func() error { return open(ctx, b, opener, route.epoch, out.Cores) }); err != nil {
		return esa.Counts{}, nil, err
	}
	var counts esa.Counts
	err = r.timed(&out.Threshold, func() error {
		if err := checkDistinct(ctx, b); err != nil {
			return err
		}
		if err := b.Count(ctx); err != nil {
			return err
		}
		if counts, err = b.Drop(ctx, r.threshold); err != nil {
			return err
		}
		return b.Permute(ctx, "remaining", "released")
	})
	return counts, b, err
}

// open fills "reports" from "sealed". A report's key is made of its digest, so
// that equal reports would have equal keys.
func open(ctx context.Context, b *stages.Batch, opener *esa.Opener, epoch task.Epoch, workers int) error {
	w, err := b.Engine.Create(ctx, "reports", b.Columns())
	if err != nil {
		return err
	}
	defer w.Abort()
	row := make([]byte, 0, engine.RowWidth(b.Columns()))
	for opened, err := range opener.OpenAll(rows(ctx, b.Engine, "sealed"), epoch, workers) {
		if err != nil {
			return err
		}
		if opened.Cause != 0 {
			return fmt.Errorf("a report of our own is refused: %v", opened.Cause)
		}
		digest := sha256.Sum256(opened.Report)
		row = append(row[:0], digest[:stages.KeyWidth]...)
		b.Key(row)
		row = append(append(row, opened.Crowd[:]...), opened.Next...)
		if err := w.Write(row); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return b.Engine.Remove(ctx, "sealed")
}

// checkDistinct looks for duplicates, of which this evaluation sends none.
func checkDistinct(ctx context.Context, b *stages.Batch) error {
	if err := b.Engine.CountByKey(ctx, "reports", "key", "keys"); err != nil {
		return err
	}
	err := b.Scan(ctx, "keys", func(row []byte) error {
		if engine.Count(row) != 1 {
			return errors.New("two reports are equal")
		}
		return nil
	})
	return errors.Join(err, b.Engine.Remove(ctx, "keys"))
}

// write makes the signed file by which the shuffler hands "released" over.
func (r *route) write(ctx context.Context, b *stages.Batch, name string, counts esa.Counts) error {
	total := uint64(0)
	if r.task.Threshold.Kind != task.Naive {
		total = counts.Distinct() // the time of handing over is measured, not what it discloses
	}
	header, err := esa.NewBatchHeader(r.task, r.id, len(r.keys)-2, r.epoch, total, counts.Released)
	if err != nil {
		return err
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	w, err := esa.NewBatchWriter(file, header, r.shuffler)
	if err != nil {
		return err
	}
	out := make([]byte, header.RowSize) // the place of the tag stays zero: this analysis does not look at it
	if err := b.Scan(ctx, "released", func(row []byte) error {
		copy(out[header.TagSize():], row[stages.KeyWidth:])
		return w.Write(out)
	}); err != nil {
		return err
	}
	if _, err := w.Close(); err != nil {
		return err
	}
	return file.Close()
}

// analyzeBatch verifies the batch, opens the inner layers and recovers words.
func (r *runner) analyzeBatch(route *route, name string, s sample, out *Sealed) error {
	opener, err := esa.NewOpener(route.task, route.id, 1, route.keys[1])
	if err != nil {
		return err
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	var batch *esa.Batch
	err = r.timed(&out.HandOver, func() error {
		info, err := file.Stat()
		if err != nil {
			return err
		}
		batch, err = esa.OpenBatch(file, info.Size(), route.task, route.id, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("reading the batch: %w", err)
	}
	err = r.timed(&out.Analyze, func() error {
		a := r.newAnalysis(s, true)
		for opened, err := range opener.OpenAll(batch.Layers(), route.epoch, out.Cores) {
			if err != nil {
				return err
			}
			if opened.Cause != 0 || len(opened.Next) != shareWidth {
				return fmt.Errorf("a record of our own is refused: %v", opened.Cause)
			}
			a.add(opened.Next)
		}
		var err error
		out.Words, err = a.words()
		return err
	})
	if err != nil {
		return fmt.Errorf("analysing: %w", err)
	}
	return nil
}
