package hop

import (
	"iter"
	"sync"
	"sync/atomic"

	"github.com/shoal-project/shoal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// roundRows is a worker's share of the rows that are in memory at a time.
const roundRows = 512

// together is how many reports are opened by one call: a whole number of the
// vectors that the scalar multiplication works on, and few enough that workers
// end a round at about the same time.
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
		r := round[T]{f: f, size: size, workers: max(1, workers)}
		for row, err := range rows {
			if err != nil {
				var none T
				if r.flush(yield) {
					yield(none, err)
				}
				return
			}
			r.bytes = append(r.bytes, row...)
			r.ends = append(r.ends, len(r.bytes))
			if len(r.ends) == roundRows*r.workers && !r.flush(yield) {
				return
			}
		}
		r.flush(yield)
	}
}

// A round is the rows that are worked on at the same time.
type round[T any] struct {
	f       func(rows [][]byte, results []T)
	size    int // rows that f takes at once
	workers int
	bytes   []byte
	ends    []int
	results []T
}

// flush yields the results of all rows of the round, and reports whether to go
// on.
func (r *round[T]) flush(yield func(T, error) bool) bool {
	r.results = append(r.results[:0], make([]T, len(r.ends))...)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(r.workers, (len(r.ends)+r.size-1)/r.size) {
		wg.Go(func() {
			rows := make([][]byte, 0, r.size)
			for first := int(next.Add(1)-1) * r.size; first < len(r.ends); first = int(next.Add(1)-1) * r.size {
				rows = r.span(rows[:0], first)
				r.f(rows, r.results[first:first+len(rows)])
			}
		})
	}
	wg.Wait()
	r.bytes, r.ends = r.bytes[:0], r.ends[:0]
	for _, result := range r.results {
		if !yield(result, nil) {
			return false
		}
	}
	return true
}

// span adds to rows those from first on that f takes at once.
func (r *round[T]) span(rows [][]byte, first int) [][]byte {
	start := 0
	if first > 0 {
		start = r.ends[first-1]
	}
	for _, end := range r.ends[first:min(first+r.size, len(r.ends))] {
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
