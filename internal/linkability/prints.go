package linkability

import (
	"slices"
)

// window is how many bytes a fingerprint is of: equal parts of two messages that are
// longer are found.
const window = 8

// Prints returns fingerprints of the bytes of a message: hashes of an eighth of all its
// windows, chosen by their hashes, so that equal parts of two messages have equal
// fingerprints wherever they are.
func Prints(message []byte) []uint32 {
	var out []uint32
	for i := 0; i+window <= len(message); i++ {
		h := uint64(14695981039346656037)
		for _, c := range message[i : i+window] {
			h = (h ^ uint64(c)) * 1099511628211
		}
		h ^= h >> 29
		if h&7 == 0 {
			out = append(out, uint32(h>>16))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// TokenOf returns the value of a token for bytes.
func TokenOf(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}
