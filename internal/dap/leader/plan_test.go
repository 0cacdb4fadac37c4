package leader

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/segment"
	"github.com/shoal-project/shoal/vdaf"
)

// Whatever the reports: each is in exactly one job, jobs are no larger than they
// may be, batches no larger than the minimum, and of one window.
func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(480_010*3600, 0)
		p := &planner{
			log: Log{Task: dap.TaskID{1}, Number: 3, Node: "n"}, now: now, precision: 3600,
			size: rapid.IntRange(1, 5).Draw(t, "size"), selected: rapid.Bool().Draw(t, "selected"),
			fill: uint64(rapid.IntRange(1, 7).Draw(t, "fill")), window: dap.Duration(rapid.IntRange(0, 3).Draw(t, "window")),
		}
		made := uint64(0)
		p.newBatch = func() (id dap.BatchID, err error) {
			made++
			binary.BigEndian.PutUint64(id[:], made)
			return id, nil
		}
		var known []Batch
		if p.selected {
			for i := range rapid.IntRange(0, 3).Draw(t, "known batches") {
				w := dap.Time(480_008)
				if p.window > 0 {
					w -= w % dap.Time(p.window)
				} else {
					w = 0
				}
				known = append(known, Batch{ID: dap.BatchID{9, byte(i)}, Window: w, Count: rapid.Uint64Range(0, p.fill).Draw(t, "count")})
			}
			p.batches = slices.Clone(known)
		}
		times := make(map[int64]dap.Time)
		at := int64(0)
		for range rapid.IntRange(1, 40).Draw(t, "reports") {
			at += int64(rapid.IntRange(1, 3).Draw(t, "gap"))
			times[at] = dap.Time(480_008 + rapid.IntRange(0, 5).Draw(t, "time"))
			if err := p.add(at, times[at]); err != nil {
				t.Fatal(err)
			}
		}
		c := p.creation()
		room := make(map[dap.BatchID]uint64)
		windows := make(map[dap.BatchID]dap.Time)
		for _, b := range append(known, c.Batches...) {
			room[b.ID], windows[b.ID] = p.fill-min(b.Count, p.fill), b.Window
		}
		planned := make(map[int64]bool)
		for _, j := range c.Jobs {
			if j.Reports < 1 || j.Reports > p.size || j.Due.Before(now) {
				t.Fatalf("job %+v", j)
			}
			n := 0
			for i := j.From; i < j.To; i++ {
				if j.Skip.Has(i - j.From) {
					continue
				}
				n++
				tm, there := times[i]
				if !there || planned[i] || !j.Span.Contains(tm) {
					t.Fatalf("record %d, job %+v", i, j)
				}
				planned[i] = true
				if p.selected && p.window > 0 && tm-tm%dap.Time(p.window) != windows[j.Batch] {
					t.Fatalf("record %d of time %d is in a batch of window %d", i, tm, windows[j.Batch])
				}
			}
			if n != j.Reports {
				t.Fatalf("a job of %d reports says %d", n, j.Reports)
			}
			if !p.selected {
				continue
			}
			if uint64(n) > room[j.Batch] {
				t.Fatalf("batch %v has more than %d reports", j.Batch, p.fill)
			}
			room[j.Batch] -= uint64(n)
		}
		if len(planned) != len(times) {
			t.Fatalf("%d of %d reports are in jobs", len(planned), len(times))
		}
	})
}

// Of a job, a successor has the reports that it is given, and no others.
func TestSuccessor(t *testing.T) {
	j := Job{From: 10, To: 20, Round: 1, Turned: true, Log: 4}
	next, ok := successor(&j, []jobPart{{15, 7}, {12, 9}}, time.Unix(5, 0))
	if !ok || next.From != 12 || next.To != 16 || next.Reports != 2 || next.Round != 2 || !next.Turned || next.Log != 4 {
		t.Fatalf("successor %+v", next)
	}
	if want := (dap.Interval{Start: 7, Duration: 3}); next.Span != want {
		t.Errorf("span %v, want %v", next.Span, want)
	}
	for i, want := range []bool{false, true, true, false} {
		if next.Skip.Has(int64(i)) != want {
			t.Errorf("record %d is skipped: %v", 12+i, !want)
		}
	}
	if _, ok := successor(&j, nil, time.Unix(5, 0)); ok {
		t.Error("a job of no reports")
	}
}

// The cursor finds any ranges in any order.
func TestCursor(t *testing.T) {
	log, _, err := segment.Open("log", segment.Options{FS: durable.Mem(), MaxSegment: 200})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	const n = 50
	for i := range n {
		if err := log.Append(t.Context(), fmt.Appendf(nil, "record %d", i)); err != nil {
			t.Fatal(err)
		}
	}
	c := &cursor{log: log}
	defer c.close()
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Int64Range(0, n-1).Draw(t, "first")
		end := rapid.Int64Range(first+1, n+3).Draw(t, "end")
		var skip Bitmap
		var want [][]byte
		for i := first; i < min(end, n); i++ {
			if rapid.Bool().Draw(t, "skip") {
				skip = skip.with(i - first)
			} else {
				want = append(want, fmt.Appendf(nil, "record %d", i))
			}
		}
		got, lost, err := c.records(first, end, skip)
		if err != nil || lost != max(0, end-n) || !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("records %d to %d: %q, %d lost, error %v", first, end, got, lost, err)
		}
	})
}

// Recent IDs are remembered up to twice the limit, and no further.
func TestRecent(t *testing.T) {
	r := newRecent(3)
	id := func(i int) dap.ReportID { return dap.ReportID{byte(i)} }
	for i := range 20 {
		if r.has(id(i)) {
			t.Fatalf("ID %d was there before", i)
		}
		r.add(id(i))
		for k := max(0, i-2); k <= i; k++ {
			if !r.has(id(k)) {
				t.Fatalf("ID %d is forgotten after %d", k, i)
			}
		}
		if len(r.young)+len(r.old) > 6 {
			t.Fatalf("%d IDs are kept", len(r.young)+len(r.old))
		}
	}
	if r.has(id(1)) {
		t.Error("an old ID is remembered")
	}
}

func TestCoarse(t *testing.T) {
	for _, c := range []struct{ missing, minimum, want uint64 }{
		{1, 100, 25}, {25, 100, 25}, {26, 100, 50}, {100, 100, 100}, {1, 3, 1}, {2, 3, 2}, {3, 3, 3}, {7, 10, 8}, {9, 10, 10},
	} {
		if got := coarse(c.missing, c.minimum); got != c.want {
			t.Errorf("%d of %d: %d, want %d", c.missing, c.minimum, got, c.want)
		}
	}
}

// Jobs of small reports are bounded by number, those of large ones by bytes.
func TestJobSize(t *testing.T) {
	small, err := vdaf.Count()
	if err != nil {
		t.Fatal(err)
	}
	if n := jobSize(small, 1000, 16<<20); n != 1000 {
		t.Errorf("jobs of %d counts", n)
	}
	large, err := vdaf.Histogram(100_000, 316)
	if err != nil {
		t.Fatal(err)
	}
	if n := jobSize(large, 1000, 16<<20); n < 2 || n > 20 {
		t.Errorf("jobs of %d large histograms", n)
	}
	if n := jobSize(large, 1000, 1); n != 1 {
		t.Errorf("jobs of %d reports that are larger than a job may be", n)
	}
}
