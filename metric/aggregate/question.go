package aggregate

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

// A Question is an aggregation with its VDAF. It is read-only and safe for
// concurrent use.
type Question struct {
	a     task.Aggregation
	in    vdaf.Instance
	shard func(t *Tally, rand io.Reader, ctx []byte, nonce vdaf.Nonce) (*vdaf.Sharded, error)
	real  func(shares [][]byte, count uint64) ([]float64, error) // of gradients
}

// New returns the question of a valid aggregation. It fails with the errors of
// the VDAF's constructor, and on a chunk length that another version of this
// package chose for a gradient.
func New(a *task.Aggregation) (*Question, error) {
	q := &Question{a: *a}
	if err := q.build(int(a.Chunk)); err != nil {
		return nil, err
	}
	if got := chunkOf(q.in); got != a.Chunk {
		return nil, fmt.Errorf("%s: the task has chunk length %d, this version knows only %d for it", a.Kind, a.Chunk, got)
	}
	return q, nil
}

// WithChunk returns the aggregation with the chunk length that makes its reports
// shortest: what a task is compiled with.
func WithChunk(a task.Aggregation) (task.Aggregation, error) {
	q := &Question{a: a}
	if err := q.build(0); err != nil {
		return a, err
	}
	a.Chunk = chunkOf(q.in)
	return a, nil
}

// chunkOf returns the chunk length of an instance, 0 if it has none.
func chunkOf(in vdaf.Instance) uint32 {
	c := in.Config()
	switch in.ID() {
	case vdaf.IDHistogram, vdaf.IDMultihotCountVec:
		return binary.BigEndian.Uint32(c[4:])
	case vdaf.IDSumVec, vdaf.IDL1BoundSum:
		return binary.BigEndian.Uint32(c[12:])
	}
	return 0
}

// use sets the VDAF and how a tally becomes a measurement of it.
func use[M, R any](q *Question, measure func(*Tally) M) func(*vdaf.Prio3[M, R], error) error {
	return useRandom[M, R](q, func(t *Tally, _ io.Reader) (M, error) { return measure(t), nil })
}

// useRandom is use for measurements that are rounded at random.
func useRandom[M, R any](q *Question, measure func(*Tally, io.Reader) (M, error)) func(*vdaf.Prio3[M, R], error) error {
	return func(p *vdaf.Prio3[M, R], err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", q.a.Kind, err)
		}
		q.in = p.Instance
		q.shard = func(t *Tally, rand io.Reader, ctx []byte, nonce vdaf.Nonce) (*vdaf.Sharded, error) {
			m, err := measure(t, rand)
			if err != nil {
				return nil, err
			}
			return p.Shard(rand, ctx, nonce, m)
		}
		if unshard, ok := any(p).(*vdaf.Prio3[[]float64, []float64]); ok {
			q.real = unshard.Unshard
		}
		return nil
	}
}

// build makes the VDAF. The chunk length of gradients is always the best one.
func (q *Question) build(chunk int) error {
	a := &q.a
	switch a.Kind {
	case task.Count:
		if a.Max == 1 {
			return use[bool, uint64](q, func(t *Tally) bool { return t.sum() > 0 })(vdaf.Count())
		}
		return use[uint64, uint64](q, (*Tally).sum)(vdaf.Sum(a.Max))
	case task.Sum:
		return use[uint64, uint64](q, (*Tally).sum)(vdaf.Sum(a.Max))
	case task.Mean:
		return useRandom[[]uint64, []uint64](q, (*Tally).mean)(vdaf.SumVec(2, a.Max, chunk))
	case task.Histogram, task.Categories:
		return use[int, []uint64](q, (*Tally).bucket)(vdaf.Histogram(q.buckets(), chunk))
	case task.Multihot:
		return use[[]bool, []uint64](q, (*Tally).labels)(vdaf.MultihotCountVec(len(a.Labels), a.Max, chunk))
	case task.Vector:
		return use[[]uint64, []uint64](q, (*Tally).vector)(vdaf.SumVec(int(a.Length), a.Max, chunk))
	case task.Bounded:
		return use[[]uint64, []uint64](q, (*Tally).vector)(vdaf.L1BoundSum(int(a.Length), a.Max, chunk))
	case task.LInfGradient:
		return use[[]float64, []float64](q, (*Tally).gradient)(vdaf.LInfGradient(int(a.Length), a.Bound, int(a.Bits)))
	case task.L1Gradient:
		return use[[]float64, []float64](q, (*Tally).gradient)(vdaf.L1Gradient(int(a.Length), a.Bound, int(a.Bits)))
	}
	return fmt.Errorf("%v is not known", a.Kind)
}

// Aggregation returns what the question was made of.
func (q *Question) Aggregation() task.Aggregation { return q.a }

// Instance returns the VDAF that answers the question.
func (q *Question) Instance() vdaf.Instance { return q.in }

// values returns the number of buckets or labels that are asked for.
func (q *Question) values() int {
	if q.a.Kind == task.Histogram {
		return len(q.a.Bounds) + 1
	}
	return len(q.a.Labels)
}

// buckets is values, and one for clients without a value.
func (q *Question) buckets() int {
	if q.a.Presence == task.Hidden {
		return q.values() + 1
	}
	return q.values()
}

// Label returns the name of a row of the result.
func (q *Question) Label(i int) string {
	switch q.a.Kind {
	case task.Histogram, task.Categories:
		if i == q.values() {
			return "no value"
		}
		if q.a.Kind == task.Histogram {
			return rangeText(q.a.Bounds, i)
		}
		return q.a.Labels[i]
	case task.Multihot:
		return q.a.Labels[i]
	case task.Count, task.Sum, task.Mean:
		return q.a.Kind.String()
	}
	return fmt.Sprint(i)
}

// rangeText describes bucket i of inner bounds.
func rangeText(bounds []int64, i int) string {
	switch i {
	case 0:
		return fmt.Sprintf("below %d", bounds[0])
	case len(bounds):
		return fmt.Sprintf("%d and above", bounds[i-1])
	}
	if bounds[i]-1 == bounds[i-1] {
		return fmt.Sprint(bounds[i-1])
	}
	return fmt.Sprintf("%d to %d", bounds[i-1], bounds[i]-1)
}

// Step returns the unit in which the VDAF counts an element of the result: 1
// except for gradients.
func (q *Question) Step() float64 {
	switch q.a.Kind {
	case task.LInfGradient:
		return 2 * q.a.Bound / float64(uint64(1)<<q.a.Bits-1)
	case task.L1Gradient:
		return q.a.Bound / math.Exp2(float64(q.a.Bits))
	}
	return 1
}

// ReportSize returns how many bytes a DAP report with shares of in has, without
// HTTP and TLS, sealed to keys of X25519 and without report extensions. It is the
// same for every measurement.
func ReportSize(in vdaf.Instance) int {
	s := in.Sizes()
	const (
		metadata = 16 + 8 + 2          // ID, time, extensions' length
		hpke     = 1 + 2 + 32 + 4 + 16 // ID, encapsulated key and its length, ciphertext's length, tag
		plain    = 2 + 4               // extensions' and payload's lengths
	)
	return metadata + 4 + s.PublicShare + 2*(hpke+plain) + s.LeaderShare + s.HelperShare
}
