package house

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// caller matches a row of docs/architecture.md that says which packages alone call
// another.
var caller = regexp.MustCompile("(?m)^\\| [0-9, ]+ \\| (.*?) \\| .*; tests apart, only (?:it calls|they call) `(.*?)` \\|$")

// onlyCallers returns who alone calls a package, by docs/architecture.md.
func onlyCallers(page, called string) []string {
	for _, m := range caller.FindAllStringSubmatch(page, -1) {
		if m[2] == called {
			return strings.Split(strings.ReplaceAll(m[1], "`", ""), ", ")
		}
	}
	return nil
}

// TestWhoCallsHPKE: the packages that import crypto/hpke are those of which
// docs/architecture.md says it, and no other package's documentation claims it.
func TestWhoCallsHPKE(t *testing.T) {
	if got := onlyCallers("| 3 | `a`, `b/c` | x; tests apart, only they call `crypto/y` |\n", "crypto/y"); !slices.Equal(got, []string{"a", "b/c"}) {
		t.Fatalf("callers read from a page: %q", got)
	}
	page, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if slices.Contains(p.Imports, "crypto/hpke") {
			have = append(have, name)
		}
		for _, file := range p.GoFiles {
			text, err := os.ReadFile(p.Dir + "/" + file)
			if err != nil {
				t.Fatal(err)
			}
			if name != "internal/hpke" && strings.Contains(string(text), "crypto/hpke") {
				t.Errorf("%s/%s speaks of crypto/hpke: it is behind internal/hpke", name, file)
			}
		}
	}
	if want := onlyCallers(string(page), "crypto/hpke"); !slices.Equal(have, want) {
		t.Errorf("crypto/hpke is called by %q; docs/architecture.md has %q", have, want)
	}
}

// TestOneChecksum: only internal/journal computes CRC-32 of what is in files.
func TestOneChecksum(t *testing.T) {
	found := false
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		if !slices.Contains(p.Imports, "hash/crc32") {
			continue
		}
		found = found || name == "internal/journal"
		if name != "internal/journal" {
			t.Errorf("%s computes checksums: frames of files and their sums are those of internal/journal", name)
		}
	}
	if !found {
		t.Error("internal/journal computes no checksum: the test sees nothing")
	}
}
