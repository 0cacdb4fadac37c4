package mutants

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	root = "../.."

	// testTime bounds one test; a mutant that hangs is noticed by it.
	testTime = 90 * time.Second
	// buildTime is what may come on top of that for a build on a busy machine.
	buildTime = 4 * time.Minute
	// leastMutants guards against mutants that are lost.
	leastMutants = 70
)

// A mutant is one fault.
type mutant struct {
	name, about string
	file        string // from the root of the repository
	pkg, test   string // that must notice
	old, new    string
}

// parse reads the description of a mutant.
func parse(name, text string) (mutant, error) {
	m := mutant{name: name}
	head, rest, found := strings.Cut(text, "--- old\n")
	if !found {
		return m, errors.New("no line \"--- old\"")
	}
	if m.old, m.new, found = strings.Cut(rest, "--- new\n"); !found {
		return m, errors.New("no line \"--- new\"")
	}
	for line := range strings.Lines(head) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "#":
			m.about = strings.TrimSpace(m.about + " " + value)
		case "file:":
			m.file = value
		case "test:":
			m.pkg, m.test, _ = strings.Cut(value, " ")
		default:
			return m, fmt.Errorf("unknown line %q", line)
		}
	}
	if m.about == "" || m.file == "" || m.pkg == "" || m.test == "" || m.old == "" || m.old == m.new {
		return m, errors.New("want a comment, a file, a test with its package, and two texts that differ")
	}
	if _, err := regexp.Compile(m.test); err != nil {
		return m, err
	}
	return m, nil
}

// mutants reads all descriptions.
func mutants(t *testing.T) []mutant {
	t.Helper()
	files, err := filepath.Glob("testdata/*.mutant")
	if err != nil {
		t.Fatal(err)
	}
	var all []mutant
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		m, err := parse(strings.TrimSuffix(filepath.Base(f), ".mutant"), string(b))
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		all = append(all, m)
	}
	return all
}

// apply returns the broken file.
func (m *mutant) apply() ([]byte, error) {
	source, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(source, []byte(m.old)); n != 1 {
		return nil, fmt.Errorf("the old text occurs %d times in %s, want 1: change the mutant with the code", n, m.file)
	}
	broken := bytes.Replace(source, []byte(m.old), []byte(m.new), 1)
	if _, err := parser.ParseFile(token.NewFileSet(), m.file, broken, 0); err != nil {
		return nil, err
	}
	return broken, nil
}

// TestMutantsApply keeps the mutants in step with the code.
func TestMutantsApply(t *testing.T) {
	all := mutants(t)
	if len(all) < leastMutants {
		t.Errorf("%d mutants, want %d at least", len(all), leastMutants)
	}
	for _, m := range all {
		if _, err := m.apply(); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// A verdict is what became of a test.
type verdict struct {
	passed, ran, built bool
	output             string
}

// goTest runs tests of a package, with an overlay if that is not "".
func goTest(ctx context.Context, pkg, test, overlay string) verdict {
	ctx, cancel := context.WithTimeout(ctx, testTime+buildTime)
	defer cancel()
	args := []string{"test", "-vet=off", "-count=1", "-timeout", testTime.String(), "-run", test}
	if overlay != "" {
		args = append(args, "-overlay", overlay, "-failfast")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+pkg)...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	text := string(out)
	return verdict{
		passed: err == nil,
		ran:    !strings.Contains(text, "no tests to run") && !strings.Contains(text, "no test files"),
		// What is not built has no line of a test or a panic.
		built:  !strings.Contains(text, "[build failed]") && !strings.Contains(text, "[setup failed]"),
		output: text,
	}
}

// attack runs a mutant against its test and returns what went wrong, "" if it was
// killed.
func (m *mutant) attack(ctx context.Context, dir string) string {
	broken, err := m.apply()
	if err != nil {
		return "does not apply: " + err.Error()
	}
	file, err := filepath.Abs(filepath.Join(root, m.file))
	if err != nil {
		return err.Error()
	}
	replaced, overlay := filepath.Join(dir, m.name+".go"), filepath.Join(dir, m.name+".json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {file: replaced}})
	if err != nil {
		return err.Error()
	}
	if err := errors.Join(os.WriteFile(replaced, broken, 0o600), os.WriteFile(overlay, list, 0o600)); err != nil {
		return err.Error()
	}
	v := goTest(ctx, m.pkg, m.test, overlay)
	switch {
	case !v.built:
		return "does not compile:\n" + v.output
	case !v.ran:
		return "there is no such test: " + m.test
	case v.passed:
		return "SURVIVED"
	case !strings.Contains(v.output, "--- FAIL") && !strings.Contains(v.output, "panic:"):
		return "no test has failed:\n" + v.output
	}
	return ""
}

// TestMutants runs all mutants if SHOAL_MUTANTS is set, to a pattern of their
// names.
func TestMutants(t *testing.T) {
	pattern := os.Getenv("SHOAL_MUTANTS")
	if pattern == "" {
		t.Skip("SHOAL_MUTANTS is not set: make mutants")
	}
	names, err := regexp.Compile(pattern)
	if err != nil {
		t.Fatal(err)
	}
	all := slices.DeleteFunc(mutants(t), func(m mutant) bool { return !names.MatchString(m.name) })
	begun := time.Now()
	// A test that fails anyway notices nothing.
	tests := make(map[string]map[string]bool)
	for _, m := range all {
		if tests[m.pkg] == nil {
			tests[m.pkg] = make(map[string]bool)
		}
		tests[m.pkg][m.test] = true
	}
	for _, pkg := range slices.Sorted(maps.Keys(tests)) {
		v := goTest(t.Context(), pkg, strings.Join(slices.Sorted(maps.Keys(tests[pkg])), "|"), "")
		if !v.passed || !v.ran {
			t.Errorf("the tests of %s fail without a mutant:\n%s", pkg, v.output)
		}
	}
	killed := 0
	for _, m := range all {
		from := time.Now()
		failure := m.attack(t.Context(), t.TempDir())
		took := time.Since(from).Round(100 * time.Millisecond)
		if failure != "" {
			t.Errorf("%-34s %v %s: %s", m.name, took, m.about, failure)
			continue
		}
		killed++
		t.Logf("%-34s killed by %s %s in %v", m.name, m.pkg, m.test, took)
	}
	t.Logf("%d of %d mutants killed in %v", killed, len(all), time.Since(begun).Round(time.Second))
}
