package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/golden"
)

func TestMain(m *testing.M) {
	if os.Getenv(clockFile) != "" { // see kill_test.go
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, fileClock{os.Getenv(clockFile)}))
	}
	testscript.Main(m, map[string]func(){
		"shoal":  func() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, scriptClock())) },
		"app":    func() { os.Exit(app(os.Args[1:])) }, // see app_test.go
		"record": func() { os.Exit(record(os.Args[1:])) },
	})
}

// scriptClockFile names the environment variable by which a script lets time pass.
const scriptClockFile = "SHOAL_SCRIPT_CLOCK"

func scriptClock() clock.Clock {
	if name := os.Getenv(scriptClockFile); name != "" {
		return fileClock{name}
	}
	return clock.System()
}

// TestScripts runs testdata/*.txtar: what a person types, and what they see.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: golden.Updating(),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"capture": capture, "expand": expand, "eventually": eventually, "forward": letPass, "damage": damage,
		},
	})
}

// damage changes one byte in the middle of each file that a pattern names.
func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: damage PATTERN")
	}
	names, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(names) == 0 {
		ts.Fatalf("no file %s", args[0])
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		ts.Check(err)
		b[len(b)/2] ^= 1
		ts.Check(os.WriteFile(name, b, 0o600))
	}
}
