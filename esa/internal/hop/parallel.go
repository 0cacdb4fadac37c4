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

// Parallel applies f to every row on a number of goroutines and yields the
// results in the order of the rows. The slices that rows yields need to be
// valid until its next step only; f's results must not alias its argument. An
// error of rows is yielded and ends the sequence.
func Parallel[T any](rows iter.Seq2[[]byte, error], workers int, f func(row []byte) T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		r := round[T]{f: f, workers: max(1, workers)}
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
	f       func([]byte) T
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
	for range min(r.workers, len(r.ends)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(r.ends); i = int(next.Add(1)) - 1 {
				start := 0
				if i > 0 {
					start = r.ends[i-1]
				}
				r.results[i] = r.f(r.bytes[start:r.ends[i]])
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

// Open returns a function that opens one layer of a report of the batch of
// epoch e, for use with Parallel. Reports that were carried over from an
// earlier epoch of the same salt window are as good as those of e itself.
func Open(o *esa.Opener, t *task.Task, e task.Epoch) func(layer []byte) (esa.Layer, esa.Cause) {
	return func(layer []byte) (esa.Layer, esa.Cause) {
		h, err := esa.ParseHeader(layer)
		if err != nil {
			return esa.Layer{}, esa.CauseMalformed
		}
		if h.Epoch > e || t.SaltWindow(h.Epoch) != t.SaltWindow(e) {
			return esa.Layer{}, esa.CauseWrongEpoch
		}
		opened, err := o.Open(layer, h.Epoch)
		if err != nil {
			return esa.Layer{}, max(esa.CauseOf(err), esa.CauseMalformed)
		}
		return opened, 0
	}
}
