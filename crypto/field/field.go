// Package field implements the two NTT-friendly prime fields of the VDAF
// draft (draft-irtf-cfrg-vdaf, section 6.1): Field64 with the prime
// 2^64 - 2^32 + 1 and Field128 with the prime 2^128 - 28*2^64 + 1.
//
// [F64] and [F128] are elements, with the usual arithmetic as methods. The
// functions [Field64] and [Field128] return the operations on vectors, behind
// the interface [Field], so that a proof system can be written once for both.
// [Roots] holds the roots of unity of a number theoretic transform.
//
// Polynomials are in the Lagrange basis: n values at the powers of the
// principal n-th root of unity, n a power of two.
//
// # Representation
//
// Elements are kept as plain integers below the prime, not in Montgomery form.
// Both primes reduce a double-width product with a few additions and at most
// three small multiplications, which is as cheap as a Montgomery reduction, and
// the plain form makes decoding and encoding free; a verifier decodes far more
// elements than it multiplies by one another.
//
// # Side channels
//
// Every operation but one runs in time that depends on lengths only: none has a
// branch or a memory index that depends on the value of an element, with vector
// instructions or without. The exception is [Pow], whose time depends on the
// exponent. Decoding reveals by its error that a value is not below the prime; it
// reads the whole vector first.
package field

import "errors"

// ErrRange means that an encoded element is not below the prime.
var ErrRange = errors.New("field: encoded element is not below the modulus")

// ErrLength means that an encoded vector does not have the expected length.
var ErrLength = errors.New("field: encoded vector has the wrong length")

// Elem is the constraint of the element types.
type Elem interface{ F64 | F128 }

// A Field is arithmetic on elements and vectors of one of the two fields. Its
// methods do not retain or allocate memory unless documented. Vector arguments of
// one call have equal lengths unless documented otherwise, and do not overlap the
// destination unless they are the same slice.
type Field[E Elem] interface {
	// Size is the length in bytes of an encoded element.
	Size() int
	// FromUint64 returns n modulo the prime.
	FromUint64(n uint64) E
	// Add returns x+y.
	Add(x, y E) E
	// Sub returns x-y.
	Sub(x, y E) E
	// Mul returns x*y.
	Mul(x, y E) E
	// Inv returns 1/x, and 0 for 0.
	Inv(x E) E
	// IsZero returns 1 if x is zero and 0 if not.
	IsZero(x E) int
	// Root returns the principal root of unity of order 2^log; log is at most 32.
	Root(log int) E

	// Decode reads len(dst) elements, little-endian. It fails with [ErrLength]
	// or [ErrRange], and dst is then unspecified.
	Decode(dst []E, src []byte) error
	// Encode writes the elements little-endian; dst has len(src)*Size() bytes.
	Encode(dst []byte, src []E)
	// FromUint8 sets dst to the integers of src.
	FromUint8(dst []E, src []uint8)
	// AddVec sets dst to dst+a.
	AddVec(dst, a []E)
	// SubVec sets dst to dst-a.
	SubVec(dst, a []E)
	// MulVec sets dst to dst*a, element by element.
	MulVec(dst, a []E)
	// Sum returns the sum of a.
	Sum(a []E) E
	// Dot returns the sum of a[i]*b[i].
	Dot(a, b []E) E
	// PolyVec sets dst[i] to the polynomial with these coefficients, lowest first
	// and at least one, at x[i]. dst and x do not overlap.
	PolyVec(dst, x, coeff []E)
	// InvVec inverts every element of v in place with one inversion (zero
	// elements are not allowed: one makes every result zero). tmp is scratch of
	// the same length.
	InvVec(v, tmp []E)

	// Interpolate turns evaluations at the powers of a root into coefficients
	// times len(v), in bit-reversed order.
	Interpolate(v []E, r *Roots[E])
	// Evaluate turns coefficients in bit-reversed order into evaluations at the
	// powers of the principal root of order len(v).
	Evaluate(v []E, r *Roots[E])
	// Odd turns len(v) evaluations of a polynomial at the even powers of the
	// root of order 2*len(v) into those at its odd powers.
	Odd(v []E, r *Roots[E])
	// OddRows is Odd for up to eight polynomials at once: v has rows of eight, one
	// evaluation of each, and only the first used of a row count.
	OddRows(v []E, used int, r *Roots[E])
	// Lagrange sets dst[i] to the i-th Lagrange polynomial of the powers of the
	// root of order len(dst), at t.
	Lagrange(dst []E, t E, r *Roots[E])
	// RangeWires adds up the wires of a parallel sum of products x*(x-1), see
	// [Wires].
	RangeWires(w *Wires[E])

	// factor returns x as the tables of the vector kernels hold it, and whether
	// there are such kernels.
	factor(x E) (E, bool)
}

// Wires is the work of [Field.RangeWires]. The measurement Meas is cut into
// rows of Chunk elements, the last one filled up with zeros. With m[k][i] the
// i-th element of row k, and q[k] = Coeff[k]:
//
//	Dst[2*i]   += sum over k of q[k] * Rand[k]^(i+1) * m[k][i]
//	Dst[2*i+1] += sum over k of q[k] * m[k][i]
//
// Coeff and Rand have one element a row, Dst has 2*Chunk. Tmp and Scratch are
// scratch memory that [NewWires] makes.
type Wires[E Elem] struct {
	Dst, Meas, Coeff, Rand, Tmp []E
	Scratch                     []uint64
	Chunk                       int
}

// NewWires returns Wires with scratch memory for a number of rows.
func NewWires[E Elem](rows int) *Wires[E] {
	return &Wires[E]{Tmp: make([]E, rows), Scratch: make([]uint64, wireScratch*padded(rows))}
}

// Rows is the number of polynomials that [Field.OddRows] takes.
const Rows = blockLen

// Pow returns x^n. Its time depends on n.
func Pow[E Elem](f Field[E], x E, n uint64) E {
	y := f.FromUint64(1)
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			y = f.Mul(y, x)
		}
		x = f.Mul(x, x)
	}
	return y
}
