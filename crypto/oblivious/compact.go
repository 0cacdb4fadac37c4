package oblivious

import (
	"fmt"
	"math/bits"
	"sync"
)

// parallelRows is the number of rows from which on halves go to several workers.
const parallelRows = 1 << 14

// Compact brings the rows whose mark is 1 to the front and returns how many there
// are. The order of rows is not kept. It fails unless there is a mark, 0 or 1, for
// each row. The marks are secret, their number is not.
func (t *Table) Compact(marks []byte, workers int) (int, error) {
	counts, err := countMarks(t.trace, marks, t.rows)
	if err != nil {
		return 0, err
	}
	return lastOf(counts), t.compactBy(counts, workers)
}

// countMarks returns for each row how many are marked up to it.
func countMarks(t tracer, marks []byte, rows int) ([]uint32, error) {
	if len(marks) != rows {
		return nil, fmt.Errorf("oblivious: %d marks for %d rows", len(marks), rows)
	}
	counts := make([]uint32, rows)
	sum, wrong := uint32(0), byte(0)
	for i, m := range marks {
		t.at(traceMark, i)
		t.at(traceCount, i)
		wrong |= m
		sum += uint32(m & 1)
		counts[i] = sum
	}
	if wrong > 1 {
		return nil, fmt.Errorf("oblivious: marks are neither 0 nor 1")
	}
	return counts, nil
}

func lastOf(counts []uint32) int {
	if len(counts) == 0 {
		return 0
	}
	return int(counts[len(counts)-1])
}

// A compaction brings rows from first on together, where counts[i] is the number of
// marked rows among those from first to i. Of a sealed table it works on parts that
// fit into memory.
type compaction struct {
	table  *Table       // in which the rows are, unless sealed is set
	sealed *SealedTable // in which the rows are, or nil
	trace  tracer
	counts []uint32
	first  int
}

// between returns how many of the rows from a to b, without b, are marked.
func (c *compaction) between(a, b int) uint64 {
	if a == b {
		return 0
	}
	c.trace.at(traceCount, b-1)
	n := c.counts[b-1]
	if a > c.first {
		c.trace.at(traceCount, a-1)
		n -= c.counts[a-1]
	}
	return uint64(n)
}

// compact is ORCompact (algorithm 2 of the paper) for n rows from lo.
func (c *compaction) compact(lo, n, workers int) {
	if n < 2 {
		return
	}
	if c.sealed != nil && n <= c.sealed.inside {
		c.load(lo, n, workers, func(inside *compaction) { inside.compact(lo, n, workers) })
		return
	}
	large := 1 << (bits.Len(uint(n)) - 1)
	small := n - large
	m := c.between(lo, lo+small)
	shift := (uint64(large-small) + m) & uint64(large-1)
	if c.alone(n, workers) {
		c.compact(lo, small, workers)
		c.offset(lo+small, large, shift, workers)
	} else {
		inParallel(workers, func(w int) { c.compact(lo, small, w) }, func(w int) { c.offset(lo+small, large, shift, w) })
	}
	c.exchange(lo, lo+large, small, m, 0, workers)
}

// offset is OROffCompact (algorithm 1 of the paper) for n rows from lo, a power of
// two: the marked rows come together from z on, in a circle. z is secret.
func (c *compaction) offset(lo, n int, z uint64, workers int) {
	if n < 2 {
		return
	}
	if c.sealed != nil && n <= c.sealed.inside {
		c.load(lo, n, workers, func(inside *compaction) { inside.offset(lo, n, z, workers) })
		return
	}
	half := n / 2
	low := uint64(half - 1) // the bits of a number modulo half
	m := c.between(lo, lo+half)
	if c.alone(n, workers) {
		c.offset(lo, half, z&low, workers)
		c.offset(lo+half, half, (z+m)&low, workers)
	} else {
		inParallel(workers, func(w int) { c.offset(lo, half, z&low, w) }, func(w int) { c.offset(lo+half, half, (z+m)&low, w) })
	}
	flip := less((z&low)+m, uint64(half)) ^ less(z, uint64(half))
	c.exchange(lo, lo+half, half, (z+m)&low, flip, workers)
}

// load has f work on n rows from lo in memory.
func (c *compaction) load(lo, n, workers int, f func(inside *compaction)) {
	c.sealed.with(lo, n, workers, func(table *Table) {
		f(&compaction{table: table, trace: c.trace, counts: c.counts, first: c.first})
	})
}

// alone reports whether halves of n rows are worked on one after the other: there are
// too few of them, or they are not in memory.
func (c *compaction) alone(n, workers int) bool {
	return c.sealed != nil || workers < 2 || n < parallelRows
}

func (c *compaction) exchange(a, b, rows int, from, flip uint64, workers int) {
	if c.sealed != nil {
		c.sealed.exchange(a, b, rows, from, flip, workers)
		return
	}
	c.table.exchangeAll(a, b, rows, from, flip, workers)
}

// exchangeAll is exchange by several workers.
func (t *Table) exchangeAll(a, b, rows int, from, flip uint64, workers int) {
	if workers < 2 || rows < parallelRows {
		t.exchange(a, b, rows, from, flip)
		return
	}
	half := rows / 2
	inParallel(workers, func(w int) {
		t.exchangeAll(a, b, half, from, flip, w)
	}, func(w int) {
		t.exchangeAll(a+half, b+half, rows-half, after(from, half), flip, w)
	})
}

// after returns from as seen by rows that begin so many rows later: the difference, or
// 0 where it would be negative. from is secret.
func after(from uint64, rows int) uint64 {
	return (from - uint64(rows)) &^ less(from, uint64(rows))
}

// inParallel calls two functions at the same time, each with a part of the workers.
func inParallel(workers int, f, g func(workers int)) {
	var wait sync.WaitGroup
	wait.Go(func() { f(workers / 2) })
	g(workers - workers/2)
	wait.Wait()
}
