package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/shoal-project/shoal/internal/clock"
)

func TestMain(m *testing.M) {
	if os.Getenv(clockFile) != "" { // see kill_test.go
		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, fileClock{os.Getenv(clockFile)}))
	}
	testscript.Main(m, map[string]func(){
		"shoal": func() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, clock.System())) },
	})
}

// TestScripts runs testdata/*.txtar: what a person types, and what they see.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: os.Getenv("SHOAL_UPDATE") != "",
	})
}
