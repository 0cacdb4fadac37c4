package simulate

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/shoal-project/shoal/internal/release"
)

// shown is how many rows of an answer are printed.
const shown = 20

// WriteText prints an answer for a person.
func (a *Answer) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s  %s\n", a.Metric, release.Visible(a.Question))
	fmt.Fprintf(&b, "  %s; %d people, %d reports of the epoch from %s\n", a.Kind, a.People, a.Reports, a.Epoch.UTC().Format("2006-01-02 15:04"))
	if !a.Released {
		fmt.Fprintf(&b, "  no answer: %s\n", a.Reason)
		_, err := io.WriteString(w, b.String())
		return err
	}
	fmt.Fprintf(&b, "  %s\n\n", a.Rule)
	a.table(&b)
	a.remarks(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

// table prints the first rows with their intervals beside the truth.
func (a *Answer) table(b *strings.Builder) {
	rows := a.Rows[:min(len(a.Rows), shown)]
	if len(rows) == 0 {
		return
	}
	cells := [][4]string{{"", "estimate", "95% interval", "in truth"}}
	for _, r := range rows {
		cells = append(cells, [4]string{truncate(release.Visible(r.Label), 40), figure(r.Estimate), figure(r.Low) + " to " + figure(r.High), figure(r.True)})
	}
	var width [4]int
	for _, c := range cells {
		for i := range c {
			width[i] = max(width[i], utf8.RuneCountInString(c[i]))
		}
	}
	most := 0.0
	for _, r := range rows {
		most = max(most, math.Abs(r.Estimate))
	}
	for i, c := range cells {
		bar, note := "", ""
		if i > 0 {
			if most > 0 {
				bar = strings.Repeat("█", int(max(0, rows[i-1].Estimate)/most*24+0.5))
			}
			note = sharesText(rows[i-1].Shares)
		}
		line := fmt.Sprintf("  %s  %s  %s  %s  %-24s  %s", pad(c[0], width[0], false), pad(c[1], width[1], true), pad(c[2], width[2], true), pad(c[3], width[3], true), bar, note)
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	if n := len(a.Rows) - len(rows); n > 0 {
		fmt.Fprintf(b, "  and %d rows more\n", n)
	}
}

// remarks describe how good the answer is and what is not in it.
func (a *Answer) remarks(b *strings.Builder) {
	if len(a.Rows) > 0 {
		fmt.Fprintf(b, "  %d of %d intervals hold the truth\n", a.Inside, len(a.Rows))
	} else {
		fmt.Fprintf(b, "  the answer is empty: no crowd was large enough\n")
	}
	if s := a.Small; s != nil && s.Crowds > 0 {
		fmt.Fprintf(b, "  %d crowds with %d reports were too small to be released; the largest had %d\n", s.Crowds, s.Reports, s.Largest)
	}
	if a.Cut > 0 {
		fmt.Fprintf(b, "  %d of %d people went beyond the bounds and were cut: raise the bound, or the answer stays too low\n", a.Cut, a.People-a.Silent)
	}
	if a.Silent > 0 {
		fmt.Fprintf(b, "  %d people had nothing to say\n", a.Silent)
	}
	if a.Reason != "" {
		fmt.Fprintf(b, "  %s\n", a.Reason)
	}
}

// sharesText prints the values that most reports of a crowd have.
func sharesText(all []Share) string {
	top := slices.Clone(all)
	slices.SortStableFunc(top, func(x, y Share) int {
		switch {
		case x.Estimate > y.Estimate:
			return -1
		case x.Estimate < y.Estimate:
			return 1
		}
		return 0
	})
	var parts []string
	for _, s := range top[:min(3, len(top))] {
		parts = append(parts, fmt.Sprintf("%s %.0f%% (%.0f%%)", release.Visible(name(s)), 100*min(1, max(0, s.Estimate)), 100*s.True))
	}
	return strings.Join(parts, ", ")
}

func name(s Share) string {
	if s.Value == "true" {
		return s.Field
	}
	return s.Value
}

// figure writes a number with as many digits as a person reads.
func figure(x float64) string {
	switch {
	case math.IsInf(x, 1):
		return "∞"
	case math.IsInf(x, -1):
		return "-∞"
	case math.Abs(x) >= 1000 || math.Abs(x-math.Round(x)) < 1e-9:
		return strconv.FormatFloat(math.Round(x), 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

func pad(s string, width int, right bool) string {
	space := strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
	if right {
		return space + s
	}
	return s + space
}

// truncate shortens a label to n characters.
func truncate(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
