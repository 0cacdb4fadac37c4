//go:build !purego

package p256

import "golang.org/x/sys/cpu"

// useADX reports whether the processor has the instructions of the assembly.
var useADX = cpu.X86.HasADX && cpu.X86.HasBMI2

//go:noescape
func mulADX(z, x, y *Element)

// sqrADX sets z to x^(2^n), n at least 1.
//
//go:noescape
func sqrADX(z, x *Element, n int)

// doubleADX sets z to 2^n * p, n at least 1.
//
//go:noescape
func doubleADX(z, p *Point, n int)

// doublePairADX sets p to 2^n * p and q to 2^n * q, n at least 1. They are not one.
//
//go:noescape
func doublePairADX(p, q *Point, n int)

//go:noescape
func addAffineADX(z, p *Point, q *Affine)

//go:noescape
func addADX(z, p, q *Point)

//go:noescape
func selectADX(z *Affine, table *[ctEntries]Affine, index uint64)
