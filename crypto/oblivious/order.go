package oblivious

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
)

// A key is what a row is sorted by: its crowd, its key, and the place that the first
// shuffle has given it, which no two rows share.
type key struct {
	tag   [2]uint64
	key   [2]uint64 // later: the rank of the row in its crowd, and how many rows that has
	row   uint32
	valid uint32 // 0 or 1
}

// less returns all ones where k comes before l, and else 0, in constant time.
func (k *key) less(l *key) uint64 {
	_, borrow := bits.Sub64(uint64(k.row), uint64(l.row), 0)
	_, borrow = bits.Sub64(k.key[1], l.key[1], borrow)
	_, borrow = bits.Sub64(k.key[0], l.key[0], borrow)
	_, borrow = bits.Sub64(k.tag[1], l.tag[1], borrow)
	_, borrow = bits.Sub64(k.tag[0], l.tag[0], borrow)
	return -borrow
}

// sameCrowd returns all ones where two keys are of one crowd, and else 0.
func (k *key) sameCrowd(l *key) uint64 {
	return ^nonzero((k.tag[0] ^ l.tag[0]) | (k.tag[1] ^ l.tag[1]))
}

// sameKey returns all ones where two keys are equal, whatever crowd and place, and else 0.
func (k *key) sameKey(l *key) uint64 {
	return ^nonzero((k.key[0] ^ l.key[0]) | (k.key[1] ^ l.key[1]))
}

func (k *key) tagBytes() (tag [TagSize]byte) {
	binary.BigEndian.PutUint64(tag[:], k.tag[0])
	binary.BigEndian.PutUint64(tag[8:], k.tag[1])
	return tag
}

// readKeys returns the key of each row. Those that do not count come last.
func readKeys(b body, workers int) ([]key, error) {
	keys := make([]key, b.Rows())
	err := b.visit(len(keys), workers, false, func(i int, row []uint64) error {
		k := &keys[i]
		k.row, k.valid = uint32(i), uint32(row[4]&1)
		beyond := ^-uint64(k.valid)
		for j := range 2 {
			k.tag[j] = bits.ReverseBytes64(row[j]) | beyond
			k.key[j] = bits.ReverseBytes64(row[2+j]) | beyond
		}
		return nil
	})
	return keys, err
}

// An ordered is keys that are sorted. What an observer sees of the sort is a function
// of their order, which the first shuffle has made a random one.
type ordered struct {
	trace tracer
	keys  []key
}

func (o ordered) sort(workers int) {
	if workers < 2 || len(o.keys) < parallelRows || o.trace.on() {
		slices.SortFunc(o.keys, o.compare)
		return
	}
	half := len(o.keys) / 2
	var wait sync.WaitGroup
	wait.Go(func() { ordered{o.trace, o.keys[:half]}.sort(workers / 2) })
	ordered{o.trace, o.keys[half:]}.sort(workers - workers/2)
	wait.Wait()
	merge(o.keys, half)
}

// compare returns the order of two keys of different rows.
func (o ordered) compare(a, b key) int {
	before, after := a.less(&b), b.less(&a)
	o.trace.at(traceCompare, int(a.row))
	o.trace.at(traceCompare, int(b.row))
	o.trace.at(traceCompare, int(before&1))
	return int(int64(before)) - int(int64(after))
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
