package house

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// These tests hold the house together: what may import what, which modules we
// depend on, and what no log line may contain. docs/architecture.md explains the floors.

const module = "github.com/shoal-project/shoal"

// floors ranks the rooms, bottom to top. A room is a folder of the repository's
// top, or a folder of internal. A package imports only from floors below its
// own, and from its own room.
var floors = map[string]int{
	"internal/clock": 0, "internal/durable": 0, "internal/redact": 0, "internal/route": 0, "internal/audit": 0, "internal/problem": 0, "internal/mutants": 0, "internal/golden": 0, "internal/printable": 0,
	"internal/journal": 1, "internal/loss": 1, "internal/p256": 1,
	"crypto": 2, "internal/spent": 2,
	"internal/hpke": 3, "vdaf": 3, "dp": 3,
	"metric":           4,
	"internal/segment": 5, "internal/engine": 5, "internal/keyring": 5, "internal/role": 5,
	"internal/outbox": 6, "internal/release": 6, "internal/credential": 6, "internal/quorum": 6,
	"dap":          7,
	"internal/dap": 8, "internal/esa": 8, "internal/discovery": 8, "ohttp": 8,
	"internal/store": 9, "internal/relay": 9, "internal/hardened": 9,
	"internal/server": 10, ".": 10,
	"shoaltest": 11, "internal/sdktest": 11, "internal/linkability": 11, "internal/reports": 11, "internal/console": 11, "bench": 11, "web": 11,
	"cmd": 12, "examples": 12, "internal/house": 12,
}

// apart lists rooms that do not import each other, whatever their floors: the
// three protocols.
var apart = [][]string{{"dap", "internal/dap"}, {"internal/esa"}, {"internal/discovery"}}

// yaml is what only authors of metrics.yaml import, and the server for its own
// configuration: a task is known by its bytes.
const yaml = "github.com/goccy/go-yaml"

// directModules is the dependency budget: the modules that go.mod may name
// directly, each with the reason why it is not our own code.
var directModules = map[string]string{
	"filippo.io/bigmod":                   "constant-time arithmetic of P-256 scalars",
	"filippo.io/edwards25519":             "points, scalars and field of Curve25519",
	"filippo.io/nistec":                   "P-256 points, which the standard library does not export",
	"github.com/alecthomas/kong":          "command line",
	"github.com/andybalholm/cascadia":     "reference for our CSS selectors (tests only)",
	"github.com/cloudflare/circl":         "four-lane Keccak permutation, X25519 in one ladder",
	"github.com/duckdb/duckdb-go/v2":      "SQL over released tables (build tag duckdb only)",
	yaml:                                  "strict YAML with positions",
	"github.com/jackc/pgx/v5":             "PostgreSQL: its protocol, pools and batches",
	"github.com/parquet-go/parquet-go":    "released tables",
	"github.com/prometheus/client_golang": "operational metrics",
	"github.com/rogpeppe/go-internal":     "test scripts (tests only)",
	"golang.org/x/crypto":                 "cryptobyte, ACME",
	"golang.org/x/net":                    "HTML parsing",
	"golang.org/x/sync":                   "bounded groups of goroutines",
	"golang.org/x/sys":                    "CPU features, file locks, free space",
	"modernc.org/sqlite":                  "embedded database",
	"pgregory.net/rapid":                  "property tests (tests only)",
}

// sdkMayNotImport lists what an app that embeds the SDK must not pay for.
var sdkMayNotImport = []string{
	"database/sql", "modernc.org/", "github.com/jackc/", "github.com/parquet-go/", "github.com/prometheus/", "github.com/alecthomas/kong",
	yaml, "html/template", module + "/internal/server", module + "/internal/store", module + "/internal/console",
}

// A pkg is the output of `go list` for one package.
type pkg struct {
	ImportPath string
	Name       string
	Dir        string
	Imports    []string
	Deps       []string // of Imports, and of theirs
	GoFiles    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Dir,Imports,Deps,GoFiles", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p pkg
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

// room returns the room of one of our import paths: its first folder, or the
// first two below internal.
func room(importPath string) (string, bool) {
	rest, ours := strings.CutPrefix(importPath, module)
	if !ours {
		return "", false
	}
	if rest == "" {
		return ".", true
	}
	parts := strings.Split(strings.TrimPrefix(rest, "/"), "/")
	if parts[0] == "internal" && len(parts) > 1 {
		return "internal/" + parts[1], true
	}
	return parts[0], true
}

// breach returns what of an import does not follow the floors.
func breach(from, to string) string {
	source, known := floors[from]
	if !known {
		return fmt.Sprintf("folder %q has no floor: add it to the floors in internal/house, or put the package where it belongs", from)
	}
	if from == to {
		return ""
	}
	target, known := floors[to]
	if !known {
		return fmt.Sprintf("imports %s, which has no floor", to)
	}
	if target >= source {
		return fmt.Sprintf("%s (floor %d) imports %s (floor %d): imports go down only", from, source, to, target)
	}
	side := func(room string) int {
		return slices.IndexFunc(apart, func(rooms []string) bool { return slices.Contains(rooms, room) })
	}
	if a, b := side(from), side(to); a >= 0 && b >= 0 && a != b {
		return fmt.Sprintf("%s imports %s: the protocols do not import each other", from, to)
	}
	return ""
}

func TestFloors(t *testing.T) {
	for _, p := range packages(t) {
		from, _ := room(p.ImportPath)
		if b := breach(from, from); b != "" {
			t.Errorf("%s: %s", p.ImportPath, b)
		}
		for _, imp := range p.Imports {
			if to, ours := room(imp); ours {
				if b := breach(from, to); b != "" {
					t.Errorf("%s: %s", p.ImportPath, b)
				}
			}
		}
	}
}

// TestFloorsSeeBreaches shows that the rules above fail where they should.
func TestFloorsSeeBreaches(t *testing.T) {
	for _, c := range []struct {
		from, to string
		bad      bool
	}{
		{"internal/segment", "internal/server", true},
		{"internal/segment/codec", "internal/engine", true},
		{"internal/segment", "internal/durable", false},
		{"internal/segment", "internal/segment/codec", false},
		{"internal/esa/shuffler", "internal/dap/leader", true},
		{"internal/esa", "dap", true},
		{"internal/dap/leader", "dap", false},
		{"internal/unknown", "internal/clock", true},
		{"cmd/shoal", "internal/unknown", true},
		{"", "internal/server", true},
		{"", "internal/outbox", false},
	} {
		from, _ := room(strings.TrimSuffix(module+"/"+c.from, "/"))
		to, _ := room(module + "/" + c.to)
		if got := breach(from, to); (got != "") != c.bad {
			t.Errorf("%s imports %s: %q", c.from, c.to, got)
		}
	}
}

// authoring is the package that reads metrics.yaml. The rooms that follow answer
// questions: they know a task by its bytes, so that no file of an author is parsed
// where reports are.
const authoring = module + "/metric"

var answering = []string{"internal/esa", "internal/dap", "internal/store", "internal/server", "internal/console", "esa", "dap", "store", "server", "console"}

// authors returns the dependencies that a room must not have because they read
// metrics.yaml.
func authors(room string, deps []string) []string {
	var found []string
	for _, d := range deps {
		if slices.Contains(answering, room) && d == authoring {
			found = append(found, d)
		}
	}
	return found
}

func TestServersDoNotImportAuthoring(t *testing.T) {
	checked := 0
	for _, p := range packages(t) {
		from, _ := room(p.ImportPath)
		if !slices.Contains(answering, from) {
			continue
		}
		checked++
		for _, d := range authors(from, p.Deps) {
			t.Errorf("%s depends on %s, which reads metrics.yaml: use metric/task, metric/cost or metric/plan", p.ImportPath, d)
		}
	}
	if checked < 10 {
		t.Errorf("only %d packages checked: have the rooms been renamed?", checked)
	}
	for _, c := range []struct {
		room, dep string
		bad       bool
	}{
		{"internal/server", authoring, true},
		{"internal/server", authoring + "/plan", false},
		{"cmd", authoring, false},
	} {
		if got := authors(c.room, []string{module + "/dp", c.dep}); (len(got) > 0) != c.bad {
			t.Errorf("%s depends on %s: %v", c.room, c.dep, got)
		}
	}
}

func TestFolderNames(t *testing.T) {
	for _, p := range packages(t) {
		switch path.Base(p.ImportPath) {
		case "util", "utils", "common", "helper", "helpers", "misc":
			if p.ImportPath == module+"/internal/dap/helper" { // the role of the protocol
				continue
			}
			t.Errorf("%s: name the folder after what it does", p.ImportPath)
		}
	}
}

func TestDirectModules(t *testing.T) {
	out, err := exec.Command("go", "mod", "edit", "-json").Output()
	if err != nil {
		t.Fatalf("go mod edit: %v", err)
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Replace []any
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	if len(mod.Replace) > 0 {
		t.Error("go.mod has replace directives: they do not hold for those who import us")
	}
	for _, r := range mod.Require {
		if _, ok := directModules[r.Path]; !ok && !r.Indirect {
			t.Errorf("go.mod requires %s directly: not in the dependency budget", r.Path)
		}
	}
}

func TestPackageDocs(t *testing.T) {
	for _, p := range packages(t) {
		documented := false
		for _, f := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, f), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil && len(file.Doc.Text()) > 40 {
				documented = true
			}
		}
		if !documented && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment that says what it does", p.ImportPath)
		}
	}
}

// banned returns what the SDK must not import of a list of packages.
func banned(deps []string) (found []string) {
	for _, d := range deps {
		if slices.ContainsFunc(sdkMayNotImport, func(prefix string) bool { return strings.HasPrefix(d, prefix) }) {
			found = append(found, d)
		}
	}
	return found
}

// deps returns the packages that some packages import, directly or not. Its
// arguments are those of go list.
func deps(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-deps"}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.Fields(string(out))
}

func TestSDKImportClosure(t *testing.T) {
	for _, d := range banned(deps(t, ".")) {
		t.Errorf("the SDK imports %s", d)
	}
	if got := banned([]string{"fmt", yaml + "/parser", module + "/metric/task"}); !slices.Equal(got, []string{yaml + "/parser"}) {
		t.Errorf("of a YAML import the test sees %q", got)
	}
	// An entry that matches no package forbids nothing: it has moved away.
	all := deps(t, "-test", "./...")
	for _, prefix := range sdkMayNotImport {
		if !slices.ContainsFunc(all, func(d string) bool { return strings.HasPrefix(d, prefix) }) {
			t.Errorf("the SDK must not import %s, but no package is called so", prefix)
		}
	}
}

// identifying matches names of values that a log line must not carry: network
// addresses, headers, and the content of a report.
var identifying = regexp.MustCompile(`(?i)(remoteaddr|clientaddr|xforwarded|header|plaintext|payload|reportbytes|\bbody\b|\.ip\b|useragent|cookie)`)

// TestLogsCarryNothingIdentifying covers invariant 5 against our own mistakes:
// an argument of a log call that names an address, a header or a plaintext.
func TestLogsCarryNothingIdentifying(t *testing.T) {
	levels := []string{"Debug", "Info", "Warn", "Error", "Log", "LogAttrs", "DebugContext", "InfoContext", "WarnContext", "ErrorContext", "Print", "Printf", "Println"}
	calls := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && name != "." || d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "target") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains(levels, sel.Sel.Name) || !logs(sel.X) {
				return true
			}
			calls++
			for _, arg := range call.Args {
				text := source[fset.Position(arg.Pos()).Offset:fset.Position(arg.End()).Offset]
				if m := identifying.Find(text); m != nil {
					t.Errorf("%s: a log call names %q", fset.Position(arg.Pos()), m)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d log calls read", calls)
}

// logs reports whether an expression looks like a logger: the slog or log
// package, or a variable or field named so.
func logs(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return slices.Contains([]string{"log", "slog", "logger", "l"}, strings.ToLower(x.Name))
	case *ast.SelectorExpr:
		return slices.Contains([]string{"log", "logger", "slog"}, strings.ToLower(x.Sel.Name))
	case *ast.CallExpr:
		if s, ok := x.Fun.(*ast.SelectorExpr); ok {
			return s.Sel.Name == "With" && logs(s.X) || s.Sel.Name == "Default"
		}
	}
	return false
}

// TestFileLengths keeps chapters readable.
func TestFileLengths(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range p.GoFiles {
			source, err := os.ReadFile(filepath.Join(p.Dir, f))
			if err != nil {
				t.Fatal(err)
			}
			generated := bytes.HasPrefix(source, []byte("// Code generated"))
			if n := bytes.Count(source, []byte("\n")); n > 600 && !generated {
				t.Errorf("%s/%s has %d lines: which chapter of it would stand better alone?", p.ImportPath, f, n)
			}
		}
	}
}

// TestBuildSaysFirst: what takes minutes announces it before it begins, and names what
// it compiles; the demo has SQL wherever a build has it, or explains how to get it.
func TestBuildSaysFirst(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("no make")
	}
	for sql, want := range map[string]string{"yes": "takes minutes; SQL=no leaves it out", "no": "install a C++ compiler"} {
		for _, target := range []string{"build", "demo"} {
			out, err := exec.Command("make", "-n", target, "SQL="+sql).Output()
			if err != nil {
				t.Fatal(err)
			}
			said, built, found := strings.Cut(string(out), "build -v -trimpath")
			if !found || !strings.Contains(said, want) || strings.Contains(built, "-tags duckdb") != (sql == "yes") {
				t.Errorf("make %s SQL=%s does\n%s", target, sql, out)
			}
		}
	}
}

// TestTopIsSmall: what a newcomer sees first is short.
func TestTopIsSmall(t *testing.T) {
	out, err := exec.Command("git", "ls-files").Output()
	if err != nil {
		t.Skip("no git, or not a clone")
	}
	folders, files := map[string]bool{}, map[string]bool{}
	for name := range strings.Lines(string(out)) {
		first, _, nested := strings.Cut(strings.TrimSuffix(name, "\n"), "/")
		switch {
		case nested && !strings.HasPrefix(first, "."):
			folders[first] = true
		case !nested && strings.HasSuffix(first, ".go"):
			files[first] = true
		}
	}
	if len(folders) > 15 || len(files) > 13 {
		t.Errorf("%d folders and %d Go files, want 15 and 13 at most: %v", len(folders), len(files), slices.Sorted(maps.Keys(folders)))
	}
}
