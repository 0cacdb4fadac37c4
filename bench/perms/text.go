package perms

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/shoal-project/shoal/dp"
)

// String returns the table: Table 4 of the paper beside ours.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Pages recovered (Prochlo paper, Table 4); seed %d\n\n", r.Seed)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "feature\taction\tnaive threshold\tpaper\tratio\tpaper's rule\tratio\tours\tratio\t100 times, truth\tours\tof them wrong\t")
	for _, row := range r.Rows {
		for a, name := range actions() {
			fmt.Fprintf(w, "%s\t%s\t%d / %d\t%d\t%.3f\t%d\t%.3f\t%d\t%.3f\t%d\t%d\t%d\t\n", row.Feature, name, row.Naive, row.Paper.Naive,
				row.Paper.Action[a], row.PaperRatio(a), row.Found[0].Shown[a], row.Ratio(0, a), row.Found[1].Shown[a], row.Ratio(1, a),
				row.Truth.Often[a], row.Found[1].Often[a], row.Found[1].OftenBad[a])
		}
	}
	_ = w.Flush() // a Builder takes everything
	b.WriteString("\nnaive threshold: here / in the paper. A ratio is to the naive threshold.\n")
	for i, name := range []string{"paper's rule", "ours"} {
		fmt.Fprintf(&b, "%-13s %s; delta(%v) = %s\n", name, r.Rules[i].Name, Epsilon, dp.Figure(r.Rules[i].Delta))
	}
	b.WriteString("The guarantee is about the pages and features of one client's request. Bits under a crowd are flipped with probability 0.0001 each:\n" +
		"epsilon 9.21 a bit, 36.9 a bitmap, which is deniability.\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "%s: %d requests in %.1f s", row.Feature, row.Requests, row.Seconds)
		if s := row.Sealed; s != nil {
			fmt.Fprintf(&b, "; %d through all layers of encryption in %.1f s, %d released", s.Requests, s.Seconds, s.Released)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// Ratio returns how many pages a rule finds for an action, as a share of those of the naive
// threshold.
func (r *Row) Ratio(rule, action int) float64 {
	return float64(r.Found[rule].Shown[action]) / float64(max(1, r.Naive))
}

// PaperRatio returns the paper's.
func (r *Row) PaperRatio(action int) float64 {
	return float64(r.Paper.Action[action]) / float64(max(1, r.Paper.Naive))
}
