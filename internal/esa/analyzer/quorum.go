package analyzer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2" //nolint:depguard // ChaCha8 over a secret seed
	"sync"

	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// QuorumCounts counts how many values of a task with a quorum could be read.
type QuorumCounts struct {
	Shares    uint16 `json:"shares"`    // that a value needs
	Recovered uint64 `json:"recovered"` // values
}

// The causes in [OperatorCounts].Invalid that only a quorum has.
const (
	BelowQuorum    = "below_quorum"    // a report of a value with too few shares, which stays unreadable
	ForgedShare    = "forged_share"    // its share is wrong, or no key was found for its value
	DuplicateShare = "duplicate_share" // it repeats the share of another, and is not a second person
)

// orderWidth is the size of the key by which the shares of a value are ordered.
const orderWidth = 8

// leastPiece is how many shares are put together at least where a value has more
// of them: as many as are decoded as a whole. The forged ones are spread over the pieces
// at random, and with so many to a piece they hardly crowd in one.
const leastPiece = secretshare.DecodeSize

// A sharing recovers the values of one batch from their shares. Memory is
// bounded: the reports of one value are adjacent after a sort on the disk, and
// are put together piece by piece.
type sharing struct {
	a       *Analyzer
	h       *hosted
	epoch   task.Epoch
	batch   *esa.Batch
	layout  *layout
	counter *counter
	out     *release.Writer

	name       string // of the datasets
	seed       [32]byte
	ciphertext int // bytes
	piece      int // shares
	spare      sync.Pool
	counts     QuorumCounts
	values     uint64 // different ciphertexts
	invalid    [esa.NumCauses + 1]uint64
	below      uint64 // reports, as the others
	forged     uint64
	duplicate  uint64
}

// writeShared is writeRecords for a task with a quorum. The rows of a value
// are adjacent, in an order that reveals nothing: they are equal.
func (a *Analyzer) writeShared(ctx context.Context, h *hosted, b Batch, batch *esa.Batch, l *layout, c *counter, w *release.Writer, counts *outcome) error {
	s := newSharingOf(a, h, b)
	s.batch, s.layout, s.counter, s.out = batch, l, c, w
	if err := s.remove(ctx); err != nil { // of an attempt that failed
		return err
	}
	err := s.run(ctx, counts)
	return errors.Join(err, s.remove(context.WithoutCancel(ctx)))
}

func newSharingOf(a *Analyzer, h *hosted, b Batch) *sharing {
	t := int(h.task.Encoding.Shares)
	s := &sharing{
		a: a, h: h, epoch: b.Epoch, name: fmt.Sprintf("analyzer-%x-%d", b.Task[:8], b.Epoch), seed: b.Digest,
		ciphertext: h.task.MessageSize() + secretshare.Overhead, piece: leastPiece,
		counts: QuorumCounts{Shares: h.task.Encoding.Shares},
	}
	s.spare.New = func() any {
		r, err := secretshare.NewRecoverer(esa.QuorumBinding(h.id, b.Epoch), t)
		return &worker{recoverer: r, err: err}
	}
	return s
}

func (s *sharing) dataset(step string) string { return s.name + "-" + step }

func (s *sharing) remove(ctx context.Context) error {
	return s.a.config.Engine.Remove(ctx, s.dataset("opened"), s.dataset("grouped"))
}

func (s *sharing) run(ctx context.Context, counts *outcome) error {
	opened, grouped := s.dataset("opened"), s.dataset("grouped")
	if err := s.open(ctx, opened, counts); err != nil {
		return fmt.Errorf("opening reports: %w", err)
	}
	if err := s.a.config.Engine.SortBy(ctx, opened, nil, grouped); err != nil {
		return fmt.Errorf("grouping reports: %w", err)
	}
	if err := s.a.config.Engine.Remove(ctx, opened); err != nil {
		return err
	}
	if err := s.recover(ctx, grouped, counts); err != nil {
		return fmt.Errorf("recovering values: %w", err)
	}
	counts.exact.Invalid, counts.exact.Values, counts.published.Quorum = byCause(s.invalid), s.values, &s.counts
	for cause, n := range map[string]uint64{BelowQuorum: s.below, ForgedShare: s.forged, DuplicateShare: s.duplicate} {
		if n > 0 {
			counts.exact.Invalid[cause] = n
		}
	}
	if s.h.task.Crowd.Kind == task.Constant {
		s.counter.hidden = s.below // they are of the one crowd, too
	}
	return nil
}

func (s *sharing) columns() []engine.Column {
	return []engine.Column{
		{Name: "ciphertext", Width: s.ciphertext}, {Name: "order", Width: orderWidth}, {Name: "share", Width: secretshare.ShareSize},
	}
}

// A shared is what became of one row of a batch.
type shared struct {
	cause esa.Cause
	row   []byte // of the dataset
}

// open opens the rows of the batch in parallel and writes the dataset out. A row
// that does not open costs only itself.
func (s *sharing) open(ctx context.Context, out string, counts *outcome) error {
	w, err := s.a.config.Engine.Create(ctx, out, s.columns())
	if err != nil {
		return err
	}
	defer w.Abort()
	header := s.batch.Header()
	open := hop.Tagged(hop.OpenMany(s.h.opener.Load(), s.h.task, s.epoch), header.TagsSize(s.h.task))
	results := hop.Opened(s.batch.Rows(), s.a.config.Workers, open, func(o esa.Opened) shared {
		if o.Cause != 0 {
			return shared{cause: o.Cause}
		}
		ciphertext, share, err := esa.SplitShared(s.h.task, o.Next)
		if err != nil {
			return shared{cause: esa.CauseSchema}
		}
		order := s.order(share)
		return shared{row: append(append(ciphertext, order[:]...), share[:]...)}
	})
	for r, err := range results {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		counts.exact.Received++
		if r.cause != 0 {
			s.invalid[r.cause]++
			continue
		}
		if err := w.Write(r.row); err != nil {
			return err
		}
	}
	return w.Close()
}

// order returns the position of a share among those of its value: at random, so that
// a forger of shares cannot choose with which others they are put together,
// and equal shares side by side. It is a function of the batch, so that a
// repetition gives the same.
func (s *sharing) order(share secretshare.Share) [orderWidth]byte {
	sum := sha256.Sum256(append(s.seed[:], share[:]...))
	return [orderWidth]byte(sum[:])
}

// recover reads the values of the dataset in, in parallel, and writes the
// records of those that can be read.
func (s *sharing) recover(ctx context.Context, in string, counts *outcome) error {
	r, err := s.a.config.Engine.Open(ctx, in)
	if err != nil {
		return err
	}
	defer r.Close()
	var last []byte // the value of the piece before
	for p, err := range hop.Parallel(s.pieces(r), s.a.config.Workers, s.read) {
		if err == nil {
			err = errors.Join(ctx.Err(), p.err)
		}
		if err != nil {
			return err
		}
		if fresh := !bytes.Equal(last, p.tag); fresh && p.records > 0 {
			s.counts.Recovered++
			last = p.tag
		}
		s.below += p.below
		s.forged += p.forged
		s.duplicate += p.duplicate
		s.invalid[esa.CauseSchema] += p.invalid
		counts.published.Records += p.records
		if err := s.write(p); err != nil {
			return err
		}
	}
	return nil
}

func (s *sharing) write(p piece) error {
	if p.records == 0 {
		return nil
	}
	if _, err := s.counter.add(p.record, p.row, p.records); err != nil {
		return err
	}
	for range p.records {
		if err := s.out.Write(p.row); err != nil {
			return err
		}
	}
	return nil
}

// pieces yields the ciphertext of each value followed by its shares, each once.
// A value with many shares comes in several pieces, of s.piece shares at least
// and less than twice as many.
func (s *sharing) pieces(r engine.Reader) iter.Seq2[[]byte, error] {
	const size = secretshare.ShareSize
	return func(yield func([]byte, error) bool) {
		var group []byte
		for {
			row, err := r.Next()
			if err == io.EOF {
				if len(group) > 0 {
					yield(group, nil)
				}
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			ciphertext, share := row[:s.ciphertext], row[s.ciphertext+orderWidth:]
			if len(group) == 0 || !bytes.Equal(group[:s.ciphertext], ciphertext) {
				if len(group) > 0 && !yield(group, nil) {
					return
				}
				s.values++
				group = append(group[:0], ciphertext...)
			} else if bytes.Equal(group[len(group)-size:], share) {
				s.duplicate++
				continue
			}
			group = append(group, share...)
			if cut := s.ciphertext + s.piece*size; len(group) == cut+s.piece*size {
				if !yield(group[:cut], nil) {
					return
				}
				group = append(group[:s.ciphertext], group[cut:]...)
			}
		}
	}
}

// A worker recovers one value at a time.
type worker struct {
	recoverer *secretshare.Recoverer
	err       error
	shares    []secretshare.Share
}

// A piece is what became of a value, or of a part of its reports.
type piece struct {
	tag       []byte // of the ciphertext
	record    task.Record
	row       Row
	records   uint64
	below     uint64
	forged    uint64
	duplicate uint64
	invalid   uint64 // values that the schema does not allow
	err       error
}

// read recovers a value from its ciphertext and shares.
func (s *sharing) read(group []byte) piece {
	w := s.spare.Get().(*worker)
	defer s.spare.Put(w)
	if w.err != nil {
		return piece{err: w.err}
	}
	ciphertext := group[:s.ciphertext]
	w.shares = w.shares[:0]
	for rest := group[s.ciphertext:]; len(rest) > 0; rest = rest[secretshare.ShareSize:] {
		w.shares = append(w.shares, secretshare.Share(rest))
	}
	n := uint64(len(w.shares))
	res, err := w.recoverer.Recover(ciphertext, w.shares, &choices{seed: s.seed, about: ciphertext})
	switch {
	case errors.Is(err, secretshare.ErrTooFew):
		return piece{below: n}
	case errors.Is(err, secretshare.ErrNoKey):
		return piece{forged: n}
	case err != nil:
		return piece{err: err}
	}
	p := piece{tag: bytes.Clone(ciphertext[:secretshare.Overhead]), forged: uint64(res.Forged), duplicate: uint64(res.Duplicate)}
	payload, err := task.Unpad(res.Message)
	if err == nil {
		p.record, err = s.h.task.Decode(payload)
	}
	if err != nil {
		p.invalid = uint64(res.Distinct)
		return p
	}
	p.records, p.row = uint64(res.Distinct), s.layout.row(p.record)
	return p
}

// choices is the randomness by which subsets of shares are drawn when some are
// forged: a function of batch and value, so that a repetition gives the same.
// A forger of shares does not know the batch that they will be in.
type choices struct {
	seed   [32]byte
	about  []byte
	stream *rand.ChaCha8
}

func (c *choices) Read(p []byte) (int, error) {
	if c.stream == nil {
		c.stream = rand.NewChaCha8(sha256.Sum256(append(c.seed[:], c.about...)))
	}
	return c.stream.Read(p)
}
