//go:build !amd64 || purego || oblivioustrace

package oblivious

func exchange(t tracer, a, b int, first, second []uint64, width int, from, flip uint64) {
	exchangeGeneric(t, a, b, first, second, width, from, flip)
}
