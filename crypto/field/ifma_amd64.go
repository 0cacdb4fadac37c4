//go:build !purego

package field

import "golang.org/x/sys/cpu"

func supportsIFMA() bool {
	return cpu.X86.HasAVX512F && cpu.X86.HasAVX512IFMA
}

//go:noescape
func mulIFMA(dst, a, square *F128, blocks int)

//go:noescape
func dotIFMA(acc *[48]uint64, a, b *F128, blocks int)

//go:noescape
func wiresIFMA(acc *[96]uint64, q *uint64, meas *F128, coeff, step *uint64, limbs, rows, stride int, mask uint64)

//go:noescape
func ditIFMA(a, b, tw *F128, rows int)

//go:noescape
func difIFMA(a, b, tw *F128, rows int)

//go:noescape
func scaleIFMA(v, tw *F128, rows int)

//go:noescape
func lagrangeIFMA(a, b, tw, c *F128, blocks int)

//go:noescape
func powersIFMA(q, coeff, step *uint64, limbs int, c, r, square *F128, mask uint64)
