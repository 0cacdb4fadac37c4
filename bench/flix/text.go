package flix

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/shoal-project/shoal/dp"
)

// String returns the table: Table 5 of the paper beside ours.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Errors of predicted ratings, RMSE (Prochlo paper, Table 5); seed %d; here / paper\n\n", r.Seed)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "movies\tusers\tpairs\treports\tcap\treleased\tmeans\tno privacy\tprivate\tgap\t")
	for _, row := range r.Rows {
		p := row.Paper
		if p == nil {
			p = &Paper{}
		}
		fmt.Fprintf(w, "%d\t%d\t%d / %.0f\t%d\t%d\t%d\t%.4f\t%.4f / %.4f\t%.4f / %.4f\t%.4f / %.4f\t\n", row.Movies, row.Users, row.Pairs, p.Reports,
			row.Reports, row.Cap, row.Released, row.Means, row.Plain, p.Plain, row.Private, p.Private, row.Gap(), p.Private-p.Plain)
	}
	_ = w.Flush() // a Builder takes everything
	fmt.Fprintf(&b, "\nEach of a report's two crowds: %s; delta(%v) = %s, of two crowds at most twice both\n", r.Rule, Epsilon, dp.Figure(r.Delta))
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "%d movies: replacing a rating with probability 0.1 is (%.2f)-locally private for one rating; %.1f s\n", row.Movies, row.LocalEpsilon, row.Seconds)
	}
	b.WriteString("means: the means of movies, without privacy. A user sends as many reports as pairs; the guarantee is about one report.\n")
	return b.String()
}

// Gap returns by how much privacy makes the error larger.
func (r *Row) Gap() float64 { return r.Private - r.Plain }
