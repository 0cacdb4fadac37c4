package house_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var fuzzTarget = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)

// TestFuzzCorpora: each fuzz target has a committed corpus, which every run of the tests
// reads: inputs that reached code which others had not.
func TestFuzzCorpora(t *testing.T) {
	targets := 0
	sources(t, func(name string, source []byte) {
		if !strings.HasSuffix(name, "_test.go") {
			return
		}
		for _, m := range fuzzTarget.FindAllSubmatch(source, -1) {
			targets++
			dir := filepath.Join(filepath.Dir(name), "testdata", "fuzz", string(m[1]))
			if entries, err := os.ReadDir(dir); err != nil || len(entries) == 0 {
				t.Errorf("%s: %s has no corpus: run it for a while (go test -fuzz), and commit inputs it has found to %s", name, m[1], dir)
			}
		}
	})
	if targets < 100 {
		t.Errorf("%d fuzz targets are found: the search is wrong", targets)
	}
}
