package metric_test

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/golden"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

const aggregateExamples = "../docs/examples/aggregate.yaml"

func loadAggregates(t *testing.T) *metric.File {
	t.Helper()
	src, err := os.ReadFile(aggregateExamples)
	f, err2 := metric.Read("docs/examples/aggregate.yaml", must(t, src, err), now())
	return must(t, f, err2)
}

func TestAggregatePlanGolden(t *testing.T) {
	p := planOf(t, loadAggregates(t))
	golden.Equal(t, "../docs/examples/aggregate-plan.txt", []byte(p.Text()))
	js, err := p.JSON()
	golden.Equal(t, "testdata/aggregate-plan.json", must(t, js, err))
	if !json.Valid(js) {
		t.Error("not JSON")
	}
}

// Each example compiles to the task that its lines describe.
func TestAggregatesCompile(t *testing.T) {
	b, err := loadAggregates(t).Build(nil, identity("owner"), now())
	must(t, b, err)
	laplace := func(l1 uint64) dp.Noise {
		return dp.Noise{Mechanism: dp.Laplace, Num: 1, Den: 1, Sensitivity: l1}
	}
	want := map[string]task.Aggregation{
		"feature.export":     {Kind: kind.Count{Max: 1}, Noise: laplace(1)},
		"pages.printed":      {Kind: kind.Sum{Max: 200}, Noise: laplace(200)},
		"battery.hours":      {Kind: kind.Mean{Max: 48}, Noise: laplace(96)},
		"start.milliseconds": {Kind: kind.Histogram{Bounds: []int64{50, 100, 200, 400, 800, 1600, 3200}}, Noise: laplace(2)},
		"theme":              {Kind: kind.Categories{Labels: []string{"light", "dark", "high contrast"}}, Presence: kind.Revealed},
		"plugins":            {Kind: kind.Multihot{Labels: []string{"spelling", "grammar", "citations", "drawing", "maps", "music", "chess", "tables"}, Max: 3}, Noise: laplace(6)},
		"hours":              {Kind: kind.Bounded{Max: 240, Length: 24}, Noise: dp.Noise{Mechanism: dp.Gaussian, Num: 1500, Den: 1}},
		"model.update":       {Kind: kind.L1Gradient{Length: 256, Bound: 1, Bits: 12}, Noise: dp.Noise{Mechanism: dp.Gaussian, Num: 20000, Den: 1}},
	}
	if len(b.Tasks) != len(want) {
		t.Errorf("%d tasks", len(b.Tasks))
	}
	for _, s := range b.Tasks {
		tk, err := task.Parse(s.Bytes)
		got, w := must(t, tk, err).Aggregation, want[tk.Metric]
		k, err := kind.WithChunk(w.Kind, w.Presence)
		if !reflect.DeepEqual(got.Kind, must(t, k, err)) || got.Noise != w.Noise || got.Presence != w.Presence || got.Variant != "dap-18" {
			t.Errorf("%s: %+v", tk.Metric, got)
		}
		if tk.Method != task.Aggregate || tk.Hops[0].Role != task.Leader || tk.MaxDelay != tk.EpochSeconds {
			t.Errorf("%s: %+v", tk.Metric, tk)
		}
	}
}

// Parties given at build time go to the metrics of their method.
func TestPartiesOfBothMethods(t *testing.T) {
	src := `
version: 1
owner: us
metrics:
  a: {method: aggregate, question: q, consent: c, type: count, noise: none, expires: 2028-01-01}
  c: {question: q, consent: c, record: {x: {type: bool}}, crowd: constant, privacy: {threshold: 20, drop: 12, sigma: 2}, expires: 2028-01-01}
`
	f, err := metric.Read("m.yaml", []byte(src), now())
	must(t, f, err)
	if _, err := f.Build(nil, identity("owner"), now()); err == nil || !strings.Contains(err.Error(), "leader, helper and collector") {
		t.Errorf("without parties: %v", err)
	}
	var all []task.Party
	for _, p := range []struct {
		role task.Role
		name string
	}{{task.Leader, "leader"}, {task.Shuffler, "shuffler"}, {task.Helper, "helper"}, {task.Collector, "collector"}, {task.Analyzer, "analyzer"}} {
		all = append(all, task.Party{Role: p.role, URL: "https://" + p.name + ".example", Identity: identity(p.name).Public()})
	}
	b, err := f.Build(all, identity("owner"), now())
	must(t, b, err)
	for i, n := range []int{3, 2} {
		tk, err := task.Parse(b.Tasks[i].Bytes)
		if got := len(must(t, tk, err).Hops); got != n {
			t.Errorf("%s: %d parties", tk.Metric, got)
		}
	}
	if p := planOf(t, f); len(p.Metrics) != 1 || len(p.Aggregates) != 1 {
		t.Errorf("%d and %d plans", len(p.Metrics), len(p.Aggregates))
	}
}

// The plan of a question must follow its settings.
func TestAggregatePlanSays(t *testing.T) {
	text := func(keys string) string {
		src := "version: 1\nowner: us\nmetrics:\n  a: {method: aggregate, question: q, consent: c, expires: 2028-01-01, " + keys + "}\n"
		f, err := metric.Read("m.yaml", []byte(src), now())
		return strings.Join(strings.Fields(planOf(t, must(t, f, err)).Text()), " ")
	}
	for _, tt := range []struct{ keys, want string }{
		{"type: count, noise: none", "There is no noise. The collector gets exact sums"},
		{"type: count, noise: none", "epsilon none"},
		{"type: sum, max: 100, example: 10, noise: {sigma: 50}", "epsilon of 12.52 for one epoch is deniability rather than privacy"},
		{"type: count, noise: {epsilon: 0.5}", "epsilon 0.5, delta 0, by the noise of one aggregator alone"},
		{"type: count, noise: {epsilon: 0.5}", "30 days epsilon 15, delta 0"},
		{"type: count, noise: {epsilon: 0.5}", "each client that takes part sends exactly one"},
		{"type: count, noise: {epsilon: 0.5}", "Hidden costs one report an epoch of every client: 2.32 MB for 10000 clients"},
		{"type: count, noise: {epsilon: 0.5}, presence: revealed", "the leader, and an observer of the network, learns of each address in which epochs it had something to say"},
		{"type: count, noise: {epsilon: 0.5}, presence: revealed", "it sends no report"},
		{"type: count, noise: {epsilon: 0.001}", "more than a tenth of the most that 10000 clients can add up to"},
		{"type: count, noise: none, min_batch: 20000", "no batch could be collected"},
		{"type: mean, max: 100000, example: 10, noise: none, accept: [\"a bound far above what is ordinary: because machines of both kinds take part\"]", "machines of both kinds take part"},
	} {
		if got := text(tt.keys); !strings.Contains(got, tt.want) {
			t.Errorf("%s: no %q in\n%s", tt.keys, tt.want, got)
		}
	}
}
