// Package golden compares what code makes with files of the repository, and rewrites
// these where a change is meant:
//
//	go test ./metric -run TestPlan -update
//
// It is the only place that knows the flag. Only tests import it. Look at the change
// of a golden file before you commit it: a file of what was written by an earlier
// version must not change at all.
package golden

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

var update = flag.Bool("update", false, "rewrite golden files and the tables of documentation")

// Updating reports whether golden files are to be rewritten.
func Updating() bool { return *update }

// Equal compares got with a file. With -update it writes the file, and its folder.
func Equal(t testing.TB, file string, got []byte) {
	t.Helper()
	if *update {
		Write(t, file, got)
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("reading a golden file: %v: make it by -update", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs: if that is meant, run this test with -update and look at the change.\ngot:\n%s\nwant:\n%s", file, shown(got), shown(want))
	}
}

// Write writes a golden file, and its folder. The caller has asked [Updating].
func Write(t testing.TB, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Sections compares sections of a page, by their names, with what code makes. A
// section is between two lines of the page:
//
//	<!-- begin NAME -->
//	<!-- end NAME -->
//
// With -update it rewrites them.
func Sections(t testing.TB, page string, sections map[string]string) {
	t.Helper()
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for name, got := range sections {
		begin, end := "<!-- begin "+name+" -->\n", "<!-- end "+name+" -->"
		before, rest, found := strings.Cut(text, begin)
		old, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			t.Fatalf("%s has no section %q", page, name)
		}
		if !*update && old != got {
			t.Errorf("section %q of %s differs: if that is meant, run this test with -update.\ngot:\n%s\nwant:\n%s", name, page, got, old)
		}
		text = before + begin + got + end + after
	}
	if *update && text != string(b) {
		Write(t, page, []byte(text))
	}
}

// shown is data as a failure shows it: text as it is, other bytes in hexadecimal, the
// beginning of both.
func shown(b []byte) string {
	const most = 4 << 10
	text := string(b)
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		text = hex.EncodeToString(b)
	}
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
