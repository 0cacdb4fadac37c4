package secretshare

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

var p127 = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 127), big.NewInt(1))

func (a element) big() *big.Int {
	a = a.canonical()
	b := new(big.Int).SetUint64(a.hi)
	return b.Lsh(b, 64).Or(b, new(big.Int).SetUint64(a.lo))
}

func drawElement(t *rapid.T, name string) element {
	edge := rapid.SampledFrom([]element{{}, {1, 0}, {^uint64(0) - 1, topMask}, {^uint64(0), 0}, {0, topMask}, {^uint64(0), topMask}, {0, 1}, {^uint64(0), topMask - 1}}).Draw(t, name+" edge")
	if rapid.Bool().Draw(t, name+" is edge") {
		return edge
	}
	return reduce(rapid.Uint64().Draw(t, name+" lo"), rapid.Uint64Max(topMask).Draw(t, name+" hi"))
}

// TestField compares each operation with math/big.
func TestField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawElement(t, "a"), drawElement(t, "b")
		same := func(op string, got element, want *big.Int) {
			if want.Mod(want, p127); got.big().Cmp(want) != 0 {
				t.Fatalf("%v %s %v = %v, want %v", a.big(), op, b.big(), got.big(), want)
			}
		}
		same("+", a.add(b), new(big.Int).Add(a.big(), b.big()))
		same("-", a.sub(b), new(big.Int).Sub(a.big(), b.big()))
		same("*", a.mul(b), new(big.Int).Mul(a.big(), b.big()))
		if !a.isZero() {
			same("inverse", a.inverse(), new(big.Int).ModInverse(a.big(), p127))
		}
		if e, ok := fromBytes(a.append(nil)); !ok || !e.equal(a) {
			t.Fatalf("%v does not survive its encoding", a)
		}
	})
	for _, bad := range []element{{^uint64(0), topMask}, {0, 1 << 63}, {^uint64(0), ^uint64(0)}} {
		raw := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, bad.lo), bad.hi)
		if _, ok := fromBytes(raw); ok {
			t.Errorf("fromBytes takes the unreduced %x", raw)
		}
	}
}

type group struct {
	message    []byte
	ciphertext []byte
	shares     []Share
}

var binding = Binding("task and epoch")

func encodeGroup(t testing.TB, message string, n, threshold int) group {
	t.Helper()
	return encodeGroupFrom(t, message, n, threshold, rand.Reader)
}

func encodeGroupFrom(t testing.TB, message string, n, threshold int, random io.Reader) group {
	t.Helper()
	e, err := NewEncoder(MessageHash{}, binding, threshold)
	if err != nil {
		t.Fatal(err)
	}
	g := group{message: []byte(message)}
	for range n {
		c, err := e.Encode(t.Context(), g.message, random)
		if err != nil {
			t.Fatal(err)
		}
		if g.ciphertext != nil && !bytes.Equal(g.ciphertext, c.Ciphertext) {
			t.Fatal("equal messages give different ciphertexts")
		}
		g.ciphertext = c.Ciphertext
		g.shares = append(g.shares, c.Share)
	}
	return g
}

func recovered(t testing.TB, g group, threshold int) (Result, error) {
	t.Helper()
	r, err := NewRecoverer(binding, threshold)
	if err != nil {
		t.Fatal(err)
	}
	return r.Recover(g.ciphertext, g.shares, rand.Reader)
}

func forge(g group, i int) {
	if _, err := rand.Read(g.shares[i][elementSize:]); err != nil {
		panic(err)
	}
	g.shares[i][ShareSize-1] &= 0x3f
}

func TestRoundTrip(t *testing.T) {
	for _, threshold := range []int{MinThreshold, 3, 20, 100} {
		for _, message := range []string{"", "a", "a word", string(make([]byte, 1000))} {
			g := encodeGroup(t, message, threshold+3, threshold)
			res, err := recovered(t, g, threshold)
			if err != nil || !bytes.Equal(res.Message, g.message) || res.Distinct != threshold+3 || res.Forged+res.Duplicate != 0 {
				t.Fatalf("t=%d, message of %d bytes: %+v, %v", threshold, len(message), res, err)
			}
			g.shares = g.shares[:threshold-1]
			if _, err := recovered(t, g, threshold); !errors.Is(err, ErrTooFew) {
				t.Fatalf("t-1 shares: %v, want ErrTooFew", err)
			}
		}
	}
}

// TestDuplicates: a replayed share must not count as a second client.
func TestDuplicates(t *testing.T) {
	g := encodeGroup(t, "m", 20, 20)
	g.shares = append(g.shares[:19], g.shares[:19]...)
	if _, err := recovered(t, g, 20); !errors.Is(err, ErrTooFew) {
		t.Fatalf("19 shares, each twice: %v, want ErrTooFew", err)
	}
	g = encodeGroup(t, "m", 20, 20)
	g.shares = append(g.shares, g.shares[3], g.shares[3])
	res, err := recovered(t, g, 20)
	if err != nil || res.Distinct != 20 || res.Duplicate != 2 {
		t.Fatalf("%+v, %v", res, err)
	}
}

// TestForgedShares: a forger with the ciphertext must not keep a crowd
// unreadable, up to (n-t)/2 wrong shares, at any position.
func TestForgedShares(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		threshold := rapid.IntRange(2, 24).Draw(rt, "t")
		n := threshold + rapid.IntRange(0, 40).Draw(rt, "extra")
		bad := rapid.IntRange(0, (n-threshold)/2).Draw(rt, "forged")
		g := encodeGroup(t, "message", n, threshold)
		where := mrand.New(mrand.NewPCG(1, rapid.Uint64().Draw(rt, "seed"))).Perm(n)[:bad]
		for _, i := range where {
			forge(g, i)
		}
		res, err := recovered(t, g, threshold)
		if err != nil || !bytes.Equal(res.Message, g.message) || res.Distinct != n-bad || res.Forged != bad {
			rt.Fatalf("t=%d n=%d forged=%d: %+v, %v", threshold, n, bad, res, err)
		}
		for _, i := range where {
			if res.Valid[i] {
				rt.Fatalf("forged share %d counts as valid", i)
			}
		}
	})
}

// TestBoundary: t + 2e shares, e of them wrong, are recovered whatever e is. One
// wrong share more among as many is not corrected: with larger t, where no random
// subset and no sample is better by chance. A fixed seed decides about chance.
func TestBoundary(t *testing.T) {
	for _, c := range []struct{ t, e int }{{2, 1}, {2, 40}, {20, 1}, {20, 12}, {20, 300}, {100, 1}, {100, 64}, {100, 65}, {100, 700}, {1000, 1}, {1000, 20}, {1000, 200}} {
		n := c.t + 2*c.e
		random := mrand.NewChaCha8([32]byte{byte(c.t), byte(c.e)})
		g := encodeGroupFrom(t, "message", n, c.t, random)
		where := mrand.New(mrand.NewPCG(1, uint64(n))).Perm(n)
		for _, i := range where[:c.e] {
			forge(g, i)
		}
		r, err := NewRecoverer(binding, c.t)
		if err != nil {
			t.Fatal(err)
		}
		res, err := r.Recover(g.ciphertext, g.shares, random)
		if err != nil || !bytes.Equal(res.Message, g.message) || res.Distinct != n-c.e || res.Forged != c.e {
			t.Fatalf("t=%d, n=%d, %d forged: %d distinct, %d forged, %v", c.t, n, c.e, res.Distinct, res.Forged, err)
		}
		for _, i := range where[:c.e] {
			if res.Valid[i] {
				t.Fatalf("t=%d, n=%d: forged share %d counts as valid", c.t, n, i)
			}
		}
		if c.e < 12 || c.t < 20 || n > max(firstSample, 2*c.t) {
			continue
		}
		forge(g, where[c.e])
		if _, err := r.Recover(g.ciphertext, g.shares, random); !errors.Is(err, ErrNoKey) {
			t.Fatalf("t=%d, n=%d, %d forged: %v, want ErrNoKey", c.t, n, c.e+1, err)
		}
	}
}

// TestSampledGroup: of a group above DecodeSize samples are decoded, which tolerate
// the share of forged ones that the package doc states.
func TestSampledGroup(t *testing.T) {
	const threshold, n, bad = 20, DecodeSize + 3000, 9000 // 46.4 %, of which a sample of DecodeSize corrects 49.9 %
	random := mrand.NewChaCha8([32]byte{1})
	g := encodeGroupFrom(t, "m", n, threshold, random)
	for i := range bad {
		forge(g, i)
	}
	r, err := NewRecoverer(binding, threshold)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := r.Recover(g.ciphertext, g.shares, random); err != nil || res.Distinct != n-bad {
		t.Fatalf("%d distinct, %v", res.Distinct, err)
	}
}

// TestCollusion: forgers who agree on another polynomial are outvoted when they are
// fewer than the honest ones by t, and lose their shares.
func TestCollusion(t *testing.T) {
	const threshold = 20
	g := encodeGroup(t, "message", 60, threshold)
	other := encodeGroup(t, "another", 40, threshold)
	g.shares = append(other.shares, g.shares...)
	res, err := recovered(t, g, threshold)
	if err != nil || res.Distinct != 60 || res.Forged != 40 {
		t.Fatalf("%d distinct, %d forged, %v", res.Distinct, res.Forged, err)
	}
}

// TestConflictingShares: a forger that repeats the x of honest shares with other y,
// or sends malformed points, harms no other crowd.
func TestConflictingShares(t *testing.T) {
	g := encodeGroup(t, "m", 40, 20)
	for i := range 5 {
		g.shares = append([]Share{g.shares[i]}, g.shares...)
		forge(g, 0)
	}
	var zero Share
	full := Share(bytes.Repeat([]byte{0xff}, ShareSize))
	g.shares = append([]Share{zero, full}, g.shares...)
	res, err := recovered(t, g, 20)
	if err != nil || res.Distinct != 40 || res.Forged != 7 {
		t.Fatalf("%d distinct, %d forged, %v", res.Distinct, res.Forged, err)
	}
}

// TestLargeGroup decodes a sample of a crowd too large for the decoder.
func TestLargeGroup(t *testing.T) {
	g := encodeGroup(t, "m", 3000, 20)
	for i := range 1000 {
		forge(g, i)
	}
	res, err := recovered(t, g, 20)
	if err != nil || res.Distinct != 2000 {
		t.Fatalf("%d distinct, %v", res.Distinct, err)
	}
}

// TestBindingsDoNotMix: shares of another epoch or task are forged ones here,
// and a ciphertext of one cannot be opened in the other.
func TestBindingsDoNotMix(t *testing.T) {
	g := encodeGroup(t, "m", 20, 20)
	r, err := NewRecoverer(Binding("another epoch"), 20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Recover(g.ciphertext, g.shares, rand.Reader); !errors.Is(err, ErrNoKey) {
		t.Fatalf("another binding: %v, want ErrNoKey", err)
	}
	e, err := NewEncoder(MessageHash{}, Binding("another epoch"), 20)
	if err != nil {
		t.Fatal(err)
	}
	c, err := e.Encode(t.Context(), []byte("m"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(c.Ciphertext, g.ciphertext) {
		t.Fatal("the same message has the same ciphertext in two epochs: it could be linked")
	}
}

// TestCiphertextIsCommitted: no flipped bit of a ciphertext is accepted.
func TestCiphertextIsCommitted(t *testing.T) {
	g := encodeGroup(t, "message", 20, 20)
	for i := range len(g.ciphertext) * 8 {
		bad := g
		bad.ciphertext = bytes.Clone(g.ciphertext)
		bad.ciphertext[i/8] ^= 1 << (i % 8)
		if _, err := recovered(t, bad, 20); !errors.Is(err, ErrNoKey) {
			t.Fatalf("bit %d flipped: %v, want ErrNoKey", i, err)
		}
	}
}

func TestSchemeLimits(t *testing.T) {
	for _, threshold := range []int{-1, 0, 1, MaxThreshold + 1} {
		if _, err := NewEncoder(MessageHash{}, binding, threshold); err == nil {
			t.Errorf("threshold %d accepted", threshold)
		}
	}
	if _, err := NewRecoverer(nil, 20); err == nil {
		t.Error("empty binding accepted")
	}
	if s := fmt.Sprintf("%v %#v", Root{1}, Root{1}); s != "Root(redacted) Root(redacted)" {
		t.Errorf("a root prints as %q", s)
	}
}

// FuzzRecover gives the recoverer groups that an attacker made up wholly or, with
// keep not zero, that are mixed with an honest one.
func FuzzRecover(f *testing.F) {
	g := encodeGroup(f, "message", 6, 3)
	var flat []byte
	for _, s := range g.shares {
		flat = append(flat, s[:]...)
	}
	f.Add(g.ciphertext, flat, false)
	f.Add([]byte{}, []byte{}, false)
	f.Add(g.ciphertext, make([]byte, 3*ShareSize), true)
	f.Add(g.ciphertext, flat[:5*ShareSize], true)
	f.Fuzz(func(t *testing.T, ciphertext, flat []byte, honest bool) {
		var shares []Share
		for ; len(flat) >= ShareSize && len(shares) < 64; flat = flat[ShareSize:] {
			shares = append(shares, Share(flat[:ShareSize]))
		}
		forged := len(shares)
		if honest {
			ciphertext = g.ciphertext
			shares = append(shares, g.shares...)
		}
		r, err := NewRecoverer(binding, 3)
		if err != nil {
			t.Fatal(err)
		}
		res, err := r.Recover(ciphertext, shares, mrand.NewChaCha8([32]byte{}))
		if err != nil {
			// Up to (n-t)/2 wrong shares beside six honest ones are corrected.
			if honest && forged <= 3 {
				t.Fatalf("%d shares of a forger make six honest ones unreadable: %v", forged, err)
			}
			return
		}
		if len(res.Valid) != len(shares) || res.Distinct < 3 || res.Distinct+res.Forged+res.Duplicate != len(shares) {
			t.Fatalf("inconsistent result %+v of %d shares", res, len(shares))
		}
	})
}

// TestManyForgeries: far more wrong shares than the decoder corrects do not
// matter while luck can find t honest ones, which a small t makes likely.
func TestManyForgeries(t *testing.T) {
	g := encodeGroup(t, "m", 40, 2)
	for i := range 28 {
		forge(g, i)
	}
	found := 0
	for range 20 {
		if res, err := recovered(t, g, 2); err == nil && res.Distinct == 12 && res.Forged == 28 {
			found++
		}
	}
	if found < 4 { // each of 16 subsets is honest with probability 0.085
		t.Errorf("12 honest shares of 40 found in %d of 20 attempts", found)
	}
}

// TestOffPolynomial: shares that interpolate to the right secret but do not lie
// on its polynomial are forged, though the message could be read by them.
func TestOffPolynomial(t *testing.T) {
	g := encodeGroup(t, "m", 2, 2)
	// Through (x, y) and (0, s) goes one line; shift both points along another
	// polynomial that vanishes at 0: y + c x.
	for i := range g.shares {
		p, ok := parseShare(&g.shares[i])
		if !ok {
			t.Fatal("an honest share does not parse")
		}
		p.y.add(p.x.mul(element{lo: 7})).append(p.x.append(g.shares[i][:0]))
	}
	if _, err := recovered(t, g, 2); !errors.Is(err, ErrTooFew) {
		t.Fatalf("two shares off the polynomial: %v, want ErrTooFew", err)
	}
}

// failing is a source of randomness that fails.
type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("no randomness") }

func TestNoRandomness(t *testing.T) {
	e, err := NewEncoder(MessageHash{}, binding, 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Encode(t.Context(), []byte("m"), failing{}); err == nil {
		t.Error("a share without randomness")
	}
	g := encodeGroup(t, "m", 9, 3)
	forge(g, 0)
	r, err := NewRecoverer(binding, 3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Recover(g.ciphertext, g.shares, failing{}); err == nil || errors.Is(err, ErrNoKey) {
		t.Errorf("recovery without randomness: %v", err)
	}
}

// fixedRoot derives the same root for every message, as a server's PRF would not:
// what depends on it works unchanged.
type fixedRoot struct{}

func (fixedRoot) Root(_ context.Context, _ Binding, m []byte) (Root, error) {
	if len(m) == 0 {
		return Root{}, errors.New("no answer")
	}
	return Root{1, 2, 3}, nil
}

// TestAnotherDeriver: the deriver is all that an oblivious PRF replaces.
func TestAnotherDeriver(t *testing.T) {
	e, err := NewEncoder(fixedRoot{}, binding, 2)
	if err != nil {
		t.Fatal(err)
	}
	var g group
	for range 2 {
		c, err := e.Encode(t.Context(), []byte("m"), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		g.ciphertext, g.shares = c.Ciphertext, append(g.shares, c.Share)
	}
	if res, err := recovered(t, g, 2); err != nil || string(res.Message) != "m" {
		t.Fatalf("%q, %v", res.Message, err)
	}
	if _, err := e.Encode(t.Context(), nil, rand.Reader); err == nil {
		t.Error("encoded although the deriver failed")
	}
	if _, err := NewEncoder(nil, binding, 2); err == nil {
		t.Error("an encoder without a deriver")
	}
}

// TestConcurrentEncode: an encoder is shared by goroutines.
func TestConcurrentEncode(t *testing.T) {
	e, err := NewEncoder(MessageHash{}, binding, 20)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]Encoding, 64)
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() { out[i], _ = e.Encode(t.Context(), []byte{byte(i % 2)}, rand.Reader) })
	}
	wg.Wait()
	for i := range 2 {
		var g group
		for j := i; j < len(out); j += 2 {
			g.ciphertext, g.shares = out[j].Ciphertext, append(g.shares, out[j].Share)
		}
		if res, err := recovered(t, g, 20); err != nil || res.Distinct != 32 || !bytes.Equal(res.Message, []byte{byte(i)}) {
			t.Errorf("group %d: %d distinct, %q, %v", i, res.Distinct, res.Message, err)
		}
	}
}

// BenchmarkX25519 is here to compare with: one Diffie-Hellman exchange.
func BenchmarkX25519(b *testing.B) {
	k, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := k.ECDH(k.PublicKey()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e, err := NewEncoder(MessageHash{}, binding, 20)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := e.Encode(b.Context(), []byte("vocabulary word"), rand.Reader); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecover(b *testing.B) {
	for _, c := range []struct{ t, n, bad int }{{20, 20, 0}, {20, 30, 0}, {20, 30, 5}, {20, 200, 90}, {1000, 1000, 0}, {1000, 1040, 20}, {1000, 3000, 60}, {1000, 3000, 1000}} {
		g := encodeGroup(b, "vocabulary word", c.n, c.t)
		for i := range c.bad {
			forge(g, i)
		}
		b.Run(fmt.Sprintf("t=%d/n=%d/bad=%d", c.t, c.n, c.bad), func(b *testing.B) {
			r, err := NewRecoverer(binding, c.t)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Recover(g.ciphertext, g.shares, rand.Reader); err != nil && c.bad == 0 {
					b.Fatal(err)
				}
			}
		})
	}
}
