package vocab

import (
	"math"
	"os"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dp"
)

// TestCostOfTotals computes the cost that docs/evidence/vocab.md gives for publishing the number
// of reports, with noise, within epsilon 2.25 at delta 10^-6: the rule that the solver
// of metrics.yaml finds for it (T=20, D=11, sigma=2.05, for the total D=51, sigma=8.3),
// beside the one of the paper.
func TestCostOfTotals(t *testing.T) {
	paper, err := crowdThreshold()
	if err != nil {
		t.Fatal(err)
	}
	solved, err := dp.NewNoisyDrop(quorum, 11, 2050)
	if err != nil {
		t.Fatal(err)
	}
	total, err := dp.NewTotal(1000, 51, 8300)
	if err != nil {
		t.Fatal(err)
	}
	all, err := dp.Released(solved, total, dp.Share{Crowds: 1, PerCrowd: 1, Reports: 1, Decisions: 1})
	if err != nil {
		t.Fatal(err)
	}
	if d := all.Delta(2.25); d > 1e-6 || d < 0.9e-6 {
		t.Errorf("delta(2.25) is %g, want nearly 1e-6", d)
	}
	var lines []string
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		s := draw(n, (&runner{Config: Config{Seed: 1}}).seed("words", n))
		var of [2]float64
		for _, k := range s.counts {
			of[0] += paper.Survival(uint64(k))
			of[1] += solved.Survival(uint64(k))
		}
		lines = append(lines, costRow(n, of))
	}
	docs, err := os.ReadFile("../../docs/evidence/vocab.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if !strings.Contains(string(docs), l) {
			t.Errorf("docs/evidence/vocab.md lacks %s", l)
		}
	}
}

// costRow is a row of the table.
func costRow(n int, of [2]float64) string {
	return "| " + thousands(n) + " | " + thousands(int(math.Round(of[0]))) + " | " + thousands(int(math.Round(of[1]))) + " |"
}
