package oblivious

import (
	"errors"
	"fmt"
	"sync"
)

// The beginning of each row that a threshold is applied to: the tag of its crowd, its
// key, and a byte that is 1 for rows that count and 0 for others. Rows of one crowd and
// key are the same row, of which one counts.
const (
	TagSize  = 16
	KeySize  = 16
	HeadSize = TagSize + KeySize + 1
)

// Rules are what a threshold decides by.
type Rules struct {
	// Enough reports whether so many rows, that count and differ, are enough to go on.
	// It is called once, and its result is public. Nil means that any number is.
	Enough func(rows uint64) bool
	// Keep returns how many of the rows of a crowd are kept, at most all: those with the
	// greatest keys. It is called for each row, with the tag of its crowd and how many
	// rows that has, by several workers, and must take time and touch addresses that do
	// not depend on these. Nil means that all are kept.
	Keep func(tag *[TagSize]byte, rows uint64) uint64
}

// An Outcome is what a threshold makes public.
type Outcome struct {
	Enough bool
	Kept   int // rows; 0 if there were not enough
}

// A body is rows in memory, or sealed.
type body interface {
	Rows() int
	// shuffleFirst shuffles the first n rows, and returns how many rows these now are:
	// there may be empty ones among them.
	shuffleFirst(n int, seed [SeedSize]byte, workers int) (int, error)
	// compactBy brings marked rows to the front, by how many are marked up to each.
	compactBy(counts []uint32, workers int) error
	// visit calls f for the first n rows, in order.
	visit(n, workers int, change bool, f func(i int, row []uint64) error) error
}

// Threshold keeps of each crowd as many rows as the rules say, brings them to the front
// in random order, and drops the others. Keys must look random to the senders of rows,
// as an image of the row under a secret permutation does: then the rows that are
// dropped are random ones. It fails, with the rows in any order, if rows are shorter
// than [HeadSize].
func (t *Table) Threshold(seed [SeedSize]byte, rules Rules, workers int) (Outcome, error) {
	_, outcome, err := threshold(t, t.trace, t.size, seed, rules, workers)
	return outcome, err
}

// threshold is Threshold for rows anywhere. It returns how many rows at the front are
// to be read: those that are kept, and empty ones.
func threshold(b body, t tracer, size int, seed [SeedSize]byte, rules Rules, workers int) (int, Outcome, error) {
	if size < HeadSize {
		return 0, Outcome{}, fmt.Errorf("oblivious: rows of %d bytes have no room for tag, key and flag of %d", size, HeadSize)
	}
	workers = max(1, workers)
	seeds, err := derive(seed)
	if err != nil {
		return 0, Outcome{}, err
	}
	if _, err := b.shuffleFirst(b.Rows(), seeds[0], workers); err != nil {
		return 0, Outcome{}, err
	}
	keys, err := readKeys(b, workers)
	if err != nil {
		return 0, Outcome{}, err
	}
	o := ordered{t, keys}
	o.sort(workers)
	if rows := o.count(); rules.Enough != nil && !rules.Enough(rows) {
		return 0, Outcome{}, nil
	}
	counts := o.decide(rules.Keep, workers)
	kept := lastOf(counts)
	if err := b.compactBy(counts, workers); err != nil {
		return 0, Outcome{}, err
	}
	front, err := b.shuffleFirst(kept, seeds[1], workers)
	return front, Outcome{Enough: true, Kept: kept}, err
}

// errRows means that rows were lost between, which no input causes.
var errRows = errors.New("oblivious: another number of rows came out than was kept")

// derive returns independent seeds for two shuffles.
func derive(seed [SeedSize]byte) (seeds [2][SeedSize]byte, err error) {
	source, err := newSource(seed)
	if err != nil {
		return seeds, err
	}
	for i := range seeds {
		fill(source, seeds[i][:])
	}
	return seeds, nil
}

// count numbers the rows of each crowd, in the order of their keys, and enters how many
// rows that has: equal rows once, and none that does not count. It returns how many
// rows count.
func (o ordered) count() uint64 {
	all := uint64(0)
	var last key // as it was before its words were replaced
	rank := uint64(0)
	for i := range o.keys {
		o.trace.at(traceKey, i)
		k := &o.keys[i]
		same := k.sameCrowd(&last) & -min(uint64(i), 1)
		again := same & k.sameKey(&last) & -uint64(last.valid)
		last = *k
		counts := uint64(k.valid) &^ again
		all += counts
		rank = rank&same + counts
		k.key[0], k.valid = rank, uint32(counts)
	}
	total := uint64(0)
	last = key{}
	for i := len(o.keys) - 1; i >= 0; i-- {
		o.trace.at(traceKey, i)
		k := &o.keys[i]
		same := k.sameCrowd(&last) & -min(uint64(len(o.keys)-1-i), 1)
		total = total&same | k.key[0]&^same
		k.key[1] = total
		last = *k
	}
	return all
}

// decide returns, for each row in the order of the table, how many up to it are kept.
func (o ordered) decide(keep func(*[TagSize]byte, uint64) uint64, workers int) []uint32 {
	counts := make([]uint32, len(o.keys))
	if o.trace.on() {
		workers = 1
	}
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for i := w * len(o.keys) / workers; i < (w+1)*len(o.keys)/workers; i++ {
				o.trace.at(traceKey, i)
				k := &o.keys[i]
				o.trace.at(traceCount, int(k.row))
				counts[k.row] = uint32(k.kept(keep))
			}
		})
	}
	wait.Wait()
	sum := uint32(0)
	for i, kept := range counts {
		o.trace.at(traceCount, i)
		sum += kept
		counts[i] = sum
	}
	return counts
}

// kept returns 1 if the row of a key is kept, and else 0: of its crowd the first rows
// are dropped.
func (k *key) kept(keep func(*[TagSize]byte, uint64) uint64) uint64 {
	rank, total := k.key[0], k.key[1]
	n := total
	if keep != nil {
		tag := k.tagBytes()
		n = keep(&tag, total)
	}
	return less(total-n, rank) & uint64(k.valid)
}
