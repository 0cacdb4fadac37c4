package metric_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
)

const pairsYAML = `
version: 1
owner: Example
parties:
  shufflers: [{url: "https://shuffler.example", identity: "%[1]s"}]
  analyzer: {url: "https://analyzer.example", identity: "%[2]s"}
metrics:
  films:
    question: Which films are seen together?
    consent: Pairs of films that you have seen.
    expires: 2027-06-30
    record:
      films: {type: list, of: enum, max: 8, values: [a, b, c, d]}
    fragment: {by: pairs, of: films}
    crowd: [films]
    second_crowd: %[3]s
    per_epoch: 2
    per_crowd: 2
    privacy: %[4]s
    example: {films: [a, b]}
`

// TestSecondCrowdKey: the key makes the task, the plan claims no epsilon and states what the
// counting shuffler sees, and a file that declares one is refused.
func TestSecondCrowdKey(t *testing.T) {
	read := func(second, privacy string) (*metric.File, error) {
		id := func(name string) string { return task.FormatPublic(identity(name).Public()) }
		return metric.Read("metrics.yaml", fmt.Appendf(nil, pairsYAML, id("one"), id("two"), second, privacy), now())
	}
	const rule = "{threshold: 40, drop: 20, sigma: 4}"
	f, err := read("elements", rule)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := task.GenerateIdentityKey(strings.NewReader(strings.Repeat("k", 64)))
	bundle, err := f.Build(nil, must(t, owner, err), now())
	tk, err := task.Parse(must(t, bundle, err).Tasks[0].Bytes)
	if tk = must(t, tk, err); tk.Protection.Second.Kind != task.OfElements {
		t.Errorf("task %+v", tk.Protection)
	}
	p, err := f.Plan(nil, plan.UsualPopulation())
	if err != nil {
		t.Fatal(err)
	}
	m := p.Metrics[0]
	if fmt.Sprint(m.Privacy.Exact.Epsilon) != fmt.Sprint(m.Privacy.PerCrowd.Epsilon) || m.Privacy.PerCrowd.Epsilon < 1e300 {
		t.Errorf("epsilon %v and %v are claimed", m.Privacy.Exact.Epsilon, m.Privacy.PerCrowd.Epsilon)
	}
	if text := fmt.Sprint(m.Sees, m.Warnings, m.Example.Sent); !strings.Contains(text, "each element of films") || !strings.Contains(text, "none is claimed") {
		t.Errorf("the plan states %s", text)
	}
	for name, bad := range map[string][2]string{
		"no epsilon is proven":           {"elements", "{epsilon: 1, delta: 1.0e-6}"},
		"others than those of the first": {"[films]", rule},
		"no field":                       {"[nothing]", rule},
	} {
		if _, err := read(bad[0], bad[1]); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}
