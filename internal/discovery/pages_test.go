package discovery

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/discovery/pagegen"
	"github.com/shoal-project/shoal/internal/golden"
)

// A pageRow is how many addresses of one convention pass, of how many.
type pageRow struct {
	convention        pagegen.Convention
	n, strict, lax    int
	refusing, example string // most refusals and one of them
}

// perConvention is how many addresses of a convention are drawn.
const perConvention = 150

// pageRows draws addresses of every convention and asks the rules.
func pageRows(r *Rules) []pageRow {
	const n = perConvention
	words := map[pagegen.Half]*pagegen.Words{pagegen.Tune: pagegen.NewWords(pagegen.Tune), pagegen.Blind: pagegen.NewWords(pagegen.Blind)}
	var rows []pageRow
	for _, c := range pagegen.Conventions() {
		row := pageRow{convention: c, n: n}
		refused := map[Rule]int{}
		random := rand.New(rand.NewPCG(2026, uint64(c.Half())))
		for range n {
			url := c.Draw(random, words[c.Half()])
			if d := r.URL(url, Evidence{}); d.Verdict == Public {
				row.strict++
			} else if refused[d.Rule]++; row.refusing == "" || refused[d.Rule] > refused[Rule(row.refusing)] {
				row.refusing, row.example = string(d.Rule), url
			}
			if r.URL(url, Evidence{PublicLink: true}).Verdict == Public {
				row.lax++
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// pageTable sums up by half and group.
func pageTable(t *testing.T, rows []pageRow) string {
	var b strings.Builder
	b.WriteString("| pages | conventions, tuned on | pass, strict | lax | not tuned on | pass, strict | lax |\n|---|---:|---:|---:|---:|---:|---:|\n")
	line := func(name string, take func(pagegen.Group) bool) float64 {
		var n, strict, lax, count [2]int
		for _, row := range rows {
			if !take(row.convention.Group) {
				continue
			}
			h := row.convention.Half()
			count[h]++
			n[h] += row.n
			strict[h] += row.strict
			lax[h] += row.lax
		}
		part := func(a, b int) float64 { return 100 * float64(a) / float64(b) }
		fmt.Fprintf(&b, "| %s | %d | %.1f %% | %.1f %% | %d | %.1f %% | %.1f %% |\n", name,
			count[pagegen.Tune], part(strict[pagegen.Tune], n[pagegen.Tune]), part(lax[pagegen.Tune], n[pagegen.Tune]),
			count[pagegen.Blind], part(strict[pagegen.Blind], n[pagegen.Blind]), part(lax[pagegen.Blind], n[pagegen.Blind]))
		return part(strict[pagegen.Blind], n[pagegen.Blind])
	}
	for _, g := range []pagegen.Group{pagegen.Article, pagegen.Product, pagegen.Other, pagegen.Opaque} {
		line(string(g), func(h pagegen.Group) bool { return g == h })
	}
	rest := line("articles and products together", func(g pagegen.Group) bool { return g == pagegen.Article || g == pagegen.Product })
	if rest < 80 {
		t.Errorf("only %.1f %% of articles and products that the rules were not tuned on pass", rest)
	}
	return b.String()
}

// blindTable is about real addresses that were never used to make a rule.
func blindTable(t *testing.T, r *Rules) string {
	n, strict, lax := 0, 0, 0
	for _, url := range readLines(t, "testdata/blind-urls.txt") {
		n++
		if r.URL(url, Evidence{}).Verdict == Public {
			strict++
		}
		if r.URL(url, Evidence{PublicLink: true}).Verdict == Public {
			lax++
		}
	}
	if n < 130 || strict*100 < 85*n {
		t.Errorf("blind: %d of %d pass", strict, n)
	}
	return fmt.Sprintf("| pages | number | pass, strict | pass, lax |\n|---|---:|---:|---:|\n| Real articles and products, blind | %d | %.1f %% | %.1f %% |\n",
		n, 100*float64(strict)/float64(n), 100*float64(lax)/float64(n))
}

// pageReport lists every convention.
func pageReport(rows []pageRow) string {
	var b strings.Builder
	b.WriteString("# Addresses of ordinary public pages\n\nMade by the tests of package discovery; docs/spec/discovery.md says how. ")
	fmt.Fprintf(&b, "%d addresses of each convention.\n\n", perConvention)
	b.WriteString("| half | group | convention | pass, strict | lax | refused most by | for example |\n|---|---|---|---:|---:|---|---|\n")
	for _, half := range []pagegen.Half{pagegen.Tune, pagegen.Blind} {
		for _, row := range rows {
			if row.convention.Half() != half {
				continue
			}
			name, example := "tuned on", ""
			if half == pagegen.Blind {
				name = "not tuned on"
			}
			if row.example != "" {
				example = "`" + row.example + "`"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %.1f %% | %.1f %% | %s | %s |\n", name, row.convention.Group, row.convention.Name,
				100*float64(row.strict)/float64(row.n), 100*float64(row.lax)/float64(row.n), row.refusing, example)
		}
	}
	return b.String()
}

// TestPages keeps the report of each convention, beside the table in the docs.
func TestPages(t *testing.T) {
	const name = "testdata/pages.md"
	want := pageReport(pageRows(newRules(t)))
	golden.Equal(t, name, []byte(want))
}
