package vdaf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// source is a deterministic replacement for crypto/rand.Reader.
func source(seed uint64) io.Reader {
	var s [32]byte
	for i := range 8 {
		s[i] = byte(seed >> (8 * i))
	}
	return rand.NewChaCha8(s)
}

func nonce(r io.Reader) Nonce {
	var n Nonce
	if _, err := io.ReadFull(r, n[:]); err != nil {
		panic(err)
	}
	return n
}

// A trial is an instance with measurements and the aggregate they must give.
type trial struct {
	in    Instance
	count int
	shard func(i int, ctx []byte, r io.Reader, n Nonce) (*Sharded, error)
	check func(shares [][]byte) error
}

func newTrial[M, R any](p *Prio3[M, R], err error, ms []M, want R) (trial, error) {
	if err != nil {
		return trial{}, err
	}
	return trial{
		in: p, count: len(ms),
		shard: func(i int, ctx []byte, r io.Reader, n Nonce) (*Sharded, error) { return p.Shard(r, ctx, n, ms[i]) },
		check: func(shares [][]byte) error {
			got, err := p.Unshard(shares, uint64(len(ms)))
			if err != nil {
				return err
			}
			if !reflect.DeepEqual(got, want) {
				return fmt.Errorf("%s: aggregate %v, want %v", p.Name(), got, want)
			}
			return nil
		},
	}, nil
}

// kinds is the number of instances that drawTrial knows.
const kinds = 7

// drawTrial makes an instance of random parameters with random measurements.
// num draws an integer from lo to hi.
func drawTrial(kind int, num func(lo, hi uint64) uint64) (trial, error) {
	n := int(num(1, 3))
	length, chunk := int(num(1, 12)), int(num(0, 14))
	limit := num(1, []uint64{1, 4, 300, 1 << 40, modulus64 - 1}[num(0, 4)])
	shares := Shares(int(num(2, 4)))
	vectors := func(draw func() []uint64) ([][]uint64, []uint64) {
		ms, want := make([][]uint64, n), make([]uint64, length)
		for i := range ms {
			ms[i] = draw()
			for j, x := range ms[i] {
				want[j] += x
			}
		}
		return ms, want
	}
	switch kind {
	case 0:
		ms, want := make([]bool, n), uint64(0)
		for i := range ms {
			x := num(0, 1)
			ms[i], want = x == 1, want+x
		}
		p, err := Count(shares)
		return newTrial(p, err, ms, want)
	case 1:
		ms, want := make([]uint64, n), uint64(0)
		for i := range ms {
			ms[i] = num(0, limit/uint64(n))
			want += ms[i]
		}
		p, err := Sum(limit, shares)
		return newTrial(p, err, ms, want)
	case 2, 3:
		ms, want := vectors(func() []uint64 {
			v := make([]uint64, length)
			for i := range v {
				v[i] = num(0, limit/uint64(n))
			}
			return v
		})
		if kind == 3 {
			p, err := SumVecMultiproof(length, limit, chunk, 3, shares)
			return newTrial(p, err, ms, want)
		}
		p, err := SumVec(length, limit, chunk, shares)
		return newTrial(p, err, ms, want)
	case 4:
		ms, want := make([]int, n), make([]uint64, length)
		for i := range ms {
			ms[i] = int(num(0, uint64(length-1)))
			want[ms[i]]++
		}
		p, err := Histogram(length, chunk, shares)
		return newTrial(p, err, ms, want)
	case 5:
		weight := num(1, uint64(length))
		ms, want := make([][]bool, n), make([]uint64, length)
		for i := range ms {
			ms[i] = make([]bool, length)
			for range num(0, weight) {
				ms[i][num(0, uint64(length-1))] = true
			}
			for j, b := range ms[i] {
				want[j] += uint64(bit(b))
			}
		}
		p, err := MultihotCountVec(length, weight, chunk, shares)
		return newTrial(p, err, ms, want)
	}
	ms, want := vectors(func() []uint64 {
		v, left := make([]uint64, length), limit/uint64(n)
		for i := range v {
			v[i] = num(0, left)
			left -= v[i]
		}
		return v
	})
	p, err := L1BoundSum(length, limit, chunk, shares)
	return newTrial(p, err, ms, want)
}

// run takes all measurements of a trial through all aggregators and returns the
// aggregate shares.
func (tr trial) run(r io.Reader, ctx []byte) ([][]byte, error) {
	key := VerifyKey(append(make([]byte, 16), make([]byte, 16)...))
	var vs []*Verifier
	var aggs []*AggregateShare
	for id := range tr.in.Shares() {
		v, err := tr.in.NewVerifier(&key, ctx, id)
		if err != nil {
			return nil, err
		}
		vs, aggs = append(vs, v), append(aggs, tr.in.NewAggregateShare())
	}
	for i := range tr.count {
		n := nonce(r)
		s, err := tr.shard(i, ctx, r, n)
		if err != nil {
			return nil, err
		}
		states, shares := make([]*VerifyState, len(vs)), make([][]byte, len(vs))
		for id, v := range vs {
			if states[id], shares[id], err = v.VerifyInit(&Report{n, s.PublicShare, s.InputShares[id]}); err != nil {
				return nil, err
			}
		}
		msg, err := vs[0].Combine(shares)
		if err != nil {
			return nil, err
		}
		for id, v := range vs {
			out, err := v.Next(states[id], msg)
			if err != nil {
				return nil, err
			}
			if err := aggs[id].Add(out); err != nil {
				return nil, err
			}
		}
	}
	var out [][]byte
	for _, a := range aggs {
		out = append(out, a.Bytes())
	}
	return out, nil
}

// TestAggregateIsSum holds, for all instances over random parameters and
// numbers of aggregators, the aggregate equal to the plain sum.
func TestAggregateIsSum(t *testing.T) {
	for kind := range kinds {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				num := func(lo, hi uint64) uint64 { return rapid.Uint64Range(lo, hi).Draw(t, "n") }
				tr, err := drawTrial(kind, num)
				if err != nil {
					t.Fatal(err)
				}
				shares, err := tr.run(source(rapid.Uint64().Draw(t, "seed")), rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "ctx"))
				if err != nil {
					t.Fatalf("%s: %v", tr.in.Name(), err)
				}
				if err := tr.check(shares); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// small returns trials of two aggregators, one of each kind, and one of some
// size, with the measurements that source gives.
func small(t testing.TB) []trial {
	t.Helper()
	r := rand.New(rand.NewPCG(9, 9))
	var out []trial
	for kind := range kinds {
		for {
			tr, err := drawTrial(kind, func(lo, hi uint64) uint64 {
				if hi == ^uint64(0) {
					return r.Uint64()
				}
				return lo + r.Uint64N(hi-lo+1)
			})
			if err != nil {
				t.Fatal(err)
			}
			if tr.in.Shares() == 2 {
				out = append(out, tr)
				break
			}
		}
	}
	return out
}

// TestPingPong takes reports through leader and helper, one at a time and in a
// batch, with a bad report among them, and holds the two forms equal.
func TestPingPong(t *testing.T) {
	for _, tr := range small(t) {
		t.Run(tr.in.Name(), func(t *testing.T) {
			const reports = 21
			r, ctx := source(5), []byte("ping-pong")
			key := VerifyKey{1, 2, 3}
			leader, helper := verifiers(t, tr.in, &key, ctx)
			var toLeader, toHelper []Report
			for i := range reports {
				n := nonce(r)
				s, err := tr.shard(i%tr.count, ctx, r, n)
				if err != nil {
					t.Fatal(err)
				}
				toLeader = append(toLeader, Report{n, s.PublicShare, s.InputShares[0]})
				toHelper = append(toHelper, Report{n, s.PublicShare, s.InputShares[1]})
			}
			bad := map[int]bool{0: true, 9: true, 10: true, 20: true}
			toLeader[0].InputShare = bytes.Repeat([]byte{0xff}, len(toLeader[0].InputShare))
			toLeader[9].InputShare = toLeader[8].InputShare
			toHelper[10].InputShare = nil
			toHelper[20].PublicShare = append([]byte{1}, toHelper[20].PublicShare...)

			lb, hb := batchOf(t, leader), batchOf(t, helper)
			for range 2 { // the second time in used memory
				lb.VerifyInit(toLeader)
				var inbound [][]byte
				for i := range reports {
					if lb.Err(i) != nil {
						inbound = append(inbound, nil)
						continue
					}
					inbound = append(inbound, bytes.Clone(lb.Outbound(i)))
				}
				if err := hb.HelperInit(toHelper, inbound); err != nil {
					t.Fatal(err)
				}
				laggs, haggs := tr.in.NewAggregateShare(), tr.in.NewAggregateShare()
				for i := range reports {
					if bad[i] != (hb.Err(i) != nil) {
						t.Fatalf("report %d: error %v", i, hb.Err(i))
					}
					pingPongOne(t, leader, helper, &toLeader[i], &toHelper[i], lb, hb, i, bad[i])
					if bad[i] {
						if err := hb.AddTo(haggs, i); err == nil {
							t.Fatalf("rejected report %d can be aggregated", i)
						}
						continue
					}
					if err := lb.AddTo(laggs, i); err == nil {
						t.Fatal("an unfinished report can be aggregated")
					}
					fin, err := only(hb.Outbound(i), typeFinish)
					if err != nil {
						t.Fatal(err)
					}
					if err := lb.Next(i, fin); err != nil {
						t.Fatal(err)
					}
					if err := errors.Join(lb.AddTo(laggs, i), hb.AddTo(haggs, i)); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

func verifiers(t testing.TB, in Instance, key *VerifyKey, ctx []byte) (leader, helper *Verifier) {
	t.Helper()
	leader, err := in.NewVerifier(key, ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	if helper, err = in.NewVerifier(key, ctx, 1); err != nil {
		t.Fatal(err)
	}
	return leader, helper
}

func batchOf(t testing.TB, v *Verifier) *Batch {
	t.Helper()
	b, err := v.NewBatch()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pingPongOne runs one report by the single form and compares with the batches.
func pingPongOne(t *testing.T, leader, helper *Verifier, lr, hr *Report, lb, hb *Batch, i int, bad bool) {
	t.Helper()
	state, out, err := leader.LeaderInit(lr)
	if (err == nil) != (lb.Err(i) == nil) {
		t.Fatalf("report %d at the leader: error %v alone, %v in a batch", i, err, lb.Err(i))
	}
	if err != nil {
		return
	}
	if !bytes.Equal(out, lb.Outbound(i)) {
		t.Fatalf("report %d: the leader's message differs in a batch", i)
	}
	hout, fin, err := helper.HelperInit(hr, out)
	if (err != nil) != bad {
		t.Fatalf("report %d at the helper: error %v", i, err)
	}
	if bad {
		return
	}
	bout, err := hb.OutputShare(i)
	if err != nil || !bytes.Equal(bout, hout) || !bytes.Equal(fin, hb.Outbound(i)) {
		t.Fatalf("report %d: the helper's results differ in a batch (%v)", i, err)
	}
	stored, err := state.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	again, err := leader.ParseVerifyState(stored)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := leader.LeaderFinish(again, fin); err != nil {
		t.Fatal(err)
	}
}

// TestBatchAllocatesNothing holds the promise of Batch.
func TestBatchAllocatesNothing(t *testing.T) {
	for _, tr := range small(t) {
		if tr.in.ID() == IDSumVecMultiproof {
			continue // HMAC and AES allocate
		}
		r, key := source(6), VerifyKey{}
		leader, helper := verifiers(t, tr.in, &key, nil)
		lb, hb := batchOf(t, leader), batchOf(t, helper)
		var lr, hr []Report
		for range 11 {
			n := nonce(r)
			s, err := tr.shard(0, nil, r, n)
			if err != nil {
				t.Fatal(err)
			}
			lr = append(lr, Report{n, s.PublicShare, s.InputShares[0]})
			hr = append(hr, Report{n, s.PublicShare, s.InputShares[1]})
		}
		inbound := make([][]byte, len(lr))
		agg := tr.in.NewAggregateShare()
		work := func() {
			lb.VerifyInit(lr)
			for i := range inbound {
				inbound[i] = lb.Outbound(i)
			}
			if err := hb.HelperInit(hr, inbound); err != nil {
				t.Error(err)
			}
			for i := range inbound {
				if err := hb.AddTo(agg, i); err != nil {
					t.Error(err)
				}
			}
		}
		work()
		if n := testing.AllocsPerRun(3, work); n > 0 {
			t.Errorf("%s: a batch allocates %v times", tr.in.Name(), n)
		}
	}
}

// TestVerifierIsConcurrent shares one verifier between goroutines.
func TestVerifierIsConcurrent(t *testing.T) {
	for k, tr := range small(t) {
		x := newExchange(t, tr, uint64(k))
		honest, err := x.run()
		if err != nil {
			t.Fatal(err)
		}
		errs := make(chan error)
		for range 4 {
			go func() {
				for range 5 {
					out, err := x.run()
					if err == nil && !bytes.Equal(out[1], honest[1]) {
						err = errors.New("output shares differ")
					}
					errs <- err
				}
			}()
		}
		for range 20 {
			if err := <-errs; err != nil {
				t.Errorf("%s: %v", tr.in.Name(), err)
			}
		}
	}
}
