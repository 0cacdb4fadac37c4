package leader_test

import (
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
)

// A batch must wait for all jobs that may add to it, whatever their round, and two
// collections clash if any report may be in both.
func TestOverlaps(t *testing.T) {
	interval := func(start dap.Time, length dap.Duration) dap.Interval {
		return dap.Interval{Start: start, Duration: length}
	}
	one, two := dap.BatchID{1}, dap.BatchID{2}
	for _, tt := range []struct {
		what     string
		interval dap.Interval
		batch    dap.BatchID
		span     dap.Interval
		jobs     dap.BatchID
		want     bool
	}{
		{"the same interval", interval(10, 2), dap.BatchID{}, interval(10, 2), dap.BatchID{}, true},
		{"the last unit", interval(10, 2), dap.BatchID{}, interval(11, 5), dap.BatchID{}, true},
		{"the unit after the last", interval(10, 2), dap.BatchID{}, interval(12, 5), dap.BatchID{}, false},
		{"the first unit", interval(10, 2), dap.BatchID{}, interval(5, 6), dap.BatchID{}, true},
		{"the unit before the first", interval(10, 2), dap.BatchID{}, interval(5, 5), dap.BatchID{}, false},
		{"inside", interval(10, 9), dap.BatchID{}, interval(12, 1), dap.BatchID{}, true},
		{"the same batch", dap.Interval{}, one, interval(12, 1), one, true},
		{"another batch", dap.Interval{}, one, interval(12, 1), two, false},
		{"no batch yet", dap.Interval{}, dap.BatchID{}, interval(12, 1), one, false},
	} {
		c := leader.Collection{Interval: tt.interval, Batch: tt.batch}
		for _, round := range []int{0, 1, 2, 7} {
			for _, turned := range []bool{false, true} {
				j := leader.Job{Span: tt.span, Batch: tt.jobs, Round: round, Turned: turned}
				if got := c.Overlaps(&j); got != tt.want {
					t.Errorf("%s, round %d, turned %v: overlaps %v, want %v", tt.what, round, turned, got, tt.want)
				}
			}
		}
		o := leader.Collection{Interval: tt.span, Batch: tt.jobs}
		if tt.interval.Duration == 0 {
			o.Interval = dap.Interval{}
		}
		if got := c.Clashes(&o); got != tt.want {
			t.Errorf("%s: clashes %v, want %v", tt.what, got, tt.want)
		}
	}
}
