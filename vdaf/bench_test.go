package vdaf

import (
	"crypto/rand"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/field"
)

// The benchmarks bear the names of the groups of libprio-rs' speed_tests and
// have their parameters: two shares, an empty application context, and the chunk
// lengths given there. _verify_init is one report at a time, _batch_verify_init
// is 16 at a time, which is two full sets of lanes; both report the time of one report. Helper benchmarks have
// aggregator 1, which expands its share from seeds; leader benchmarks aggregator
// 0, which decodes it. best-ns is the shortest run of all, the figure that other
// work on the machine disturbs least.

// A benchCase is an instance and a function that shards a measurement of it.
type benchCase struct {
	group, name string
	in          Instance
	shard       func(n Nonce) (*Sharded, error)
}

func benchCases(b *testing.B) []benchCase {
	b.Helper()
	var cases []benchCase
	cases = append(cases, newCase[bool, uint64](b, "prio3count", "", true)(Count()))
	for _, bits := range []int{8, 32} {
		limit := uint64(1)<<bits - 1
		cases = append(cases, newCase[uint64, uint64](b, "prio3sum", fmt.Sprint(bits), limit)(Sum(limit)))
	}
	for _, c := range [][2]int{{10, 3}, {100, 10}, {1000, 31}} {
		m := make([]uint64, c[0])
		for i := range m {
			m[i] = uint64(i & 1)
		}
		cases = append(cases, newCase[[]uint64, []uint64](b, "prio3sumvec", fmt.Sprint(c[0]), m)(SumVec(c[0], 1, c[1])))
	}
	for _, c := range [][2]int{{10, 3}, {100, 10}, {1000, 31}, {10000, 100}, {100000, 316}} {
		cases = append(cases, newCase[int, []uint64](b, "prio3histogram", fmt.Sprint(c[0]), 0)(Histogram(c[0], c[1])))
	}
	for _, c := range [][2]int{{10, 3}, {100, 10}, {1000, 31}} {
		m := make([]bool, c[0])
		m[0], m[1] = true, true
		cases = append(cases, newCase[[]bool, []uint64](b, "prio3multihotcountvec", fmt.Sprint(c[0]), m)(MultihotCountVec(c[0], 2, c[1])))
	}
	return cases
}

func newCase[M, R any](b *testing.B, group, name string, m M) func(p *Prio3[M, R], err error) benchCase {
	return func(p *Prio3[M, R], err error) benchCase {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
		return benchCase{group, name, p, func(n Nonce) (*Sharded, error) { return p.Shard(rand.Reader, nil, n, m) }}
	}
}

// eachCase runs f for every case as group_op/parameter.
func eachCase(b *testing.B, op string, f func(b *testing.B, c benchCase)) {
	for _, c := range benchCases(b) {
		name := c.group + op
		if c.name != "" {
			name += "/" + c.name
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			f(b, c)
		})
	}
}

func BenchmarkShard(b *testing.B) {
	eachCase(b, "_shard", func(b *testing.B, c benchCase) {
		best(b, 1, func() {
			if _, err := c.shard(Nonce{}); err != nil {
				b.Fatal(err)
			}
		})
	})
}

func BenchmarkVerifyInit(b *testing.B) {
	for id, party := range []string{"leader", "helper"} {
		eachCase(b, "_verify_init_"+party, func(b *testing.B, c benchCase) {
			v, reports := benchReports(b, c, id, 1)
			best(b, 1, func() {
				if _, _, err := v.VerifyInit(&reports[0]); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}

func BenchmarkBatchVerifyInit(b *testing.B) {
	for id, party := range []string{"leader", "helper"} {
		eachCase(b, "_batch_verify_init_"+party, func(b *testing.B, c benchCase) {
			n := 16
			if c.in.Sizes().LeaderShare > 1<<16 {
				n = 8
			}
			v, reports := benchReports(b, c, id, n)
			batch, err := v.NewBatch()
			if err != nil {
				b.Fatal(err)
			}
			batch.VerifyInit(reports)
			best(b, n, func() { batch.VerifyInit(reports) })
			for i := range reports {
				if err := batch.Err(i); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// best runs f and reports the mean and the shortest time of one run for one of n
// reports.
func best(b *testing.B, n int, f func()) {
	b.Helper()
	least := time.Duration(math.MaxInt64)
	for b.Loop() {
		start := time.Now()
		f()
		least = min(least, time.Since(start))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/report")
	b.ReportMetric(float64(least.Nanoseconds())/float64(n), "best-ns")
}

// benchReports makes n reports for aggregator id.
func benchReports(b *testing.B, c benchCase, id, n int) (*Verifier, []Report) {
	b.Helper()
	v, err := c.in.NewVerifier(&VerifyKey{1}, nil, id)
	if err != nil {
		b.Fatal(err)
	}
	reports := make([]Report, n)
	for i := range reports {
		nonce := Nonce{byte(i), byte(i >> 8)}
		s, err := c.shard(nonce)
		if err != nil {
			b.Fatal(err)
		}
		reports[i] = Report{nonce, s.PublicShare, s.InputShares[id]}
	}
	return v, reports
}

// BenchmarkXOFBound is the XOF work of a helper's verify_init alone, which no
// other improvement can go below: the same inputs and outputs in the same
// lanes, without looking at them.
func BenchmarkXOFBound(b *testing.B) {
	eachCase(b, "_xof_bound", func(b *testing.B, c benchCase) {
		v, err := c.in.NewVerifier(&VerifyKey{1}, nil, 1)
		if err != nil {
			b.Fatal(err)
		}
		switch p := v.p.(type) {
		case *party[field.F64]:
			xofBound(b, p)
		case *party[field.F128]:
			xofBound(b, p)
		}
	})
}

func xofBound[E field.Elem](b *testing.B, p *party[E]) {
	b.Helper()
	a, err := p.newArena()
	if err != nil {
		b.Fatal(err)
	}
	a.grow(lanes)
	best(b, lanes, func() {
		for _, u := range []int{usageMeasShare, usageProofShare, usageQueryRand} {
			for i := range a.lane {
				raw, msg := a.lane[i].stream(u)
				a.x.add(raw, msg, 0)
			}
			a.x.flush()
		}
		if p.e.d.joint == 0 {
			return
		}
		for i := range a.lane {
			a.x.add(a.jointSeed(i), a.lane[i].partMsg, 0)
		}
		a.x.flush()
		for i := range a.lane {
			a.x.add(a.jointSeed(i), a.lane[i].seedMsg, 0)
		}
		a.x.flush()
		for i := range a.lane {
			a.x.add(a.lane[i].jointRaw, a.lane[i].jointMsg, 0)
		}
		a.x.flush()
	})
}
