package x25519

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// forms are the ways that this machine can go.
func forms() map[string]kernel {
	f := kernels()
	f["each"] = kernelNone
	return f
}

// kernels are the vector kernels that this machine can run.
func kernels() map[string]kernel {
	f := map[string]kernel{}
	if supportsAVX2() {
		f["avx2"] = kernelAVX2
	}
	if supportsIFMA() {
		f["ifma"] = kernelIFMA
	}
	return f
}

func newScalar(t testing.TB, private []byte, k kernel) *Scalar {
	t.Helper()
	s, err := NewScalar(private)
	if err != nil {
		t.Fatal(err)
	}
	s.kernel = k
	return s
}

func unhex(t testing.TB, s string) [Size]byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != Size {
		t.Fatalf("%q: %d bytes, %v", s, len(b), err)
	}
	return [Size]byte(b)
}

func hexInt(t testing.TB, s string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(s, 16)
	if !ok {
		t.Fatalf("%q is no number", s)
	}
	return n
}

// encode returns the little-endian form of n, which may have 256 bits.
func encode(n *big.Int) [Size]byte {
	var b [Size]byte
	n.FillBytes(b[:])
	slices.Reverse(b[:])
	return b
}

// prime is 2^255-19.
func prime() *big.Int {
	p := new(big.Int).Lsh(big.NewInt(1), 255)
	return p.Sub(p, big.NewInt(19))
}

func seeded(seed uint64) *rand.ChaCha8 {
	return rand.NewChaCha8([32]byte{0: byte(seed), 1: byte(seed >> 8)})
}

// RFC 7748, sections 5.2 and 6.1.
func TestPublishedVectors(t *testing.T) {
	for name, form := range forms() {
		for _, v := range []struct{ scalar, u, want string }{
			{
				"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
				"e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
				"c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
			},
			{
				"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
				"e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
				"95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
			},
			{
				"5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
				"0900000000000000000000000000000000000000000000000000000000000000",
				"de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
			},
			{
				"5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
				"8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
				"4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
			},
		} {
			k := unhex(t, v.scalar)
			got, ok := newScalar(t, k[:], form).Multiply([][Size]byte{unhex(t, v.u)})[0].Secret()
			if want := unhex(t, v.want); !ok || got != want {
				t.Errorf("%s: %s times %s is %x, want %s", name, v.scalar, v.u, got, v.want)
			}
		}
	}
}

// The iterated vector of RFC 7748, section 5.2.
func TestIteratedVector(t *testing.T) {
	want := map[int]string{
		1:    "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079",
		1000: "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51",
	}
	for name, form := range forms() {
		k := [Size]byte{9}
		u := k
		for i := 1; i <= 1000; i++ {
			next, ok := newScalar(t, k[:], form).Multiply([][Size]byte{u})[0].Secret()
			if !ok {
				t.Fatalf("%s: step %d is all zero", name, i)
			}
			k, u = next, k
			if w, ok := want[i]; ok && hex.EncodeToString(k[:]) != w {
				t.Fatalf("%s: step %d is %x, want %s", name, i, k, w)
			}
		}
	}
}

// smallOrder returns u coordinates of all points whose order divides 8, on the
// curve and on its twist, below the prime.
func smallOrder(t testing.TB) []*big.Int {
	eight := hexInt(t, "57119fd0dd4e22d8868e1c58c45c44045bef839c55b1d0b1248c50a3bc959c5f")
	other := hexInt(t, "00b8495f16056286fdb1329ceb8d09da6ac49ff1fae35616aeb8413b7c7aebe0")
	return []*big.Int{big.NewInt(0), big.NewInt(1), new(big.Int).Sub(prime(), big.NewInt(1)), eight, other}
}

// edges returns points that are easy to get wrong: those of small order, those
// next to them, values of the prime and above, limbs that are full or empty, and
// each with the high bit set.
func edges(t testing.TB) [][Size]byte {
	var all []*big.Int
	for _, n := range smallOrder(t) {
		all = append(all, n)
		for d := int64(1); d <= 3; d++ {
			all = append(all, new(big.Int).Add(n, big.NewInt(d)))
		}
	}
	top := new(big.Int).Lsh(big.NewInt(1), 255)
	for d := int64(1); d <= 24; d++ {
		all = append(all, new(big.Int).Sub(top, big.NewInt(d)))
	}
	for bit := uint(0); bit < 255; bit += 3 {
		power := new(big.Int).Lsh(big.NewInt(1), bit)
		all = append(all, power, new(big.Int).Sub(power, big.NewInt(1)), new(big.Int).Sub(prime(), power))
	}
	for limb := range uint(5) {
		full := new(big.Int).Lsh(big.NewInt(limbMask), 51*limb)
		rest := new(big.Int).Sub(new(big.Int).Sub(top, big.NewInt(1)), full)
		all = append(all, full, rest)
	}
	var points [][Size]byte
	for _, n := range all {
		if n.Sign() < 0 || n.BitLen() > 255 {
			continue
		}
		p := encode(n)
		points = append(points, p)
		p[Size-1] |= 128
		points = append(points, p)
	}
	return points
}

func sameAsEach(t *testing.T, k [Size]byte, points [][Size]byte) {
	t.Helper()
	want := newScalar(t, k[:], kernelNone).Multiply(points)
	for name, form := range kernels() {
		for i, got := range newScalar(t, k[:], form).Multiply(points) {
			if got != want[i] {
				t.Fatalf("%s: %x times %x is %x (%v), want %x (%v)", name, k, points[i], got.secret, got.ok, want[i].secret, want[i].ok)
			}
		}
	}
}

// needKernels skips a test where there is no vector kernel.
func needKernels(t *testing.T) {
	t.Helper()
	if len(kernels()) == 0 {
		t.Skip("no vector instructions for several points")
	}
}

// The lanes agree with crypto/ecdh, for batches of every length around the
// boundaries of groups and blocks, and for 100,000 points.
func TestLanesAgree(t *testing.T) {
	needKernels(t)
	rounds := 312
	if testing.Short() {
		rounds = 8
	}
	r := seeded(1)
	total := 0
	for round := range rounds {
		for _, n := range []int{0, 1, 3, 4, 5, 7, 8, 9, 63, 64, 65, 64 + round%64} {
			var k [Size]byte
			r.Read(k[:])
			points := make([][Size]byte, n)
			for i := range points {
				r.Read(points[i][:])
			}
			sameAsEach(t, k, points)
			total += n
		}
	}
	if total < 100_000 && !testing.Short() {
		t.Errorf("only %d points", total)
	}
}

func TestLanesAgreeAtEdges(t *testing.T) {
	needKernels(t)
	r := seeded(2)
	scalars := [][Size]byte{{}, {9}, [Size]byte(bytes.Repeat([]byte{255}, Size)), [Size]byte(bytes.Repeat([]byte{0x55}, Size)), [Size]byte(bytes.Repeat([]byte{0xaa}, Size))}
	for range 3 {
		var k [Size]byte
		r.Read(k[:])
		scalars = append(scalars, k)
	}
	points := edges(t)
	for _, k := range scalars {
		sameAsEach(t, k, points)
	}
}

// A point of small order costs nothing but itself, wherever in a batch it is:
// its lane is inverted together with honest ones.
func TestSmallOrderIsTold(t *testing.T) {
	r := seeded(3)
	var k [Size]byte
	r.Read(k[:])
	bad := smallOrder(t)
	for _, n := range smallOrder(t)[:2] {
		bad = append(bad, new(big.Int).Add(n, prime()))
	}
	for name, form := range forms() {
		s := newScalar(t, k[:], form)
		points := make([][Size]byte, 64)
		for i := range points {
			r.Read(points[i][:])
		}
		honest := s.Multiply(points)
		for i, at := range []int{0, 7, 8, 13, 21, 40, 63} {
			mixed := slices.Clone(points)
			mixed[at] = encode(bad[i])
			mixed[(at+8)%64] = encode(bad[(i+1)%len(bad)])
			for j, got := range s.Multiply(mixed) {
				secret, ok := got.Secret()
				if mixed[j] != points[j] {
					if ok || secret != [Size]byte{} {
						t.Errorf("%s: a point of small order gave %x, %v", name, secret, ok)
					}
					continue
				}
				if got != honest[j] || !ok {
					t.Errorf("%s: point %d changed beside one of small order", name, j)
				}
			}
		}
	}
}

// Results feed later points, so that a fault anywhere spreads to the end.
func TestAccumulated(t *testing.T) {
	needKernels(t)
	run := func(k kernel) string {
		points := make([][Size]byte, 61)
		r := seeded(4)
		for i := range points {
			r.Read(points[i][:])
		}
		scalar := points[0]
		for range 40 {
			for i, shared := range newScalar(t, scalar[:], k).Multiply(points) {
				points[i], _ = shared.Secret()
			}
			scalar = points[len(points)-1]
			slices.Reverse(points)
		}
		return fmt.Sprintf("%x", points)
	}
	want := run(kernelNone)
	for name, k := range kernels() {
		if run(k) != want {
			t.Errorf("%s and crypto/ecdh differ", name)
		}
	}
}

// canonical is right for every limb that the arithmetic leaves.
func TestCanonical(t *testing.T) {
	r := rand.New(seeded(5))
	for range 20_000 {
		var e element
		value := new(big.Int)
		for i := range limbs {
			switch r.IntN(3) {
			case 0:
				e[i][3] = limbMask - uint64(r.IntN(40))
			case 1:
				e[i][3] = uint64(r.IntN(40))
			default:
				e[i][3] = r.Uint64N(1 << 53)
			}
			value.Add(value, new(big.Int).Lsh(new(big.Int).SetUint64(e[i][3]), 51*uint(i)))
		}
		got := new(big.Int)
		for i, limb := range e.canonical(3) {
			if limb > limbMask {
				t.Fatalf("limb %d of %x is %#x", i, value, limb)
			}
			got.Add(got, new(big.Int).Lsh(new(big.Int).SetUint64(limb), 51*uint(i)))
		}
		if want := value.Mod(value, prime()); got.Cmp(want) != 0 {
			t.Fatalf("%x, want %x", got, want)
		}
	}
}

// value returns the element's lane j modulo the prime.
func value(e *element, j int) *big.Int {
	n := new(big.Int)
	for i := range limbs {
		n.Add(n, new(big.Int).Lsh(new(big.Int).SetUint64(e[i][j]), limbBits*uint(i)))
	}
	return n.Mod(n, prime())
}

// The kernels hold at the largest limbs that they promise to take, and at each limb of
// them, the others being arbitrary.
func TestProductsOfFullLimbs(t *testing.T) {
	needKernels(t)
	const loose, returned = 1<<52 - 1, 1<<51 + 1<<16
	r := rand.New(seeded(6))
	fill := func(e *element, round int) {
		for i := range limbs {
			for j := range lanes {
				switch full := round >> i & 1; {
				case j < 2 && full == 1:
					e[i][j] = loose - uint64(r.IntN(2))
				case j < 4 && full == 1:
					e[i][j] = 1<<50 + uint64(r.IntN(3)) - 1 // where the kernel of four lanes changes the sign
				case j < 6 && full == 1:
					e[i][j] = uint64(r.IntN(2))
				default:
					e[i][j] = r.Uint64N(loose + 1)
				}
			}
		}
	}
	for round := range 2048 {
		work := workspace{halves: 1 + round%2}
		var a, b element
		fill(&a, round)
		fill(&b, round>>5)
		for name, k := range kernels() {
			var product, square element
			k.mul(&product, &a, &b, &work)
			k.square(&square, &a, 1, &work)
			for j := range min(lanes, work.halves*halfLanes) {
				for i := range limbs {
					if product[i][j] >= returned || square[i][j] >= returned {
						t.Fatalf("%s: limb %d is %#x or %#x: not loose", name, i, product[i][j], square[i][j])
					}
				}
				x, y := value(&a, j), value(&b, j)
				if want := new(big.Int).Mul(x, y); value(&product, j).Cmp(want.Mod(want, prime())) != 0 {
					t.Fatalf("%s: the product of %x and %x is wrong", name, x, y)
				}
				if want := new(big.Int).Mul(x, x); value(&square, j).Cmp(want.Mod(want, prime())) != 0 {
					t.Fatalf("%s: the square of %x is wrong", name, x)
				}
			}
		}
	}
}

func TestLengths(t *testing.T) {
	for _, n := range []int{0, 31, 33} {
		if _, err := NewScalar(make([]byte, n)); err == nil {
			t.Errorf("a scalar of %d bytes was taken", n)
		}
	}
}

// Threat: a secret that gets into a log.
func TestRedacted(t *testing.T) {
	private := bytes.Repeat([]byte{0x5c}, Size)
	s := newScalar(t, private, fastest())
	shared := s.Multiply([][Size]byte{{9}})[0]
	secret, _ := shared.Secret()
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "scalar", s, "shared", shared)
	text := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		text += fmt.Sprintf(verb+verb, s, shared)
	}
	for _, leak := range []string{hex.EncodeToString(private[:4]), hex.EncodeToString(secret[:4]), fmt.Sprint(private[:2]), fmt.Sprint(secret[:3])} {
		if strings.Contains(text, strings.Trim(leak, "[]")) {
			t.Errorf("%q shows %q", text, leak)
		}
	}
}

func FuzzLanesAgree(f *testing.F) {
	f.Add(make([]byte, 2*Size))
	f.Add(bytes.Repeat([]byte{255}, 3*Size))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < Size || len(b) > 16*Size {
			return
		}
		k := [Size]byte(b)
		var points [][Size]byte
		for b = b[Size:]; len(b) >= Size; b = b[Size:] {
			points = append(points, [Size]byte(b))
		}
		sameAsEach(t, k, points)
	})
}
