package house

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestBoundsAreTested: each row of the table of bounds in docs/evidence/privacy.md has a unit,
// gives what enforces it, and names tests that exist.
func TestBoundsAreTested(t *testing.T) {
	tableNamesTests(t, "docs/evidence/privacy.md", "| Bound | Unit | Enforced by | Test |\n|---|---|---|---|\n", 14)
	if hasTest(t, "dap", "TestThatDoesNotExist") {
		t.Error("a test is found that does not exist")
	}
}

// namesTests checks a cell of a table: folders in backquotes, and behind each the
// names of tests there.
func namesTests(t *testing.T, row, cell string) {
	t.Helper()
	tests, folder := 0, ""
	for word := range strings.FieldsSeq(strings.ReplaceAll(cell, ",", " ")) {
		if strings.HasPrefix(word, "`") {
			folder = strings.Trim(word, "`")
			continue
		}
		tests++
		if folder == "" || !strings.HasPrefix(word, "Test") || !hasTest(t, folder, word) {
			t.Errorf("%s: there is no test %s in %q", strings.TrimSpace(row), word, folder)
		}
	}
	if tests == 0 {
		t.Errorf("%s: no test", strings.TrimSpace(row))
	}
}

// tableNamesTests holds a table, by its head, to name tests that exist in the last cell
// of each row.
func tableNamesTests(t *testing.T, file, head string, least int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), head)
	if !found {
		t.Fatalf("%s has no table with the head %q", file, head)
	}
	rows, columns := 0, strings.Count(head, "---")
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "|") {
			break
		}
		rows++
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != columns {
			t.Errorf("%d cells, want %d in %s", len(cells), columns, line)
			continue
		}
		namesTests(t, cells[0], cells[columns-1])
	}
	if rows < least {
		t.Errorf("%s: %d rows, want %d at least", file, rows, least)
	}
}

// TestFaultsAreTested: each fault in CONTRIBUTING.md names tests that exist, and
// make crash runs the documented set.
func TestFaultsAreTested(t *testing.T) {
	tableNamesTests(t, "CONTRIBUTING.md", "| Fault | Tests |\n|---|---|\n", 10)
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(makefile), "-run '^TestKill' ./cmd/shoal ./internal/dap/helper") {
		t.Error("make crash does not run the kills of cmd/shoal and internal/dap/helper")
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
