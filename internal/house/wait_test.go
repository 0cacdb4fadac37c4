package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestOneWait: who waits for a time does so by internal/clock, which knows of contexts,
// backoff and clocks that do not run by themselves. Tests of stores are apart.
func TestOneWait(t *testing.T) {
	waits := []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Sleep", "Tick"}
	for _, p := range packages(t) {
		if strings.HasSuffix(p.ImportPath, "/internal/clock") || strings.HasSuffix(p.ImportPath, "/storetest") {
			continue
		}
		for _, name := range p.GoFiles {
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains(waits, s.Sel.Name) {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" {
						t.Errorf("%s: time.%s: wait by internal/clock", fset.Position(s.Pos()), s.Sel.Name)
					}
				}
				return true
			})
		}
	}
}
