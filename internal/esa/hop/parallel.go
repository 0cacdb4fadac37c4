package hop

import (
	"iter"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// roundRows is how many rows a goroutine gets at a time, or fewer when they are
// roundBytes together.
const (
	roundRows  = 512
	roundBytes = 1 << 20
)

// together is how many reports are opened by one call: a whole number of the
// vectors that the scalar multiplication works on.
const together = 64

// Parallel applies f to every row on a number of goroutines and yields the
// results in the order of the rows. The slices that rows yields need to be
// valid until its next step only; f's results must not alias its argument. An
// error of rows is yielded and ends the sequence.
func Parallel[T any](rows iter.Seq2[[]byte, error], workers int, f func(row []byte) T) iter.Seq2[T, error] {
	return single(Rounds(rows, workers, func(_ uint64, rows [][]byte, made *[]T) {
		*made = (*made)[:0]
		for _, row := range rows {
			*made = append(*made, f(row))
		}
	}))
}

// Opened is Parallel for reports of which each goroutine opens many at a time: f
// is applied to what became of each.
func Opened[T any](reports iter.Seq2[[]byte, error], workers int, open Many, f func(esa.Opened) T) iter.Seq2[T, error] {
	return single(Rounds(reports, workers, func(_ uint64, rows [][]byte, made *[]T) {
		*made = (*made)[:0]
		for opened := range OpenSome(rows, open) {
			*made = append(*made, f(opened))
		}
	}))
}

// single yields the results of all rounds.
func single[T any](rounds iter.Seq2[*[]T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for results, err := range rounds {
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, result := range *results {
				if !yield(result, nil) {
					return
				}
			}
			clear(*results)
		}
	}
}

// Rounds is Parallel for what is made of many rows at once. f is given the number of
// rows before, the rows, and what it fills: a new R or one that was yielded
// before. What is yielded is valid until the next step.
func Rounds[R any](rows iter.Seq2[[]byte, error], workers int, f func(before uint64, rows [][]byte, made *R)) iter.Seq2[*R, error] {
	return func(yield func(*R, error) bool) {
		p := newPipeline(max(1, workers), f)
		defer p.end()
		r := p.empty()
		for row, err := range rows {
			if err != nil {
				if p.add(r, yield) && p.drain(yield) {
					yield(nil, err)
				}
				return
			}
			r.bytes = append(r.bytes, row...)
			r.ends = append(r.ends, len(r.bytes))
			if len(r.ends) < roundRows && len(r.bytes) < roundBytes {
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
type pipeline[R any] struct {
	rounds  chan *round[R]
	working sync.WaitGroup
	rows    uint64      // that were added
	added   []*round[R] // that were not yielded, the oldest first
	free    []*round[R]
	most    int // rounds that are added at a time
}

// A round is rows that one goroutine works on.
type round[R any] struct {
	before uint64
	bytes  []byte
	ends   []int
	made   R
	done   chan struct{} // one value when made is there
}

func newPipeline[R any](workers int, f func(before uint64, rows [][]byte, made *R)) *pipeline[R] {
	p := &pipeline[R]{most: 2 * workers}
	p.rounds = make(chan *round[R], p.most)
	for range workers {
		p.working.Go(func() {
			rows := make([][]byte, 0, roundRows)
			for r := range p.rounds {
				rows = r.rows(rows[:0])
				f(r.before, rows, &r.made)
				r.done <- struct{}{}
			}
		})
	}
	return p
}

// end waits for the goroutines.
func (p *pipeline[R]) end() {
	close(p.rounds)
	p.working.Wait()
}

// empty returns a round without rows.
func (p *pipeline[R]) empty() *round[R] {
	if n := len(p.free); n > 0 {
		r := p.free[n-1]
		p.free = p.free[:n-1]
		return r
	}
	return &round[R]{done: make(chan struct{}, 1)}
}

// add gives a round to the goroutines, and yields the oldest one if there are many.
// It reports whether to go on.
func (p *pipeline[R]) add(r *round[R], yield func(*R, error) bool) bool {
	r.before = p.rows
	p.rows += uint64(len(r.ends))
	p.rounds <- r
	p.added = append(p.added, r)
	return len(p.added) < p.most || p.oldest(yield)
}

// drain yields the results of all rounds, and reports whether to go on.
func (p *pipeline[R]) drain(yield func(*R, error) bool) bool {
	for len(p.added) > 0 {
		if !p.oldest(yield) {
			return false
		}
	}
	return true
}

func (p *pipeline[R]) oldest(yield func(*R, error) bool) bool {
	r := p.added[0]
	p.added = append(p.added[:0], p.added[1:]...)
	<-r.done
	if !yield(&r.made, nil) {
		return false
	}
	r.bytes, r.ends = r.bytes[:0], r.ends[:0]
	p.free = append(p.free, r)
	return true
}

// rows adds the rows of a round to some.
func (r *round[R]) rows(some [][]byte) [][]byte {
	start := 0
	for _, end := range r.ends {
		some = append(some, r.bytes[start:end:end])
		start = end
	}
	return some
}

// OpenSome opens rows by open, few enough at a time that it uses memory well, and
// yields what became of each.
func OpenSome(rows [][]byte, open Many) iter.Seq[esa.Opened] {
	return func(yield func(esa.Opened) bool) {
		for some := range slices.Chunk(rows, together) {
			for _, opened := range open(some) {
				if !yield(opened) {
					return
				}
			}
		}
	}
}

// Many opens one layer of each of several reports: result i is what became of
// layers[i], with the layer itself as its Report.
type Many func(layers [][]byte) []esa.Opened

// Tagged makes a Many for rows that begin with the crowd's tag, or with those of two crowds,
// of size bytes: it opens what follows, and returns the tags as the layer's crowds.
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
			results[i].Crowd = esa.CrowdTag(row)
			if size > len(esa.CrowdTag{}) {
				results[i].Second.Crowd = esa.CrowdTag(row[len(esa.CrowdTag{}):])
			}
		}
		return results
	}
}

// Blinding makes a Many for the first shuffler of a task with blinded crowds, each report in
// a number of them: it multiplies the points of what open has opened by the exponent of the
// batch. A report of which a point has small order is refused.
func Blinding(open Many, exponent *blind.Exponent, crowds int) Many {
	return func(layers [][]byte) []esa.Opened {
		results := open(layers)
		points := make([][blind.Size]byte, 0, crowds*len(results)) // zero if the report is refused
		for i := range results {
			points = append(points, results[i].Point)
		}
		if crowds > 1 {
			for i := range results {
				points = append(points, results[i].Second.Point)
			}
		}
		for i, product := range exponent.Multiply(points) {
			r := &results[i%len(results)]
			point, ok := product.Secret()
			if !ok && r.Cause == 0 {
				r.Cause = esa.CauseMalformed
			}
			if i < len(results) {
				r.Point = point
			} else {
				r.Second.Point = point
			}
		}
		return results
	}
}

// Unblinding makes a Many for the last shuffler of a task with blinded crowds, for rows
// that begin with the points of a number of crowds: it opens what follows, and computes the
// tags of the crowds. A report of which a point has small order is refused.
func Unblinding(open Many, crowds int) Many {
	return func(rows [][]byte) []esa.Opened {
		layers := make([][]byte, len(rows))
		points := make([][blind.Size]byte, 0, crowds*len(rows))
		for i, row := range rows {
			layers[i] = row[crowds*blind.Size:]
		}
		for crowd := range crowds {
			for _, row := range rows {
				points = append(points, [blind.Size]byte(row[crowd*blind.Size:]))
			}
		}
		results := open(layers)
		tags, err := blind.Unblind(factorsOf(results, crowds), points)
		for i := range points {
			r := &results[i%len(results)]
			switch {
			case r.Cause != 0:
			case err != nil || !tags[i].OK:
				r.Cause = esa.CauseMalformed
			case i < len(results):
				r.Crowd, r.Factor = esa.BlindedTag(&tags[i]), blind.Factor{}
			default:
				r.Second = esa.Second{Crowd: esa.BlindedTag(&tags[i])}
			}
		}
		return results
	}
}

// factorsOf returns the factors of all first crowds, then those of all second ones.
func factorsOf(results []esa.Opened, crowds int) []blind.Factor {
	factors := make([]blind.Factor, crowds*len(results))
	for i := range factors {
		r := &results[i%len(results)]
		switch {
		case r.Cause != 0: // any: its tag is not used
			factors[i] = blind.NewFactor([blind.Size]byte{})
		case i < len(results):
			factors[i] = r.Factor
		default:
			factors[i] = r.Second.Factor
		}
	}
	return factors
}

// OpenMany returns a function that opens layers of reports of the batch of epoch
// e, for use with [Opened]. Reports that were carried over from an earlier epoch
// of the same salt window are as good as those of e itself.
func OpenMany(o *esa.Opener, t *task.Task, e task.Epoch) Many {
	return func(layers [][]byte) []esa.Opened {
		results := make([]esa.Opened, len(layers))
		sealed := make([]esa.Sealed, 0, len(layers))
		at := make([]int, 0, len(layers)) // their indexes in layers
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

// epochOf returns the epoch that a layer claims, if a batch of epoch e
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
