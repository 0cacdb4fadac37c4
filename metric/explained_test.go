package metric_test

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/vdaf"
)

// TestExamplesAreExplained computes the numbers of the examples with package dp, from
// the content of the files alone, and finds them in docs/reference/metrics.md and in the plans.
func TestExamplesAreExplained(t *testing.T) {
	text, err := os.ReadFile("../docs/reference/metrics.md")
	docs := string(must(t, text, err))
	for _, row := range append(crowdRows(t), sumRows(t)...) {
		if !strings.Contains(docs, row+"\n") {
			t.Errorf("docs/reference/metrics.md lacks the row\n%s", row)
		}
	}
	for file, lines := range map[string][]string{
		"plan.txt":           {"All metrics together", "30 days", "a year", "assumes that no client", "what was suppressed and dropped is not told"},
		"aggregate-plan.txt": {"All metrics together", "30 days", "a year", "assumes that", "participation         not protected: how many reports a batch has is exact"},
	} {
		b, err := os.ReadFile("../docs/examples/" + file)
		for _, line := range lines {
			if !strings.Contains(string(must(t, b, err)), line) {
				t.Errorf("docs/examples/%s lacks %q", file, line)
			}
		}
	}
}

// crowdRows computes the rows for questions of the method crowd: with one report to
// a crowd, as many crowds as reports, and epochs that are not merged.
func crowdRows(t *testing.T) []string {
	t.Helper()
	f := load(t)
	p := planOf(t, f)
	var rows []string
	for i, m := range f.Metrics {
		q := m.Task()
		h, k := q.Threshold, uint64(q.PerEpoch)
		rule, err := dp.NewNoisyDrop(h.T, h.D, h.SigmaMilli)
		must(t, rule, err)
		// Four times as wide as the crowds, each measured by what one client changes,
		// rounded up to a tenth; six deviations more than one client sends, and one.
		sigma := float64(h.SigmaMilli) / 1000
		wide := uint32(math.Ceil(10*4*float64(k)*sigma/math.Sqrt(float64(k)))) * 100
		drop := q.PerEpoch + uint32(6*float64(wide)/1000) + 1
		total, err := dp.NewTotal(q.MinBatch, drop, wide)
		must(t, total, err)
		epsilon := func(crowds uint64, delta float64) string {
			c, err := dp.Released(rule, total, dp.Share{Crowds: crowds, PerCrowd: 1, Reports: crowds, Decisions: 1})
			must(t, c, err)
			eps, err := c.Epsilon(delta)
			return fmt.Sprintf("%s at %s", dp.Figure(must(t, eps, err)), dp.Figure(delta))
		}
		of := p.Metrics[i].Privacy
		whole := epsilon(k, float64(of.Exact.Delta))
		if want := fmt.Sprintf("%s at %s", dp.Figure(float64(of.Exact.Epsilon)), dp.Figure(float64(of.Exact.Delta))); want != whole {
			t.Errorf("%s: the plan says epsilon %s, package dp %s", m.Name, want, whole)
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %d, %d, %g | %s | %d: %s | %.0f | %d | %d, %g | %d |", m.Name, h.T, h.D, sigma,
			epsilon(1, float64(of.PerCrowd.Delta)), k, whole, rule.Bias(), from(rule.Survival), drop, float64(wide)/1000, from(total.Survival)))
	}
	return rows
}

// from is the size from which on all are released in 19 cases of 20.
func from(survival func(uint64) float64) (n uint64) {
	for survival(n) < 0.95 {
		n++
	}
	return n
}

// sumRows computes the rows for questions of the method aggregate.
func sumRows(t *testing.T) []string {
	t.Helper()
	var rows []string
	for _, m := range loadAggregates(t).Metrics {
		q := m.Task()
		question, err := q.Aggregation.Measure()
		l1, l2, _ := vdaf.Sensitivity(must(t, question, err).Instance())
		noise := q.Aggregation.Noise
		if noise.Mechanism == dp.NoNoise {
			continue
		}
		mechanism, changes, delta := fmt.Sprintf("Laplace, %d / 1", l1), fmt.Sprintf("%d", l1), 0.0
		if noise.Mechanism == dp.Gaussian {
			delta = 1e-6
			mechanism, changes = fmt.Sprintf("Gaussian, sigma %d", noise.Num/noise.Den), fmt.Sprintf("%.1f in length", math.Ceil(10*l2)/10)
		}
		wide := float64(noise.Within95())
		if _, ok := q.Aggregation.Kind.(kind.L1Gradient); ok {
			wide = float64(noise.Difference95())
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s | %.4g |", m.Name, changes, mechanism,
			dp.Figure(noise.Guarantee(l1, l2, delta).Epsilon), wide*kind.Step(q.Aggregation.Kind)))
	}
	return rows
}
