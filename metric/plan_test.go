package metric_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
	"pgregory.net/rapid"
)

// loaded is the file of examples, whose thresholds take a moment to solve.
var loaded = sync.OnceValues(func() (*metric.File, error) {
	src, err := os.ReadFile(examples)
	if err != nil {
		return nil, err
	}
	return metric.Read("docs/examples/metrics.yaml", src, now())
})

// load returns a copy of the file of examples.
func load(t *testing.T) *metric.File {
	t.Helper()
	f, err := loaded()
	out := *must(t, f, err)
	return &out
}

func planOf(t *testing.T, f *metric.File) *plan.Plan {
	t.Helper()
	p := plan.UsualPopulation()
	p.ReportSize = reportSize
	out, err := f.Plan(nil, p)
	return must(t, out, err)
}

func TestPlanGolden(t *testing.T) {
	p := planOf(t, load(t))
	golden.Equal(t, "../docs/examples/plan.txt", []byte(p.Text()))
	js, err := p.JSON()
	golden.Equal(t, "testdata/plan.json", must(t, js, err))
	if !json.Valid(js) {
		t.Error("not JSON")
	}
}

// one returns a file with a metric whose record, crowd and further lines are
// given.
func one(t *testing.T, lines ...string) *metric.File {
	t.Helper()
	src := "version: 1\nowner: Example\nmetrics:\n  one:\n    question: q\n    consent: c\n    expires: 2027-01-01\n"
	for _, l := range lines {
		src += "    " + l + "\n"
	}
	f, err := metric.Read("one.yaml", []byte(src), now())
	return must(t, f, err)
}

func TestPlanOfFragments(t *testing.T) {
	const privacy, caps = "privacy: {threshold: 250, noise: none}", "per_epoch: 50"
	for name, c := range map[string]struct {
		lines []string
		total int
		sent  string
		bits  float64
	}{
		"pairs": {[]string{
			"record: {who: {type: bool}, l: {type: list, of: enum, values: [x, y, z, w], max: 5}}", "crowd: [who]",
			"fragment: {by: pairs, of: l, keep: who, at_most: 4}", "example: {who: true, l: [x, y, z]}",
		}, 4, `l = ["x", "y"]`, 4},
		"tuples": {[]string{
			"record: {l: {type: list, of: int, range: [0, 99], buckets: every 10, max: 5}}", "crowd: constant", "per_crowd: 50",
			"fragment: {by: tuples, of: l, size: 2}", "example: {l: [1, 12, 23, 34, 45]}",
		}, 2, "l = [20 (20 to 29), 30 (30 to 39)]", 2 * math.Log2(10)},
		"bits": {[]string{
			"record: {s: {type: set, values: [a, b, c, d, e]}}", "crowd: constant", "per_crowd: 50",
			"fragment: {by: bits, of: s, size: 2}", "example: {s: [a, d]}",
		}, 3, "s = chunk 1: bits 10", 2 + math.Log2(3)},
		"fields": {[]string{
			"record: {k: {type: bool}, a: {type: bool}, b: {type: enum, values: [x, y, z, w]}}", "crowd: [k]",
			"fragment: {by: fields, keep: [k]}",
		}, 2, `k = true, b = "x"`, 3},
	} {
		f := one(t, append(c.lines, privacy, caps)...)
		m := planOf(t, f).Metrics[0]
		if m.Example.Total != c.total {
			t.Errorf("%s: %d reports, want %d", name, m.Example.Total, c.total)
		}
		if text := planOf(t, f).Text(); !strings.Contains(strings.Join(strings.Fields(text), " "), c.sent) {
			t.Errorf("%s: the plan lacks %q:\n%s", name, c.sent, text)
		}
		if math.Abs(m.Loose-c.bits) > 1e-9 {
			t.Errorf("%s: %g bits outside the crowd, want %g", name, m.Loose, c.bits)
		}
		if m.Privacy.Noise || !math.IsInf(float64(m.Privacy.Exact.Epsilon), 1) || !slices.ContainsFunc(m.Warnings, func(w string) bool { return strings.Contains(w, "no noise") }) {
			t.Errorf("%s: a threshold without noise promises %+v, warns %q", name, m.Privacy, m.Warnings)
		}
	}
}

// TestGuessesAreWarnedOf covers the threat of an owner that believes that a
// single shuffler learns nothing of crowds.
func TestGuessesAreWarnedOf(t *testing.T) {
	f := load(t)
	warned := func(p *plan.Plan) bool {
		return slices.ContainsFunc(p.Metrics[0].Warnings, func(w string) bool { return strings.Contains(w, "can confirm guesses") })
	}
	if !warned(planOf(t, f)) {
		t.Error("one shuffler: no warning")
	}
	hops := slices.Insert(slices.Clone(f.Hops), 1, task.Party{Role: task.Shuffler, URL: "https://second.example", Identity: identity("second").Public()})
	p, err := f.Plan(hops, plan.UsualPopulation())
	if warned(must(t, p, err)) {
		t.Error("two shufflers: a warning")
	}
	who := []string{}
	for _, v := range p.Metrics[0].Sees {
		who = append(who, v.Who)
		if v.Who == "shuffler 1" && strings.Contains(v.Sees, "hash") || v.Who == "shuffler 2" && strings.Contains(v.Sees, "address") {
			t.Errorf("%s sees %s", v.Who, v.Sees)
		}
	}
	if want := []string{"device", "network observer", "shuffler 1", "shuffler 2", "analyzer", "all together", "analyst"}; !slices.Equal(who, want) {
		t.Errorf("parties %q", who)
	}
}

func TestPlanStatesPrivacy(t *testing.T) {
	p := planOf(t, load(t)).Metrics
	words := p[2].Privacy // threshold 20, drop 12, sigma 2, five crowds
	// The crowd alone would be 2.254 and five of them 5.106: the total is in it.
	if e := float64(words.PerCrowd.Epsilon); e < 2.254 || e > 1.02*2.254 {
		t.Errorf("one crowd: epsilon %g, want 2.254 and up to 2 %% for the total", e)
	}
	if e := float64(words.Exact.Epsilon); e < 5.106*1.01 || e > 1.04*5.106 {
		t.Errorf("five crowds: epsilon %g by exact composition, want 5.106 and 1 to 4 %% for the total", e)
	}
	crash := p[1].Privacy // epsilon 2, delta 1e-6 for an epoch of three crowds
	if crash.Exact.Epsilon > 2 || crash.Computed > 1e-6 || crash.Exact.Delta != 1e-6 {
		t.Errorf("declared (2, 1e-6), planned %+v", crash)
	}
}

func TestPopulationLimits(t *testing.T) {
	f := load(t)
	good := plan.UsualPopulation()
	for name, change := range map[string]func(*plan.Population){
		"clients":  func(p *plan.Population) { p.Clients = 0 },
		"values":   func(p *plan.Population) { p.Values = 1 << 30 },
		"exponent": func(p *plan.Population) { p.Exponent = math.NaN() },
		"reports":  func(p *plan.Population) { p.Reports = -1 },
	} {
		p := good
		change(&p)
		if _, err := f.Plan(nil, p); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	good.Clients = 3
	p, err := f.Plan(nil, good)
	if !must(t, p, err).Metrics[0].Forecast.BelowMinBatch {
		t.Error("three clients fill a batch")
	}
}

// TestForecastIsExpectation compares the forecast with sums done one by one.
func TestForecastIsExpectation(t *testing.T) {
	f := one(t, "record: {w: {type: string, max: 9}}", "crowd: [w]", "privacy: {threshold: 20, noise: none}")
	rapid.Check(t, func(rt *rapid.T) {
		p := plan.Population{
			Clients:  rapid.IntRange(1000, 50_000).Draw(rt, "clients"),
			Values:   rapid.IntRange(1, 400).Draw(rt, "values"),
			Exponent: rapid.Float64Range(0, 2).Draw(rt, "exponent"),
		}
		out, err := f.Plan(nil, p)
		if err != nil {
			rt.Fatal(err)
		}
		total := 0.0
		for r := range p.Values {
			total += math.Pow(float64(r+1), -p.Exponent)
		}
		released, kept := 0.0, 0.0
		for r := range p.Values {
			mean := float64(p.Clients) * math.Pow(float64(r+1), -p.Exponent) / total
			below, lost, term := 0.0, 0.0, math.Exp(-mean) // of n reports, n < 20
			for n := range 20 {
				below += term
				lost += float64(n) * term
				term *= mean / float64(n+1)
			}
			released += 1 - below
			kept += mean - lost
		}
		got := out.Metrics[0].Forecast
		if math.Abs(got.Released-released) > 0.02*released+0.01 || math.Abs(got.ReportsKept-kept) > 0.02*kept+0.1 {
			rt.Errorf("%+v: want %g crowds and %g reports", got, released, kept)
		}
	})
}

func TestBuild(t *testing.T) {
	f := load(t)
	owner := identity("owner")
	b, err := f.Build(nil, owner, now())
	enc, err2 := must(t, b, err).Encode()
	golden.Equal(t, "testdata/bundle.bin", must(t, enc, err2))
	fresh, err := metric.Load(examples, now())
	again, err2 := must(t, fresh, err).Build(nil, owner, now())
	enc2, err := must(t, again, err2).Encode()
	if !bytes.Equal(must(t, enc2, err), enc) {
		t.Error("the same file gives other bytes")
	}
	opened, err := b.Open([]ed25519.PublicKey{owner.Public()})
	if len(must(t, opened, err)) != 3 {
		t.Fatalf("%d tasks", len(opened))
	}
	tk := opened[0].Task
	if tk.Metric != "api_use" || tk.OwnedBy != f.Owner || tk.PayloadSize != 128 || tk.MaxDelay != 1800 || tk.PerEpoch != 10 || tk.PerCrowd != 1 ||
		tk.Threshold != (task.Threshold{Kind: task.NoisyDrop, T: 20, D: 11, SigmaMilli: 2050}) || tk.RetentionDays != 90 {
		t.Errorf("compiled to %+v", tk)
	}
	rule, err := tk.Threshold.Rule()
	if d := must(t, rule, err).Delta(2.25); d > 1e-6 {
		t.Errorf("delta %g", d)
	}
	if _, err := f.Build(nil, owner, day("2030-01-01")); err == nil {
		t.Error("built after expiry")
	}
	f.Hops = nil
	if _, err := f.Build(nil, owner, now()); err == nil || !strings.Contains(err.Error(), "parties") {
		t.Errorf("built without parties: %v", err)
	}
	if _, err := (task.Threshold{Kind: 9, T: 1}).Rule(); err == nil {
		t.Error("a threshold of unknown kind")
	}
}

func TestStart(t *testing.T) {
	f := one(t, "record: {a: {type: bool}}", "crowd: [a]", "privacy: {threshold: 20, noise: none}", "starts: 2026-12-05", "epoch: 7d")
	hops := load(t).Hops
	b, err := f.Build(hops, identity("owner"), now())
	tk, _, err2 := must(t, b, err).Tasks[0].Open([]ed25519.PublicKey{identity("owner").Public()})
	// Weeks since 1970 begin on Thursdays; the first from then on is the 10th.
	if got := must(t, tk, err2).NotBefore; got != day("2026-12-10").Unix() {
		t.Errorf("starts at %d", got)
	}
}

// TestSolve holds that what is solved keeps the promise and that no cheaper
// point of the grid near it does.
func TestSolve(t *testing.T) {
	for _, d := range []cost.Declared{
		{Epsilon: 2.25, Delta: 1e-6}, {Epsilon: 1, Delta: 1e-6}, {Epsilon: 1, Delta: 1e-8}, {Epsilon: 4, Delta: 1e-7}, {Epsilon: 0.5, Delta: 1e-9},
	} {
		d.Covers = cost.PerCrowd
		h, err := cost.Solve(d, 20, 10, 1, 1)
		if delta := deltaOf(t, must(t, h, err), d.Epsilon); delta > d.Delta {
			t.Errorf("%+v: %+v gives delta %g", d, h, delta)
		}
		for drop := max(1, h.D-3); drop <= h.D+1; drop++ {
			x := h
			x.D, x.SigmaMilli = drop, 1000*(h.D-drop)+h.SigmaMilli-50
			if drop == h.D+1 && h.SigmaMilli <= 1050 {
				continue
			}
			if delta := deltaOf(t, x, d.Epsilon); delta <= d.Delta {
				t.Errorf("%+v: solved drop %d sigma %d, but drop %d sigma %d gives delta %g", d, h.D, h.SigmaMilli, x.D, x.SigmaMilli, delta)
			}
		}
	}
	if h, err := cost.Solve(cost.Declared{Epsilon: 0.01, Delta: 1e-9, Covers: cost.PerEpoch}, 20, 300, 1, 1); err == nil {
		t.Errorf("solved the impossible by %+v", h)
	}
}

func deltaOf(t *testing.T, h task.Threshold, eps float64) float64 {
	t.Helper()
	tk := &task.Task{Threshold: h, PerEpoch: 10, PerCrowd: 1, MinBatch: 100, Crowd: task.CrowdRule{SaltEpochs: 1}}
	curve, err := cost.CurveOf(tk, cost.PerCrowd)
	return must(t, curve, err).Delta(eps)
}

// TestSeveralReportsArePriced covers the threat of a guarantee for one report
// where the caps allow several.
func TestSeveralReportsArePriced(t *testing.T) {
	d := cost.Declared{Epsilon: 2, Delta: 1e-6, Covers: cost.PerEpoch}
	var sums []uint32
	for _, caps := range [][2]uint32{{1, 1}, {3, 1}, {3, 3}} {
		h, err := cost.Solve(d, 20, caps[0], caps[1], 1)
		sums = append(sums, must(t, h, err).SigmaMilli)
	}
	if !slices.IsSorted(sums) || sums[0] == sums[1] || sums[1] == sums[2] {
		t.Errorf("sigma %v for one report, three crowds, and three reports to one crowd; want more and more", sums)
	}
}

func TestDuration(t *testing.T) {
	for s, want := range map[string]int64{"90s": 90, "1h30m": 5400, "7d": 604_800, "1d1s": 86_401, "0s": 0} {
		if got, ok := metric.ParseDuration(s); !ok || got != want {
			t.Errorf("%s: %d, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "1", "h", "1m1h", "-1h", "1.5h", "1 h", "99999999999d", "1h1h"} {
		if got, ok := metric.ParseDuration(s); ok {
			t.Errorf("%q passes as %d", s, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<31).Draw(t, "seconds")
		if back, ok := metric.ParseDuration(metric.FormatDuration(n)); !ok || back != n {
			t.Fatalf("%d came back as %d", n, back)
		}
	})
}

// TestKeysAreDocumented holds the description of the format complete.
func TestKeysAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/reference/metrics.md")
	must(t, doc, err)
	for _, key := range metric.Keys() {
		if !bytes.Contains(doc, []byte("`"+key+"`")) {
			t.Errorf("docs/reference/metrics.md does not describe `%s`", key)
		}
	}
	for _, risk := range []metric.Risk{metric.FreeText, metric.ExactNumbers, metric.RareMixtures, metric.GuessableCrowd, metric.LooseBound} {
		if !bytes.Contains(doc, []byte(risk)) {
			t.Errorf("docs/reference/metrics.md does not describe the risk %q", risk)
		}
	}
}
