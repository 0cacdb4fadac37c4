package house

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// badFigure finds a format that rounds an epsilon or a delta to the nearest
// number, which may be below it: dp.Figure rounds up. "delta %g" of a number
// that somebody has declared is exact, and so is "%v".
var badFigure = regexp.MustCompile(`(?i)(epsilon|delta)[^"%]{0,20}%\.?\d*\.\d*[efg]`)

func TestFiguresAreRoundedUp(t *testing.T) {
	for _, bad := range []string{`"epsilon %.2f at"`, `"delta %.3g"`, `"epsilon of %.3g"`} {
		if !badFigure.MatchString(bad) {
			t.Fatalf("%s is not found", bad)
		}
	}
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range badFigure.FindAllString(string(text), -1) {
			if !strings.Contains(found, "%.4g is below the floor") { // the delta that was asked for
				t.Errorf("%s: %q rounds to the nearest number; write dp.Figure", path, found)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
