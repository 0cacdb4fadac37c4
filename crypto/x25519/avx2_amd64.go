//go:build !purego

package x25519

import (
	"math"

	"golang.org/x/sys/cpu"
)

// supportsAVX2 reports whether the processor has the instructions of the four-lane
// kernel, and whether the operating system saves its registers.
func supportsAVX2() bool { return cpu.X86.HasAVX2 && cpu.X86.HasFMA }

// avx2Constants are the constants of the four-lane kernel, the same in each lane, in the
// order of its K_ offsets.
var avx2Constants = newAVX2Constants()

func newAVX2Constants() (table [46][halfLanes]uint64) {
	const (
		c1     = 3 * (1 << 102) // of the kernel's multiplication
		low    = 3 * (1 << 51)  // c2-c1
		offset = 1 << 62        // makes limbs positive
		half   = 1 << 50        // makes the lower part of a limb signed
		above  = offset >> limbBits
	)
	next := 0
	add := func(v uint64) {
		for j := range table[next] {
			table[next][j] = v
		}
		next++
	}
	for _, v := range []uint64{
		math.Float64bits(c1),
		math.Float64bits(c1 + low),
		limbMask,
		math.Float64bits(1 << 52),
		math.Float64bits(1<<52 + half + 19*above),
		math.Float64bits(1<<52 + half + above),
		19,
		math.Float64bits(121665),
		math.Float64bits(-1. / (1 << limbBits)),
		math.Float64bits(-19. / (1 << limbBits)),
		math.Float64bits(1),
	} {
		add(v)
	}
	product := rawBias([2 * limbs]uint64{1, 2, 3, 4, 5, 4, 3, 2, 1, 0})
	square := rawBias([2 * limbs]uint64{1, 1, 2, 2, 3, 2, 2, 1, 1, 0})
	var zero [limbs]uint64
	for _, bias := range []func(i int) uint64{
		func(i int) uint64 { return zero[i] },
		func(i int) uint64 { return 2 * product[i] },
		func(i int) uint64 { return square[i] },
		func(i int) uint64 { return square[i] + product[i] },
		func(i int) uint64 { return square[i] - product[i] },
	} {
		for i := range limbs {
			add(offset + half - bias(i))
		}
	}
	for _, bias := range [][limbs]uint64{product, square} {
		for i := range limbs {
			multiple := uint64(above) * limbMask // of the prime's limb
			if i == 0 {
				multiple -= above * 18
			}
			add(multiple - bias[i])
		}
	}
	return table
}

// rawBias returns what the bits of c1 and c2-c1 add to the limbs of a raw element, modulo
// 2^64, where column i has that many lower halves of products, and column i+1 the upper
// ones.
func rawBias(halves [2 * limbs]uint64) (bias [limbs]uint64) {
	lower, upper := math.Float64bits(3*(1<<51)), math.Float64bits(3*(1<<102))
	column := func(i int) uint64 {
		n := halves[i] * lower
		if i > 0 {
			n += halves[i-1] * upper
		}
		return n
	}
	for i := range bias {
		bias[i] = column(i) + 19*column(i+limbs)
	}
	return bias
}

//go:noescape
func ladderAVX2(x, z, u, swaps *uint64, work *fourSpace)

//go:noescape
func mulAVX2(dst, a, b *element, halves int, work *fourSpace)

//go:noescape
func squareAVX2(dst, a *element, n, halves int, work *fourSpace)
