package local

import (
	"bytes"
	"slices"
	"testing"
)

// FuzzSortRows compares the radix sort with that of the standard library.
func FuzzSortRows(f *testing.F) {
	f.Add([]byte("some rows of three"), uint8(3))
	f.Add(bytes.Repeat([]byte("equal rows "), 100), uint8(11))
	f.Add(bytes.Repeat([]byte{0}, 500), uint8(1))
	f.Add(bytes.Repeat([]byte("a long beginning and then 1 "), 60), uint8(29))
	f.Fuzz(func(t *testing.T, b []byte, w uint8) {
		width := int(w)%40 + 1
		n := len(b) / width
		b = b[:n*width]
		s := sortRows(b, width, make([]byte, n*entrySize))
		want := slices.Collect(slices.Chunk(b, width))
		slices.SortFunc(want, bytes.Compare)
		for i := range n {
			if !bytes.Equal(s.row(i), want[i]) {
				t.Fatalf("place %d of %d: %x, want %x", i, n, s.row(i), want[i])
			}
		}
	})
}
