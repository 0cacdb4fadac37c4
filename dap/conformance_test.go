package dap_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestConformanceTable holds docs/evidence/conformance.md to the tests that are there:
// each row names tests that exist, or gives the reason why nothing is to be tested.
func TestConformanceTable(t *testing.T) {
	page, err := os.ReadFile("../docs/evidence/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`([a-z/]+)\\.(Test[A-Za-z0-9]+)`")
	rows := 0
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 || strings.HasPrefix(cells[0], "-") || strings.TrimSpace(cells[2]) == "covered by" {
			continue
		}
		rows++
		cover := strings.TrimSpace(cells[2])
		tests := named.FindAllStringSubmatch(cover, -1)
		if len(tests) == 0 && !strings.HasPrefix(cover, "n/a: ") {
			t.Errorf("no test covers: %s", line)
		}
		for _, m := range tests {
			if !hasTest(t, filepath.Join("..", m[1]), m[2]) {
				t.Errorf("there is no test %s in %s, which is named for:%s", m[2], m[1], cells[1])
			}
		}
	}
	if rows < 80 {
		t.Errorf("only %d rows", rows)
	}
}

func hasTest(t *testing.T, dir, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "func "+name+"(") {
			return true
		}
	}
	return false
}
