package demo

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/shoal-project/shoal/internal/release"
)

// shown is how many crowds are printed.
const shown = 20

// WriteText prints the result for a person.
func (r *Result) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\nQuestion  %s\nAsked of  %s people, about %s\n", r.Question, thousands(r.People), r.Input)
	fmt.Fprintf(&b, "Reports   %s, one a request, through two organisations (%.1f s to seal and send, %.1f s to shuffle and analyse)\n\n",
		thousands(r.Sent), r.SendingSeconds, r.AnalysingSeconds)
	r.answer(&b)
	r.fate(&b)
	r.truth(&b)
	r.sums(&b)
	if err := r.received(&b); err != nil {
		return err
	}
	b.WriteString("\nPrivacy\n")
	for _, p := range r.Privacy {
		fmt.Fprintf(&b, "  %s\n", p)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// answer prints the largest crowds as a bar chart with error bars.
func (r *Result) answer(b *strings.Builder) {
	if len(r.Released) == 0 {
		b.WriteString("The answer is empty: no crowd was large enough.\n")
		return
	}
	top := r.Released[:min(shown, len(r.Released))]
	width := 5
	for _, c := range top {
		width = max(width, min(24, utf8.RuneCountInString(c.Label)))
	}
	fmt.Fprintf(b, "%-*s  %14s\n", width, "crowd", "people ± 95%")
	for _, c := range top {
		bar := int(c.Estimate/top[0].Estimate*24 + 0.5)
		fmt.Fprintf(b, "%-*s  %8.0f ± %-3.0f  %-24s  %s\n", width, truncate(release.Visible(c.Label), width), c.Estimate, (c.High-c.Low)/2,
			strings.Repeat("█", bar), strings.Join(c.Members, " "))
	}
	if n := len(r.Released) - len(top); n > 0 {
		fmt.Fprintf(b, "and %d crowds more\n", n)
	}
}

// fate prints what became of the reports and why.
func (r *Result) fate(b *strings.Builder) {
	s := r.Shuffler
	fmt.Fprintf(b, "\nWhat became of the %s reports\n", thousands(r.Sent))
	line := func(n uint64, what string) { fmt.Fprintf(b, "  %8s  %s\n", thousands(int(n)), what) }
	line(r.Analyzer.Records, fmt.Sprintf("released, in %d crowds", len(r.Released)))
	line(uint64(r.Suppressed.Reports), fmt.Sprintf("suppressed, in %d crowds that were too small: nobody but the devices knows what they said", r.Suppressed.Crowds))
	line(uint64(max(0, r.Sent-r.Suppressed.Reports-int(r.Analyzer.Records))), "dropped at random from released crowds, as noise")
	if s.Reports != nil {
		fmt.Fprintf(b, "  Of this the analyzer is told what was released, and that there were %s ± %d reports.\n", thousands(int(*s.Reports)), *s.Within95)
	}
}

// truth prints the comparison that only a simulation can make.
func (r *Result) truth(b *strings.Builder) {
	n := len(r.Released)
	fmt.Fprintf(b, "\nCompared with the truth, which only this simulation knows\n")
	fmt.Fprintf(b, "  of %d crowds %d were released and %d suppressed (the largest of these had %d people, %d had one)\n",
		r.Things, n, r.Suppressed.Crowds, r.Suppressed.Largest, r.Suppressed.Singular)
	if n == 0 {
		return
	}
	fmt.Fprintf(b, "  counts are off by %.1f people on average, %.0f at worst; %d of %d intervals hold the truth\n",
		r.Accuracy.MeanError, r.Accuracy.WorstErr, r.Accuracy.Inside, n)
	if len(r.Released[0].Members) > 0 {
		fmt.Fprintf(b, "  %d of %d sets came out exactly right\n", r.Accuracy.Members, n)
	}
	fmt.Fprintf(b, "  crowds released that do not exist: %d\n", r.Accuracy.Invented)
}

// sums prints the answers to the aggregate questions.
func (r *Result) sums(b *strings.Builder) {
	for _, s := range r.Sums {
		fmt.Fprintf(b, "\nQuestion  %s\nAnswered  by leader and helper, who add up secret shares: %s reports, a %s, noise: %s\n\n",
			s.Question, thousands(int(s.Reports)), s.Kind, s.Noise)
		width, most := 5, 1.0
		for _, row := range s.Rows {
			width, most = max(width, utf8.RuneCountInString(row.Label)), max(most, row.Estimate)
		}
		fmt.Fprintf(b, "%-*s  %14s  %8s\n", width, "", "people ± 95%", "in truth")
		for _, row := range s.Rows {
			bar := max(0, int(row.Estimate/most*24+0.5))
			fmt.Fprintf(b, "%-*s  %8.0f ± %-3.0f  %8d  %s\n", width, row.Label, row.Estimate, row.High-row.Estimate, row.True, strings.Repeat("█", bar))
		}
		if s.Exact == len(s.Rows) {
			b.WriteString("exactly the truth\n")
		} else {
			fmt.Fprintf(b, "%d of %d intervals hold the truth\n", s.Inside, len(s.Rows))
		}
	}
}

// truncate shortens a label to n characters.
func truncate(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// thousands writes n with commas.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
