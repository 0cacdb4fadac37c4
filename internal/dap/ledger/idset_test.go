package ledger

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/shoal-project/shoal/dap"
)

// FuzzIDSet compares a set with Go's map. Few distinct IDs make them meet.
func FuzzIDSet(f *testing.F) {
	f.Add([]byte{0, 1, 2, 1, 0, 255})
	f.Add([]byte("the zero ID is an ID like any other"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		s, want := newIDSet(), make(map[dap.ReportID]bool)
		for i, op := range ops {
			id := dap.ReportID{0: op >> 2, 15: op >> 2}
			if op&1 == 0 && i > 2 {
				id[7] = ops[i-1]
			}
			if s.has(id) != want[id] {
				t.Fatalf("%v: %t", id, s.has(id))
			}
			if op&2 == 0 {
				s.add(id)
				want[id] = true
			}
			if s.len() != len(want) {
				t.Fatalf("%d IDs, want %d", s.len(), len(want))
			}
		}
	})
}

// An ID in memory takes 24 bytes at most, and in a full page about 19 to 24.
func TestIDSetSize(t *testing.T) {
	s := newIDSet()
	r := rand.New(rand.NewPCG(1, 2))
	var sum float64
	const n = 200_000
	for i := range n {
		var id dap.ReportID
		binary.LittleEndian.PutUint64(id[:], r.Uint64())
		binary.LittleEndian.PutUint64(id[8:], r.Uint64())
		s.add(id)
		each := float64(s.size()) / float64(s.len())
		if i > 1000 && each > 24 {
			t.Fatalf("%.1f bytes an ID at %d IDs", each, s.len())
		}
		sum += each
	}
	t.Logf("%.1f bytes an ID on average while growing to %d", sum/n, n)
}

// FuzzBlock gives Check what a damaged store could hold. What it lets pass can be
// merged, and merging loses and doubles nothing.
func FuzzBlock(f *testing.F) {
	f.Add(uint32(1), []byte("sixteen bytes, 1sixteen bytes, 2"), []byte("sixteen bytes, 2"))
	f.Add(uint32(0), []byte("sixteen bytes, 2sixteen bytes, 1"), []byte("short"))
	f.Fuzz(func(t *testing.T, seq uint32, a, b []byte) {
		blocks := []Block{{Seq: seq, IDs: a}, {Seq: seq + 1, IDs: b}}
		m, err := merge(blocks)
		if (blocks[0].Check() == nil && blocks[1].Check() == nil) != (err == nil) {
			t.Fatalf("merge: %v", err)
		}
		if err != nil {
			return
		}
		set := make(map[string]bool)
		for _, ids := range [][]byte{a, b} {
			for i := 0; i < len(ids); i += IDSize {
				set[string(ids[i:i+IDSize])] = true
			}
		}
		if len(m.IDs) != len(set)*IDSize || m.Seq != seq+1 {
			t.Fatalf("%d IDs as block %d, want %d as %d", len(m.IDs)/IDSize, m.Seq, len(set), seq+1)
		}
		for i := 0; i < len(m.IDs); i += IDSize {
			if !set[string(m.IDs[i:i+IDSize])] {
				t.Fatal("an ID that was not there")
			}
		}
	})
}

// The marks of random intervals are those of a set of units.
func TestMarks(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var m marks
		set := make(map[dap.Time]bool)
		for range 12 {
			i := dap.Interval{Start: dap.Time(r.IntN(60)), Duration: dap.Duration(1 + r.IntN(6))}
			first, last := i.Start, i.Start+dap.Time(i.Duration)-1
			want := false
			for at := first; at <= last; at++ {
				want = want || set[at]
			}
			if m.overlaps(first, last) != want {
				t.Fatalf("%v overlaps %v: %t", m.intervals, i, !want)
			}
			if err := m.add(dap.IntervalSelector(i)); err != nil {
				t.Fatal(err)
			}
			for at := first; at <= last; at++ {
				set[at] = true
			}
			for at := range dap.Time(70) {
				if m.collected(dap.TimeIntervalMode, dap.Bucket{Unit: at}) != set[at] {
					t.Fatalf("unit %d of %v", at, m.intervals)
				}
			}
		}
	}
}
