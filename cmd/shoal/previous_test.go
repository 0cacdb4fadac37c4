package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestPreviousVersion holds docs/compatibility.md: data of the version before is read
// and served, organisations and devices of both versions work together, and a
// program older than its data refuses. scripts/previous builds that version.
func TestPreviousVersion(t *testing.T) {
	previous := os.Getenv("SHOAL_PREVIOUS")
	if previous == "" {
		t.Skip("SHOAL_PREVIOUS names no programs of the version before: run make compat")
	}
	old, oldApp := filepath.Join(previous, "shoal"), filepath.Join(previous, "app")
	for name, c := range map[string]struct{ dir, a, b, app string }{
		"data":                     {"testdata/previous", "", "", ""},
		"leader and SDK of before": {"testdata/previous/mixed", old, "shoal", oldApp},
		"helper of before":         {"testdata/previous/mixed", "shoal", old, "app"},
		"SDK of before":            {"testdata/previous/mixed", "shoal", "shoal", oldApp},
		"organisations of before":  {"testdata/previous/mixed", old, old, "app"},
	} {
		t.Run(name, func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Dir: c.dir,
				Setup: func(e *testscript.Env) error {
					e.Setenv("PREVIOUS", previous)
					e.Setenv("A", c.a)
					e.Setenv("B", c.b)
					e.Setenv("APP", c.app)
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"capture": capture, "expand": expand, "eventually": eventually, "forward": letPass,
				},
			})
		})
	}
}
