package house

import (
	"bytes"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

// private matches other ways to rewrite golden files: a flag of a package's own, or a
// variable of the environment.
var private = regexp.MustCompile(`flag\.Bool\("(update|golden)"|Getenv\("[A-Z_]*(UPDATE|GOLDEN)[A-Z_]*"`)

// wrongGolden returns why a Go file rewrites golden files, or may, in a way of its own.
func wrongGolden(name string, text []byte) string {
	test := strings.HasSuffix(name, "_test.go")
	switch {
	case strings.HasPrefix(name, "internal/golden/"):
		return ""
	case private.Match(text):
		return "rewrites golden files its own way: use internal/golden"
	case !test && bytes.Contains(text, []byte(module+`/internal/golden"`)):
		return "imports internal/golden, which is for tests"
	}
	return ""
}

// TestGoldenOneWay: one flag of one package rewrites golden files.
func TestGoldenOneWay(t *testing.T) {
	for text, wrong := range map[string]bool{
		`var update = flag.Bool("update", false, "")`: true,
		`if os.Getenv("SHOAL_UPDATE") != "" {`:        true,
		`import "` + module + `/internal/golden"`:     true,
		`dir := os.Getenv("HOME"); flag.Bool("v", …)`: false,
		`// golden files of package internal/golden`:  false,
	} {
		if (wrongGolden("dap/dap.go", []byte(text)) != "") != wrong {
			t.Errorf("%q is wrong: %v, want %v", text, !wrong, wrong)
		}
	}
	files := 0
	err := fs.WalkDir(os.DirFS("."), ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || d.Name() != "." && strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case path.Ext(p) != ".go" || p == "internal/house/golden_test.go":
			return nil
		}
		files++
		text, err := os.ReadFile(p)
		if wrong := wrongGolden(p, text); wrong != "" {
			t.Errorf("%s %s", p, wrong)
		}
		return err
	})
	if err != nil || files < 500 {
		t.Fatalf("%d Go files, %v", files, err)
	}
}
