package console

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/internal/store/duckdb"
	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
)

func TestCrowdLabel(t *testing.T) {
	columns := []analyzer.Column{
		{Name: "program", Type: analyzer.Text},
		{Name: "size", Type: analyzer.Integer},
		{Name: "ripe", Type: analyzer.Boolean},
		{Name: "api_net", Type: analyzer.Boolean, Value: "net"},
		{Name: "words", Type: analyzer.Text, List: true},
	}
	for want, row := range map[string]analyzer.Row{
		"editor · 7 · ripe · net · a · b": {"editor", int64(7), true, true, []any{"a", "b"}},
		"not ripe":                        {nil, nil, false, false, nil},
		"(empty)":                         {nil, nil, nil, nil, nil},
	} {
		if got := crowdLabel(columns, row); got != want {
			t.Errorf("label %q, want %q", got, want)
		}
	}
}

// TestValueChart: independent estimates add up in value and in variance.
func TestValueChart(t *testing.T) {
	c := valueChart(task.Field{Name: "apis", Flip: 100}, map[string]total{"net": {100, 9 + 16}, "files": {300, 0}})
	if len(c.Bars) != 2 || c.Bars[0].Label != "files" || c.Bars[1].Value != 100 || math.Abs(c.Bars[1].High-109.8) > 0.001 {
		t.Errorf("bars %+v", c.Bars)
	}
	if !strings.Contains(c.Note, "flip") {
		t.Errorf("note %q does not speak of the flips", c.Note)
	}
}

func cardTask(hops ...task.Role) *task.Task {
	t := &task.Task{
		Metric: "fruit", Method: task.Crowd, MinBatch: 100, PerEpoch: 10, PerCrowd: 1, RetentionDays: 90,
		Schema:    task.Schema{{Name: "name", Kind: task.String, Max: 16}, {Name: "ripe", Kind: task.Bool, Flip: 100_000}},
		Crowd:     task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.NoisyDrop, T: 20, D: 12, SigmaMilli: 2000},

		EpochSeconds: 3600, MaxDelay: 600, ClockSkew: 60, NotBefore: 0, Expires: 7200,
	}
	for i, r := range hops {
		t.Hops = append(t.Hops, task.Party{Role: r, URL: "https://" + string(rune('a'+i)) + ".example"})
	}
	return t
}

// TestPrivacyCard: the card states the exact figures, the delta at which they
// hold, and the weakness of a single shuffler.
func TestPrivacyCard(t *testing.T) {
	var all strings.Builder
	for _, f := range facts(cardTask(task.Shuffler, task.Analyzer)) {
		all.WriteString(f.Name + ": " + f.Value + ": " + f.Meaning + "\n")
	}
	for _, want := range []string{
		"Crowd threshold: 20", "about 12 ± 2", "Epsilon, for one crowd: 2.25", "at delta 1e-06", "Epsilon, for one epoch: 8.529", "at most 10 reports", "Epsilon, for 30 days: 1120", "Epsilon, for a year", dp.Assumption,
		"Randomised on the device: ripe: 10 %", "local epsilon 2.198", "Smallest batch: 100 reports", "90 days",
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("the card does not say %q:\n%s", want, all.String())
		}
	}
	naive := cardTask(task.Shuffler, task.Analyzer)
	naive.Threshold = task.Threshold{Kind: task.Naive, T: 20}
	if f := facts(naive)[1]; f.Value != "none" {
		t.Errorf("without noise the card says %+v", f)
	}
}

// TestSights: the card quotes the plan, for each party by its name here.
func TestSights(t *testing.T) {
	one := sights(server.Task{Task: cardTask(task.Shuffler, task.Analyzer), Hop: 1})
	if len(one) != 4 || !strings.Contains(one[0].Sees, "address") || !strings.Contains(one[0].Sees, "confirm a guess") || !strings.Contains(one[1].Party, "this server") || strings.Contains(one[0].Party, "this server") {
		t.Errorf("with one shuffler: %+v", one)
	}
	two := cardTask(task.Shuffler, task.Shuffler, task.Analyzer)
	card := sights(server.Task{Task: two, Hop: 2})
	if strings.Contains(card[0].Sees, "guess") || strings.Contains(card[1].Sees, "address") || !strings.Contains(card[1].Sees, "guess") {
		t.Errorf("with two shufflers one sees both address and crowd: %+v", card)
	}
	views := plan.Views(two)[2:] // without device and network
	if len(card) != len(views) {
		t.Fatalf("%d rows, want %d", len(card), len(views))
	}
	for i, v := range views {
		if card[i].Sees != v.Sees || card[i].Never != v.Never() {
			t.Errorf("%+v, the plan has %+v", card[i], v)
		}
	}
}

func TestNext(t *testing.T) {
	tk := cardTask(task.Shuffler, task.Analyzer)
	for now, want := range map[int64]int64{0: 4260, 4259: 4260, 4260: 7860, 7859: 7860} {
		if got := next(tk, time.Unix(now, 0)); got.Unix() != want {
			t.Errorf("at %d the next batch closes at %d, want %d", now, got.Unix(), want)
		}
	}
	if got := next(tk, time.Unix(7860, 0)); !got.IsZero() {
		t.Errorf("after the end the next batch closes at %v", got)
	}
}

// TestExamples: the example of each table asks for columns that it has, also of the
// table of batches, which has others for each route.
func TestExamples(t *testing.T) {
	columns := func(names ...string) []analyzer.Column {
		var all []analyzer.Column
		for _, n := range names {
			all = append(all, analyzer.Column{Name: n})
		}
		return all
	}
	for _, c := range []struct {
		columns []analyzer.Column
		want    string
	}{
		{columns("epoch", "task", "state", "reports", "noise", "noise_stddev"), "SELECT epoch, reports, noise, noise_stddev\n"},
		{columns("epoch", "task", "reports", "reports_low", "reports_high", "released"), "SELECT epoch, reports, reports_low, reports_high, released,"},
		{columns("something"), "SUMMARIZE "},
	} {
		got := example(duckdb.Table{Metric: "m", Name: duckdb.BatchesTable, Columns: c.columns})
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("of columns %v: %q", c.columns, got)
		}
	}
}

// TestPendingOver: an epoch to which nothing can come any more shows that and what
// to do, and is listed after the others.
func TestPendingOver(t *testing.T) {
	q := &task.Task{EpochSeconds: 3600, MaxDelay: 3600, ClockSkew: 300}
	end := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	view := server.CollectionView{Start: end.Add(-time.Hour), End: end, State: "asked", Missing: "up to 500 of 1000 reports"}
	if p := pendingOf(q, view, end.Add(2*time.Hour)); p.over() || p.State != "not enough yet" {
		t.Errorf("soon after its end: %+v", p)
	}
	p := pendingOf(q, view, end.Add(24*time.Hour))
	for _, want := range []string{"1 March 2027, 13:05 UTC", "will not be released", "lower min_batch"} {
		if !p.over() || !strings.Contains(p.Text, want) {
			t.Errorf("a day after its end: %+v, want %q", p, want)
		}
	}
	view.State, view.Reason = "abandoned", "not enough reports arrived"
	if p := pendingOf(q, view, end); !p.over() {
		t.Errorf("given up: %+v", p)
	}
}
