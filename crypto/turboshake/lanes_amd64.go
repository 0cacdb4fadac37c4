//go:build !purego

package turboshake

import "golang.org/x/sys/cpu"

func supported() level {
	switch {
	case cpu.X86.HasAVX512F:
		return eight
	case cpu.X86.HasAVX2:
		return four
	}
	return scalar
}

// permute8 is Keccak-p[1600,12] on eight interleaved states. The caller has
// checked that the processor has AVX-512F.
func permute8(a *[200]uint64) { permute8AVX512(a, &roundConstants) }

//go:noescape
func permute8AVX512(a *[200]uint64, rc *[12]uint64)

// add8 and extract8 move one block of every lane, from byte off of the slices.
func add8(a *[200]uint64, msgs *[8][]byte, off int) { add8AVX512(a, msgs, off) }

func extract8(a *[200]uint64, out *[8][]byte, off int) { extract8AVX512(a, out, off) }

//go:noescape
func add8AVX512(a *[200]uint64, msgs *[8][]byte, off int)

//go:noescape
func extract8AVX512(a *[200]uint64, out *[8][]byte, off int)
