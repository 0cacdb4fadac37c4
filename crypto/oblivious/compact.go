package oblivious

import (
	"fmt"
	"math/bits"
	"sync"
)

// parallelRows is the number of rows from which on halves go to two workers.
const parallelRows = 1 << 14

// Compact brings the rows whose mark is 1 to the front and returns how many there
// are. The order of rows is not kept. It fails unless there is a mark, 0 or 1, for
// each row. The marks are secret, their number is not.
func (t *Table) Compact(marks []byte, workers int) (int, error) {
	if len(marks) != t.rows {
		return 0, fmt.Errorf("oblivious: %d marks for %d rows", len(marks), t.rows)
	}
	counts := make([]uint32, t.rows)
	sum, wrong := uint32(0), byte(0)
	for i, m := range marks {
		wrong |= m
		sum += uint32(m & 1)
		counts[i] = sum
	}
	if wrong > 1 {
		return 0, fmt.Errorf("oblivious: marks are neither 0 nor 1")
	}
	c := compaction{table: t, counts: counts}
	c.compact(0, t.rows, max(1, workers))
	return int(sum), nil
}

// A compaction brings rows from first on together, where counts[i] is the number of
// marked rows among those from first to i.
type compaction struct {
	table  *Table
	counts []uint32
	first  int
}

// between returns how many of the rows from a to b, without b, are marked.
func (c *compaction) between(a, b int) uint64 {
	if a == b {
		return 0
	}
	n := c.counts[b-1]
	if a > c.first {
		n -= c.counts[a-1]
	}
	return uint64(n)
}

// compact is ORCompact (algorithm 2 of the paper) for n rows from lo.
func (c *compaction) compact(lo, n, workers int) {
	if n < 2 {
		return
	}
	large := 1 << (bits.Len(uint(n)) - 1)
	small := n - large
	m := c.between(lo, lo+small)
	shift := (uint64(large-small) + m) & uint64(large-1)
	both(n, workers, func(w int) {
		c.compact(lo, small, w)
	}, func(w int) {
		c.offset(lo+small, large, shift, w)
	})
	c.table.exchangeAll(lo, lo+large, small, m, 0, workers)
}

// offset is OROffCompact (algorithm 1 of the paper) for n rows from lo, a power of
// two: the marked rows come together from z on, in a circle. z is secret.
func (c *compaction) offset(lo, n int, z uint64, workers int) {
	if n < 2 {
		return
	}
	half := n / 2
	low := uint64(half - 1) // the bits of a number modulo half
	m := c.between(lo, lo+half)
	both(n, workers, func(w int) {
		c.offset(lo, half, z&low, w)
	}, func(w int) {
		c.offset(lo+half, half, (z+m)&low, w)
	})
	flip := less((z&low)+m, uint64(half)) ^ less(z, uint64(half))
	c.table.exchangeAll(lo, lo+half, half, (z+m)&low, flip, workers)
}

// exchangeAll is exchange by several workers.
func (t *Table) exchangeAll(a, b, rows int, from, flip uint64, workers int) {
	if workers < 2 || rows < parallelRows {
		t.exchange(a, b, rows, from, flip)
		return
	}
	half := rows / 2
	// The rows of the second half count from half on: those below from are found by
	// the difference, which is 0 where it would be negative.
	rest := (from - uint64(half)) &^ less(from, uint64(half))
	both(rows, workers, func(w int) {
		t.exchangeAll(a, b, half, from, flip, w)
	}, func(w int) {
		t.exchangeAll(a+half, b+half, rows-half, rest, flip, w)
	})
}

// both calls two functions, at the same time if they have enough rows.
func both(rows, workers int, f, g func(workers int)) {
	if workers < 2 || rows < parallelRows {
		f(1)
		g(1)
		return
	}
	var wait sync.WaitGroup
	wait.Go(func() { f(workers / 2) })
	g(workers - workers/2)
	wait.Wait()
}
