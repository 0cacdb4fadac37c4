package metric_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/plan"
)

// hourly is a file of n aggregate metrics of epsilon 1 an hour.
func hourly(t *testing.T, n int) *metric.File {
	t.Helper()
	text := "version: 1\nowner: us\nmetrics:\n"
	for i := range n {
		text += fmt.Sprintf("  m%d: {method: aggregate, question: q, consent: c, type: count, noise: {epsilon: 1}, epoch: 1h, expires: 2028-01-01}\n", i)
	}
	f, err := metric.Read("m.yaml", []byte(text), now())
	return must(t, f, err)
}

// TestSumsOverMetricsAndTime: ten metrics of epsilon 1 an hour spend 7,200 in 30
// days by basic composition, and the plan reports it.
func TestSumsOverMetricsAndTime(t *testing.T) {
	f := hourly(t, 10)
	sums, err := f.Sums()
	month := must(t, sums, err)[0]
	if e := float64(month.Basic.Epsilon); math.Abs(e-7200) > 1e-6 || month.Days != 30 {
		t.Errorf("30 days: %+v, want 7,200", month)
	}
	if e := float64(month.Zero.Epsilon); e > 4100 || e < 3600 || month.Best() != month.Zero {
		t.Errorf("30 days: epsilon %g by zero-concentrated composition, want 3,600 to 4,100", e)
	}
	if e := float64(sums[1].Basic.Epsilon); math.Abs(e-87_600) > 1e-6 {
		t.Errorf("a year: epsilon %g, want 87,600", e)
	}
	text := strings.Join(strings.Fields(planOf(t, f).Text()), " ")
	for _, want := range []string{"All metrics together", "30 days of a client that takes part in all: epsilon 7200, delta 0 by basic composition; epsilon 40"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan lacks %q:\n%s", want, text)
		}
	}
}

// TestEachFigureSaysWhatItAssumes: no epsilon and no threshold of a plan is
// given without its assumption.
func TestEachFigureSaysWhatItAssumes(t *testing.T) {
	for _, name := range []string{examples, "../docs/examples/aggregate.yaml"} {
		f, err := metric.Load(name, now())
		for _, item := range items(planOf(t, must(t, f, err)).Text()) {
			label, text := item[0], item[1]
			about := strings.Contains(text, "epsilon ") && strings.Contains(text, "delta ") || label == "threshold"
			if about && !strings.Contains(text, dp.Assumption) {
				t.Errorf("%s: %s %s: does not say that it %s", name, label, text, dp.Assumption)
			}
		}
	}
}

// items splits the text of a plan into labels and their texts.
func items(text string) [][2]string {
	var all [][2]string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, strings.Repeat(" ", 24)) && len(all) > 0:
			all[len(all)-1][1] += " " + strings.TrimSpace(line)
		case strings.HasPrefix(line, "  ") && len(line) > 24:
			all = append(all, [2]string{strings.TrimSpace(line[:24]), strings.TrimSpace(line[24:])})
		}
	}
	return all
}

// TestSaltWindowIsTheUnit: what is planned, solved and promised is about a salt
// window, whose batches may be merged; a window costs more than an epoch, since
// more decisions about it are published.
func TestSaltWindowIsTheUnit(t *testing.T) {
	of := func(epochs int) plan.MetricPlan {
		f := one(t, "record: {a: {type: enum, values: [x, y]}}", "crowd: [a]", "privacy: {threshold: 20, drop: 12, sigma: 2}", "epoch: 1h", fmt.Sprintf("salt_epochs: %d", epochs))
		return planOf(t, f).Metrics[0]
	}
	single, window := of(1), of(60)
	if single.Privacy.Unit != "epoch" || window.Privacy.Unit != "salt window of 60 epochs" {
		t.Errorf("units %q and %q", single.Privacy.Unit, window.Privacy.Unit)
	}
	if single.Privacy.Exact.Epsilon >= window.Privacy.Exact.Epsilon {
		t.Errorf("epsilon %v for an epoch, %v for a window of 60", single.Privacy.Exact.Epsilon, window.Privacy.Exact.Epsilon)
	}
	if s, w := single.Privacy.Sums[0].Basic.Epsilon, window.Privacy.Sums[0].Basic.Epsilon; math.Abs(float64(s/single.Privacy.Exact.Epsilon)-720) > 0.1 || math.Abs(float64(w/window.Privacy.Exact.Epsilon)-12) > 0.1 {
		t.Errorf("30 days have %v units of an hour and %v of 60 hours, want 720 and 12", s/single.Privacy.Exact.Epsilon, w/window.Privacy.Exact.Epsilon)
	}
	f := one(t, "record: {a: {type: enum, values: [x, y]}}", "crowd: [a]", "privacy: {threshold: 20, drop: 12, sigma: 2}", "epoch: 1h", "salt_epochs: 60")
	text := strings.Join(strings.Fields(planOf(t, f).Text()), " ")
	for _, want := range []string{"at most 1 report a client and salt window of 60 epochs, each of 1h, 1 to one crowd", "one salt window of 60 epochs all that one client may send"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan lacks %q:\n%s", want, text)
		}
	}
}
