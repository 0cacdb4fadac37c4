package analyzer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/quorum"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// ForeignRecord is the cause in [OperatorCounts].Invalid of a record of a hardened quorum
// that was not sealed with the key of its group, or has another value than it.
const ForeignRecord = "foreign_record"

// pieceBytes bounds the reports of a group that are in memory together. A larger group
// comes in pieces.
const pieceBytes = 32 << 20

// Widths of the columns by which reports are grouped.
const (
	crowdWidth = len(quorum.CrowdTag{})
	tagWidth   = len(quorum.Tag{})
	groupWidth = crowdWidth + tagWidth
)

// A grouping recovers the groups of one batch of a hardened quorum. Reports are grouped by
// the tags of crowd and quorum by a sort on the disk; the groups are recovered
// piece by piece, in parallel.
type grouping struct {
	a        *Analyzer
	h        *hosted
	epoch    task.Epoch
	name     string // of the datasets
	seed     [32]byte
	party    task.Party
	verifier *credential.Verifier
	record   int // bytes of a sealed record
	piece    int // reports
	spare    sync.Pool

	values  uint64 // groups
	read    QuorumCounts
	invalid [esa.NumCauses + 1]uint64
	causes  map[string]uint64
}

// writeHardened is writeRecords for a task with a hardened quorum. The rows of a value are
// adjacent, in an order that reveals nothing.
func (a *Analyzer) writeHardened(ctx context.Context, h *hosted, b Batch, batch *esa.Batch, l *layout, c *counter, w *release.Writer, counts *outcome) error {
	g, err := newGrouping(a, h, b)
	if err != nil {
		return err
	}
	if err := g.remove(ctx); err != nil { // of an attempt that failed
		return err
	}
	err = g.run(ctx, batch, l, c, w, counts)
	return errors.Join(err, g.remove(context.WithoutCancel(ctx)))
}

func newGrouping(a *Analyzer, h *hosted, b Batch) (*grouping, error) {
	g := &grouping{
		a: a, h: h, epoch: b.Epoch, name: fmt.Sprintf("analyzer-%x-%d", b.Task[:8], b.Epoch), seed: b.Digest,
		party: h.task.Hops[h.hop()], record: quorum.RecordSize(h.task),
		read: QuorumCounts{Shares: h.task.Encoding.Shares}, causes: map[string]uint64{},
	}
	row := groupWidth + orderWidth + secretshare.ShareSize + g.record
	g.piece = max(min(leastPiece, pieceBytes/2/row), 4*int(h.task.Encoding.Shares))
	verifier, err := a.config.Issuer.Verifier(h.id, b.Epoch)
	if err != nil {
		return nil, fmt.Errorf("the key of its credentials: %w", err)
	}
	g.verifier = verifier
	g.spare.New = func() any { return newGroupWorker(h, b.Epoch) }
	return g, nil
}

func (g *grouping) dataset(step string) string { return g.name + "-" + step }

func (g *grouping) remove(ctx context.Context) error {
	return g.a.config.Engine.Remove(ctx, g.dataset("grouped"))
}

func (g *grouping) columns() []engine.Column {
	return []engine.Column{
		{Name: "crowd", Width: crowdWidth},
		{Name: "tag", Width: tagWidth},
		{Name: "order", Width: orderWidth},
		{Name: "share", Width: secretshare.ShareSize},
		{Name: "record", Width: g.record},
	}
}

func (g *grouping) run(ctx context.Context, batch *esa.Batch, l *layout, c *counter, w *release.Writer, counts *outcome) error {
	grouped := g.dataset("grouped")
	if err := g.open(ctx, batch, grouped, counts); err != nil {
		return fmt.Errorf("opening reports: %w", err)
	}
	if err := g.recover(ctx, grouped, l, c, w, counts); err != nil {
		return fmt.Errorf("recovering values: %w", err)
	}
	counts.exact.Invalid, counts.exact.Values, counts.published.Quorum = byCause(g.invalid), g.values, &g.read
	for cause, n := range g.causes {
		named(counts.exact.Invalid, cause, n)
	}
	return nil
}

// open opens the rows of the batch in parallel, verifies what they show, and writes the
// dataset out, in order. A row that does not open costs only itself.
func (g *grouping) open(ctx context.Context, batch *esa.Batch, out string, counts *outcome) error {
	w, err := g.a.config.Engine.CreateSorted(ctx, out, g.columns(), nil)
	if err != nil {
		return err
	}
	defer w.Abort()
	header := batch.Header()
	open := hop.Tagged(hop.OpenMany(g.h.opener.Load(), g.h.task, g.epoch), header.TagsSize(g.h.task))
	for r, err := range hop.Opened(batch.Rows(), g.a.config.Workers, open, g.admit) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		counts.exact.Received++
		if r.cause != 0 {
			g.invalid[r.cause]++
			continue
		}
		if err := w.Write(r.row); err != nil {
			return err
		}
	}
	return w.Close()
}

// admit verifies the presentation of an opened report and returns its row. The share's x is
// that of the credential.
func (g *grouping) admit(o esa.Opened) shared {
	if o.Cause != 0 {
		return shared{cause: o.Cause}
	}
	part, err := quorum.Split(g.h.task, o.Next)
	if err != nil {
		return shared{cause: esa.CauseSchema}
	}
	contexts := credential.ContextsOf(g.h.task, g.party, g.epoch, part.Tag[:])
	if len(contexts) != 1 {
		return shared{cause: esa.CauseCredential}
	}
	tag, err := g.verifier.Verify(contexts[0], o.Presentation(esa.ExtensionCrowd), credential.Binding(g.h.id, o.Digest))
	if err != nil {
		return shared{cause: esa.CauseCredential}
	}
	share := secretshare.Join(quorum.XOf(tag[:]), part.Y)
	row := make([]byte, 0, groupWidth+orderWidth+len(share)+len(part.Record))
	row = append(append(row, o.Crowd[:]...), part.Tag[:]...)
	row = append(row, g.order(share)...)
	return shared{row: append(append(row, share[:]...), part.Record...)}
}

// order returns the position of a report in its group: at random, a function of the batch
// and of the share's x, so that reports of one credential are adjacent.
func (g *grouping) order(share secretshare.Share) []byte {
	sum := sha256.Sum256(append(g.seed[:], share[:len(share)-secretshare.ValueSize]...))
	return sum[:orderWidth]
}

// pieces yields the reports of each group: its tags, then of each report the share and the
// sealed record. Of the reports of one credential the first is kept. A large group comes in several
// pieces, of g.piece reports at least and less than twice as many.
func (g *grouping) pieces(r engine.Reader) iter.Seq2[[]byte, error] {
	const x = secretshare.ShareSize - secretshare.ValueSize
	each := secretshare.ShareSize + g.record
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
			report := row[groupWidth+orderWidth:]
			if len(group) == 0 || !bytes.Equal(group[:groupWidth], row[:groupWidth]) {
				if len(group) > 0 && !yield(group, nil) {
					return
				}
				g.values++
				group = append(group[:0], row[:groupWidth]...)
			} else if bytes.Equal(group[len(group)-each:][:x], report[:x]) {
				g.causes[DuplicateShare]++
				continue
			}
			if len(group)+each > cap(group) {
				group = slices.Grow(group, len(group)+each)
			}
			group = append(group, report...)
			if cut := groupWidth + g.piece*each; len(group) == cut+g.piece*each {
				if !yield(group[:cut], nil) {
					return
				}
				group = append(group[:groupWidth], group[cut:]...)
			}
		}
	}
}

// recover reads the groups of the dataset in, in parallel, and writes the records of those
// that can be read.
func (g *grouping) recover(ctx context.Context, in string, l *layout, c *counter, w *release.Writer, counts *outcome) error {
	r, err := g.a.config.Engine.Open(ctx, in)
	if err != nil {
		return err
	}
	defer r.Close()
	var last []byte // the group of the piece before
	for p, err := range hop.Parallel(g.pieces(r), g.a.config.Workers, g.readGroup(l)) {
		if err == nil {
			err = errors.Join(ctx.Err(), p.err)
		}
		if err != nil {
			return err
		}
		if len(p.rows) > 0 && !bytes.Equal(last, p.group) {
			g.read.Recovered++
			last = p.group
		}
		for cause, n := range p.causes {
			g.causes[cause] += n
		}
		for _, row := range p.rows {
			kept, err := c.add(row.record, row.row, row.n)
			if err != nil {
				return err
			}
			if !kept {
				g.causes[SmallCrowd] += row.n
				continue
			}
			counts.published.Records += row.n
			if err := w.WriteTimes(row.row, int(row.n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// A groupPiece is what became of a group, or of a part of it.
type groupPiece struct {
	group  []byte // its tags
	rows   []groupRow
	causes map[string]uint64
	err    error
}

// A groupRow is a run of equal records.
type groupRow struct {
	record task.Record
	row    Row
	n      uint64
}

// A groupWorker recovers one group at a time.
type groupWorker struct {
	recoverer *quorum.Recoverer
	err       error
	payload   []byte      // that was opened last, nil if it does not decode
	record    task.Record // its
	material  []byte      // its
	decoded   int         // how many payloads were different from the one before
	shares    []secretshare.Share
}

func newGroupWorker(h *hosted, e task.Epoch) *groupWorker {
	w := &groupWorker{}
	w.recoverer, w.err = quorum.NewRecoverer(h.task, h.id, e, func(payload []byte) ([]byte, error) {
		return w.decode(h.task, payload)
	})
	return w
}

// decode returns the crowd's material of a payload. A payload that is equal to the one before,
// as most of a group are, is decoded once.
func (w *groupWorker) decode(t *task.Task, payload []byte) ([]byte, error) {
	if w.payload != nil && bytes.Equal(payload, w.payload) {
		return w.material, nil
	}
	w.decoded++
	w.payload = nil
	own := append([]byte{}, payload...)
	var err error
	if w.record, err = t.Decode(own); err != nil {
		return nil, err
	}
	if w.material, err = esa.CrowdMaterial(t, own, w.record); err != nil {
		return nil, err
	}
	w.payload = own
	return w.material, nil
}

// readGroup returns the function that recovers a group and opens its records.
func (g *grouping) readGroup(l *layout) func([]byte) groupPiece {
	return func(group []byte) groupPiece {
		w := g.spare.Get().(*groupWorker)
		defer g.spare.Put(w)
		if w.err != nil {
			return groupPiece{err: w.err}
		}
		each := secretshare.ShareSize + g.record
		w.shares = w.shares[:0]
		for rest := group[groupWidth:]; len(rest) > 0; rest = rest[each:] {
			w.shares = append(w.shares, secretshare.Share(rest))
		}
		p := groupPiece{group: bytes.Clone(group[:groupWidth]), causes: map[string]uint64{}}
		res, err := w.recoverer.Recover(quorum.CrowdTag(group), quorum.Tag(group[crowdWidth:]), w.shares, &choices{seed: g.seed, about: p.group})
		if err != nil {
			p.err = p.unread(err, uint64(len(w.shares)))
			return p
		}
		p.causes[ForgedShare] += uint64(res.Forged)
		p.causes[DuplicateShare] += uint64(res.Duplicate)
		decoded := -1 // w.decoded of the run
		for i, valid := range res.Valid {
			if !valid {
				continue
			}
			at := groupWidth + i*each + secretshare.ShareSize
			if _, err := w.recoverer.Open(group[at : at+g.record]); err != nil {
				p.causes[ForeignRecord]++
				continue
			}
			if w.decoded != decoded {
				decoded = w.decoded
				p.rows = append(p.rows, groupRow{record: w.record, row: l.row(w.record)})
			}
			p.rows[len(p.rows)-1].n++
		}
		return p
	}
}

// unread counts the n reports of a group that cannot be read, or returns an error that
// concerns more than it.
func (p *groupPiece) unread(err error, n uint64) error {
	switch {
	case errors.Is(err, secretshare.ErrTooFew):
		p.causes[BelowQuorum] += n
	case errors.Is(err, secretshare.ErrNoKey):
		p.causes[ForgedShare] += n
	case errors.Is(err, quorum.ErrCrowd):
		p.causes[WrongCrowd] += n
	default:
		return err
	}
	return nil
}
