package metric_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/metric/plan"
)

// table writes views as documents quote them.
func table(views []plan.View) string {
	var b strings.Builder
	b.WriteString("| Party | Sees | Does not see | As long as |\n|---|---|---|---|\n")
	for _, v := range views {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", v.Who, v.Sees, v.Hidden, v.Assumes)
	}
	return b.String()
}

// TestDocumentsQuoteWhoSeesWhat: documents have the words of the plan, for examples
// of both methods.
func TestDocumentsQuoteWhoSeesWhat(t *testing.T) {
	crowd := planOf(t, load(t)).Metrics
	i := slices.IndexFunc(crowd, func(m plan.MetricPlan) bool { return m.Name == "api_use" })
	sums := planOf(t, loadAggregates(t)).Aggregates
	j := slices.IndexFunc(sums, func(m plan.AggregatePlan) bool { return m.Name == "feature.export" })
	for _, d := range []struct {
		file string
		want []plan.View
	}{
		{"README.md", crowd[i].Sees},
		{"docs/spec/aggregate.md", sums[j].Sees},
	} {
		b, err := os.ReadFile("../" + d.file)
		if want := table(d.want); !strings.Contains(string(must(t, b, err)), want) {
			t.Errorf("%s has another table of who sees what than the plan; want\n%s", d.file, want)
		}
	}
}
