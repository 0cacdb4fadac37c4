package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/ledger"
)

// Bench measures commits of jobs of several sizes, one after another, as one
// process makes them: reports of two days, and a total of 200 bytes for each. It
// reports the time of a report, and the growth of the store by size, in bytes a
// report.
func Bench(b *testing.B, open func(b *testing.B) (s ledger.Store, size func() int64)) {
	for _, n := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint("job of ", n), func(b *testing.B) {
			s, size := open(b)
			if _, err := s.Begin(b.Context(), task, ledger.Layout{Window: 1, Shards: 1}); err != nil {
				b.Fatal(err)
			}
			random := rand.NewChaCha8([32]byte{1})
			before := size()
			reports := 0
			var tail [2]int // blocks that compaction would join
			seq := [2]uint32{}
			for b.Loop() {
				c := ledger.Change{Task: task, Merge: func(ledger.Place, []byte) ([]byte, error) { return make([]byte, 200), nil }}
				for day := range 2 {
					seq[day]++
					c.Blocks = append(c.Blocks, randomBlock(random, uint64(day), seq[day], n/2))
					c.Deltas = append(c.Deltas, ledger.Delta{Place: unit(dap.Time(day), 0), Latest: dap.Time(day)})
				}
				if err := s.Commit(b.Context(), c); err != nil {
					b.Fatal(err)
				}
				reports += n
				for day := range 2 {
					if tail[day]++; tail[day] == 32 && n < 2048 {
						tail[day] = 0
						if err := compactTail(b, s, ledger.Page{Window: uint64(day)}, seq[day], 32); err != nil {
							b.Fatal(err)
						}
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(reports), "ns/report")
			b.ReportMetric(float64(size()-before)/float64(reports), "bytes/report")
		})
	}
}

func randomBlock(random *rand.ChaCha8, window uint64, seq uint32, n int) ledger.Block {
	list := make([]string, n)
	for i := range list {
		var id dap.ReportID
		random.Read(id[:])
		list[i] = string(id[:])
	}
	slices.Sort(list)
	block := ledger.Block{Page: ledger.Page{Window: window}, Seq: seq}
	for _, id := range list {
		block.IDs = append(block.IDs, id...)
	}
	return block
}

// compactTail joins the last blocks of a page.
func compactTail(b *testing.B, s ledger.Store, page ledger.Page, last uint32, count int) error {
	after := last - uint32(count)
	blocks, err := s.Blocks(b.Context(), task, page, after)
	if err != nil {
		return err
	}
	var list []string
	for _, block := range blocks {
		for id := range slices.Chunk(block.IDs, ledger.IDSize) {
			list = append(list, string(id))
		}
	}
	if len(blocks) != count {
		return errors.New("another number of blocks")
	}
	slices.Sort(list)
	joined := ledger.Block{Page: page, Seq: last}
	for _, id := range list {
		joined.IDs = append(joined.IDs, id...)
	}
	return s.Compact(b.Context(), task, ledger.Compaction{After: after, Last: last, Count: count, Blocks: []ledger.Block{joined}})
}
