package discovery

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/discovery/tokengen"
	"github.com/shoal-project/shoal/internal/golden"
)

// A published row holds which part of the links of one kind passed the URL
// rules of the Web Discovery Project's client as it was published in August
// 2026, in percent: applied laxly, and strictly.
type published struct {
	kind        string
	before      string
	draw        func(*rand.Rand) string
	lax, strict float64
}

func publishedRows() []published {
	const path, query = "https://www.example.com/view/", "https://www.example.com/view?id="
	return []published{
		{"path: hex, 12", path, tokengen.Fixed(tokengen.Hex, 12), 100, 57},
		{"path: hex, 16", path, tokengen.Fixed(tokengen.Hex, 16), 63, 58},
		{"path: base62, 11", path, tokengen.Fixed(tokengen.Base62, 11), 100, 0.7},
		{"path: [0-9a-z], 12", path, tokengen.Fixed(tokengen.Base36, 12), 100, 12},
		{"path: UUID", path, tokengen.UUID, 69, 26},
		{"path: digits, 12", path, tokengen.Fixed(tokengen.Digits, 12), 100, 0},
		{"path: digits, 8", path, tokengen.Fixed(tokengen.Digits, 8), 100, 100},
		{"query: hex, 16", query, tokengen.Fixed(tokengen.Hex, 16), 99.5, 51},
		{"query: base62, 11", query, tokengen.Fixed(tokengen.Base62, 11), 100, 0.3},
	}
}

// passing returns which part of n links passes, in percent.
func (p published) passing(r *Rules, e Evidence, n int) float64 {
	random := rand.New(rand.NewPCG(11, 13))
	passed := 0
	for range n {
		if r.URL(p.before+p.draw(random), e).Verdict == Public {
			passed++
		}
	}
	return 100 * float64(passed) / float64(n)
}

// capabilityTable compares our rules with the published ones.
func capabilityTable(t *testing.T, r *Rules) string {
	const n = 20_000
	var b strings.Builder
	b.WriteString("| link with a token drawn at random | published, lax | ours, lax | published, strict | ours, strict |\n|---|---:|---:|---:|---:|\n")
	for _, p := range publishedRows() {
		lax, strict := p.passing(r, Evidence{PublicLink: true}, n), p.passing(r, Evidence{}, n)
		fmt.Fprintf(&b, "| %s | %.1f %% | %.2f %% | %.1f %% | %.2f %% |\n", p.kind, p.lax, lax, p.strict, strict)
		if lax >= p.lax || strict >= p.strict && p.strict > 0 || strict > 0 && p.strict == 0 {
			t.Errorf("%s: %.2f %% lax and %.2f %% strict pass, published are %.1f %% and %.1f %%", p.kind, lax, strict, p.lax, p.strict)
		}
	}
	return b.String()
}

// publicTable counts the ordinary public pages that pass.
func publicTable(t *testing.T, r *Rules) string {
	data, err := os.ReadFile("testdata/public-urls.txt")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("| pages | number | pass, strict | pass, lax |\n|---|---:|---:|---:|\n")
	for group := range strings.SplitSeq(strings.TrimPrefix(string(data), "# "), "\n# ") {
		title, lines, _ := strings.Cut(group, "\n")
		n, strict, lax := 0, 0, 0
		for url := range strings.FieldsSeq(lines) {
			n++
			if r.URL(url, Evidence{}).Verdict == Public {
				strict++
			}
			if r.URL(url, Evidence{PublicLink: true}).Verdict == Public {
				lax++
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %.1f %% | %.1f %% |\n", strings.TrimSuffix(title, "."), n, 100*float64(strict)/float64(n), 100*float64(lax)/float64(n))
		if strict*100 < 85*n {
			t.Errorf("%s: only %d of %d pass", title, strict, n)
		}
	}
	return b.String()
}

// ruleTable lists rules in their order, a table for each run of one verdict.
func ruleTable(rules []RuleInfo) string {
	heads := map[Verdict]string{Private: "private if", Mask: "masked if", Public: "no refusal"}
	var b strings.Builder
	for i, r := range rules {
		if i == 0 || r.Verdict != rules[i-1].Verdict {
			fmt.Fprintf(&b, "\n| rule | %s |\n|---|---|\n", heads[r.Verdict])
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", r.Rule, strings.TrimPrefix(r.Text, "not a refusal: "))
	}
	return b.String()
}

// TestDocs keeps the tables of docs/spec/discovery.md and of testdata/figures.md, and
// holds the rules to what they promise. -update rewrites the tables.
func TestDocs(t *testing.T) {
	r := newRules(t)
	urls, queries, titles := Table()
	keepTables(t, "../../docs/spec/discovery.md", map[string]string{
		"urls": ruleTable(urls), "queries": ruleTable(queries), "titles": ruleTable(titles), "comparison": ruleTable(Comparisons()),
	})
	keepTables(t, "testdata/figures.md", map[string]string{
		"capability": capabilityTable(t, r), "public": publicTable(t, r), "pages": pageTable(t, pageRows(r)), "blind": blindTable(t, r),
	})
}

// keepTables compares sections of a page with tables, or rewrites them.
func keepTables(t *testing.T, name string, tables map[string]string) {
	t.Helper()
	for section, table := range tables {
		tables[section] = strings.TrimSpace(table) + "\n"
	}
	golden.Sections(t, name, tables)
}
