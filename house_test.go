package shoal_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
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
// depend on, and what no log line may say. docs/architecture.md explains the floors.

const module = "github.com/shoal-project/shoal"

// floors ranks the rooms, bottom to top. A package imports only from floors
// below its own, and from its own room.
var floors = map[string]int{
	"internal": 0,
	"crypto":   1,
	"vdaf":     2, "dp": 2,
	"metric":  3,
	"segment": 4, "engine": 4,
	"outbox": 5, "release": 5, "credential": 5, "quorum": 5, "attest": 5, "tlog": 5,
	"dap": 6, "esa": 6, "discovery": 6, "ohttp": 6,
	"store":  7,
	"server": 8, ".": 8,
	"shoaltest": 9, "console": 9, "bench": 9, "web": 9,
	"cmd": 10,
}

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
	"github.com/goccy/go-yaml":            "strict YAML with positions",
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
	"github.com/goccy/go-yaml", "html/template", module + "/server", module + "/store", module + "/console",
}

// A pkg is what `go list` says of one package.
type pkg struct {
	ImportPath string
	Dir        string
	Imports    []string
	GoFiles    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,GoFiles", "./...")
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

// room returns the top-level folder of one of our import paths.
func room(importPath string) (string, bool) {
	rest, ours := strings.CutPrefix(importPath, module)
	if !ours {
		return "", false
	}
	if rest == "" {
		return ".", true
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
	return first, true
}

func TestFloors(t *testing.T) {
	for _, p := range packages(t) {
		from, _ := room(p.ImportPath)
		floor, known := floors[from]
		if !known {
			t.Errorf("%s: folder %q has no floor: add it to the house in house_test.go, or put the package where it belongs", p.ImportPath, from)
			continue
		}
		for _, imp := range p.Imports {
			to, ours := room(imp)
			if !ours || to == from {
				continue
			}
			if floors[to] >= floor {
				t.Errorf("%s (floor %d) imports %s (floor %d): imports go down only", p.ImportPath, floor, imp, floors[to])
			}
		}
	}
}

func TestFolderNames(t *testing.T) {
	for _, p := range packages(t) {
		switch path.Base(p.ImportPath) {
		case "util", "utils", "common", "helper", "helpers", "misc":
			if p.ImportPath == module+"/dap/helper" { // the role of the protocol
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

func TestSDKImportClosure(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		for _, banned := range sdkMayNotImport {
			if strings.HasPrefix(s.Text(), banned) {
				t.Errorf("the SDK imports %s", s.Text())
			}
		}
	}
}

// identifying matches names of values that a log line must not carry: network
// addresses, headers, and what a report says.
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

// logs tells whether an expression looks like a logger: the slog or log
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

// TestBuildSaysFirst: what takes minutes says so before it begins, and names what
// it compiles; the demo has SQL wherever a build has it, or says how to get it.
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
