package vdaf

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/big"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/crypto/field"
)

// exchange is everything that travels for one report.
type exchange struct {
	leader, helper *Verifier
	nonce          [2]Nonce // as leader and helper see it
	public         [2][]byte
	input          [2][]byte
	damage         func(init, finish []byte) // changes messages on the way
}

func newExchange(t testing.TB, tr trial, seed uint64) exchange {
	t.Helper()
	r := source(seed)
	key, ctx := VerifyKey{7}, []byte("negative")
	var x exchange
	x.leader, x.helper = verifiers(t, tr.in, &key, ctx)
	n := nonce(r)
	s, err := tr.shard(0, ctx, r, n)
	if err != nil {
		t.Fatal(err)
	}
	x.nonce = [2]Nonce{n, n}
	x.public = [2][]byte{s.PublicShare, bytes.Clone(s.PublicShare)}
	x.input = [2][]byte{s.InputShares[0], s.InputShares[1]}
	x.damage = func(_, _ []byte) {}
	return x
}

// run returns the output shares, or an error if one party rejects.
func (x exchange) run() ([][]byte, error) {
	state, init, err := x.leader.LeaderInit(&Report{x.nonce[0], x.public[0], x.input[0]})
	if err != nil {
		return nil, err
	}
	x.damage(init, nil)
	hout, fin, err := x.helper.HelperInit(&Report{x.nonce[1], x.public[1], x.input[1]}, init)
	if err != nil {
		return nil, err
	}
	x.damage(nil, fin)
	lout, err := x.leader.LeaderFinish(state, fin)
	if err != nil {
		return nil, err
	}
	return [][]byte{lout, hout}, nil
}

// total adds up output shares as a collector would.
func total(in Instance, shares [][]byte) string {
	sums, err := in.engine().unshard(shares)
	return fmt.Sprint(sums, err)
}

// TestFlippedBits flips single bits of all that a client or a network can touch:
// the report must be rejected or the result be what it was. (Threat: a client or
// a party in the middle changes a measurement after it was proved valid.)
func TestFlippedBits(t *testing.T) {
	for k, tr := range small(t) {
		t.Run(tr.in.Name(), func(t *testing.T) {
			x := newExchange(t, tr, uint64(k))
			honest, err := x.run()
			if err != nil {
				t.Fatal(err)
			}
			want := total(tr.in, honest)
			rejected := 0
			try := func(what string, bit int, b []byte) {
				t.Helper()
				b[bit/8] ^= 1 << (bit % 8)
				defer func() { b[bit/8] ^= 1 << (bit % 8) }()
				out, err := x.run()
				if err != nil {
					if !errors.Is(err, ErrRejected) && !errors.Is(err, ErrEncoding) {
						t.Fatalf("%s bit %d: error of another kind: %v", what, bit, err)
					}
					rejected++
					return
				}
				if got := total(tr.in, out); got != want {
					t.Fatalf("%s bit %d: accepted with another result: %s, want %s", what, bit, got, want)
				}
			}
			parts := map[string][]byte{
				"leader input share": x.input[0], "helper input share": x.input[1],
				"leader public share": x.public[0], "helper public share": x.public[1],
				"leader nonce": x.nonce[0][:], "helper nonce": x.nonce[1][:],
			}
			for what, b := range parts {
				step := max(1, len(b)*8/300) | 1
				for bit := 0; bit < len(b)*8; bit += step {
					try(what, bit, b)
				}
			}
			if rejected == 0 {
				t.Error("no flipped bit was rejected: the test cannot fail")
			}
			testFlippedMessages(t, x, tr, want)
		})
	}
}

func testFlippedMessages(t *testing.T, x exchange, tr trial, want string) {
	t.Helper()
	s := tr.in.Sizes()
	for _, which := range []string{"initialize", "finish"} {
		n := 5 + s.VerifierShare
		if which == "finish" {
			n = 5 + s.VerifierMessage
		}
		for bit := range n * 8 {
			x.damage = func(init, fin []byte) {
				b := init
				if which == "finish" {
					b = fin
				}
				if b != nil {
					b[bit/8] ^= 1 << (bit % 8)
				}
			}
			if out, err := x.run(); err == nil && total(tr.in, out) != want {
				t.Fatalf("%s message bit %d: accepted with another result", which, bit)
			}
		}
	}
}

// TestInvalidMeasurements has clients that encode what their type does not allow
// and prove it as well as they can. (Threat: one client shifts the aggregate by
// more than one measurement may.)
func TestInvalidMeasurements(t *testing.T) {
	count, err := Count()
	if err != nil {
		t.Fatal(err)
	}
	sum, err := Sum(10)
	if err != nil {
		t.Fatal(err)
	}
	vec, err := SumVec(3, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	hist, err := Histogram(4, 2)
	if err != nil {
		t.Fatal(err)
	}
	multi, err := MultihotCountVec(4, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	l1, err := L1BoundSum(2, 3, 2)
	if err != nil {
		t.Fatal(err)
	}
	proofs, err := SumVecMultiproof(3, 1, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		in      Instance
		encoded []uint8
		valid   bool
	}{
		{count, []uint8{1}, true},
		{count, []uint8{2}, false},
		{count, []uint8{255}, false},
		{sum, []uint8{1, 1, 1, 1}, true}, // 1+2+4+3
		{sum, []uint8{2, 0, 0, 0}, false},
		{sum, []uint8{0, 0, 0, 2}, false},
		{vec, []uint8{1, 1, 1}, true},
		{vec, []uint8{0, 0, 2}, false},
		{vec, []uint8{200, 0, 0}, false},
		{hist, []uint8{0, 0, 1, 0}, true},
		{hist, []uint8{0, 0, 0, 0}, false},
		{hist, []uint8{1, 0, 1, 0}, false},
		{hist, []uint8{0, 2, 0, 0}, false},
		{multi, []uint8{1, 1, 0, 0, 1, 1}, true}, // weight 1+1
		{multi, []uint8{1, 1, 1, 0, 1, 1}, false},
		{multi, []uint8{1, 0, 0, 0, 1, 1}, false},
		{multi, []uint8{1, 1, 1, 0, 1, 2}, false},
		{l1, []uint8{1, 0, 0, 1, 1, 1}, true},  // 1, 2, norm 3
		{l1, []uint8{1, 1, 1, 0, 1, 1}, false}, // 3, 1, claimed norm 3
		{l1, []uint8{1, 1, 1, 1, 2, 2}, false},
		{proofs, []uint8{1, 0, 1}, true},
		{proofs, []uint8{3, 0, 1}, false},
	} {
		tr := trial{in: c.in}
		n := Nonce{1}
		public, inputs, err := c.in.engine().shard(source(1), []byte("negative"), &n, c.encoded)
		if err != nil {
			t.Fatal(err)
		}
		key := VerifyKey{7}
		var x exchange
		x.leader, x.helper = verifiers(t, tr.in, &key, []byte("negative"))
		x.nonce, x.public, x.input = [2]Nonce{n, n}, [2][]byte{public, public}, [2][]byte{inputs[0], inputs[1]}
		x.damage = func(_, _ []byte) {}
		if _, err := x.run(); (err == nil) != c.valid || err != nil && !errors.Is(err, ErrRejected) {
			t.Errorf("%s: encoded measurement %v: error %v", c.in.Name(), c.encoded, err)
		}
	}
}

// TestBinding has aggregators that differ in what must be equal for both.
func TestBinding(t *testing.T) {
	for k, tr := range small(t) {
		x := newExchange(t, tr, uint64(k))
		other := VerifyKey{8}
		_, wrongKey := verifiers(t, tr.in, &other, []byte("negative"))
		key := VerifyKey{7}
		_, wrongCtx := verifiers(t, tr.in, &key, []byte("another task"))
		for what, v := range map[string]*Verifier{"verification key": wrongKey, "context": wrongCtx} {
			y := x
			y.helper = v
			if _, err := y.run(); !errors.Is(err, ErrRejected) {
				t.Errorf("%s: another %s at the helper: error %v", tr.in.Name(), what, err)
			}
		}
	}
}

// TestQueryPoint: at a root of unity of the order of the wire polynomials the
// verifier would hold an input of the circuit in clear.
func TestQueryPoint(t *testing.T) {
	t.Run("range", func(t *testing.T) {
		c, err := newRangeCircuit(field.Field128, 9, 3, 2)
		if err != nil {
			t.Fatal(err)
		}
		testQueryPoint(t, field.Field128, c.g, c)
	})
	t.Run("point", func(t *testing.T) {
		c, err := newPointCircuit(field.Field64, 5, []field.F64{0, modulus64 - 1, 1})
		if err != nil {
			t.Fatal(err)
		}
		testQueryPoint(t, field.Field64, c.g, c)
	})
}

func testQueryPoint[E field.Elem](t *testing.T, f field.Field[E], g *gadget[E], c circuit[E]) {
	t.Helper()
	d := c.dims()
	meas, proof, verifier := make([]E, d.meas), make([]E, d.proof), make([]E, d.verifier)
	query, joint := make([]E, d.query), make([]E, d.joint)
	sp := c.newSpace()
	for i := range g.p {
		query[d.query-1] = g.roots.Power(f, g.p, i)
		if c.query(sp, verifier, meas, proof, query, joint) {
			t.Errorf("the query at root %d of %d is not refused", i, g.p)
		}
	}
	query[d.query-1] = g.roots.Power(f, 2*g.p, 1)
	if !c.query(sp, verifier, meas, proof, query, joint) {
		t.Error("the query at a root of twice the order is refused")
	}
}

// TestResample: values of the XOF that are not below the prime are left out.
func TestResample(t *testing.T) {
	in, err := Count()
	if err != nil {
		t.Fatal(err)
	}
	e := in.engine().(*engine[field.F64])
	le := func(ns ...uint64) []byte {
		var b []byte
		for _, n := range ns {
			for i := range 8 {
				b = append(b, byte(n>>(8*i)))
			}
		}
		return b
	}
	stream := bytes.NewReader(le(5, modulus64, math.MaxUint64, modulus64-1, modulus64+1, 6))
	dst, raw := make([]field.F64, 3), make([]byte, 24)
	if err := e.resample(dst, raw, stream.Read); err != nil {
		t.Fatal(err)
	}
	if dst[0] != 5 || dst[1] != modulus64-1 || dst[2] != 6 || !bytes.Equal(raw, le(5, modulus64-1, 6)) {
		t.Errorf("sampled %v, bytes %x", dst, raw)
	}
}

// TestParameters refuses what cannot work, and takes what is at the limit.
func TestParameters(t *testing.T) {
	type result struct {
		in  Instance
		err error
	}
	from := func(in Instance, err error) result { return result{in, err} }
	bad := map[string]result{
		"sum of nothing":        from(Sum(0)),
		"sum above the modulus": from(Sum(modulus64)),
		"empty vector":          from(SumVec(0, 1, 1)),
		"negative length":       from(SumVec(-1, 1, 0)),
		"vector of zeros":       from(SumVec(3, 0, 1)),
		"vector too long":       from(SumVec(1<<24, 3, 1<<12)),
		"negative chunk":        from(SumVec(3, 1, -1)),
		"chunk too long":        from(SumVec(3, 1, 1<<30)),
		"proof too long":        from(SumVec(1<<20, 1, 1)),
		"no bucket":             from(Histogram(0, 1)),
		"weight zero":           from(MultihotCountVec(3, 0, 1)),
		"weight above length":   from(MultihotCountVec(3, 4, 1)),
		"empty multihot":        from(MultihotCountVec(0, 0, 1)),
		"norm zero":             from(L1BoundSum(3, 0, 1)),
		"two proofs":            from(SumVecMultiproof(3, 1, 1, 2)),
		"too many proofs":       from(SumVecMultiproof(3, 1, 1, 256)),
		"multiproof modulus":    from(SumVecMultiproof(3, modulus64, 1, 3)),
		"one share":             from(Count(Shares(1))),
		"256 shares":            from(Count(Shares(256))),
		"gradient bound zero":   from(LInfGradient(3, 0, 8)),
		"gradient bound NaN":    from(LInfGradient(3, math.NaN(), 8)),
		"gradient bound Inf":    from(L1Gradient(3, math.Inf(1), 8)),
		"gradient no bits":      from(L1Gradient(3, 1, 0)),
		"gradient no elements":  from(L1Gradient(0, 1, 8)),
		"gradient 33 bits":      from(LInfGradient(3, 1, 33)),
	}
	for what, r := range bad {
		if r.err == nil {
			t.Errorf("%s is accepted", what)
		} else if !strings.HasPrefix(r.err.Error(), "vdaf: ") {
			t.Errorf("%s: error %q does not say where", what, r.err)
		}
	}
	good := map[string]result{
		"sum of 64 bits":    from(Sum(modulus64 - 1)),
		"one":               from(Sum(1)),
		"vector of 64 bits": from(SumVec(2, math.MaxUint64, 3)),
		"long chunk":        from(Histogram(2, 50)),
		"chunk one":         from(Histogram(5, 1)),
		"one bucket":        from(Histogram(1, 1)),
		"full weight":       from(MultihotCountVec(8, 8, 2)),
		"large norm":        from(L1BoundSum(2, math.MaxUint64, 0)),
		"255 shares":        from(Count(Shares(255))),
	}
	for what, r := range good {
		if r.err != nil {
			t.Errorf("%s: %v", what, r.err)
		}
	}
}

// TestMeasurementRange refuses measurements out of range, with the number and
// the limit in the error.
func TestMeasurementRange(t *testing.T) {
	sum, err := Sum(1337)
	if err != nil {
		t.Fatal(err)
	}
	hist, err := Histogram(4, 2)
	if err != nil {
		t.Fatal(err)
	}
	l1, err := L1BoundSum(3, 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	multi, err := MultihotCountVec(3, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	grad, err := LInfGradient(2, 1, 8)
	if err != nil {
		t.Fatal(err)
	}
	grad1, err := L1Gradient(2, 1, 8)
	if err != nil {
		t.Fatal(err)
	}
	_, e1 := sum.Shard(source(1), nil, Nonce{}, 1338)
	_, e2 := hist.Shard(source(1), nil, Nonce{}, 4)
	_, e3 := hist.Shard(source(1), nil, Nonce{}, -1)
	_, e4 := l1.Shard(source(1), nil, Nonce{}, []uint64{4, 4, 4})
	_, e5 := l1.Shard(source(1), nil, Nonce{}, []uint64{math.MaxUint64, 2, 0})
	_, e6 := l1.Shard(source(1), nil, Nonce{}, []uint64{1})
	_, e7 := multi.Shard(source(1), nil, Nonce{}, []bool{true, true, false})
	_, e8 := multi.Shard(source(1), nil, Nonce{}, nil)
	_, e9 := grad.Shard(source(1), nil, Nonce{}, []float64{0, math.NaN()})
	_, e10 := grad1.Shard(source(1), nil, Nonce{}, []float64{0.6, -0.6})
	_, e11 := grad1.Shard(source(1), nil, Nonce{}, []float64{math.NaN(), 0})
	_, e12 := sum.Shard(bytes.NewReader(make([]byte, 10)), nil, Nonce{}, 1)
	_, e13 := sum.Shard(source(1), make([]byte, 65536), Nonce{}, 1)
	for i, err := range []error{e1, e2, e3, e4, e5, e6, e7, e8, e9, e10, e11, e12, e13} {
		if err == nil {
			t.Errorf("case %d is accepted", i+1)
		}
	}
}

// TestSharesOfOthers: shares of another shape or number are refused.
func TestSharesOfOthers(t *testing.T) {
	sum, err := Sum(10)
	if err != nil {
		t.Fatal(err)
	}
	hist, err := Histogram(4, 2)
	if err != nil {
		t.Fatal(err)
	}
	a, b := sum.NewAggregateShare(), hist.NewAggregateShare()
	_, e1 := sum.Unshard([][]byte{a.Bytes()}, 0)
	_, e2 := sum.Unshard([][]byte{a.Bytes(), b.Bytes()}, 0)
	_, e3 := sum.ParseAggregateShare(bytes.Repeat([]byte{0xff}, 8))
	_, e4 := sum.NewVerifier(&VerifyKey{}, nil, 2)
	v, err := sum.NewVerifier(&VerifyKey{}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, e5 := v.Combine([][]byte{nil})
	_, e6 := v.Combine([][]byte{nil, nil})
	_, e7 := v.ParseVerifyState(make([]byte, 7))
	for i, err := range []error{a.Merge(b), b.Merge(a), a.Add(b.Bytes()), a.AddNoise(1, 1), a.AddNoise(-1, 1), e1, e2, e3, e4, e5, e6, e7} {
		if err == nil {
			t.Errorf("case %d is accepted", i)
		}
	}
}

// TestNoise: an aggregate with noise of both signs is read as signed integers.
func TestNoise(t *testing.T) {
	hist, err := Histogram(4, 2)
	if err != nil {
		t.Fatal(err)
	}
	count, err := Count()
	if err != nil {
		t.Fatal(err)
	}
	noise := []int64{5, -7, math.MinInt64 + 9, math.MaxInt64 - 9}
	a, b := hist.NewAggregateShare(), hist.NewAggregateShare()
	for i, n := range noise {
		if err := errors.Join(a.AddNoise(i, n), b.AddNoise(i, -9)); err != nil {
			t.Fatal(err)
		}
	}
	shares := [][]byte{a.Bytes(), b.Bytes()}
	got, err := hist.UnshardSigned(shares)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range noise {
		if got[i] != n-9 {
			t.Errorf("element %d is %d, want %d", i, got[i], n-9)
		}
	}
	if _, err := hist.Unshard(shares, 0); !errors.Is(err, ErrOverflow) {
		t.Errorf("a negative sum as uint64: error %v", err)
	}
	if err := errors.Join(a.AddNoise(2, -9), a.AddNoise(2, -9)); err != nil {
		t.Fatal(err)
	}
	if _, err := hist.UnshardSigned([][]byte{a.Bytes(), b.Bytes()}); !errors.Is(err, ErrOverflow) {
		t.Errorf("a sum below the smallest int64: error %v", err)
	}
	c := count.NewAggregateShare()
	if err := c.AddNoise(0, -3); err != nil {
		t.Fatal(err)
	}
	if got, err := count.UnshardSigned([][]byte{c.Bytes(), count.NewAggregateShare().Bytes()}); err != nil || got[0] != -3 {
		t.Errorf("Count with noise: %v, %v", got, err)
	}
	if p, _ := new(big.Int).SetString(fmt.Sprint(uint64(modulus64)), 10); !p.ProbablyPrime(20) {
		t.Error("modulus64 is not prime")
	}
}

// TestSecretsAreNotPrinted covers every verb that a log line may use.
func TestSecretsAreNotPrinted(t *testing.T) {
	key := VerifyKey{0xab, 0xcd}
	count, err := Count()
	if err != nil {
		t.Fatal(err)
	}
	agg := count.NewAggregateShare()
	if err := agg.AddNoise(0, 0xabcd); err != nil {
		t.Fatal(err)
	}
	state := &VerifyState{output: []byte{0xab, 0xcd}}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", key, "state", state, "agg", agg)
	all := log.String() + key.String() + key.GoString()
	for _, v := range []any{key, &key, state, agg} {
		all += fmt.Sprintf("%v %+v %#v %s %x %d", v, v, v, v, v, v)
	}
	for _, s := range []string{"abcd", "ab cd", "171", "43981", "0xab"} {
		if strings.Contains(all, s) {
			t.Errorf("a secret is printed: %q in %s", s, all)
		}
	}
}

// TestWithoutVectorUnits runs the vectors again in processes that may use less
// of the processor.
func TestWithoutVectorUnits(t *testing.T) {
	if testing.Short() || os.Getenv("GODEBUG") != "" {
		t.Skip("starts itself again")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	for _, off := range []string{"cpu.avx512f=off", "cpu.avx512f=off,cpu.avx2=off,cpu.bmi2=off"} {
		cmd := exec.Command(exe, "-test.run=^(TestVectors|TestAccumulated|TestPingPong)$")
		cmd.Env = append(os.Environ(), "GODEBUG="+off)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("with GODEBUG=%s: %v\n%s", off, err, out)
		}
	}
}
