package discovery

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMeasuredQueries measures which part of public queries passes. The sets are
// not part of the repository: SHOAL_QUERIES names a directory of tab-separated
// files (number, query), one a language. The halves are by the hash of the query.
func TestMeasuredQueries(t *testing.T) {
	dir := os.Getenv("SHOAL_QUERIES")
	if dir == "" {
		t.Skip("SHOAL_QUERIES is not set")
	}
	show := os.Getenv("SHOAL_SHOW")
	r := newRules(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.tsv"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no sets of queries in %s: %v", dir, err)
	}
	var all [2][2]int
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		var set [2][2]int
		reasons := map[Rule]int{}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			_, query, _ := strings.Cut(lines.Text(), "\t")
			half := sha256.Sum256([]byte(query))[0] & 1
			d := r.Query(query)
			set[half][1]++
			all[half][1]++
			if d.Verdict == Public {
				set[half][0]++
				all[half][0]++
				continue
			}
			reasons[d.Rule]++
			if half == 0 && show != "" && (show == "all" || string(d.Rule) == show) {
				fmt.Printf("%s\t%s\t%s\t%s\n", filepath.Base(name), d.Rule, query, d.Why().Found)
			}
		}
		_ = f.Close()
		t.Logf("%-14s tuned %5.1f %% of %4d, unseen %5.1f %% of %4d %v", filepath.Base(name), share(set[0]), set[0][1], share(set[1]), set[1][1], reasons)
	}
	t.Logf("all: tuned %.1f %% of %d, unseen %.1f %% of %d", share(all[0]), all[0][1], share(all[1]), all[1][1])
}

func share(n [2]int) float64 { return 100 * float64(n[0]) / float64(max(n[1], 1)) }

func lines(t *testing.T, name string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			all = append(all, line)
		}
	}
	return all
}

// TestPrivateQueries: every query that the rules were made with is refused.
func TestPrivateQueries(t *testing.T) {
	r := newRules(t)
	for _, query := range lines(t, "private-queries.txt") {
		if d := r.Query(query); d.Verdict == Public {
			t.Errorf("%q passes", query)
		}
	}
}

// TestBlindPrivateQueries: of each set of queries that no rule was made with, four
// of five are refused.
func TestBlindPrivateQueries(t *testing.T) {
	r := newRules(t)
	for _, name := range []string{"blind-private-queries.txt", "blind-private-queries-2.txt"} {
		all := lines(t, name)
		refused := 0
		for _, query := range all {
			d := r.Query(query)
			if d.Verdict != Public {
				refused++
			}
			t.Logf("%-12s %-18s %s", d.Verdict, d.Rule, query)
		}
		t.Logf("%s: %d of %d refused", name, refused, len(all))
		if len(all) < 60 || 100*refused < 80*len(all) {
			t.Errorf("%s: %d of %d blind private queries are refused, want 80 %% of 60", name, refused, len(all))
		}
	}
}

// TestUsefulQueries: numbers that describe the world, not a person, pass.
func TestUsefulQueries(t *testing.T) {
	r := newRules(t)
	for _, query := range lines(t, "useful-queries.txt") {
		if d := r.Query(query); d.Verdict != Public {
			t.Errorf("%q: %s: %s", query, d.Rule, d.Why().Found)
		}
	}
}
