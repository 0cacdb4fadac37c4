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
	trace tracer
	words []uint64
	first int // the number of the first row: not 0 in a part of a [SealedTable]
	rows  int
	size  int // of a row, in bytes, as the caller sees it
	width int // of a row, in words, padded
}

// NewTable returns a table of empty rows of a size in bytes. It fails for too many
// rows, and for an empty row.
func NewTable(rows, size int) (*Table, error) {
	if err := checkShape(rows, size); err != nil {
		return nil, err
	}
	width := widthOf(size)
	return &Table{words: make([]uint64, rows*width), rows: rows, size: size, width: width}, nil
}

func checkShape(rows, size int) error {
	if rows < 0 || rows >= math.MaxInt32 {
		return fmt.Errorf("oblivious: a table of %d rows, want 0 to %d", rows, math.MaxInt32-1)
	}
	if size < 1 || size > 1<<20 {
		return fmt.Errorf("oblivious: rows of %d bytes, want 1 to %d", size, 1<<20)
	}
	return nil
}

// widthOf returns how many words a row of a size takes.
func widthOf(size int) int { return (size + vectorSize - 1) / vectorSize * vectorWords }

// Rows returns the number of rows.
func (t *Table) Rows() int { return t.rows }

// Size returns the size of a row in bytes.
func (t *Table) Size() int { return t.size }

// Set copies a row into the table. It fails if the index or the length is wrong.
func (t *Table) Set(i int, row []byte) error {
	if i < 0 || i >= t.rows || len(row) != t.size {
		return fmt.Errorf("oblivious: setting row %d of %d to %d bytes, want %d", i, t.rows, len(row), t.size)
	}
	setWords(t.row(i), row)
	return nil
}

// setWords writes a row's bytes into its words, of which there are enough.
func setWords(words []uint64, row []byte) {
	for len(row) >= wordSize {
		words[0], words, row = binary.LittleEndian.Uint64(row), words[1:], row[wordSize:]
	}
	if len(row) > 0 {
		var last [wordSize]byte
		copy(last[:], row)
		words[0] = binary.LittleEndian.Uint64(last[:])
	}
}

// Append appends the bytes of a row to dst. It fails if there is no such row.
func (t *Table) Append(dst []byte, i int) ([]byte, error) {
	if i < 0 || i >= t.rows {
		return nil, fmt.Errorf("oblivious: reading row %d of %d", i, t.rows)
	}
	return t.appendRow(dst, i), nil
}

func (t *Table) appendRow(dst []byte, i int) []byte {
	return appendWords(dst, t.row(i))[:len(dst)+t.size]
}

func appendWords(dst []byte, words []uint64) []byte {
	for _, w := range words {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	return dst
}

func (t *Table) shuffleFirst(n int, seed [SeedSize]byte, workers int) (int, error) {
	front := *t
	front.words, front.rows = t.words[:n*t.width], n
	return n, front.Shuffle(seed, workers)
}

func (t *Table) compactBy(counts []uint32, workers int) error {
	c := compaction{table: t, trace: t.trace, counts: counts}
	c.compact(0, t.rows, max(1, workers))
	return nil
}

// visit calls f for the words of each of the first n rows, in order.
func (t *Table) visit(n, _ int, _ bool, f func(i int, row []uint64) error) error {
	for i := range n {
		t.trace.at(traceRow, i)
		if err := f(i, t.row(i)); err != nil {
			return err
		}
	}
	return nil
}

// row returns the words of a row by its number.
func (t *Table) row(i int) []uint64 {
	i -= t.first
	return t.words[i*t.width : (i+1)*t.width]
}

// exchange exchanges row a+i with row b+i for each i below rows for which (i >= from)
// differs from flip, which is 0 or all ones. It reads and writes all of them; from
// and flip may be secret.
func (t *Table) exchange(a, b, rows int, from, flip uint64) {
	if rows == 0 {
		return
	}
	at, bt := (a-t.first)*t.width, (b-t.first)*t.width
	exchange(t.trace, a*t.width, b*t.width, t.words[at:at+rows*t.width], t.words[bt:bt+rows*t.width], t.width, from, flip)
}

// exchangeGeneric is exchange over the words of the two ranges, whose addresses are
// a and b.
func exchangeGeneric(t tracer, a, b int, first, second []uint64, width int, from, flip uint64) {
	second = second[:len(first)]
	for i := uint64(0); len(first) > 0; i++ {
		mask := ^less(i, from) ^ flip
		x, y := first[:width], second[:width]
		for j := range x {
			t.at(traceWord, a+j)
			t.at(traceWord, b+j)
			d := (x[j] ^ y[j]) & mask
			x[j] ^= d
			y[j] ^= d
		}
		first, second = first[width:], second[width:]
		a, b = a+width, b+width
	}
}

// less returns all ones where a < b, for numbers below 2^63, and else 0.
func less(a, b uint64) uint64 { return -((a - b) >> 63) }

// nonzero returns all ones where a is not 0, and else 0.
func nonzero(a uint64) uint64 { return -((a | -a) >> 63) }
