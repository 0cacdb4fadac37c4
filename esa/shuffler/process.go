package shuffler

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/engine"
	"github.com/shoal-project/shoal/esa"
	"github.com/shoal-project/shoal/esa/internal/hop"
)

// A stage turns the reports of one closed batch into the records that go on.
// It is a function of its fields and its input: it knows no clock, no network
// and no randomness but the seed, so that a repetition gives the same rows and
// the same counts.
type stage struct {
	engine    engine.Engine
	name      string // prefix of the datasets, of this batch alone
	workers   int
	openMany  hop.Many // if nil, reports are opened one by one by open
	open      func(report []byte) (esa.Layer, esa.Cause)
	nextSize  int // bytes of the layers that are uncovered
	minBatch  uint64
	total     *dp.Total // decides on the minimum, with noise; nil where it is exact
	seed      dp.Seed
	threshold dp.Threshold // nil at all hops but the last shuffler
}

// errUndersized says that a batch has fewer distinct valid reports than the
// task's minimum.
var errUndersized = errors.New("batch below its minimum")

const (
	keyWidth   = len(sortKey{})
	crowdWidth = len(esa.CrowdTag{})
	keepWidth  = 8
)

func (s *stage) dataset(step string) string { return s.name + "-" + step }

// datasets are all the names that a stage may use.
func (s *stage) datasets() []string {
	var all []string
	for _, step := range []string{"opened", "keys", "bykey", "distinct", "crowds", "kept", "survivors", "grouped", "remaining", "unsorted", "shuffled"} {
		all = append(all, s.dataset(step))
	}
	return all
}

func (s *stage) columns() []engine.Column {
	return []engine.Column{{Name: "key", Width: keyWidth}, {Name: "crowd", Width: crowdWidth}, {Name: "next", Width: s.nextSize}}
}

// A result is what a stage leaves: what goes on is in the dataset of that name, in
// columns "final" and "next", ordered by the first.
type result struct {
	dataset string
	counts  esa.Counts // exact, for the operator
	total   uint64     // of distinct valid reports, with noise; 0 without a stage.total
}

// run processes the reports. The other datasets are removed. On errUndersized the
// counts are valid, too.
func (s *stage) run(ctx context.Context, reports iter.Seq2[[]byte, error]) (result, error) {
	if err := s.engine.Remove(ctx, s.datasets()...); err != nil { // of an attempt that failed
		return result{}, fmt.Errorf("removing old datasets: %w", err)
	}
	order, err := newOrder(s.seed)
	if err != nil {
		return result{}, err
	}
	counts, err := s.openAll(ctx, order, reports)
	if err != nil {
		return result{counts: counts}, fmt.Errorf("opening reports: %w", err)
	}
	distinct, valid, err := s.distinct(ctx)
	if err != nil {
		return result{counts: counts}, fmt.Errorf("dropping duplicates: %w", err)
	}
	counts.Duplicate = counts.Received - invalid(counts) - valid
	total, enough := s.enough(valid)
	if !enough {
		return result{counts: counts}, errUndersized
	}
	survivors, err := s.dropCrowds(ctx, distinct, &counts)
	if err != nil {
		return result{counts: counts}, fmt.Errorf("applying the threshold: %w", err)
	}
	if err := s.reorder(ctx, order, survivors, &counts); err != nil {
		return result{counts: counts}, fmt.Errorf("permuting: %w", err)
	}
	return result{s.dataset("shuffled"), counts, total}, nil
}

// enough decides whether there are enough distinct valid reports, and what is told
// of their number. The noise is a function of the seed.
func (s *stage) enough(valid uint64) (total uint64, ok bool) {
	if s.total == nil {
		return 0, valid >= s.minBatch
	}
	return s.total.Decide(valid, dp.NewStream(s.seed, "shoal batch total v1", nil))
}

func invalid(c esa.Counts) uint64 {
	var n uint64
	for _, of := range c.Invalid {
		n += of
	}
	return n
}

// An opened is what became of one report.
type opened struct {
	cause esa.Cause
	key   sortKey
	layer esa.Layer
}

// openAll opens the reports' outer layers in parallel and writes the dataset
// "opened". A report that does not open costs only itself.
func (s *stage) openAll(ctx context.Context, o order, reports iter.Seq2[[]byte, error]) (esa.Counts, error) {
	w, err := s.engine.Create(ctx, s.dataset("opened"), s.columns())
	if err != nil {
		return esa.Counts{}, err
	}
	defer w.Abort()
	var counts esa.Counts
	row := make([]byte, 0, engine.RowWidth(s.columns()))
	results := s.parallel(reports, func(report []byte, layer esa.Layer, cause esa.Cause) opened {
		return opened{cause, o.keyOf(report), layer}
	})
	for r, err := range results {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return esa.Counts{}, err
		}
		counts.Received++
		if r.cause != 0 {
			counts.Invalid[r.cause]++
			continue
		}
		row = append(append(append(row[:0], r.key[:]...), r.layer.Crowd[:]...), r.layer.Next...)
		if err := w.Write(row); err != nil {
			return esa.Counts{}, err
		}
	}
	return counts, w.Close()
}

// parallel yields f of every report and of what became of it.
func (s *stage) parallel(reports iter.Seq2[[]byte, error], f func([]byte, esa.Layer, esa.Cause) opened) iter.Seq2[opened, error] {
	if s.openMany == nil {
		return hop.Parallel(reports, s.workers, func(report []byte) opened {
			layer, cause := s.open(report)
			return f(report, layer, cause)
		})
	}
	return hop.Opened(reports, s.workers, s.openMany, func(o esa.Opened) opened {
		return f(o.Report, o.Layer, o.Cause)
	})
}

// distinct drops all but one of equal reports, and returns the dataset without
// them and its length.
func (s *stage) distinct(ctx context.Context) (string, uint64, error) {
	opened, keys := s.dataset("opened"), s.dataset("keys")
	if err := s.engine.CountByKey(ctx, opened, "key", keys); err != nil {
		return "", 0, err
	}
	rows, err := s.rows(ctx, opened)
	if err != nil {
		return "", 0, err
	}
	unique, err := s.rows(ctx, keys)
	if err != nil {
		return "", 0, err
	}
	if err := s.engine.Remove(ctx, keys); err != nil {
		return "", 0, err
	}
	if rows == unique {
		return opened, unique, nil
	}
	byKey, distinct := s.dataset("bykey"), s.dataset("distinct")
	if err := s.engine.SortBy(ctx, opened, []string{"key"}, byKey); err != nil {
		return "", 0, err
	}
	var last sortKey
	first := true
	err = s.scan(ctx, byKey, distinct, s.columns(), func(row []byte, out engine.Writer) error {
		if !first && bytes.Equal(row[:keyWidth], last[:]) {
			return nil
		}
		first = false
		copy(last[:], row)
		return out.Write(row)
	})
	if err != nil {
		return "", 0, err
	}
	return distinct, unique, s.engine.Remove(ctx, opened, byKey)
}

func (s *stage) rows(ctx context.Context, name string) (uint64, error) {
	r, err := s.engine.Open(ctx, name)
	if err != nil {
		return 0, err
	}
	return uint64(r.Rows()), r.Close()
}

// scan makes the dataset out from in, row by row.
func (s *stage) scan(ctx context.Context, in, out string, columns []engine.Column, each func(row []byte, out engine.Writer) error) error {
	r, err := s.engine.Open(ctx, in)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := s.engine.Create(ctx, out, columns)
	if err != nil {
		return err
	}
	defer w.Abort()
	for {
		row, err := r.Next()
		if err == io.EOF {
			return w.Close()
		}
		if err == nil {
			err = each(row, w)
		}
		if err != nil {
			return err
		}
	}
}

// dropCrowds applies the threshold: small crowds are suppressed whole, and of
// the others as many records are dropped as the noise says, those with the
// smallest keys. It returns the dataset of what is left.
func (s *stage) dropCrowds(ctx context.Context, in string, counts *esa.Counts) (string, error) {
	if s.threshold == nil {
		return in, nil
	}
	crowds, kept, survivors, grouped := s.dataset("crowds"), s.dataset("kept"), s.dataset("survivors"), s.dataset("grouped")
	if err := s.engine.CountByKey(ctx, in, "crowd", crowds); err != nil {
		return "", err
	}
	if err := s.decide(ctx, crowds, kept, counts); err != nil {
		return "", err
	}
	if err := s.engine.SemiJoin(ctx, in, "crowd", kept, survivors); err != nil {
		return "", err
	}
	if err := s.engine.Remove(ctx, in, crowds); err != nil {
		return "", err
	}
	if err := s.engine.SortBy(ctx, survivors, []string{"crowd", "key"}, grouped); err != nil {
		return "", err
	}
	if err := s.engine.Remove(ctx, survivors); err != nil {
		return "", err
	}
	remaining := s.dataset("remaining")
	if err := s.dropRecords(ctx, grouped, kept, remaining, counts); err != nil {
		return "", err
	}
	return remaining, s.engine.Remove(ctx, grouped, kept)
}

// decide writes, for each crowd that is not suppressed, how many of its
// records are dropped. The noise of a crowd is a function of the seed and of
// its tag.
func (s *stage) decide(ctx context.Context, crowds, kept string, counts *esa.Counts) error {
	columns := []engine.Column{{Name: "crowd", Width: crowdWidth}, {Name: "drop", Width: keepWidth}}
	out := make([]byte, crowdWidth+keepWidth)
	return s.scan(ctx, crowds, kept, columns, func(row []byte, w engine.Writer) error {
		crowd, n := row[:crowdWidth], uint64(engine.Count(row))
		keep := s.threshold.Keep(n, dp.NewStream(s.seed, "shoal crowd noise v1", crowd))
		if keep > n {
			return fmt.Errorf("threshold keeps %d of %d records", keep, n)
		}
		if keep == 0 {
			counts.SuppressedCrowds++
			counts.SuppressedReports += n
			return nil
		}
		counts.Dropped += n - keep
		copy(out, crowd)
		binary.BigEndian.PutUint64(out[crowdWidth:], n-keep)
		return w.Write(out)
	})
}

// dropRecords walks through records and crowds together, both sorted by crowd.
func (s *stage) dropRecords(ctx context.Context, grouped, kept, out string, counts *esa.Counts) error {
	crowds, err := s.engine.Open(ctx, kept)
	if err != nil {
		return err
	}
	defer crowds.Close()
	var crowd []byte // the crowd that the walk is in
	var drop uint64  // how many of its records are still to be dropped
	return s.scan(ctx, grouped, out, s.columns(), func(row []byte, w engine.Writer) error {
		if tag := row[keyWidth : keyWidth+crowdWidth]; !bytes.Equal(tag, crowd) {
			next, err := crowds.Next()
			if err != nil {
				return fmt.Errorf("reading the crowds: %w", err)
			}
			if !bytes.Equal(next[:crowdWidth], tag) {
				return errors.New("the engine joined records of a crowd that was not kept")
			}
			crowd = append(crowd[:0], tag...)
			drop = binary.BigEndian.Uint64(next[crowdWidth:])
		}
		if drop > 0 {
			drop--
			return nil
		}
		return w.Write(row)
	})
}

// tagSize is how much of the crowd's tag goes on before each layer: all of it
// where crowds are counted, so that the analyzer can hold records to them.
func (s *stage) tagSize() int {
	if s.threshold == nil {
		return 0
	}
	return crowdWidth
}

// reorder sorts what goes on by keys that are independent of all decisions.
func (s *stage) reorder(ctx context.Context, o order, in string, counts *esa.Counts) error {
	unsorted := s.dataset("unsorted")
	tag := s.tagSize()
	columns := []engine.Column{{Name: "final", Width: keyWidth}, {Name: "next", Width: tag + s.nextSize}}
	out := make([]byte, engine.RowWidth(columns))
	err := s.scan(ctx, in, unsorted, columns, func(row []byte, w engine.Writer) error {
		o.finalKey(out[:keyWidth], row[:keyWidth])
		copy(out[keyWidth:], row[keyWidth+crowdWidth-tag:])
		counts.Released++
		return w.Write(out)
	})
	if err != nil {
		return err
	}
	if err := s.engine.Remove(ctx, in); err != nil {
		return err
	}
	if err := s.engine.SortBy(ctx, unsorted, []string{"final"}, s.dataset("shuffled")); err != nil {
		return err
	}
	return s.engine.Remove(ctx, unsorted)
}
