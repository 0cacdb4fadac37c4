//go:build !amd64 || purego

package oblivious

func exchange(first, second []uint64, width int, from, flip uint64) {
	exchangeGeneric(first, second, width, from, flip)
}
