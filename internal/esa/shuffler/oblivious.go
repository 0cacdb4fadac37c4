package shuffler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/shoal-project/shoal/crypto/oblivious"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
)

// A Stage is how a shuffler counts crowds, drops and permutes.
type Stage string

// The stages. Of one batch and seed they let the same records go on.
const (
	// Plain sorts and counts through the engine: fast, but its memory accesses follow
	// the data.
	Plain Stage = "plain"
	// Oblivious hides crowds, their sizes and the order from an observer of memory and
	// storage, see package oblivious.
	Oblivious Stage = "oblivious"
)

// Stages are all stages.
func Stages() []Stage { return []Stage{Plain, Oblivious} }

// check fails for a stage that does not exist.
func (s Stage) check() error {
	for _, known := range Stages() {
		if s == known {
			return nil
		}
	}
	return fmt.Errorf("stage %q is not one of %v", s, Stages())
}

// A batchStage turns the reports of one closed batch into the records that go on.
type batchStage interface {
	// run processes the reports. On errUndersized the counts are valid, too.
	run(ctx context.Context, reports iter.Seq2[[]byte, error]) (result, error)
	// each applies f to the records that go on. It needs what run has left.
	each(ctx context.Context, made result, f func(next []byte) error) error
	// end gives up what run has left, also of an attempt that failed.
	end(ctx context.Context) error
}

// An obliviousStage is a stage whose accesses to memory and storage follow from the
// number of reports, the size of memory, which reports do not open or show a spent
// credential, and in the end whether there are enough and how many go on. Everything
// else, duplicates among them, it does not even count.
type obliviousStage struct {
	stage
	most   int       // reports, or fewer
	memory int64     // bytes
	rand   io.Reader // for the key of what is stored

	batch   *oblivious.Batch
	scratch engine.Scratch // nil while nothing is stored
}

// rowSize is the size of a row: its head, what goes on of it before the layer unless that
// is the tag in the head, and the layer.
func (s *obliviousStage) rowSize() int { return oblivious.HeadSize + s.besides() + s.nextSize }

func (s *obliviousStage) besides() int {
	if s.blinds || s.unblinds {
		return s.prefixSize()
	}
	return 0
}

func (s *obliviousStage) datasets() []string {
	return []string{s.dataset("shown"), s.dataset("sealed"), s.dataset("rows")}
}

func (s *obliviousStage) end(ctx context.Context) error {
	var err error
	if s.scratch != nil {
		err = s.scratch.Close()
	}
	s.scratch, s.batch = nil, nil
	return errors.Join(err, s.engine.Remove(ctx, s.datasets()...))
}

// run implements batchStage.
func (s *obliviousStage) run(ctx context.Context, reports iter.Seq2[[]byte, error]) (result, error) {
	if err := s.end(ctx); err != nil { // of an attempt that failed
		return result{}, fmt.Errorf("removing old datasets: %w", err)
	}
	order, err := newOrder(s.seed)
	if err != nil {
		return result{}, err
	}
	s.batch, err = oblivious.NewBatch(oblivious.BatchConfig{
		Rows: s.most, Size: s.rowSize(), Memory: s.memory, Workers: s.workers, Rand: s.rand,
		Storage: func() (oblivious.Storage, error) { return s.openScratch(ctx) },
	})
	if err != nil {
		return result{}, fmt.Errorf("batches.memory: %w", err)
	}
	counts, err := s.openRows(ctx, order, reports)
	if err != nil {
		return result{counts: counts}, fmt.Errorf("opening reports: %w", err)
	}
	var spent uint64
	if s.spent, spent, err = s.findSpent(ctx, counts.Received); err != nil {
		return result{counts: counts}, err
	}
	counts.Invalid[esa.CauseSpent] += spent
	if err := s.findCopies(ctx, counts.Received); err != nil {
		return result{counts: counts}, err
	}
	if s.spent != nil {
		if err := s.batch.Void(func(row int) byte { return byte(s.spent[row/64] >> (row % 64) & 1) }); err != nil {
			return result{counts: counts}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return result{counts: counts}, err
	}
	return s.keepCrowds(counts)
}

// keepCrowds applies the threshold to the rows.
func (s *obliviousStage) keepCrowds(counts esa.Counts) (result, error) {
	var seed [oblivious.SeedSize]byte
	if _, err := io.ReadFull(dp.NewStream(s.seed, "shoal oblivious stage v1", nil), seed[:]); err != nil {
		return result{counts: counts}, err
	}
	var total uint64
	rules := oblivious.Rules{Enough: func(valid uint64) (enough bool) {
		total, enough = s.enough(valid)
		return enough
	}}
	if s.threshold != nil {
		rules.Keep = func(tag *[oblivious.TagSize]byte, n uint64) uint64 {
			return s.threshold.Keep(n, dp.NewStream(s.seed, crowdNoise, tag[:]))
		}
	}
	outcome, err := s.batch.Threshold(seed, rules)
	if err != nil {
		return result{counts: counts}, fmt.Errorf("applying the threshold: %w", err)
	}
	if !outcome.Enough {
		return result{counts: counts}, errUndersized
	}
	counts.Released = uint64(outcome.Kept)
	counts.Withheld = counts.Received - invalid(counts) - counts.Released
	return result{counts: counts, total: total}, nil
}

// openScratch opens the engine's storage.
func (s *obliviousStage) openScratch(ctx context.Context) (engine.Scratch, error) {
	lender, ok := s.engine.(engine.Scratcher)
	if !ok {
		return nil, errors.New("the engine lends no storage: the batch must fit into batches.memory")
	}
	var err error
	s.scratch, err = lender.Scratch(ctx, s.dataset("rows"))
	return s.scratch, err
}

// openRows opens the reports' outer layers in parallel and adds a row for each, one
// that does not count for a report that does not open.
func (s *obliviousStage) openRows(ctx context.Context, o order, reports iter.Seq2[[]byte, error]) (esa.Counts, error) {
	show, err := s.createShown(ctx)
	if err != nil {
		return esa.Counts{}, err
	}
	if show == nil {
		show = noRows{}
	}
	defer show.Abort()
	sealed, err := s.createSealed(ctx)
	if err != nil {
		return esa.Counts{}, err
	}
	defer sealed.Abort()
	var counts esa.Counts
	open := func(before uint64, reports [][]byte, r *openedReports) { s.rowsOf(o, before, reports, r) }
	for r, err := range hop.Rounds(reports, s.workers, open) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = errors.Join(s.add(r.records), show.Write(r.shown), sealed.Write(r.sealed))
		}
		if err != nil {
			return esa.Counts{}, err
		}
		counts.Received += r.counts.Received
		for cause, n := range r.counts.Invalid {
			counts.Invalid[cause] += n
		}
	}
	return counts, errors.Join(show.Close(), sealed.Close())
}

// add adds rows.
func (s *obliviousStage) add(rows []byte) error {
	for ; len(rows) > 0; rows = rows[s.rowSize():] {
		if err := s.batch.Add(rows[:s.rowSize()]); err != nil {
			return err
		}
	}
	return nil
}

// rowsOf opens reports, the first of which has a number, and makes a row of each: the
// crowd's tag, the report's key, whether it counts, and its next layer.
func (s *obliviousStage) rowsOf(o order, number uint64, reports [][]byte, r *openedReports) {
	size := s.rowSize()
	r.records, r.shown, r.sealed = r.records[:0], r.shown[:0], r.sealed[:0]
	r.counts = esa.Counts{Received: uint64(len(reports))}
	for opened := range s.opened(reports) {
		at := len(r.records)
		r.records = append(r.records, make([]byte, size)...)
		if opened.Cause == 0 && len(opened.Layer.Next) != s.nextSize {
			opened.Cause = esa.CauseMalformed
		}
		if opened.Cause != 0 {
			r.counts.Invalid[opened.Cause]++
		} else if s.show(number, &opened, r) {
			if s.unblinds {
				r.addSealed(number, opened)
			}
			s.fillRow(r.records[at:], o, &opened)
		}
		number++
	}
}

// fillRow writes the row of a report that is open.
func (s *obliviousStage) fillRow(row []byte, o order, opened *esa.Opened) {
	copy(row, opened.Layer.Crowd[:])
	o.keyOf(row[oblivious.TagSize:], opened.Report)
	row[oblivious.HeadSize-1] = 1
	rest := row[oblivious.HeadSize:]
	if s.besides() > 0 {
		s.appendPrefix(rest[:0], o, opened)
	}
	copy(rest[s.besides():], opened.Layer.Next)
}

// each implements batchStage.
func (s *obliviousStage) each(ctx context.Context, _ result, f func(next []byte) error) error {
	tag := s.prefixSize() - s.besides()
	next := make([]byte, 0, s.prefixSize()+s.nextSize)
	return s.batch.Each(func(row []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		next = append(next[:0], row[:tag]...)
		return f(append(next, row[oblivious.HeadSize:]...))
	})
}
