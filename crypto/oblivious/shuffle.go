package oblivious

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// SeedSize is the size of a seed in bytes.
const SeedSize = 32

// markSize is how many random bytes the mark of a row takes.
const markSize = aes.BlockSize

// blockRows is the number of rows below which the random bytes of all levels are
// made together.
const blockRows = 1 << 10

// Shuffle brings the rows into a random order that follows from the seed, the same
// for any number of workers. A seed is for one use.
func (t *Table) Shuffle(seed [SeedSize]byte, workers int) error {
	s, err := newShuffle(seed, t.rows)
	if err != nil {
		return err
	}
	s.table, s.trace = t, t.trace
	s.run(0, t.rows, 0, max(1, workers))
	return nil
}

// A shuffle brings the rows of a table into random order. Of a sealed table it works
// on parts that fit into memory.
type shuffle struct {
	table  *Table       // in which the rows are, unless sealed is set
	sealed *SealedTable // in which the rows are, or nil
	trace  tracer
	block  cipher.Block
	counts []uint32
}

func newShuffle(seed [SeedSize]byte, rows int) (*shuffle, error) {
	block, err := aes.NewCipher(seed[:])
	if err != nil {
		return nil, fmt.Errorf("oblivious: keying the shuffle: %w", err)
	}
	return &shuffle{block: block, counts: make([]uint32, rows)}, nil
}

// run is ORShuffle (algorithm 3 of the paper) for n rows from lo: a random half of
// them goes to the front, and both halves are shuffled.
func (s *shuffle) run(lo, n, level, workers int) {
	if s.sealed != nil && n <= s.sealed.inside {
		s.sealed.with(lo, n, workers, func(table *Table) {
			inside := shuffle{table: table, trace: s.trace, block: s.block, counts: s.counts}
			inside.run(lo, n, level, workers)
		})
		return
	}
	if s.sealed == nil && n <= blockRows {
		s.runBlock(lo, n, level)
		return
	}
	random := s.source(lo, level)
	buffer := make([]byte, blockRows*markSize)
	m := marker{left: uint64(n / 2)}
	for done := 0; done < n; {
		part := min(blockRows, n-done)
		fill(random, buffer[:part*markSize])
		s.mark(&m, lo+done, part, buffer, n-done)
		done += part
	}
	s.halve(lo, n, workers)
	if s.sealed != nil || workers < 2 || n < parallelRows {
		s.run(lo, n/2, level+1, workers)
		s.run(lo+n/2, n-n/2, level+1, workers)
		return
	}
	inParallel(workers, func(w int) { s.run(lo, n/2, level+1, w) }, func(w int) { s.run(lo+n/2, n-n/2, level+1, w) })
}

// runBlock is run for up to blockRows rows, with the random bytes of all its levels.
func (s *shuffle) runBlock(lo, n, level int) {
	if n < 2 {
		return
	}
	levels := bits.Len(uint(n - 1))
	random := make([]byte, levels*n*markSize)
	for l := range levels {
		fill(s.source(lo, level+l), random[l*n*markSize:(l+1)*n*markSize])
	}
	s.runInside(lo, n, random, n*markSize)
}

// runInside is run with the random bytes of its level at the beginning of random,
// and those of each next level a stride further on.
func (s *shuffle) runInside(lo, n int, random []byte, stride int) {
	if n < 2 {
		return
	}
	m := marker{left: uint64(n / 2)}
	s.mark(&m, lo, n, random, n)
	s.halve(lo, n, 1)
	if n < 3 {
		return
	}
	next := random[stride:]
	s.runInside(lo, n/2, next, stride)
	s.runInside(lo+n/2, n-n/2, next[n/2*markSize:], stride)
}

// mark marks n rows from lo, of left that are not decided on.
func (s *shuffle) mark(m *marker, lo, n int, random []byte, left int) {
	for i := lo; i < lo+n; i++ {
		s.trace.at(traceCount, i)
	}
	m.mark(s.counts[lo:lo+n], random, uint64(left))
}

// halve brings the marked rows to the front.
func (s *shuffle) halve(lo, n, workers int) {
	c := compaction{table: s.table, sealed: s.sealed, trace: s.trace, counts: s.counts, first: lo}
	c.compact(lo, n, workers)
}

// source returns the random bytes of a level from a row on: a block for each row.
func (s *shuffle) source(row, level int) cipher.Stream {
	var counter [aes.BlockSize]byte
	binary.BigEndian.PutUint32(counter[:], uint32(level))
	binary.BigEndian.PutUint64(counter[8:], uint64(row))
	return cipher.NewCTR(s.block, counter[:])
}

// newSource returns the random bytes that follow from a seed.
func newSource(seed [SeedSize]byte) (cipher.Stream, error) {
	block, err := aes.NewCipher(seed[:])
	if err != nil {
		return nil, fmt.Errorf("oblivious: keying random numbers: %w", err)
	}
	return cipher.NewCTR(block, make([]byte, aes.BlockSize)), nil
}

func fill(source cipher.Stream, b []byte) {
	clear(b)
	source.XORKeyStream(b, b)
}

// A marker marks some of the rows, each choice of them with the same probability.
type marker struct {
	marked uint64 // so far
	left   uint64 // to be marked
}

// mark writes for each of the rows how many are marked up to it. The first of them is
// followed by rows-1 others that are not decided on. A row is marked with probability
// left/rows: where the product of a random number below 2^128 and rows is less than
// left times 2^128.
func (m *marker) mark(counts []uint32, random []byte, rows uint64) {
	for i := range counts {
		r := random[i*markSize : (i+1)*markSize]
		high, _ := bits.Mul64(binary.LittleEndian.Uint64(r[8:]), rows)
		carry, _ := bits.Mul64(binary.LittleEndian.Uint64(r), rows)
		low := binary.LittleEndian.Uint64(r[8:]) * rows
		_, over := bits.Add64(low, carry, 0)
		bit := less(high+over, m.left) & 1
		m.marked += bit
		m.left -= bit
		counts[i] = uint32(m.marked)
		rows--
	}
}
