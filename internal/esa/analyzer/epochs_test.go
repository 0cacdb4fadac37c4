package analyzer_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/metric/task"
)

// TestUnreleasedOf: an epoch has one state, which changes with the time and with what
// the catalogue has.
func TestUnreleasedOf(t *testing.T) {
	const hour = 3600
	base := int64(1_800_000_000) / hour * hour
	q := &task.Task{Metric: "m", EpochSeconds: hour, MaxDelay: 600, ClockSkew: 60, NotBefore: base, Expires: base + 10*hour, Method: task.Crowd}
	first := q.EpochAt(time.Unix(base, 0))
	entry := func(e int, released bool) analyzer.Entry {
		out := analyzer.Entry{Batch: analyzer.Batch{Epoch: first + task.Epoch(e), State: analyzer.Received}}
		if released {
			out.State, out.Manifest = analyzer.Released, &analyzer.Manifest{}
		}
		return out
	}
	for name, c := range map[string]struct {
		at      float64 // hours since the first epoch began
		entries []analyzer.Entry
		gone    bool
		most    int
		want    string
	}{
		"nothing has closed":           {1, nil, false, 100, "[]"},
		"one has closed":               {1.5, nil, false, 100, "[0:waiting]"},
		"the grace is over":            {1.5 + 48, []analyzer.Entry{entry(0, true)}, false, 3, "[7:too few 8:too few 9:too few]"},
		"nothing ever came":            {1.5 + 48, nil, false, 3, "[9:too few]"},
		"a later one came":             {4.5, []analyzer.Entry{entry(0, true), entry(2, true)}, false, 100, "[1:too few 3:waiting]"},
		"a later one came just now":    {3.1, []analyzer.Entry{entry(0, true), entry(2, true)}, false, 100, "[1:waiting]"},
		"before the first batch":       {4.5, []analyzer.Entry{entry(2, true)}, false, 100, "[3:waiting]"},
		"all came":                     {3.3, []analyzer.Entry{entry(0, true), entry(1, true), entry(2, true)}, false, 100, "[]"},
		"it is being released":         {1.5, []analyzer.Entry{entry(0, false)}, false, 100, "[0:waiting]"},
		"its file is gone":             {1.5, []analyzer.Entry{entry(0, false)}, true, 100, "[0:missing]"},
		"no more rows than are wanted": {5.5, []analyzer.Entry{entry(2, true), entry(4, true)}, false, 3, "[3:too few]"},
		"before the first epoch":       {-5, nil, false, 100, "[]"},
	} {
		now := time.Unix(base, 0).Add(time.Duration(c.at * float64(time.Hour)))
		var got []string
		for _, u := range analyzer.UnreleasedOf(q, now, 24*time.Hour, c.entries, math.MaxInt64, c.most, func(analyzer.Batch) bool { return c.gone }) {
			got = append(got, fmt.Sprintf("%d:%s", u.Epoch-first, u.State))
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}
