package oblivious

import (
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"sync"
)

// TagSize is the size in bytes of the tag of a crowd, at the beginning of each row.
const TagSize = 16

// Rules are what [Table.Threshold] decides by.
type Rules struct {
	// Min is the least number of rows of a crowd that is kept, after the drop. It is
	// public.
	Min uint32
	// Drop returns how many rows of a crowd are dropped at random. It is called for
	// each row, with its tag, and must be a function of the tag that takes constant
	// time and touches the same addresses for all tags.
	Drop func(tag *[TagSize]byte) uint32
	// Valid returns 1 for rows that count, and 0 for others, which are not kept
	// and belong to no crowd. It must take constant time. Nil means that all count.
	Valid func(row []byte) byte
}

// Threshold drops from each crowd as many rows as the rules require, at random, and
// all rows of crowds that then have less than the least number; brings the others to
// the front in random order; and returns how many they are. The crowd of a row is its
// first [TagSize] bytes, which must be pseudo-random under a key that the observer
// does not know. It fails, with the rows in any order, if rows are shorter than a tag.
func (t *Table) Threshold(seed [SeedSize]byte, rules Rules, workers int) (int, error) {
	if t.size < TagSize {
		return 0, fmt.Errorf("oblivious: rows of %d bytes have no room for a tag of %d", t.size, TagSize)
	}
	if rules.Drop == nil {
		return 0, errors.New("oblivious: the rules have no drop")
	}
	workers = max(1, workers)
	seeds, err := derive(seed)
	if err != nil {
		return 0, err
	}
	if err := t.Shuffle(seeds[0], workers); err != nil {
		return 0, err
	}
	source, err := newSource(seeds[1])
	if err != nil {
		return 0, err
	}
	keys := t.keys(source, rules.Valid)
	t.sort(keys, workers)
	kept, err := t.Compact(t.decide(keys, rules), workers)
	if err != nil {
		return 0, err
	}
	front := Table{words: t.words[:kept*t.width], rows: kept, size: t.size, width: t.width, trace: t.trace}
	return kept, front.Shuffle(seeds[2], workers)
}

// derive returns independent seeds for two shuffles and what lies between.
func derive(seed [SeedSize]byte) (seeds [3][SeedSize]byte, err error) {
	source, err := newSource(seed)
	if err != nil {
		return seeds, err
	}
	for i := range seeds {
		fill(source, seeds[i][:])
	}
	return seeds, nil
}

// A key is what a row is sorted by: its tag, and then at random.
type key struct {
	tag    [2]uint64
	random uint64
	row    uint32
	valid  uint32 // 0 or 1
}

// less returns all ones where k comes before l, and else 0, in constant time.
func (k *key) less(l *key) uint64 {
	_, borrow := bits.Sub64(k.random, l.random, 0)
	_, borrow = bits.Sub64(k.tag[1], l.tag[1], borrow)
	_, borrow = bits.Sub64(k.tag[0], l.tag[0], borrow)
	return -borrow
}

// same returns all ones where two keys are of one crowd, and else 0.
func (k *key) same(l *key) uint64 {
	return ^nonzero(k.tag[0] ^ l.tag[0] | k.tag[1] ^ l.tag[1])
}

// keys returns the key of each row. One that does not count is a crowd of its own,
// under a random tag.
func (t *Table) keys(source cipher.Stream, valid func([]byte) byte) []key {
	t.traced(traceScan, 0, t.rows, 0)
	const drawn = 3 * wordSize
	keys := make([]key, t.rows)
	random := make([]byte, blockRows*drawn)
	bytes := make([]byte, 0, t.width*wordSize)
	for i := range keys {
		at := i % blockRows * drawn
		if at == 0 {
			fill(source, random)
		}
		row := t.row(i)
		k := &keys[i]
		k.row, k.valid = uint32(i), 1
		if valid != nil {
			bytes = t.appendRow(bytes[:0], i)
			k.valid = uint32(valid(bytes) & 1)
		}
		k.random = binary.LittleEndian.Uint64(random[at:])
		mask := -uint64(k.valid)
		for j := range k.tag {
			own := binary.LittleEndian.Uint64(random[at+(j+1)*wordSize:])
			k.tag[j] = bits.ReverseBytes64(row[j])&mask | own&^mask
		}
	}
	return keys
}

// sort sorts the keys, and the rows with them. Its trace is a function of the order
// of the keys.
func (t *Table) sort(keys []key, workers int) {
	t.sortKeys(keys, workers)
	moved := make([]uint64, t.width)
	done := make([]bool, len(keys)) // the way of the cycles is that of the order
	for i := range keys {
		if done[i] {
			continue
		}
		copy(moved, t.row(i))
		at := i
		for {
			done[at] = true
			from := int(keys[at].row)
			t.traced(traceMove, from, at, 1)
			if from == i {
				copy(t.row(at), moved)
				break
			}
			copy(t.row(at), t.row(from))
			at = from
		}
	}
}

func (t *Table) sortKeys(keys []key, workers int) {
	if workers < 2 || len(keys) < parallelRows || t.trace != nil {
		slices.SortFunc(keys, t.compare)
		return
	}
	half := len(keys) / 2
	var wait sync.WaitGroup
	wait.Go(func() { t.sortKeys(keys[:half], workers/2) })
	t.sortKeys(keys[half:], workers-workers/2)
	wait.Wait()
	merge(keys, half)
}

// compare returns the order of two keys. They differ, except with a probability of
// 2^-64 for each two rows of a crowd.
func (t *Table) compare(a, b key) int {
	t.traced(traceCompare, int(a.row), int(b.row), 1)
	return int(int64(a.less(&b))) - int(int64(b.less(&a)))
}

// merge merges two sorted halves.
func merge(keys []key, half int) {
	left := slices.Clone(keys[:half])
	right := keys[half:]
	for i := range keys {
		switch {
		case len(left) == 0:
			return
		case len(right) > 0 && right[0].less(&left[0]) != 0:
			keys[i], right = right[0], right[1:]
		default:
			keys[i], left = left[0], left[1:]
		}
	}
}

// decide returns the mark of each row, where rows of a crowd are neighbours.
func (t *Table) decide(keys []key, rules Rules) []byte {
	t.traced(traceScan, 0, t.rows, 1)
	size := make([]uint32, len(keys)) // of the crowd up to the row
	for i := range keys {
		n := uint64(1)
		if i > 0 {
			n += uint64(size[i-1]) & keys[i].same(&keys[i-1])
		}
		size[i] = uint32(n)
	}
	t.traced(traceScan, t.rows, 0, 1)
	marks := make([]byte, len(keys))
	total := uint64(0)
	for i := len(keys) - 1; i >= 0; i-- {
		k := &keys[i]
		same := uint64(0)
		if i+1 < len(keys) {
			same = k.same(&keys[i+1])
		}
		rank := uint64(size[i])
		total = total&same | rank&^same
		var tag [TagSize]byte
		binary.BigEndian.PutUint64(tag[:], k.tag[0])
		binary.BigEndian.PutUint64(tag[8:], k.tag[1])
		drop := uint64(rules.Drop(&tag))
		enough := ^less(total, drop+uint64(rules.Min))
		marks[i] = byte(enough & less(drop, rank) & uint64(k.valid))
	}
	return marks
}
