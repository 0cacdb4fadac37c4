package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/golden"
)

// words are the words by which a command is called, without the program's name.
func words(n *kong.Node) []string {
	if n.Parent == nil {
		return nil
	}
	return append(words(n.Parent), n.Name)
}

// model is the command line as kong sees it.
func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := newParser(new(commands), io.Discard, io.Discard, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// tried says what the scripts do with a command.
type tried struct{ succeeds, fails bool }

// scriptedCommands reads what the scripts run: by the words of the command,
// whether one run succeeds, and whether one fails and its stderr is compared.
func scriptedCommands(t *testing.T, leaves [][]string) map[string]tried {
	t.Helper()
	var names []string
	for _, pattern := range []string{"testdata/*.txtar", "testdata/*/*.txtar"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	all := map[string]tried{}
	for _, name := range names {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		readScript(string(archive.Comment), leaves, all)
	}
	return all
}

// readScript adds to all what one script runs.
func readScript(script string, leaves [][]string, all map[string]tried) {
	failed := "" // the command that failed last, until the next one runs
	for line := range strings.Lines(script) {
		fields := strings.Fields(line)
		for len(fields) > 0 && strings.HasPrefix(fields[0], "[") { // a condition
			fields = fields[1:]
		}
		if len(fields) == 0 {
			continue
		}
		if fields[0] == "stderr" && failed != "" {
			was := all[failed]
			was.fails = true
			all[failed] = was
		}
		fails := fields[0] == "!" && len(fields) > 1 && fields[1] == "exec"
		if !fails && fields[0] != "exec" && fields[0] != "eventually" {
			continue
		}
		failed = ""
		at := slices.Index(fields, "shoal")
		if at < 0 {
			continue
		}
		leaf := slices.IndexFunc(leaves, func(l []string) bool {
			return len(fields) > at+len(l) && slices.Equal(l, fields[at+1:at+1+len(l)])
		})
		if leaf < 0 {
			continue
		}
		name := strings.Join(leaves[leaf], " ")
		was := all[name]
		if fails {
			failed = name
		} else if !slices.Contains(fields, "--help") {
			was.succeeds = true
		}
		all[name] = was
	}
}

// TestEveryCommandIsScripted: of each command a script shows a success, and a
// failure with what it prints to standard error.
func TestEveryCommandIsScripted(t *testing.T) {
	var leaves [][]string
	for _, n := range model(t).Leaves(true) {
		leaves = append(leaves, words(n))
	}
	if len(leaves) < 40 {
		t.Fatalf("the command line has %d commands", len(leaves))
	}
	all := scriptedCommands(t, leaves)
	for _, l := range leaves {
		name := strings.Join(l, " ")
		if !all[name].succeeds {
			t.Errorf("no script of testdata runs %q with success", name)
		}
		if !all[name].fails {
			t.Errorf("no script of testdata runs %q with a failure and compares its stderr", name)
		}
	}
	t.Logf("%d commands, each with a success and a failure", len(leaves))
}

// TestReadScript shows that a command without a success, or whose failure is not
// compared, is noticed.
func TestReadScript(t *testing.T) {
	all := map[string]tried{}
	readScript(`# comment: exec shoal a
exec shoal a --config x
! exec shoal b c
stdout x
stderr 'd'
! exec shoal e
exec true
stderr 'not of e'
[unix] ! exec shoal f
[unix] stderr 'g'
eventually 'done' shoal h
`, [][]string{{"a"}, {"b", "c"}, {"e"}, {"f"}, {"h"}}, all)
	want := map[string]tried{"a": {succeeds: true}, "b c": {fails: true}, "e": {}, "f": {fails: true}, "h": {succeeds: true}}
	for name, w := range want {
		if all[name] != w {
			t.Errorf("%s: %+v, want %+v", name, all[name], w)
		}
	}
}

// TestHelp compares what "shoal COMMAND --help" prints with testdata/help.
func TestHelp(t *testing.T) {
	t.Setenv("COLUMNS", "80")
	seen := map[string]bool{}
	var visit func(n *kong.Node)
	visit = func(n *kong.Node) {
		w := words(n)
		name := filepath.Join("testdata", "help", strings.Join(append([]string{"shoal"}, w...), "-")+".txt")
		seen[name] = true
		compareHelp(t, name, append(w, "--help"))
		for _, c := range n.Children {
			if !c.Hidden {
				visit(c)
			}
		}
	}
	visit(model(t).Node)
	files, err := filepath.Glob("testdata/help/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !seen[f] {
			t.Errorf("%s belongs to no command: delete it", f)
		}
	}
}

func compareHelp(t *testing.T, name string, args []string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(args, &stdout, &stderr, clock.System()); code != 0 || stderr.Len() > 0 {
		t.Errorf("shoal %s: exit code %d, %s", strings.Join(args, " "), code, &stderr)
	}
	golden.Equal(t, name, stdout.Bytes())
}

// TestHelpBeginsWithAVerb: the line of a command says what it does, as an order.
func TestHelpBeginsWithAVerb(t *testing.T) {
	verbs := []string{
		"Accept", "Add", "Back", "Build", "Check", "Collect", "Compare", "Create", "Decode", "Describe", "Disable", "Drop",
		"Exchange", "Explain", "Export", "Generate", "Inspect", "Invite", "List", "Manage", "Measure", "Plan", "Print", "Query",
		"Remove", "Repeat", "Replay", "Restore", "Revoke", "Rotate", "Run", "Send", "Serve", "Show", "Sign", "Simulate", "Verify", "Write",
	}
	var visit func(n *kong.Node)
	visit = func(n *kong.Node) {
		first, _, more := strings.Cut(n.Help, " ")
		if n.Parent != nil && (!more || !slices.Contains(verbs, strings.TrimSuffix(first, ","))) {
			t.Errorf("shoal %s: %q does not begin with a verb and an object", strings.Join(words(n), " "), n.Help)
		}
		for _, c := range n.Children {
			visit(c)
		}
	}
	visit(model(t).Node)
}

// TestChangelogHasRelease: the first section of the changelog is this release.
func TestChangelogHasRelease(t *testing.T) {
	page, err := os.ReadFile("../../CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "\n## ")
	title, _, _ := strings.Cut(rest, "\n")
	if number, _, _ := strings.Cut(title, " "); number != releaseVersion {
		t.Errorf("CHANGELOG.md begins with %q, want %s", title, releaseVersion)
	}
	if !strings.HasPrefix(version(), "shoal "+releaseVersion) {
		t.Errorf("version %q, want %s", version(), releaseVersion)
	}
}
