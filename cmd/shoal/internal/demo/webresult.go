package demo

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/shoal-project/shoal/internal/discovery/testsite"
)

// A WebResult is what was released of pages and queries beside the truth.
type WebResult struct {
	Question string           `json:"question"`
	Site     *testsite.Result `json:"site"`
	Pages    *Result          `json:"pages"`
	Queries  *Result          `json:"queries"`

	// Pages behind logins, personalised, on private networks or not to be
	// indexed, and secret links.
	PrivateMet int `json:"private_pages_met"`
	PrivateOut int `json:"private_pages_that_left_a_device"` // must be 0
	SecretMet  int `json:"secret_links_met"`
	SecretOut  int `json:"secret_links_that_left_a_device"`
	SecretSeen int `json:"secret_links_released"` // must be 0

	Above     int `json:"public_pages_above_threshold"` // that Certain people visited
	Certain   int `json:"above_means_people"`
	Recovered int `json:"public_pages_recovered"`

	QueriesAbove     int `json:"queries_above_threshold"`
	QueriesRecovered int `json:"queries_recovered"`
}

// judge compares what was released with what the site knows.
func (w *Web) judge(pages, words *Result) *WebResult {
	r := &WebResult{Question: "Which pages and queries are popular?", Site: w.result, Pages: pages, Queries: words, Certain: certain}
	for _, t := range testsite.Truths() {
		sums := w.result.Truths[t.String()]
		switch {
		case t.MustStay():
			r.PrivateMet += sums.Pages
			r.PrivateOut += sums.Told
		case t == testsite.Capability || t == testsite.OneTime:
			r.SecretMet += sums.Pages
			r.SecretOut += sums.Told
		}
	}
	released := make(map[*testsite.Page]bool)
	for _, c := range pages.Released {
		p, ok := w.site.Lookup(c.Label)
		if !ok {
			continue
		}
		released[p] = true
		if p.Truth() == testsite.Capability || p.Truth() == testsite.OneTime {
			r.SecretSeen++
		}
	}
	for p, n := range w.result.Visitors {
		if p.Truth() == testsite.Public && n >= certain {
			r.Above++
			if released[p] {
				r.Recovered++
			}
		}
	}
	r.QueriesAbove = w.result.QueriesAbove
	for _, c := range words.Released {
		if w.result.Askers[c.Label] >= certain {
			r.QueriesRecovered++
		}
	}
	return r
}

// WriteText prints the result for a person.
func (r *WebResult) WriteText(out io.Writer) error {
	var b strings.Builder
	s := r.Site
	fmt.Fprintf(&b, "\nQuestion  %s\nAsked of  %s people, who made %s visits to a test site with %d kinds of page\n",
		r.Question, thousands(s.People), thousands(s.Visits), len(s.Kinds))
	fmt.Fprintf(&b, "Engines   fetched %s pages in nobody's name and let %s messages go; the rest never left the devices\n",
		thousands(s.Fetches), thousands(r.Pages.Sent+r.Queries.Sent))
	fmt.Fprintf(&b, "Reports   %s through two organisations (%.1f s to seal and send, %.1f s to shuffle and analyse)\n\n", thousands(r.Pages.Sent+r.Queries.Sent),
		r.Pages.SendingSeconds+r.Queries.SendingSeconds, r.Pages.AnalysingSeconds+r.Queries.AnalysingSeconds)
	if err := r.truths(&b); err != nil {
		return err
	}
	fmt.Fprintf(&b, "\nprivate pages met: %d; that left a device: %d\n", r.PrivateMet, r.PrivateOut)
	fmt.Fprintf(&b, "secret links met: %d; that left a device: %d; that were released: %d\n", r.SecretMet, r.SecretOut, r.SecretSeen)
	fmt.Fprintf(&b, "public pages that %d people or more visited: %d; recovered: %d (%.1f %%)\n", r.Certain, r.Above, r.Recovered, share(r.Recovered, r.Above))
	fmt.Fprintf(&b, "queries that %d people or more asked: %d; recovered: %d (%.1f %%)\n\n", r.Certain, r.QueriesAbove, r.QueriesRecovered, share(r.QueriesRecovered, r.QueriesAbove))
	top(&b, "page", r.Pages.Released)
	b.WriteByte('\n')
	top(&b, "query, engine", r.Queries.Released)
	_, err := io.WriteString(out, b.String())
	return err
}

func (r *WebResult) truths(b *strings.Builder) error {
	table := tabwriter.NewWriter(b, 2, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(table, "what it is\tpages met\tvisits\ttold of by an engine\t\n")
	for _, t := range testsite.Truths() {
		sums := r.Site.Truths[t.String()]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t\n", t, thousands(sums.Pages), thousands(sums.Visits), thousands(sums.Told))
	}
	return table.Flush()
}

func share(part, whole int) float64 {
	if whole == 0 {
		return 100
	}
	return 100 * float64(part) / float64(whole)
}

// top prints the ten largest crowds.
func top(b *strings.Builder, what string, crowds []Crowd) {
	const most, widest = 10, 60
	shown := crowds[:min(most, len(crowds))]
	width := utf8.RuneCountInString(what)
	for _, c := range shown {
		width = max(width, min(widest, utf8.RuneCountInString(c.Label)))
	}
	fmt.Fprintf(b, "%-*s  %14s  %5s\n", width, what, "people ± 95%", "truth")
	for _, c := range shown {
		fmt.Fprintf(b, "%-*s  %8.0f ± %-3.0f  %5d\n", width, truncate(c.Label, width), c.Estimate, (c.High-c.Low)/2, c.True)
	}
	if n := len(crowds) - len(shown); n > 0 {
		fmt.Fprintf(b, "and %d crowds more\n", n)
	}
}
