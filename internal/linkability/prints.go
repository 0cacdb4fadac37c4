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

// rarePrints returns the view with those fingerprints alone that mean something: that two
// events of reports or more have, and few of all.
func (v View) rarePrints() View {
	have, reports := map[uint32]int32{}, 0
	for i := range v.Events {
		if v.Events[i].Kind != KindReport {
			continue
		}
		reports++
		for _, p := range v.Events[i].Prints {
			have[p]++
		}
	}
	out := View{Name: v.Name, Events: slices.Clone(v.Events)}
	for i := range out.Events {
		var rare []uint32
		for _, p := range out.Events[i].Prints {
			if n := int(have[p]); n > 1 && isRare(n, reports) {
				rare = append(rare, p)
			}
		}
		out.Events[i].Prints = rare
	}
	return out
}

// isRare reports whether so few of all events of reports have a fingerprint that it says
// something: a tenth at most.
func isRare(have, reports int) bool { return have*10 <= reports || have <= 4 }
