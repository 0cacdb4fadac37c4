package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/dap/interop/golden"
)

// TestMatrix: without programs of Janus the matrix is that of our own parties, in
// one process, and its records can be read.
func TestMatrix(t *testing.T) {
	dir := t.TempDir()
	var out, errs bytes.Buffer
	for _, name := range []string{"JANUS_INTEROP", "JANUS_AGGREGATOR", "JANUS_SCHEMA"} {
		t.Setenv(name, "")
	}
	if err := run(t.Context(), []string{"matrix", "--record", dir, "--source", "ours"}, &out, &errs); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &errs)
	}
	for _, row := range []string{"| ours | ours | ours | ours | 12/12 |", "| ours | ours | ours | ours, async | 12/12 |"} {
		if !strings.Contains(out.String(), row) {
			t.Errorf("no row %q in\n%s", row, &out)
		}
	}
	if !strings.Contains(errs.String(), "no programs of Janus are given") {
		t.Errorf("standard error: %q", &errs)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(names) != 24 {
		t.Fatalf("%d records, %v; want 24", len(names), err)
	}
	for _, name := range names {
		f, err := golden.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		if f.Source != "ours" || f.CollectorKey == "" || f.LeaderKey == "" || f.HelperKey == "" {
			t.Errorf("%s: a key is missing", name)
		}
		uploads := 0
		for _, e := range f.Exchanges {
			if e.From == "leader" {
				t.Errorf("%s: has what our leader and our helper say to each other", name)
			}
			if strings.HasSuffix(e.Path, "/reports") {
				uploads++
			}
		}
		if uploads != len(f.Setting.Measurements) {
			t.Errorf("%s: %d uploads, want %d", name, uploads, len(f.Setting.Measurements))
		}
	}
}

// TestMatrixRefuses: what is missing for Janus is named, and nothing is started.
func TestMatrixRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"matrix", "--only", "["}, `--only "["`},
		{[]string{"matrix", "--jobs", "0"}, "--jobs 0"},
		{[]string{"matrix", "--janus-interop", "x"}, "is missing: the programs of Janus need it"},
	} {
		var out, errs bytes.Buffer
		if err := run(t.Context(), c.args, &out, &errs); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want an error with %q", c.args, err, c.want)
		}
	}
}
