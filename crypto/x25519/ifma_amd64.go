//go:build !purego

package x25519

import "golang.org/x/sys/cpu"

func supportsIFMA() bool {
	return cpu.X86.HasAVX512F && cpu.X86.HasAVX512IFMA
}

//go:noescape
func ladderIFMA(x, z, u *element, swaps *[4]uint64, work *eightSpace)

//go:noescape
func mulIFMA(dst, a, b *element)

//go:noescape
func squareIFMA(dst, a *element, n int)
