package hop

import (
	"iter"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// roundRows is how many rows a goroutine gets at a time.
const roundRows = 512

// together is how many reports are opened by one call: a whole number of the
// vectors that the scalar multiplication works on.
const together = 64

// Parallel applies f to every row on a number of goroutines and yields the
// results in the order of the rows. The slices that rows yields need to be
// valid until its next step only; f's results must not alias its argument. An
// error of rows is yielded and ends the sequence.
func Parallel[T any](rows iter.Seq2[[]byte, error], workers int, f func(row []byte) T) iter.Seq2[T, error] {
	return spans(rows, workers, 1, func(rows [][]byte, results []T) {
		for i, row := range rows {
			results[i] = f(row)
		}
	})
}

// Opened is Parallel for reports of which each goroutine opens many at a time: f
// is applied to what became of each.
func Opened[T any](reports iter.Seq2[[]byte, error], workers int, open Many, f func(esa.Opened) T) iter.Seq2[T, error] {
	return spans(reports, workers, together, func(rows [][]byte, results []T) {
		for i, opened := range open(rows) {
			results[i] = f(opened)
		}
	})
}

// spans applies f to spans of up to size rows.
func spans[T any](rows iter.Seq2[[]byte, error], workers, size int, f func(rows [][]byte, results []T)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		p := newPipeline(max(1, workers), size, f)
		defer p.end()
		r := p.empty()
		for row, err := range rows {
			if err != nil {
				if p.add(r, yield) && p.drain(yield) {
					var none T
					yield(none, err)
				}
				return
			}
			r.bytes = append(r.bytes, row...)
			r.ends = append(r.ends, len(r.bytes))
			if len(r.ends) < roundRows {
				continue
			}
			if !p.add(r, yield) {
				return
			}
			r = p.empty()
		}
		_ = p.add(r, yield) && p.drain(yield)
	}
}

// A pipeline works on some rounds of rows while others are filled and yielded, in
// the order in which they were added. No goroutine waits for the slowest.
type pipeline[T any] struct {
	f       func(rows [][]byte, results []T)
	size    int // rows that f takes at once
	todo    chan *round[T]
	working sync.WaitGroup
	added   []*round[T] // the oldest first
	free    []*round[T]
	most    int // rounds that are added at a time
}

// A round is rows that one goroutine works on.
type round[T any] struct {
	bytes   []byte
	ends    []int
	results []T
	done    chan struct{} // one value when the results are there
}

func newPipeline[T any](workers, size int, f func(rows [][]byte, results []T)) *pipeline[T] {
	p := &pipeline[T]{f: f, size: size, most: 2 * workers}
	p.todo = make(chan *round[T], p.most)
	for range workers {
		p.working.Go(func() {
			rows := make([][]byte, 0, size)
			for r := range p.todo {
				for first := 0; first < len(r.ends); first += len(rows) {
					rows = r.span(rows[:0], first, size)
					f(rows, r.results[first:first+len(rows)])
				}
				r.done <- struct{}{}
			}
		})
	}
	return p
}

// end waits for the goroutines.
func (p *pipeline[T]) end() {
	close(p.todo)
	p.working.Wait()
}

// empty returns a round without rows.
func (p *pipeline[T]) empty() *round[T] {
	if n := len(p.free); n > 0 {
		r := p.free[n-1]
		p.free = p.free[:n-1]
		return r
	}
	return &round[T]{done: make(chan struct{}, 1)}
}

// add gives a round to the goroutines, and yields the oldest one if there are many.
// It reports whether to go on.
func (p *pipeline[T]) add(r *round[T], yield func(T, error) bool) bool {
	r.results = slices.Grow(r.results[:0], len(r.ends))[:len(r.ends)]
	clear(r.results)
	p.todo <- r
	p.added = append(p.added, r)
	return len(p.added) < p.most || p.oldest(yield)
}

// drain yields the results of all rounds, and reports whether to go on.
func (p *pipeline[T]) drain(yield func(T, error) bool) bool {
	for len(p.added) > 0 {
		if !p.oldest(yield) {
			return false
		}
	}
	return true
}

func (p *pipeline[T]) oldest(yield func(T, error) bool) bool {
	r := p.added[0]
	p.added = append(p.added[:0], p.added[1:]...)
	<-r.done
	for _, result := range r.results {
		if !yield(result, nil) {
			return false
		}
	}
	r.bytes, r.ends = r.bytes[:0], r.ends[:0]
	p.free = append(p.free, r)
	return true
}

// span adds to rows up to size from first on.
func (r *round[T]) span(rows [][]byte, first, size int) [][]byte {
	start := 0
	if first > 0 {
		start = r.ends[first-1]
	}
	for _, end := range r.ends[first:min(first+size, len(r.ends))] {
		rows = append(rows, r.bytes[start:end:end])
		start = end
	}
	return rows
}

// Many opens one layer of each of several reports: result i is what became of
// layers[i], with the layer itself as its Report.
type Many func(layers [][]byte) []esa.Opened

// Tagged makes a Many for rows that begin with the crowd's tag, of size bytes: it
// opens what follows, and returns the tag as the layer's crowd.
func Tagged(open Many, size int) Many {
	if size == 0 {
		return open
	}
	return func(rows [][]byte) []esa.Opened {
		layers := make([][]byte, len(rows))
		for i, row := range rows {
			layers[i] = row[size:]
		}
		results := open(layers)
		for i, row := range rows {
			results[i].Crowd = esa.CrowdTag(row[:size])
		}
		return results
	}
}

// OpenMany returns a function that opens layers of reports of the batch of epoch
// e, for use with [Opened]. Reports that were carried over from an earlier epoch
// of the same salt window are as good as those of e itself.
func OpenMany(o *esa.Opener, t *task.Task, e task.Epoch) Many {
	return func(layers [][]byte) []esa.Opened {
		results := make([]esa.Opened, len(layers))
		sealed := make([]esa.Sealed, 0, len(layers))
		at := make([]int, 0, len(layers)) // where they stand in layers
		for i, layer := range layers {
			epoch, cause := epochOf(layer, t, e)
			if cause != 0 {
				results[i] = esa.Opened{Cause: cause, Report: layer}
				continue
			}
			sealed, at = append(sealed, esa.Sealed{Layer: layer, Epoch: epoch}), append(at, i)
		}
		for j, opened := range o.OpenMany(sealed) {
			results[at[j]] = opened
		}
		return results
	}
}

// epochOf returns the epoch that a layer says it is of, if a batch of epoch e
// may hold it.
func epochOf(layer []byte, t *task.Task, e task.Epoch) (task.Epoch, esa.Cause) {
	h, err := esa.ParseHeader(layer)
	if err != nil {
		return 0, esa.CauseMalformed
	}
	if h.Epoch > e || t.SaltWindow(h.Epoch) != t.SaltWindow(e) {
		return 0, esa.CauseWrongEpoch
	}
	return h.Epoch, 0
}
