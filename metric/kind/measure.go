package kind

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/vdaf"
)

// A Measure is a kind with its VDAF, and with what of its task decides how reports
// are made and results read. It is read-only and safe for concurrent use.
type Measure struct {
	kind     Kind
	presence Presence
	noise    dp.Noise
	in       vdaf.Instance
	shard    func(t *Tally, rand io.Reader, ctx []byte, nonce vdaf.Nonce) (*vdaf.Sharded, error)
	real     func(shares [][]byte, count uint64) ([]float64, error) // of gradients
}

// New returns the measure of a valid kind, for the presence of its task and the
// noise that leader and helper each add. It fails with the errors of the VDAF's
// constructor, and on a chunk length that another version of this package chose for
// a gradient.
func New(k Kind, p Presence, noise dp.Noise) (*Measure, error) {
	if k == nil {
		return nil, Validate(k)
	}
	m := &Measure{kind: k, presence: p, noise: noise}
	if err := k.build(m); err != nil {
		return nil, err
	}
	if got, want := chunkOf(m.in), k.wire().chunk; got != want {
		return nil, fmt.Errorf("%s: the task has chunk length %d, this version knows only %d for it", k, want, got)
	}
	return m, nil
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
func use[M, R any](m *Measure, measure func(*Tally) M) func(*vdaf.Prio3[M, R], error) error {
	return useRandom[M, R](m, func(t *Tally, _ io.Reader) (M, error) { return measure(t), nil })
}

// useRandom is use for measurements that are rounded at random.
func useRandom[M, R any](m *Measure, measure func(*Tally, io.Reader) (M, error)) func(*vdaf.Prio3[M, R], error) error {
	return func(p *vdaf.Prio3[M, R], err error) error {
		if err != nil {
			return fmt.Errorf("%s: %w", m.kind, err)
		}
		m.in = p.Instance
		m.shard = func(t *Tally, rand io.Reader, ctx []byte, nonce vdaf.Nonce) (*vdaf.Sharded, error) {
			x, err := measure(t, rand)
			if err != nil {
				return nil, err
			}
			return p.Shard(rand, ctx, nonce, x)
		}
		if unshard, ok := any(p).(*vdaf.Prio3[[]float64, []float64]); ok {
			m.real = unshard.Unshard
		}
		return nil
	}
}

// Kind returns what is measured.
func (m *Measure) Kind() Kind { return m.kind }

// Noise returns the noise that leader and helper each add.
func (m *Measure) Noise() dp.Noise { return m.noise }

// Instance returns the VDAF.
func (m *Measure) Instance() vdaf.Instance { return m.in }

// Result reads the answer out of the aggregate shares of leader and helper, in
// this order, for a batch of this many reports. It fails with the errors of
// [vdaf.Instance.UnshardSigned].
//
// The intervals are about the noise that the task asks of both aggregators, each
// for itself, and so about what was sent. They do not know how the clients of the
// batch were chosen; nor do they know of the quantisation of gradients, which is at
// most half a step (a step, for an L1 gradient) for each client and element.
func (m *Measure) Result(shares [][]byte, reports uint64) (*Result, error) {
	if r, ok := m.kind.(reader); ok {
		return r.result(m, shares, reports)
	}
	ints, err := m.integers(shares)
	if err != nil {
		return nil, err
	}
	return m.rows(ints, reports), nil
}

// integers returns the sum of the shares.
func (m *Measure) integers(shares [][]byte) ([]int64, error) {
	ints, err := m.in.UnshardSigned(shares)
	if err != nil {
		return nil, fmt.Errorf("result of a %s: %w", m.kind, err)
	}
	return ints, nil
}

// rows makes a row of each element.
func (m *Measure) rows(ints []int64, reports uint64) *Result {
	out, spread := &Result{Reports: reports}, m.spread()
	for i, x := range ints {
		out.Rows = append(out.Rows, spread.row(m.kind.Label(i), float64(x)))
	}
	return out
}

// realRows makes a row of each element of a gradient.
func (m *Measure) realRows(shares [][]byte, reports uint64, s spread) (*Result, error) {
	reals, err := m.real(shares, reports)
	if err != nil {
		return nil, fmt.Errorf("result of a %s: %w", m.kind, err)
	}
	out := &Result{Reports: reports}
	for i, x := range reals {
		out.Rows = append(out.Rows, s.row(m.kind.Label(i), x))
	}
	return out, nil
}

// spread is how far the noise of both aggregators moves an element.
func (m *Measure) spread() spread {
	step := Step(m.kind)
	return spread{float64(m.noise.Within95()) * step, math.Sqrt(m.noise.Variance(2)) * step}
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
