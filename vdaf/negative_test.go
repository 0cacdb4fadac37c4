package vdaf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
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
		s, err := c.in.engine().sharder([]byte("negative"))
		if err != nil {
			t.Fatal(err)
		}
		copy(s.encoded(), c.encoded)
		sharded, err := s.shard(source(1), n)
		s.release()
		if err != nil {
			t.Fatal(err)
		}
		public, inputs := sharded.PublicShare, sharded.InputShares
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
		c, err := newRangeCircuit(field.Field128(), 9, 3, 2)
		if err != nil {
			t.Fatal(err)
		}
		testQueryPoint(t, field.Field128(), c.g, c)
	})
	t.Run("point", func(t *testing.T) {
		c, err := newPointCircuit(field.Field64(), 5, []field.F64{0, modulus64 - 1, 1})
		if err != nil {
			t.Fatal(err)
		}
		testQueryPoint(t, field.Field64(), c.g, c)
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

// TestResampleInTheWild is TestResample for a seed, found by search, whose output
// has a value that is not below the prime, 0xffffffff1a0f80a0 at index 1692.
func TestResampleInTheWild(t *testing.T) {
	in, err := Count()
	if err != nil {
		t.Fatal(err)
	}
	e := in.engine().(*engine[field.F64])
	h, err := e.heads(nil)
	if err != nil {
		t.Fatal(err)
	}
	const n, at = 2048, 1692
	msg := h.message(usageMeasShare, 1)
	binary.LittleEndian.PutUint64(h.seed(usageMeasShare, msg), 211307)
	all := make([]byte, 8*(n+1))
	r, err := turboShake.stream(msg, len(h[usageMeasShare]))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, all); err != nil {
		t.Fatal(err)
	}
	if got := binary.LittleEndian.Uint64(all[8*at:]); got != 0xffffffff1a0f80a0 {
		t.Fatalf("value %d of the stream is %#x", at, got)
	}
	x, err := newXOFRunner(turboShake)
	if err != nil {
		t.Fatal(err)
	}
	dst, raw := make([]field.F64, n), make([]byte, 8*n)
	x.add(raw, msg, len(h[usageMeasShare]))
	x.flush()
	if err := e.sample(dst, raw, msg, len(h[usageMeasShare])); err != nil {
		t.Fatal(err)
	}
	want := append(all[:8*at:8*at], all[8*(at+1):]...)
	enc := make([]byte, 8*n)
	e.f.Encode(enc, dst)
	if !bytes.Equal(enc, want) || !bytes.Equal(raw, want) {
		t.Error("the value out of range is not left out, or more than it")
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
	for _, off := range []string{"cpu.avx512ifma=off", "cpu.avx512f=off", "cpu.avx512f=off,cpu.avx2=off,cpu.bmi2=off"} {
		cmd := exec.Command(exe, "-test.run=^(TestVectors|TestAccumulated|TestPingPong)$")
		cmd.Env = append(os.Environ(), "GODEBUG="+off)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("with GODEBUG=%s: %v\n%s", off, err, out)
		}
	}
}
