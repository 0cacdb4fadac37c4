package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/clock"
)

// TestGuideIsTried: every command of the guide for two organisations is one that
// testdata/two-organisations.txtar runs. The script has other folders and
// addresses, and puts "exec" in front.
func TestGuideIsTried(t *testing.T) {
	guide, err := os.ReadFile("../../docs/guide/two-organisations.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/two-organisations.txtar")
	if err != nil {
		t.Fatal(err)
	}
	tried := map[string]bool{}
	for line := range strings.Lines(string(script)) {
		if rest, ok := strings.CutPrefix(line, "exec shoal "); ok {
			tried[plainCommand(rest)] = true
		} else if at := strings.Index(line, " shoal "); at > 0 && strings.HasPrefix(line, "eventually ") {
			tried[plainCommand(line[at+len(" shoal "):])] = true
		}
	}
	commands := 0
	for line := range strings.Lines(string(guide)) {
		rest, ok := strings.CutPrefix(line, "    shoal ")
		if !ok {
			continue
		}
		commands++
		if !tried[plainCommand(rest)] {
			t.Errorf("the script does not run %q", plainCommand(rest))
		}
	}
	if commands < 15 {
		t.Errorf("the guide has %d commands only", commands)
	}
}

var (
	where  = regexp.MustCompile(` --config \S+| > \S+| &\w+&|^(init) [abr] `)
	things = regexp.MustCompile(`https?://\S+|\$OWNER|ed25519:\S+`)
)

// plainCommand is a command without folders, addresses and keys.
func plainCommand(line string) string {
	line = strings.TrimSpace(line)
	line = where.ReplaceAllStringFunc(line, func(m string) string {
		if strings.HasPrefix(m, "init") {
			return "init "
		}
		return ""
	})
	return things.ReplaceAllString(line, "X")
}

// TestStartIsTried runs what docs/guide/start.md asks a stranger to type: the file
// is a valid question, and each command succeeds and answers it. 1,000 reports pass the
// minimum of 500 at a noise of deviation 8: no chance is seen here.
func TestStartIsTried(t *testing.T) {
	page, err := os.ReadFile("../../docs/guide/start.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "cat > metrics.yaml <<END\n")
	file, rest, ok := strings.Cut(rest, "END\n")
	lines, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("the guide writes no metrics.yaml")
	}
	t.Chdir(t.TempDir())
	if err := os.WriteFile("metrics.yaml", []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	tried := map[string]string{}
	for line := range strings.Lines(lines) {
		line, _, _ = strings.Cut(line, " #")
		args := shellWords(strings.TrimSpace(line))
		if len(args) < 2 || args[0] != "shoal" {
			t.Fatalf("the guide runs %q", line)
		}
		var stdout, stderr bytes.Buffer
		if code := run(args[1:], &stdout, &stderr, clock.System()); code != 0 {
			t.Errorf("%s: exit code %d: %s", line, code, &stderr)
		}
		tried[args[1]] = stdout.String()
	}
	for command, want := range map[string]string{"plan": "epsilon", "simulate": "dark"} {
		if !strings.Contains(tried[command], want) {
			t.Errorf("shoal %s does not print %q:\n%s", command, want, tried[command])
		}
	}
}

// shellWords splits a line at spaces outside of double quotes, and drops the quotes.
func shellWords(line string) []string {
	var all []string
	before := " "
	for i, part := range strings.Split(line, `"`) {
		fields := []string{part}
		if i%2 == 0 {
			fields = strings.Fields(part)
		}
		apart := strings.HasSuffix(before, " ") || i%2 == 0 && strings.HasPrefix(part, " ")
		if !apart && len(fields) > 0 {
			all[len(all)-1] += fields[0]
			fields = fields[1:]
		}
		all, before = append(all, fields...), part
	}
	return all
}
