package shoal_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// epoch0 is the epoch in which the tests begin.
var epoch0 = task.Epoch(midnight.Unix() / 86400)

// One app, one question of each type, from what it records to what the collector
// reads; presence hidden and revealed.
func TestAggregatesArrive(t *testing.T) {
	a := newAggregators(t)
	tasks := map[string]*task.Task{
		"count":   a.ask("count", task.Aggregation{Kind: kind.Count{Max: 1}}),
		"often":   a.ask("often", task.Aggregation{Kind: kind.Count{Max: 10}}),
		"pages":   a.ask("pages", task.Aggregation{Kind: kind.Sum{Max: 100}}),
		"hours":   a.ask("hours", task.Aggregation{Kind: kind.Mean{Max: 48}}),
		"start":   a.ask("start", task.Aggregation{Kind: kind.Histogram{Bounds: []int64{100, 1000}}, Noise: dp.Noise{Mechanism: dp.Laplace, Num: 1, Den: 1, Sensitivity: 2}}),
		"theme":   a.ask("theme", task.Aggregation{Kind: kind.Categories{Labels: []string{"dark", "light"}}, Presence: kind.Revealed}),
		"plugins": a.ask("plugins", task.Aggregation{Kind: kind.Multihot{Labels: []string{"maps", "chess", "tables"}, Max: 2}}),
		"use":     a.ask("use", task.Aggregation{Kind: kind.Bounded{Length: 3, Max: 60}}),
		"sizes":   a.ask("sizes", task.Aggregation{Kind: kind.Vector{Length: 3, Max: 255}}),
		"model":   a.ask("model", task.Aggregation{Kind: kind.LInfGradient{Length: 2, Bound: 1, Bits: 16}}),
		"weights": a.ask("weights", task.Aggregation{Kind: kind.L1Gradient{Length: 2, Bound: 1, Bits: 16}}),
	}
	var all []*task.Task
	for _, tk := range tasks {
		all = append(all, tk)
	}
	c := sdktest.Open(t, a.options(all...))
	for _, o := range []shoal.Outcome{
		c.Count("count"), c.Count("count"), c.Count("often"), c.Add("often", 2), c.Add("pages", 7), c.Add("pages", 5),
		c.Observe("hours", 9), c.Observe("hours", 13.0), c.Observe("start", 230), c.Observe("theme", "dark"),
		c.Observe("plugins", "maps"), c.Observe("plugins", []string{"tables"}),
		c.Vector("use", []int{10, 0, 5}), c.Vector("use", []uint8{0, 1, 0}), c.Vector("sizes", []int64{1, 2, 3}),
		c.Vector("model", []float64{0.5, -0.25}), c.Vector("weights", []float32{0.5, -0.25}),
	} {
		if !o.Queued() || o.Clipped {
			t.Errorf("%v, clipped %v", o, o.Clipped)
		}
	}
	if a.requests > 0 {
		t.Fatalf("saying something made %d requests", a.requests)
	}
	sdktest.Drain(t, c, a.clock, midnight.Add(2*day))
	for name, want := range map[string]string{
		"count": "count 1", "often": "count 3", "pages": "sum 12", "hours": "mean 11", "start": "below 100 0, 100 to 999 1, 1000 and above 0",
		"theme": "dark 1, light 0", "plugins": "maps 1, chess 0, tables 1", "use": "0 10, 1 1, 2 5", "sizes": "0 1, 1 2, 2 3",
		"model": "0 0.5, 1 -0.25", "weights": "0 0.5, 1 -0.25",
	} {
		if got := a.result(tasks[name], epoch0); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if a.posts != len(tasks) {
		t.Errorf("%d requests carried reports of %d tasks", a.posts, len(tasks))
	}
	for name, tk := range tasks {
		if n := a.reports(tk, epoch0); n != 1 {
			t.Errorf("%s: %d reports", name, n)
		}
	}
}

// Threat: whether a report comes, or when, reveals that something happened.
func TestPresenceIsHidden(t *testing.T) {
	a := newAggregators(t)
	hidden := a.ask("hidden", task.Aggregation{Kind: kind.Count{Max: 1}})
	revealed := a.ask("revealed", task.Aggregation{Kind: kind.Count{Max: 1}, Presence: kind.Revealed})
	c := sdktest.Open(t, a.options(hidden, revealed))
	// Nothing is recorded in the first epoch, and on the second the program sleeps.
	sdktest.Drain(t, c, a.clock, midnight.Add(day+43200*time.Second-time.Minute))
	a.clock.Forward(midnight.Add(2*day + time.Hour))
	c.Count("hidden")
	c.Count("revealed")
	sdktest.Drain(t, c, a.clock, midnight.Add(5*day))
	for e, want := range map[task.Epoch]string{epoch0: "count 0", epoch0 + 1: "count 0", epoch0 + 2: "count 1", epoch0 + 3: "count 0", epoch0 - 1: "no reports"} {
		if got := a.result(hidden, e); got != want {
			t.Errorf("hidden, epoch %d: %s, want %s", e-epoch0, got, want)
		}
		want := map[bool]string{true: "count 1", false: "no reports"}[e == epoch0+2]
		if got := a.result(revealed, e); got != want {
			t.Errorf("revealed, epoch %d: %s, want %s", e-epoch0, got, want)
		}
	}
	held := a.know(hidden)
	seen := map[dap.ReportID]bool{}
	for _, ids := range held.ids {
		for id := range ids {
			if seen[id] || id == (dap.ReportID{}) {
				t.Error("reports have the same ID, by which they could be linked, and would be dropped")
			}
			seen[id] = true
		}
	}
	size := 0
	for body := range held.bodies {
		if size != 0 && len(body) != size {
			t.Error("reports differ in length")
		}
		size = len(body)
	}
	for e, times := range held.arrived {
		for _, at := range times {
			end := hidden.Start(task.Epoch(e) + 1)
			if at.Before(end) || at.After(end.Add(43200*time.Second)) {
				t.Errorf("the report of epoch %d came at %v", e, at)
			}
		}
	}
}

// The time of sending must not depend on the time of recording.
func TestTimeOfSendingIsUniform(t *testing.T) {
	a := newAggregators(t)
	tk := a.ask("m", task.Aggregation{Kind: kind.Count{Max: 1}})
	o := a.options(tk)
	early, late := 0, 0
	const rounds = 300
	for range rounds {
		a.clock.Set(midnight.Add(time.Hour))
		o.Mode = shoal.On
		c := sdktest.Open(t, o)
		c.Count("m")
		list, err := c.Pending()
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		at := list[0].NotBefore.Sub(midnight.Add(day))
		switch {
		case at < 0 || at > 12*time.Hour:
			t.Fatalf("to be sent %v after the epoch", at)
		case at < 3*time.Hour:
			early++
		case at > 9*time.Hour:
			late++
		}
		_ = c.Close()
	}
	if early < 40 || early > 115 || late < 40 || late > 115 { // 75 each, give or take five deviations
		t.Errorf("%d of %d in the first quarter, %d in the last", early, rounds, late)
	}
}

func TestWrongUseOfMetrics(t *testing.T) {
	a := newAggregators(t)
	crowd := sdktest.CrowdTask("api_use", a.owner.Public(),
		task.Party{Role: task.Shuffler, URL: "https://shuffler.example", Identity: a.leader.Public()},
		task.Party{Role: task.Analyzer, URL: "https://analyzer.example", Identity: a.helper.Public()},
	)
	sum := a.ask("pages", task.Aggregation{Kind: kind.Sum{Max: 10}})
	o := a.options(crowd, sum)
	var seen []shoal.Outcome
	o.Observe = func(_ string, _ any, o shoal.Outcome) { seen = append(seen, o) }
	c := sdktest.Open(t, o)
	for _, tt := range []struct {
		got    shoal.Outcome
		status shoal.Status
		words  string
	}{
		{c.Count("api_use"), shoal.Invalid, "use Record"},
		{c.Record("pages", sdktest.Use("cat")), shoal.Invalid, "use Count, Add, Observe or Vector"},
		{c.Observe("pages", 4242), shoal.Invalid, "means, histograms"},
		{c.Add("pages", -4242), shoal.Invalid, "negative"},
		{c.Vector("pages", []int{4242}), shoal.Invalid, "vectors and gradients"},
		{c.Count("other"), shoal.Unknown, "not among"},
		{c.Add("pages", 4), shoal.Queued, ""},
		{(*shoal.Client)(nil).Count("pages"), shoal.TurnedOff, ""},
	} {
		if tt.got.Status != tt.status || !strings.Contains(tt.got.String(), tt.words) {
			t.Errorf("%v, want %v with %q", tt.got, tt.status, tt.words)
		}
		if strings.Contains(tt.got.String(), "4242") {
			t.Errorf("the outcome repeats the value: %v", tt.got)
		}
	}
	if len(seen) != 7 {
		t.Errorf("%d outcomes were observed", len(seen))
	}
	if got := c.Add("pages", 40); !got.Clipped || !got.Queued() {
		t.Errorf("beyond the bound: %+v", got)
	}
	list, err := c.Pending()
	if err != nil || len(list) != 1 || list[0].Recorded != "10 (1 of 2 values went beyond the bounds and were cut)" || !strings.Contains(list[0].Encoded, "Prio3Sum") {
		t.Errorf("a person is shown %+v, %v", list, err)
	}
}

// The leader reports that it no longer has the keys: the report is sealed again,
// once, under the same ID.
func TestKeysThatRotate(t *testing.T) {
	a := newAggregators(t)
	tk := a.ask("m", task.Aggregation{Kind: kind.Sum{Max: 10}})
	other := a.ask("other", task.Aggregation{Kind: kind.Count{Max: 1}})
	fsys := durable.Mem()
	c := sdktest.Open(t, shoal.WithFS(a.options(tk, other), fsys))
	c.Add("m", 3)
	sdktest.Drain(t, c, a.clock, midnight.Add(day+time.Minute)) // fetches no keys yet
	down := true
	a.answer = func(w http.ResponseWriter) bool {
		if down {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return down
	}
	for a.posts == 0 {
		pass, err := c.SendDue(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		a.clock.Forward(pass.Next)
	}
	a.rotate(9)
	down = false
	_ = c.Close()
	c = sdktest.Open(t, shoal.WithFS(a.options(tk, other), fsys))
	sdktest.Drain(t, c, a.clock, midnight.Add(day+43200*time.Second))
	if got := a.result(tk, epoch0); got != "sum 3" {
		t.Errorf("result %s", got)
	}
	for _, tk := range []*task.Task{tk, other} {
		if n := a.reports(tk, epoch0); n != 1 {
			t.Errorf("%s: %d reports", tk.Metric, n)
		}
		if n := len(a.know(tk).bodies); n > 2 {
			t.Errorf("%s: %d ciphertexts", tk.Metric, n)
		}
	}
	a.signed = false
	a.rotate(10)
	a.clock.Forward(midnight.Add(2 * day))
	before := a.posts
	sdktest.Drain(t, c, a.clock, midnight.Add(2*day+6*time.Hour))
	if a.posts != before {
		t.Error("a report was sealed to keys that nobody has signed")
	}
}

// What the leader refuses permanently is dropped and counted by cause.
func TestRefusals(t *testing.T) {
	for answer, want := range map[string]string{
		`{"type":"urn:ietf:params:ppm:dap:error:unrecognizedTask"}`: "unrecognizedTask",
	} {
		a := newAggregators(t)
		tk := a.ask("m", task.Aggregation{Kind: kind.Sum{Max: 10}})
		c := sdktest.Open(t, a.options(tk))
		a.answer = func(w http.ResponseWriter) bool {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(answer))
			return true
		}
		sdktest.Drain(t, c, a.clock, midnight.Add(day+43200*time.Second))
		if st, err := c.Stats(); err != nil || st.Dropped[want] != 1 || a.posts != 1 {
			t.Errorf("%+v, %v after %d requests", st, err, a.posts)
		}
	}
}

// BenchmarkSay is what a call costs an app whose outbox is on a disk: Count of a
// metric that asks whether, after the first one, and Add, which stores each value.
func BenchmarkSay(b *testing.B) {
	a := newAggregators(b)
	o := a.options(a.ask("whether", task.Aggregation{Kind: kind.Count{Max: 1}}), a.ask("pages", task.Aggregation{Kind: kind.Sum{Max: 1 << 30}}))
	o.Dir = b.TempDir()
	c := sdktest.Open(b, o)
	b.Run("count", func(b *testing.B) {
		for b.Loop() {
			if got := c.Count("whether"); !got.Queued() {
				b.Fatal(got)
			}
		}
	})
	b.Run("add", func(b *testing.B) {
		for b.Loop() {
			if got := c.Add("pages", 1); !got.Queued() {
				b.Fatal(got)
			}
		}
	})
	b.Run("add_parallel", func(b *testing.B) {
		b.SetParallelism(16)
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				if got := c.Add("pages", 1); !got.Queued() {
					b.Error(got)
				}
			}
		})
	})
}
