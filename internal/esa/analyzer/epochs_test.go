package analyzer_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/metric/task"
)

// TestUnreleasedOf: an epoch has one state, which changes with the time, with what the
// catalogue has and with what the shuffler states. On 0caf301 there were none.
func TestUnreleasedOf(t *testing.T) {
	const hour = 3600
	base := int64(1_800_000_000) / hour * hour
	of := &task.Task{Metric: "m", EpochSeconds: hour, MaxDelay: 600, ClockSkew: 60, NotBefore: base, Expires: base + 10*hour, Method: task.Crowd}
	begin := of.EpochAt(time.Unix(base, 0))
	entry := func(e int, released bool) analyzer.Entry {
		out := analyzer.Entry{Batch: analyzer.Batch{Epoch: begin + task.Epoch(e), State: analyzer.Received}}
		if released {
			out.State, out.Manifest = analyzer.Released, &analyzer.Manifest{}
		}
		return out
	}
	span := func(first, last int) esa.Epochs {
		return esa.EpochsOf(esa.Span{First: begin + task.Epoch(first), Last: begin + task.Epoch(last)})
	}
	none := esa.Coverage{}
	for name, c := range map[string]struct {
		at      float64 // hours since the first epoch began
		entries []analyzer.Entry
		stated  esa.Coverage
		gone    bool
		since   float64 // as at; 0 is never
		most    int
		want    string
	}{
		"nothing has closed":             {at: 1, most: 100, want: "[]"},
		"one has closed":                 {at: 1.5, most: 100, want: "[0:waiting]"},
		"it is stated":                   {at: 1.5, stated: esa.Coverage{Complete: span(0, 0)}, most: 100, want: "[0:too few]"},
		"a loss is stated":               {at: 1.5, stated: esa.Coverage{Lost: span(0, 0)}, most: 100, want: "[0:missing]"},
		"the grace is over":              {at: 1.5 + 48, entries: []analyzer.Entry{entry(0, true)}, most: 3, want: "[7:missing 8:missing 9:missing]"},
		"the grace is over, one stated":  {at: 1.5 + 48, entries: []analyzer.Entry{entry(0, true)}, stated: esa.Coverage{Complete: span(8, 8)}, most: 3, want: "[7:missing 8:too few 9:missing]"},
		"nothing ever came":              {at: 1.5 + 48, most: 3, want: "[9:missing]"},
		"nothing ever came, as stated":   {at: 1.5 + 48, stated: esa.Coverage{Complete: span(0, 9)}, most: 3, want: "[9:too few]"},
		"a later one came":               {at: 4.5, entries: []analyzer.Entry{entry(0, true), entry(2, true)}, stated: none, most: 100, want: "[1:waiting 3:waiting]"},
		"a later one came and is stated": {at: 4.5, entries: []analyzer.Entry{entry(0, true), entry(2, true)}, stated: esa.Coverage{Complete: span(0, 2)}, most: 100, want: "[1:too few 3:waiting]"},
		"before the first batch":         {at: 4.5, entries: []analyzer.Entry{entry(2, true)}, most: 100, want: "[3:waiting]"},
		"all came":                       {at: 3.3, entries: []analyzer.Entry{entry(0, true), entry(1, true), entry(2, true)}, most: 100, want: "[]"},
		"it came although lost":          {at: 1.5, entries: []analyzer.Entry{entry(0, true)}, stated: esa.Coverage{Lost: span(0, 0)}, most: 100, want: "[]"},
		"it is being released":           {at: 1.5, entries: []analyzer.Entry{entry(0, false)}, stated: esa.Coverage{Complete: span(0, 0)}, most: 100, want: "[0:waiting]"},
		"its file is gone":               {at: 1.5, entries: []analyzer.Entry{entry(0, false)}, stated: esa.Coverage{Complete: span(0, 0)}, gone: true, most: 100, want: "[0:missing]"},
		"no more rows than are wanted":   {at: 5.5, entries: []analyzer.Entry{entry(2, true), entry(4, true)}, stated: esa.Coverage{Complete: span(0, 4)}, most: 3, want: "[3:too few]"},
		"before the first epoch":         {at: -5, most: 100, want: "[]"},
		"the analyzer was restored":      {at: 4.5, entries: []analyzer.Entry{entry(0, true)}, stated: esa.Coverage{Complete: span(0, 3)}, since: 2.5, most: 100, want: "[1:waiting 2:too few 3:too few]"},
		"it was, and the grace is over":  {at: 1.5 + 48, entries: []analyzer.Entry{entry(7, true)}, stated: esa.Coverage{Complete: span(0, 9)}, since: 9.5, most: 100, want: "[8:missing 9:too few]"},
	} {
		moment := func(hours float64) time.Time {
			return time.Unix(base, 0).Add(time.Duration(hours * float64(time.Hour)))
		}
		q := analyzer.Span{Now: moment(c.at), Grace: 24 * time.Hour, Before: math.MaxInt64, Most: c.most}
		if c.since != 0 {
			q.Since = moment(c.since)
		}
		var got []string
		for _, u := range analyzer.UnreleasedOf(of, q, c.entries, c.stated, func(analyzer.Batch) bool { return c.gone }) {
			got = append(got, fmt.Sprintf("%d:%s", u.Epoch-begin, u.State))
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}
