package golden

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A recorder is a test whose failures are wanted.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, _ ...any) { r.failures = append(r.failures, format) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic(r)
}

// failures runs a test with -update or without, and returns how often it failed.
func failures(t *testing.T, updating bool, f func(testing.TB)) int {
	t.Helper()
	old := *update
	*update = updating
	defer func() { *update = old }()
	r := &recorder{TB: t}
	func() {
		defer func() {
			if p := recover(); p != nil && p != any(r) {
				panic(p)
			}
		}()
		f(r)
	}()
	return len(r.failures)
}

func TestEqual(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "file")
	equal := func(text string) func(testing.TB) {
		return func(t testing.TB) { Equal(t, file, []byte(text)) }
	}
	for _, c := range []struct {
		name     string
		updating bool
		text     string
		fails    int
	}{
		{"missing", false, "one", 1},
		{"written", true, "one", 0},
		{"the same", false, "one", 0},
		{"another", false, "two", 1},
		{"binary", false, "\x00\xff", 1},
		{"rewritten", true, "two", 0},
		{"the new one", false, "two", 0},
	} {
		if n := failures(t, c.updating, equal(c.text)); n != c.fails {
			t.Errorf("%s: %d failures, want %d", c.name, n, c.fails)
		}
	}
}

func TestSections(t *testing.T) {
	page := filepath.Join(t.TempDir(), "page.md")
	const text = "# Page\n<!-- begin a -->\none\n<!-- end a -->\nmore\n<!-- begin b -->\ntwo\n<!-- end b -->\n"
	Write(t, page, []byte(text))
	sections := func(m map[string]string) func(testing.TB) {
		return func(t testing.TB) { Sections(t, page, m) }
	}
	if n := failures(t, false, sections(map[string]string{"a": "one\n", "b": "two\n"})); n != 0 {
		t.Errorf("equal sections: %d failures", n)
	}
	if n := failures(t, false, sections(map[string]string{"a": "1\n", "b": "2\n"})); n != 2 {
		t.Errorf("two other sections: %d failures", n)
	}
	if n := failures(t, false, sections(map[string]string{"c": ""})); n != 1 {
		t.Errorf("no such section: %d failures", n)
	}
	if n := failures(t, true, sections(map[string]string{"b": "2\n"})); n != 0 {
		t.Errorf("rewriting: %d failures", n)
	}
	got, err := os.ReadFile(page)
	if want := strings.Replace(text, "two", "2", 1); err != nil || string(got) != want {
		t.Errorf("rewritten: %q, %v, want %q", got, err, want)
	}
}
