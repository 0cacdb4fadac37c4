package local

import (
	"bytes"
	"encoding/binary"
)

// entrySize is the memory that sorting needs for each row besides the row: two
// entries of 8 bytes.
const entrySize = 16

// maxSortRows bounds the rows of one sort: their numbers have 32 bits.
const maxSortRows = 1 << 31

// insertionMax is up to how many rows insertion sort is the fastest.
const insertionMax = 24

// sorter sorts rows bytewise without moving them: by radix, four bytes at a
// time, so that rows with long equal beginnings cost no more than reading them.
//
// An entry is 8 bytes, little endian: the row's number in the lower half, the
// four bytes of the row that are being looked at in the upper.
type sorter struct {
	rows    []byte
	width   int
	entries []byte // the order, once sorted
	scratch []byte // as long as entries
}

// sortRows sorts the rows, each of width bytes, and returns their order as
// entries, see number. memory holds entrySize bytes for each row.
func sortRows(rows []byte, width int, memory []byte) sorter {
	n := len(rows) / width
	s := sorter{rows: rows, width: width, entries: memory[:8*n], scratch: memory[8*n : 16*n]}
	for i := range n {
		binary.LittleEndian.PutUint64(s.entries[8*i:], uint64(i))
	}
	s.sort(0, n, 0)
	return s
}

// row returns the row that is at place i of the order.
func (s *sorter) row(i int) []byte {
	at := int(binary.LittleEndian.Uint32(s.entries[8*i:])) * s.width
	return s.rows[at : at+s.width]
}

// sort orders the entries in [lo, hi), whose rows are equal before depth.
func (s *sorter) sort(lo, hi, depth int) {
	for depth < s.width {
		if hi-lo <= insertionMax {
			s.insertion(lo, hi, depth)
			return
		}
		depth = s.common(lo, hi, depth)
		if depth >= s.width {
			return
		}
		s.radix(lo, hi, depth)
		depth += 4
		if depth >= s.width {
			return
		}
		// Continue with the largest run of equals, so that the recursion for
		// the others stays shallow.
		bigLo, bigHi := lo, lo
		for start := lo; start < hi; {
			end := s.runEnd(start, hi)
			if end-start <= bigHi-bigLo {
				s.sort(start, end, depth)
			} else {
				s.sort(bigLo, bigHi, depth)
				bigLo, bigHi = start, end
			}
			start = end
		}
		lo, hi = bigLo, bigHi
	}
}

// common returns up to which depth the rows of the entries in [lo, hi) are equal, rounded down to
// a multiple of four bytes from depth on, if they are equal before depth.
func (s *sorter) common(lo, hi, depth int) int {
	first := s.row(lo)
	end := s.width
	for i := lo + 1; i < hi && end > depth; i++ {
		row := s.row(i)
		if string(row[depth:end]) == string(first[depth:end]) {
			continue
		}
		at := depth
		for row[at] == first[at] {
			at++
		}
		end = at
	}
	if end == s.width {
		return end
	}
	return depth + (end-depth)&^3
}

// runEnd returns the end of the entries that have the same upper half as the
// one at start.
func (s *sorter) runEnd(start, hi int) int {
	word := binary.LittleEndian.Uint32(s.entries[8*start+4:])
	end := start + 1
	for end < hi && binary.LittleEndian.Uint32(s.entries[8*end+4:]) == word {
		end++
	}
	return end
}

func (s *sorter) insertion(lo, hi, depth int) {
	for i := lo + 1; i < hi; i++ {
		entry := binary.LittleEndian.Uint64(s.entries[8*i:])
		row := s.row(i)[depth:]
		j := i
		for j > lo && bytes.Compare(s.row(j - 1)[depth:], row) > 0 {
			copy(s.entries[8*j:8*j+8], s.entries[8*j-8:])
			j--
		}
		binary.LittleEndian.PutUint64(s.entries[8*j:], entry)
	}
}

// radix orders entries by the four bytes of their rows at depth, keeping the
// order of equal ones.
func (s *sorter) radix(lo, hi, depth int) {
	var counts [4][256]uint32
	src, dst := s.entries[8*lo:8*hi], s.scratch[8*lo:8*hi]
	for e := src; len(e) >= 8; e = e[8:] {
		number := binary.LittleEndian.Uint32(e)
		word := word(s.rows[int(number)*s.width:][:s.width], depth)
		binary.LittleEndian.PutUint32(e[4:], word)
		counts[0][byte(word)]++
		counts[1][byte(word>>8)]++
		counts[2][byte(word>>16)]++
		counts[3][byte(word>>24)]++
	}
	for digit := range counts {
		next := &counts[digit]
		if !offsets(next, uint32(hi-lo)) {
			continue // all have the same byte there
		}
		for e := src; len(e) >= 8; e = e[8:] {
			place := &next[e[4+digit]]
			copy(dst[8*int(*place):][:8], e)
			*place++
		}
		src, dst = dst, src
	}
	if &src[0] != &s.entries[8*lo] {
		copy(s.entries[8*lo:8*hi], src)
	}
}

// offsets turns the counts of a digit into the places where each of its values
// begins. It returns false if there is one value only.
func offsets(counts *[256]uint32, n uint32) bool {
	at := uint32(0)
	for i, c := range counts {
		if c == n {
			return false
		}
		counts[i] = at
		at += c
	}
	return true
}

// word returns the four bytes of row at depth as a number, zeros beyond its end.
func word(row []byte, depth int) uint32 {
	if len(row)-depth >= 4 {
		return binary.BigEndian.Uint32(row[depth:])
	}
	var w uint32
	for i := range 4 {
		w <<= 8
		if depth+i < len(row) {
			w |= uint32(row[depth+i])
		}
	}
	return w
}
