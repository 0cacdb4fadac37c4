package shoal_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestBoundsAreTested: each row of the table of bounds in docs/privacy.md has a unit,
// says what enforces it, and names tests that exist.
func TestBoundsAreTested(t *testing.T) {
	text, err := os.ReadFile("docs/privacy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "| Bound | Unit | Enforced by | Test |\n|---|---|---|---|\n")
	if !found {
		t.Fatal("docs/privacy.md has no table of bounds")
	}
	rows := 0
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		rows++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 4 {
			t.Errorf("%d cells in %s", len(cells), line)
			continue
		}
		tests, folder := 0, ""
		for word := range strings.FieldsSeq(strings.ReplaceAll(cells[3], ",", " ")) {
			if strings.HasPrefix(word, "`") {
				folder = strings.Trim(word, "`")
				continue
			}
			tests++
			if folder == "" || !strings.HasPrefix(word, "Test") || !hasTest(t, folder, word) {
				t.Errorf("%s: there is no test %s in %q", strings.TrimSpace(cells[0]), word, folder)
			}
		}
		if tests == 0 {
			t.Errorf("%s: no test", strings.TrimSpace(cells[0]))
		}
	}
	if rows < 14 {
		t.Errorf("%d bounds, want 14 at least", rows)
	}
	if hasTest(t, "dap", "TestThatDoesNotExist") {
		t.Error("a test is found that does not exist")
	}
}

// hasTest reports whether a test is declared in a folder.
func hasTest(t *testing.T, folder, name string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^func ` + regexp.QuoteMeta(name) + `\(`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if declared.Match(text) {
			return true
		}
	}
	return false
}
