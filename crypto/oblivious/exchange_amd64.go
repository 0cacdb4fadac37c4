//go:build !purego && !oblivioustrace

package oblivious

import "golang.org/x/sys/cpu"

func exchange(t tracer, a, b int, first, second []uint64, width int, from, flip uint64) {
	if !cpu.X86.HasAVX2 {
		exchangeGeneric(t, a, b, first, second, width, from, flip)
		return
	}
	exchangeAVX2(&first[0], &second[0], len(first)/width, width/vectorWords, from, flip)
}

// exchangeAVX2 is exchangeGeneric for at least one row of at least one vector.
//
//go:noescape
func exchangeAVX2(first, second *uint64, rows, vectors int, from, flip uint64)
