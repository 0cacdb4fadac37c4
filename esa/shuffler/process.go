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
	dropWidth  = 8
)

func (s *stage) dataset(step string) string { return s.name + "-" + step }

// datasets are all the names that a stage may use.
func (s *stage) datasets() []string {
	var all []string
	for _, step := range []string{"records", "marks", "grouped", "kept", "survivors"} {
		all = append(all, s.dataset(step))
	}
	return all
}

// records are what goes on of each report, in the order in which it goes: the
// widest dataset, which is therefore written once and read once.
func (s *stage) records() []engine.Column {
	return []engine.Column{{Name: "final", Width: keyWidth}, {Name: "next", Width: s.tagSize() + s.nextSize}}
}

// marks are what decides about a report.
func (s *stage) marks() []engine.Column {
	return []engine.Column{{Name: "crowd", Width: crowdWidth}, {Name: "key", Width: keyWidth}}
}

// A result is what a stage leaves: the records that go on are read by each.
type result struct {
	counts esa.Counts // exact, for the operator
	total  uint64     // of distinct valid reports, with noise; 0 without a stage.total
}

// run processes the reports. On errUndersized the counts are valid, too.
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
	if err := s.group(ctx); err != nil {
		return result{counts: counts}, fmt.Errorf("grouping reports: %w", err)
	}
	crowds, err := s.decide(ctx)
	if err != nil {
		return result{counts: counts}, fmt.Errorf("applying the threshold: %w", err)
	}
	counts.Duplicate = counts.Received - invalid(counts) - crowds.valid
	total, enough := s.enough(crowds.valid)
	if !enough {
		return result{counts: counts}, errUndersized
	}
	counts.SuppressedCrowds, counts.SuppressedReports = crowds.suppressed, crowds.suppressedReports
	counts.Dropped, counts.Released = crowds.dropped, crowds.valid-crowds.suppressedReports-crowds.dropped
	if err := s.survive(ctx, order); err != nil {
		return result{counts: counts}, fmt.Errorf("listing what is released: %w", err)
	}
	return result{counts, total}, s.engine.Remove(ctx, s.dataset("grouped"), s.dataset("kept"))
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
	cause      esa.Cause
	key, final sortKey
	layer      esa.Layer
}

// openAll opens the reports' outer layers in parallel and writes records and marks.
// A report that does not open costs only itself.
func (s *stage) openAll(ctx context.Context, o order, reports iter.Seq2[[]byte, error]) (esa.Counts, error) {
	records, err := s.engine.CreateSorted(ctx, s.dataset("records"), s.records(), []string{"final"})
	if err != nil {
		return esa.Counts{}, err
	}
	defer records.Abort()
	marks, err := s.engine.Create(ctx, s.dataset("marks"), s.marks())
	if err != nil {
		return esa.Counts{}, err
	}
	defer marks.Abort()
	var counts esa.Counts
	var row, mark []byte
	results := s.parallel(reports, func(report []byte, layer esa.Layer, cause esa.Cause) opened {
		r := opened{cause: cause, key: o.keyOf(report), layer: layer}
		o.finalKey(r.final[:], r.key[:])
		return r
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
		row = append(append(append(row[:0], r.final[:]...), r.layer.Crowd[:s.tagSize()]...), r.layer.Next...)
		mark = append(append(mark[:0], r.layer.Crowd[:]...), r.key[:]...)
		if err := errors.Join(records.Write(row), marks.Write(mark)); err != nil {
			return esa.Counts{}, err
		}
	}
	return counts, errors.Join(records.Close(), marks.Close())
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

// group sorts the marks by crowd and key: equal reports, which have equal keys,
// follow each other.
func (s *stage) group(ctx context.Context) error {
	if err := s.engine.SortBy(ctx, s.dataset("marks"), []string{"crowd", "key"}, s.dataset("grouped")); err != nil {
		return err
	}
	return s.engine.Remove(ctx, s.dataset("marks"))
}

// nextRow returns the next row, nil after the last.
func nextRow(r engine.Reader) ([]byte, error) {
	row, err := r.Next()
	if err == io.EOF {
		return nil, nil
	}
	return row, err
}

// rows applies each to the rows of a dataset.
func (s *stage) rows(ctx context.Context, name string, each func(row []byte) error) error {
	r, err := s.engine.Open(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		row, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = each(row)
		}
		if err != nil {
			return err
		}
	}
}

// distinct applies each to the marks in order, to one of equal ones, and says
// whether it is the first of its crowd.
func (s *stage) distinct(ctx context.Context, each func(mark []byte, first bool) error) error {
	var last []byte
	return s.rows(ctx, s.dataset("grouped"), func(mark []byte) error {
		if bytes.Equal(mark, last) {
			return nil
		}
		first := len(last) == 0 || !bytes.Equal(mark[:crowdWidth], last[:crowdWidth])
		last = append(last[:0], mark...)
		return each(mark, first)
	})
}

// decided counts what the threshold does.
type decided struct {
	valid                                  uint64 // distinct reports
	suppressed, suppressedReports, dropped uint64
}

// decide counts the distinct reports, and writes to "kept" each crowd that is not
// suppressed and how many of its records are dropped. The noise of a crowd is a
// function of the seed and of its tag.
func (s *stage) decide(ctx context.Context) (decided, error) {
	var all decided
	if s.threshold == nil {
		err := s.distinct(ctx, func([]byte, bool) error { all.valid++; return nil })
		return all, err
	}
	columns := []engine.Column{{Name: "crowd", Width: crowdWidth}, {Name: "drop", Width: dropWidth}}
	w, err := s.engine.Create(ctx, s.dataset("kept"), columns)
	if err != nil {
		return all, err
	}
	defer w.Abort()
	var crowd []byte // whose reports are being counted
	var n uint64
	end := func() error {
		if n == 0 {
			return nil
		}
		keep := s.threshold.Keep(n, dp.NewStream(s.seed, "shoal crowd noise v1", crowd))
		if keep > n {
			return fmt.Errorf("threshold keeps %d of %d records", keep, n)
		}
		if keep == 0 {
			all.suppressed++
			all.suppressedReports += n
			return nil
		}
		all.dropped += n - keep
		return w.Write(binary.BigEndian.AppendUint64(crowd, n-keep))
	}
	err = s.distinct(ctx, func(mark []byte, first bool) error {
		all.valid++
		if first {
			if err := end(); err != nil {
				return err
			}
			crowd, n = append(crowd[:0], mark[:crowdWidth]...), 0
		}
		n++
		return nil
	})
	return all, errors.Join(err, end(), w.Close())
}

// survive writes to "survivors" the final keys of the records that go on: of each
// kept crowd all but those with the smallest keys, as many as are dropped. Without
// a threshold all go on.
func (s *stage) survive(ctx context.Context, o order) error {
	w, err := s.engine.CreateSorted(ctx, s.dataset("survivors"), s.records()[:1], []string{"final"})
	if err != nil {
		return err
	}
	defer w.Abort()
	final := make([]byte, keyWidth)
	survives := func(mark []byte) error {
		o.finalKey(final, mark[crowdWidth:])
		return w.Write(final)
	}
	if s.threshold == nil {
		err = s.distinct(ctx, func(mark []byte, _ bool) error { return survives(mark) })
		return errors.Join(err, w.Close())
	}
	crowds, err := s.engine.Open(ctx, s.dataset("kept"))
	if err != nil {
		return err
	}
	defer crowds.Close()
	next, err := nextRow(crowds)
	if err != nil {
		return err
	}
	kept, drop := false, uint64(0) // of the crowd that the walk is in
	err = s.distinct(ctx, func(mark []byte, first bool) error {
		if first {
			kept = next != nil && bytes.Equal(next[:crowdWidth], mark[:crowdWidth])
		}
		if first && kept {
			var err error
			drop = binary.BigEndian.Uint64(next[crowdWidth:])
			if next, err = nextRow(crowds); err != nil {
				return err
			}
		}
		switch {
		case !kept:
			return nil
		case drop > 0:
			drop--
			return nil
		}
		return survives(mark)
	})
	if err == nil && next != nil {
		err = errors.New("the engine lost the records of a crowd")
	}
	return errors.Join(err, w.Close())
}

// tagSize is how much of the crowd's tag goes on before each layer: all of it
// where crowds are counted, so that the analyzer can hold records to them.
func (s *stage) tagSize() int {
	if s.threshold == nil {
		return 0
	}
	return crowdWidth
}

// each applies f to the records that go on, in the order of their final keys. It
// needs what run has left.
func (s *stage) each(ctx context.Context, made result, f func(next []byte) error) error {
	survivors, err := s.engine.Open(ctx, s.dataset("survivors"))
	if err != nil {
		return err
	}
	defer survivors.Close()
	var released uint64
	final, err := nextRow(survivors)
	if err != nil {
		return err
	}
	err = s.rows(ctx, s.dataset("records"), func(row []byte) error {
		if final == nil || !bytes.Equal(row[:keyWidth], final) {
			return nil // dropped, or the same report again
		}
		released++
		if err := f(row[keyWidth:]); err != nil {
			return err
		}
		var err error
		final, err = nextRow(survivors)
		return err
	})
	if err == nil && released != made.counts.Released {
		err = fmt.Errorf("the engine returned %d of %d records", released, made.counts.Released)
	}
	return err
}
