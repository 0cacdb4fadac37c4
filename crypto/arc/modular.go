package arc

import (
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/bits"

	"filippo.io/bigmod"
)

// scalarSize is Ns of the draft: the length in bytes of a scalar.
const scalarSize = 32

// wideSize is the length of the uniform bytes from which a residue is reduced:
// 16 bytes more than the modulus, so that the bias is below 2^-128.
const wideSize = 48

// A residue is a number modulo the group's order (a scalar), reduced, big-endian. It may be secret: no operation below has
// branches or addresses that depend on it.
type residue [scalarSize]byte

// A modulus is a 256-bit prime with the arithmetic of its residues.
type modulus struct {
	m      *bigmod.Modulus
	value  residue // the modulus itself, which is not reduced
	minus2 []byte  // m - 2, the exponent that inverts
}

// order is a table: the order of P-256 (FIPS 186-5).
var order = newModulus("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
	"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63254f")

// newModulus takes the modulus and the modulus less two in hexadecimal.
func newModulus(text, minus2 string) *modulus {
	m, err := bigmod.NewModulus(fromHex(text))
	if err != nil {
		panic("arc: bigmod refused a constant modulus: " + err.Error())
	}
	return &modulus{m, residue(fromHex(text)), fromHex(minus2)}
}

// fromHex decodes a constant of this package.
func fromHex(text string) []byte {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic("arc: malformed constant: " + err.Error())
	}
	return b
}

// nat returns a as bigmod's type. A residue is reduced, so that cannot fail.
func (m *modulus) nat(a *residue) *bigmod.Nat {
	n, err := bigmod.NewNat().SetBytes(a[:], m.m)
	if err != nil {
		panic("arc: a residue is not reduced: " + err.Error())
	}
	return n
}

func (m *modulus) add(a, b residue) residue { return residue(m.nat(&a).Add(m.nat(&b), m.m).Bytes(m.m)) }

func (m *modulus) sub(a, b residue) residue { return residue(m.nat(&a).Sub(m.nat(&b), m.m).Bytes(m.m)) }

func (m *modulus) mul(a, b residue) residue { return residue(m.nat(&a).Mul(m.nat(&b), m.m).Bytes(m.m)) }

func (m *modulus) neg(a residue) residue { return m.sub(residue{}, a) }

// exp returns a^e. The exponent is public in its length only.
func (m *modulus) exp(a residue, e []byte) residue {
	return residue(bigmod.NewNat().Exp(m.nat(&a), e, m.m).Bytes(m.m))
}

// inverse returns 1/a, and 0 for 0.
func (m *modulus) inverse(a residue) residue { return m.exp(a, m.minus2) }

// reduce returns a big-endian number of 48 bytes as a residue.
func (m *modulus) reduce(wide *[wideSize]byte) residue {
	const half = wideSize / 2 // hi * 2^192 + lo, both below the modulus
	var hi, lo residue
	copy(hi[scalarSize-half:], wide[:half])
	copy(lo[scalarSize-half:], wide[half:])
	var shift residue
	shift[scalarSize-half-1] = 1
	return m.add(m.mul(hi, shift), lo)
}

// decode reads a canonical residue.
func (m *modulus) decode(b []byte) (residue, error) {
	if len(b) != scalarSize {
		return residue{}, fmt.Errorf("%d bytes, want %d", len(b), scalarSize)
	}
	r := residue(b)
	if below := r.below(&m.value); below == 0 {
		return residue{}, errors.New("not below the group's order")
	}
	return r, nil
}

// below returns 1 if a is less than b as a number, else 0.
func (a *residue) below(b *residue) uint64 {
	x, y := limbs(a), limbs(b)
	var borrow uint64
	for i := range 4 {
		_, borrow = bits.Sub64(x[i], y[i], borrow)
	}
	return borrow
}

// limbs returns a scalar as 64-bit words, the lowest first.
func limbs(s *residue) (l [4]uint64) {
	for i := range 4 {
		l[i] = binary.BigEndian.Uint64(s[scalarSize-8*(i+1):])
	}
	return l
}

// small returns a residue of a small number.
func small(v uint64) (r residue) {
	for i := range 8 {
		r[scalarSize-1-i] = byte(v >> (8 * i))
	}
	return r
}

// equal returns 1 if a and b are equal, else 0.
func (a *residue) equal(b *residue) int { return subtle.ConstantTimeCompare(a[:], b[:]) }

// isZero returns 1 for zero, else 0.
func (a *residue) isZero() int { return a.equal(&residue{}) }

// randomScalar draws a uniform scalar that is not zero: 48 bytes, reduced. A
// zero, which comes with probability 2^-256, is drawn again.
func randomScalar(rand io.Reader) (residue, error) {
	for range 3 {
		var wide [wideSize]byte
		if _, err := io.ReadFull(rand, wide[:]); err != nil {
			return residue{}, fmt.Errorf("arc: reading randomness: %w", err)
		}
		if s := order.reduce(&wide); s.isZero() == 0 {
			return s, nil
		}
	}
	return residue{}, errors.New("arc: the source of randomness returns zeros")
}

// randomScalars draws n scalars in order.
func randomScalars(rand io.Reader, n int) ([]residue, error) {
	out := make([]residue, n)
	for i := range out {
		var err error
		if out[i], err = randomScalar(rand); err != nil {
			return nil, err
		}
	}
	return out, nil
}
