package house

import (
	"os"
	"regexp"
	"testing"
)

// TestWorkflow: the public workflow runs each part of .ci/run, and release-check; the
// part that builds an older version has the history.
func TestWorkflow(t *testing.T) {
	script, err := os.ReadFile(".ci/run")
	if err != nil {
		t.Fatal(err)
	}
	workflow, err := os.ReadFile(".github/workflows/ci.yml")
	if err != nil {
		t.Fatal(err)
	}
	parts := regexp.MustCompile(`(?m)^part (make [a-z-]+)$`).FindAllSubmatch(script, -1)
	if len(parts) < 4 {
		t.Fatalf("%d parts in .ci/run", len(parts))
	}
	for _, want := range append(parts, [][]byte{nil, []byte("make release-check")}) {
		step := regexp.MustCompile(`(?m)^ +- run: ` + regexp.QuoteMeta(string(want[1])) + `$`)
		if !step.Match(workflow) {
			t.Errorf("no job of .github/workflows/ci.yml runs %q", want[1])
		}
	}
	history := regexp.MustCompile(`(?s)\n  compat:\n(?:    [^\n]*\n)*?          fetch-depth: 0\b(?:[^\n]*\n    )+  - run: make compat\n`)
	if !history.Match(workflow) {
		t.Error("the job of make compat does not fetch the whole history")
	}
}
