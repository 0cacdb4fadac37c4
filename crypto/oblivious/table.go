package oblivious

import (
	"encoding/binary"
	"fmt"
	"math"
)

const (
	wordSize    = 8
	vectorWords = 4 // of the vectors in which rows are exchanged
	vectorSize  = vectorWords * wordSize
)

// A Table holds rows of one size. It is not safe for concurrent use.
type Table struct {
	words []uint64
	rows  int
	size  int // of a row, in bytes, as the caller sees it
	width int // of a row, in words, padded
	trace func(operation byte, a, b, rows int)
}

// NewTable returns a table of empty rows of a size in bytes. It fails for no or too
// many rows, and for an empty row.
func NewTable(rows, size int) (*Table, error) {
	if rows < 0 || rows >= math.MaxInt32 {
		return nil, fmt.Errorf("oblivious: a table of %d rows, want 0 to %d", rows, math.MaxInt32-1)
	}
	if size < 1 || size > 1<<20 {
		return nil, fmt.Errorf("oblivious: rows of %d bytes, want 1 to %d", size, 1<<20)
	}
	width := (size + vectorSize - 1) / vectorSize * vectorWords
	return &Table{words: make([]uint64, rows*width), rows: rows, size: size, width: width}, nil
}

// Rows returns the number of rows.
func (t *Table) Rows() int { return t.rows }

// Size returns the size of a row in bytes.
func (t *Table) Size() int { return t.size }

// Set copies a row into the table. It fails if the index or the length is wrong.
func (t *Table) Set(i int, row []byte) error {
	if i < 0 || i >= t.rows || len(row) != t.size {
		return fmt.Errorf("oblivious: setting row %d of %d to %d bytes, want %d", i, t.rows, len(row), t.size)
	}
	words := t.row(i)
	for len(row) >= wordSize {
		words[0], words, row = binary.LittleEndian.Uint64(row), words[1:], row[wordSize:]
	}
	if len(row) > 0 {
		var last [wordSize]byte
		copy(last[:], row)
		words[0] = binary.LittleEndian.Uint64(last[:])
	}
	return nil
}

// Append appends the bytes of a row to dst. It fails if there is no such row.
func (t *Table) Append(dst []byte, i int) ([]byte, error) {
	if i < 0 || i >= t.rows {
		return nil, fmt.Errorf("oblivious: reading row %d of %d", i, t.rows)
	}
	return t.appendRow(dst, i), nil
}

func (t *Table) appendRow(dst []byte, i int) []byte {
	end := len(dst) + t.size
	for _, w := range t.row(i) {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	return dst[:end]
}

func (t *Table) row(i int) []uint64 { return t.words[i*t.width : (i+1)*t.width] }

// Operations of a trace.
const (
	traceExchange = 'x' // rows a, a+1, … with b, b+1, …
	traceScan     = 's' // rows a to b, in order
	traceMove     = 'm' // row a to b
	traceCompare  = 'c' // keys of rows a and b
)

func (t *Table) traced(operation byte, a, b, rows int) {
	if t.trace != nil {
		t.trace(operation, a, b, rows)
	}
}

// exchange exchanges row a+i with row b+i for each i below rows for which (i >= from)
// differs from flip, which is 0 or all ones. It reads and writes all of them; from
// and flip may be secret.
func (t *Table) exchange(a, b, rows int, from, flip uint64) {
	t.traced(traceExchange, a, b, rows)
	if rows == 0 {
		return
	}
	first, second := t.words[a*t.width:(a+rows)*t.width], t.words[b*t.width:(b+rows)*t.width]
	exchange(first, second, t.width, from, flip)
}

// exchangeGeneric is exchange over the words of the two ranges.
func exchangeGeneric(first, second []uint64, width int, from, flip uint64) {
	second = second[:len(first)]
	for i := uint64(0); len(first) > 0; i++ {
		mask := ^less(i, from) ^ flip
		a, b := first[:width], second[:width]
		for j := range a {
			d := (a[j] ^ b[j]) & mask
			a[j] ^= d
			b[j] ^= d
		}
		first, second = first[width:], second[width:]
	}
}

// less returns all ones where a < b, for numbers below 2^63, and else 0.
func less(a, b uint64) uint64 { return -((a - b) >> 63) }

// nonzero returns all ones where a is not 0, and else 0.
func nonzero(a uint64) uint64 { return -((a | -a) >> 63) }
