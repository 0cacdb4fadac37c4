package shuffler

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
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
	showing   *showing     // nil if the task requires no credentials here
	spent     numbers      // reports whose credentials others have spent; nil for none
	blinds    bool         // the first shuffler of a task with blinded crowds
	unblinds  bool         // the last one
	second    bool         // each report is in two crowds
}

// errUndersized is returned if a batch has fewer distinct valid reports than the
// task's minimum.
var errUndersized = errors.New("batch below its minimum")

const (
	keyWidth   = len(sortKey{})
	crowdWidth = len(esa.CrowdTag{})
)

func (s *stage) dataset(step string) string { return s.name + "-" + step }

// datasets are all the names that a stage may use.
func (s *stage) datasets() []string {
	var all []string
	for _, step := range []string{"records", "marks", "shown", "sealed"} {
		all = append(all, s.dataset(step))
	}
	return all
}

// records are what goes on of each report, in the order in which it goes: the
// widest dataset, which is therefore written once and read once.
func (s *stage) records() []engine.Column {
	return []engine.Column{{Name: "final", Width: keyWidth}, {Name: "number", Width: numberWidth}, {Name: "next", Width: s.prefixSize() + s.nextSize}}
}

// marks are what decides about a report. Equal reports, which have equal keys,
// follow each other. A report of two crowds has a mark in each.
func (s *stage) marks() []engine.Column {
	return []engine.Column{{Name: "crowd", Width: crowdWidth}, {Name: "key", Width: keyWidth}, {Name: "number", Width: numberWidth}}
}

// marksOrder are the columns by which marks are sorted: of equal reports of two crowds one
// stays, the same in both.
func (s *stage) marksOrder() []string {
	if s.second {
		return []string{"crowd", "key", "number"}
	}
	return []string{"crowd", "key"}
}

// A result is what a stage leaves besides the records.
type result struct {
	counts esa.Counts // exact, for the operator
	total  uint64     // of distinct valid reports, with noise; 0 without a stage.total
	goOn   numbers    // of the records that go on
}

// end implements batchStage.
func (s *stage) end(ctx context.Context) error { return s.engine.Remove(ctx, s.datasets()...) }

// run implements batchStage.
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
	var spent uint64
	if s.spent, spent, err = s.findSpent(ctx, counts.Received); err != nil {
		return result{counts: counts}, err
	}
	counts.Invalid[esa.CauseSpent] += spent
	if err := s.findCopies(ctx, counts.Received); err != nil {
		return result{counts: counts}, err
	}
	crowds, goOn, err := s.decide(ctx, counts.Received)
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
	return result{counts, total, goOn}, s.engine.Remove(ctx, s.dataset("marks"), s.dataset("shown"), s.dataset("sealed"))
}

// enough decides whether there are enough distinct valid reports, and what is
// disclosed of their number. The noise is a function of the seed.
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

// openAll opens the reports' outer layers in parallel and writes records and marks.
// A report that does not open costs only itself.
func (s *stage) openAll(ctx context.Context, o order, reports iter.Seq2[[]byte, error]) (esa.Counts, error) {
	records, err := s.engine.CreateSorted(ctx, s.dataset("records"), s.records(), []string{"final"})
	if err != nil {
		return esa.Counts{}, err
	}
	defer records.Abort()
	marks, err := s.engine.CreateSorted(ctx, s.dataset("marks"), s.marks(), s.marksOrder())
	if err != nil {
		return esa.Counts{}, err
	}
	defer marks.Abort()
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
	open := func(before uint64, reports [][]byte, r *openedReports) { s.openSome(o, before, reports, r) }
	for r, err := range hop.Rounds(reports, s.workers, open) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = errors.Join(records.Write(r.records), marks.Write(r.marks), show.Write(r.shown), sealed.Write(r.sealed))
		}
		if err != nil {
			return esa.Counts{}, err
		}
		counts.Received += r.counts.Received
		for cause, n := range r.counts.Invalid {
			counts.Invalid[cause] += n
		}
	}
	if counts.Received > maxNumber {
		return counts, fmt.Errorf("%d reports in a batch, at most %d can be numbered", counts.Received, uint64(maxNumber))
	}
	return counts, errors.Join(records.Close(), marks.Close(), show.Close(), sealed.Close())
}

// noRows is the writer of a dataset that there is not.
type noRows struct{}

func (noRows) Write([]byte) error { return nil }
func (noRows) Close() error       { return nil }
func (noRows) Abort()             {}

// openedReports are what became of some reports: rows of records, of marks, and of
// what they show of credentials.
type openedReports struct {
	records, marks, shown, sealed []byte
	scratch                       []byte
	counts                        esa.Counts // received and invalid
}

// openSome opens reports, the first of which has a number.
func (s *stage) openSome(o order, number uint64, reports [][]byte, r *openedReports) {
	r.records, r.marks, r.shown, r.sealed = r.records[:0], r.marks[:0], r.shown[:0], r.sealed[:0]
	r.counts = esa.Counts{Received: uint64(len(reports))}
	for opened := range s.opened(reports) {
		if opened.Cause != 0 {
			r.counts.Invalid[opened.Cause]++
		} else if s.show(number, &opened, r) {
			if s.unblinds {
				r.addSealed(number, opened)
			}
			s.addReport(r, o, number, &opened)
		}
		number++
	}
}

func (s *stage) opened(reports [][]byte) iter.Seq[esa.Opened] {
	if s.openMany != nil {
		return hop.OpenSome(reports, s.openMany)
	}
	return func(yield func(esa.Opened) bool) {
		for _, report := range reports {
			layer, cause := s.open(report)
			if !yield(esa.Opened{Layer: layer, Cause: cause, Report: report}) {
				return
			}
		}
	}
}

// addReport adds the rows of a report.
func (s *stage) addReport(r *openedReports, o order, number uint64, opened *esa.Opened) {
	at := len(r.marks)
	r.marks = append(r.marks, opened.Layer.Crowd[:]...)
	r.marks = append(r.marks, make([]byte, keyWidth)...)
	key := r.marks[at+crowdWidth:]
	o.keyOf(key, opened.Report)
	r.marks = appendNumber(r.marks, number)
	if s.second && s.threshold != nil { // if both are one crowd, the marks are equal and count once
		r.marks = append(r.marks, opened.Second.Crowd[:]...)
		r.marks = append(r.marks, r.marks[at+crowdWidth:at+crowdWidth+keyWidth+numberWidth]...)
		key = r.marks[at+crowdWidth:]
	}
	at = len(r.records)
	r.records = append(r.records, make([]byte, keyWidth)...)
	o.finalKey(r.records[at:], key)
	r.records = appendNumber(r.records, number)
	r.records = s.appendPrefix(r.records, o, opened)
	r.records = append(r.records, opened.Layer.Next...)
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

// distinct applies each to the marks in order, to one of equal reports, with
// whether it is the first of its crowd.
func (s *stage) distinct(ctx context.Context, each func(mark []byte, first bool) error) error {
	var last []byte
	return s.rows(ctx, s.dataset("marks"), func(mark []byte) error {
		about := mark[:crowdWidth+keyWidth]
		if bytes.Equal(about, last) || s.spent != nil && s.spent.has(numberOf(mark[crowdWidth+keyWidth:])) {
			return nil
		}
		first := len(last) == 0 || !bytes.Equal(mark[:crowdWidth], last[:crowdWidth])
		last = append(last[:0], about...)
		return each(mark, first)
	})
}

// prefixSize is how much goes on before each layer: the crowd's tag where crowds are
// counted, so that the analyzer can hold records to them, or its number where they are
// blinded; the multiplied point where they are yet to be counted. With a second crowd the
// same of that one follows.
func (s *stage) prefixSize() int {
	crowds := 1
	if s.second {
		crowds = esa.MaxCrowds
	}
	switch {
	case s.blinds:
		return crowds * blind.Size
	case s.threshold == nil:
		return 0
	}
	return crowds * crowdWidth
}

// appendPrefix adds what goes on before the layer of a report to b.
func (s *stage) appendPrefix(b []byte, o order, opened *esa.Opened) []byte {
	if !s.blinds && s.threshold == nil {
		return b
	}
	b = s.appendCrowd(b, o, &opened.Crowd, &opened.Point)
	if s.second {
		b = s.appendCrowd(b, o, &opened.Second.Crowd, &opened.Second.Point)
	}
	return b
}

func (s *stage) appendCrowd(b []byte, o order, tag *esa.CrowdTag, point *[blind.Size]byte) []byte {
	switch {
	case s.blinds:
		return append(b, point[:]...)
	case s.unblinds:
		number := o.groupOf(*tag)
		return append(b, number[:]...)
	}
	return append(b, tag[:]...)
}

// each applies f to the records that go on, in the order of their final keys. It
// needs what run has left.
func (s *stage) each(ctx context.Context, made result, f func(next []byte) error) error {
	var released uint64
	err := s.rows(ctx, s.dataset("records"), func(row []byte) error {
		if !made.goOn.has(numberOf(row[keyWidth:])) {
			return nil // dropped, or the same report again
		}
		released++
		return f(row[keyWidth+numberWidth:])
	})
	if err == nil && released != made.counts.Released {
		err = errors.New("the engine returned another number of records than go on")
	}
	return err
}
