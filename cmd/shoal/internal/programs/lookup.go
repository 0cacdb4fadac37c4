package programs

import "strings"

// An index finds the families of a symbol.
type index struct {
	exact    map[string]uint64
	prefixes map[string]uint64
	longest  int // length of the longest prefix
}

// newIndex builds the index of [families].
func newIndex() index {
	x := index{exact: make(map[string]uint64), prefixes: make(map[string]uint64)}
	for i, f := range families {
		for s := range strings.FieldsSeq(f.symbols) {
			x.exact[s] |= 1 << i
		}
		for p := range strings.FieldsSeq(f.prefixes) {
			x.prefixes[p] |= 1 << i
			x.longest = max(x.longest, len(p))
		}
	}
	return x
}

// classify returns the families that a symbol belongs to, as bits. A name may
// carry a symbol version ("read@GLIBC_2.2.5"), a library ("send:ws2_32.dll") or
// a Mach-O variant ("open$NOCANCEL").
func (x index) classify(symbol string) uint64 {
	if i := strings.IndexAny(symbol, "@:$"); i > 0 {
		symbol = symbol[:i]
	}
	bits := x.exact[symbol]
	for n := 1; n <= min(len(symbol), x.longest); n++ {
		bits |= x.prefixes[symbol[:n]]
	}
	return bits
}
