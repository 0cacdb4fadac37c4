package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shoal-project/shoal/store/duckdb"
)

// TestQuery runs testdata/query/*.txtar, on what the demo releases about the
// words of a text. The condition sql holds in a program with the engine.
func TestQuery(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/query",
		UpdateScripts: os.Getenv("SHOAL_UPDATE") != "",
		Setup: func(e *testscript.Env) error {
			// With 603 reports a noised minimum of 100 is missed in 1 of 10^15 runs.
			text := strings.Repeat("Sea. ", 400) + strings.Repeat("fish ", 200) + strings.Repeat("rare ", 3)
			return os.WriteFile(filepath.Join(e.WorkDir, "words.txt"), []byte(text), 0o600)
		},
		Condition: func(name string) (bool, error) {
			if name != "sql" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return duckdb.Built, nil
		},
	})
}
