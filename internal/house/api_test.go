package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// maxNames is how many names a public package may export.
const maxNames = 40

// public lists the packages that are promised to importers, each with the reason why
// it exports more than maxNames names, if it does.
var public = map[string]string{
	"":          "",
	"shoaltest": "",

	"crypto/arc": "", "crypto/blind": "", "crypto/field": "", "crypto/oblivious": "", "crypto/secretshare": "",
	"crypto/turboshake": "", "crypto/voprf": "", "crypto/x25519": "", "crypto/xmd": "",

	"vdaf":       "constructors of the nine VDAFs, and the identifiers that the documents give them",
	"dp":         "mechanisms, thresholds and accounting: each has a type and its constructor",
	"dap":        "one codec of three variants: each message, each error and each extension of the protocol has a name",
	"dap/client": "",

	"metric":      "",
	"metric/kind": "",
	"metric/plan": "the plan of a question as JSON: each part has a type",
	"metric/cost": "",
	"metric/task": "the canonical bytes of a task: each choice of each field has a name",

	"ohttp":         "client, relay and gateway of one protocol, with what they are configured by, and the bare encapsulation",
	"ohttp/bhttp":   "",
	"ohttp/minute":  "",
	"ohttp/witness": "",

	"web/sdk": "",
}

// A promise is what a public package exports: its names, and where a signature
// mentions a type of a package that is not public.
type promise struct {
	names    []string
	breaches []string
}

// TestPublicAPI: an exported signature of a public package mentions no type of an
// internal one, so that importers can name all that they get, and a public package
// has few names. Every package that is not under internal, cmd, bench or examples is
// public, except programs, which nobody can import.
func TestPublicAPI(t *testing.T) {
	var paths []string
	for _, p := range packages(t) {
		if isPublic(p.ImportPath) && p.Name != "main" && len(p.GoFiles) > 0 {
			paths = append(paths, p.ImportPath)
		}
	}
	exports := exportData(t, paths)
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, errors.New("no export data: " + path)
		}
		return os.Open(exports[path])
	})
	for _, path := range paths {
		short := strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
		reason, listed := public[short]
		if !listed {
			t.Errorf("%s is importable and not in the list of public packages: put it under internal", path)
		}
		p, err := imp.Import(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		got := examine(p, func(other string) bool {
			return strings.HasPrefix(other, module) && !isPublic(other)
		})
		for _, b := range got.breaches {
			t.Errorf("%s: %s", path, b)
		}
		t.Logf("%-20s exports %d names", short, len(got.names))
		switch n := len(got.names); {
		case n > maxNames && reason == "":
			t.Errorf("%s exports %d names, want %d at most, or a reason in the list", path, n, maxNames)
		case n <= maxNames && reason != "":
			t.Errorf("%s exports %d names: its reason for more is out of date", path, n)
		}
	}
	for short := range public {
		if !slices.Contains(paths, strings.TrimSuffix(module+"/"+short, "/")) {
			t.Errorf("the list of public packages names %q, which matches no package", short)
		}
	}
}

// isPublic reports whether others may import a package of ours.
func isPublic(path string) bool {
	rest, ours := strings.CutPrefix(path, module)
	if !ours {
		return false
	}
	for part := range strings.SplitSeq(rest, "/") {
		if slices.Contains([]string{"internal", "cmd", "bench", "examples"}, part) {
			return false
		}
	}
	return true
}

// exportData compiles packages and returns the files of export data, of theirs and
// of all that they import, by import path.
func exportData(t *testing.T, paths []string) map[string]string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Export"}, paths...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	files := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p struct{ ImportPath, Export string }
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		files[p.ImportPath] = p.Export
	}
	return files
}

// examine reads what a package exports. hidden says which packages must not be
// mentioned.
func examine(p *types.Package, hidden func(path string) bool) promise {
	w := &walker{pkg: p, hidden: hidden, seen: map[types.Type]bool{}}
	for _, name := range p.Scope().Names() {
		obj := p.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		w.names = append(w.names, name)
		w.at = name
		w.walk(obj.Type())
	}
	return w.promise
}

// A walker visits the types that the exported names of a package mention.
type walker struct {
	promise
	pkg    *types.Package
	hidden func(string) bool
	seen   map[types.Type]bool
	at     string // the exported name
}

func (w *walker) walk(t types.Type) {
	if t == nil || w.seen[t] {
		return
	}
	w.seen[t] = true
	switch t := t.(type) {
	case *types.Alias:
		if w.name(t.Obj()) {
			w.walk(t.Rhs())
		}
	case *types.Named:
		w.named(t)
	case *types.TypeParam:
		w.walk(t.Constraint())
	case *types.Pointer:
		w.walk(t.Elem())
	case *types.Slice:
		w.walk(t.Elem())
	case *types.Array:
		w.walk(t.Elem())
	case *types.Chan:
		w.walk(t.Elem())
	case *types.Map:
		w.walk(t.Key())
		w.walk(t.Elem())
	case *types.Signature:
		for p := range t.TypeParams().TypeParams() {
			w.walk(p)
		}
		w.walk(t.Params())
		w.walk(t.Results())
	case *types.Tuple:
		for v := range t.Variables() {
			w.walk(v.Type())
		}
	case *types.Struct:
		for f := range t.Fields() {
			switch {
			case f.Exported():
				w.walk(f.Type())
			case f.Embedded(): // it has no name outside, but its methods and fields have
				w.members(f.Type())
			}
		}
	case *types.Interface:
		for m := range t.Methods() {
			if m.Exported() {
				w.walk(m.Type())
			}
		}
		for e := range t.EmbeddedTypes() {
			w.walk(e)
		}
	case *types.Union:
		for e := range t.Terms() {
			w.walk(e.Type())
		}
	}
}

// named visits a declared type: all that can be reached through it if it is of this
// package; those of others are visited with their own.
func (w *walker) named(t *types.Named) {
	for a := range t.TypeArgs().Types() {
		w.walk(a)
	}
	if !w.name(t.Obj()) {
		return
	}
	for p := range t.TypeParams().TypeParams() {
		w.walk(p)
	}
	w.members(t)
}

// members visits the methods of a type, and what it is made of.
func (w *walker) members(t types.Type) {
	t = types.Unalias(t)
	if p, ok := t.(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	if n, ok := t.(*types.Named); ok {
		for m := range n.Methods() {
			if m.Exported() {
				w.walk(m.Type())
			}
		}
	}
	w.walk(t.Underlying())
}

// name notes a type that must not be mentioned, and tells whether a type is of this
// package.
func (w *walker) name(o *types.TypeName) bool {
	if o.Pkg() == nil || o.Pkg().Path() == w.pkg.Path() {
		return o.Pkg() != nil
	}
	if w.hidden(o.Pkg().Path()) {
		w.breaches = append(w.breaches, w.at+" mentions "+o.Pkg().Path()+"."+o.Name())
	}
	return false
}

// TestPublicAPISeesBreaches shows that the rule above fails where it should.
func TestPublicAPISeesBreaches(t *testing.T) {
	packages := map[string]*types.Package{}
	load := func(path, source string) *types.Package {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path+".go", source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		p, err := (&types.Config{Importer: importerFunc(func(path string) (*types.Package, error) { return packages[path], nil })}).Check(path, fset, []*ast.File{file}, nil)
		if err != nil {
			t.Fatal(err)
		}
		packages[path] = p
		return p
	}
	load("hidden", "package hidden\ntype T struct{ F int }\ntype I interface{ M() }\nfunc (T) Print() T { return T{} }")
	load("open", "package open\nimport \"hidden\"\ntype Of struct{ X hidden.T }")
	for source, breaches := range map[string]int{
		"func F(hidden.T) {}":                                              1,
		"func F() (int, *hidden.T) { return 0, nil }":                      1,
		"func f(hidden.T) {}":                                              0,
		"var V map[string][]chan hidden.T":                                 1,
		"type A = hidden.T":                                                1,
		"type S struct{ F hidden.T }":                                      1,
		"type S struct{ f hidden.T }":                                      0,
		"type S struct{ hidden.I }":                                        1,
		"type s struct{ F hidden.T }\nfunc F() s { return s{} }":           1,
		"type S struct{}\nfunc (*S) M(func() hidden.T) {}":                 1,
		"type S struct{}\nfunc (*S) m(hidden.T) {}":                        0,
		"func F[X hidden.I](X) {}":                                         1,
		"type i = hidden.I\ntype S struct{ i }":                            0,
		"type i = hidden.T\ntype S struct{ i }":                            1, // Print gives the type
		"type C interface{ ~int | hidden.T }":                              1,
		"type G[X any] struct{ F X }\nfunc F() G[hidden.T] { panic(0) }":   1,
		"type S struct{ next *S }\nfunc (s S) Next() *S { return s.next }": 0,
	} {
		p := load("p", "package p\nimport \"hidden\"\nvar _ hidden.T\n"+source)
		if got := examine(p, func(path string) bool { return path == "hidden" }); len(got.breaches) != breaches {
			t.Errorf("%s: %q, want %d", source, got.breaches, breaches)
		}
	}
	p := load("p", "package p\nimport \"open\"\nfunc F() open.Of { return open.Of{} }")
	if got := examine(p, func(path string) bool { return path == "hidden" }); len(got.breaches) > 0 || !slices.Equal(got.names, []string{"F"}) {
		t.Errorf("%q", got)
	}
}

type importerFunc func(path string) (*types.Package, error)

func (f importerFunc) Import(path string) (*types.Package, error) { return f(path) }
