package stages

import (
	"bytes"
	"container/heap"
	"context"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa"
)

// A crowd of one of two tags: how many reports have it, and of those that are dropped the
// keys, the largest first.
type crowd struct {
	n       uint64
	dropped keys
	drop    int
	small   bool // all go
}

// ShuffleTwo is Shuffle for tasks whose reports have two crowds: both are counted over all reports, and
// a report stays if it stays in both. A report whose two crowds are the same one counts in it once.
// The number of crowds must fit into memory.
func (r *Route) ShuffleTwo(ctx context.Context, b *Batch, threshold dp.Threshold) (esa.Counts, error) {
	crowds := map[esa.CrowdTag]*crowd{}
	var counts esa.Counts
	err := b.Scan(ctx, "reports", func(row []byte) error {
		counts.Received++
		for _, tag := range tagsOf(row) {
			c := crowds[tag]
			if c == nil {
				c = &crowd{}
				crowds[tag] = c
			}
			c.n++
		}
		return nil
	})
	if err != nil {
		return counts, err
	}
	for tag, c := range crowds {
		keep := threshold.Keep(c.n, dp.NewStream(b.Seed, "stages crowd noise", tag[:]))
		if c.drop, c.small = int(c.n-keep), keep == 0; c.small {
			counts.SuppressedCrowds++
		}
	}
	// Those with the smallest keys are dropped: keys are random.
	err = b.Scan(ctx, "reports", func(row []byte) error {
		for _, tag := range tagsOf(row) {
			if c := crowds[tag]; !c.small {
				c.dropped.offer([KeyWidth]byte(row), c.drop)
			}
		}
		return nil
	})
	if err != nil {
		return counts, err
	}
	err = b.derive(ctx, "reports", "remaining", b.Columns(), func(row []byte, w engine.Writer) error {
		for _, tag := range tagsOf(row) {
			if c := crowds[tag]; c.small || c.dropped.has([KeyWidth]byte(row)) {
				return nil
			}
		}
		counts.Released++
		return w.Write(row)
	})
	if err == nil {
		err = b.Permute(ctx, "remaining", "released")
	}
	if err == nil {
		err = b.Engine.Remove(ctx, "remaining")
	}
	return counts, err
}

// tagsOf returns the different tags of a row of a report with two crowds.
func tagsOf(row []byte) []esa.CrowdTag {
	a := esa.CrowdTag(row[KeyWidth:])
	if b := esa.CrowdTag(row[KeyWidth+CrowdWidth:]); b != a {
		return []esa.CrowdTag{a, b}
	}
	return []esa.CrowdTag{a}
}

// keys are some keys, as a heap of which the largest is the first.
type keys [][KeyWidth]byte

// offer keeps the key if it is among the n smallest so far.
func (k *keys) offer(key [KeyWidth]byte, n int) {
	switch {
	case len(*k) < n:
		heap.Push(k, key)
	case n > 0 && bytes.Compare(key[:], (*k)[0][:]) < 0:
		(*k)[0] = key
		heap.Fix(k, 0)
	}
}

// has reports whether the key is among those that are kept.
func (k *keys) has(key [KeyWidth]byte) bool {
	return len(*k) > 0 && bytes.Compare(key[:], (*k)[0][:]) <= 0
}

func (k keys) Len() int           { return len(k) }
func (k keys) Less(i, j int) bool { return bytes.Compare(k[i][:], k[j][:]) > 0 }
func (k keys) Swap(i, j int)      { k[i], k[j] = k[j], k[i] }

// Push implements [heap.Interface].
func (k *keys) Push(x any) { *k = append(*k, x.([KeyWidth]byte)) }

// Pop implements [heap.Interface].
func (k *keys) Pop() any {
	last := (*k)[len(*k)-1]
	*k = (*k)[:len(*k)-1]
	return last
}
