package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNotes uses the app as a person does: first without telemetry, then with.
func TestNotes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "notes")
	do := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		if err := run(t.Context(), dir, args, &out); err != nil {
			t.Fatalf("notes %s: %v", strings.Join(args, " "), err)
		}
		return out.String()
	}
	exported := filepath.Join(t.TempDir(), "out.txt")
	do("add", "Buy", "milk")
	do("add", "Water the plants")
	if got := do("list"); got != "1  Buy milk\n2  Water the plants\n" {
		t.Errorf("list: %q", got)
	}
	do("export", exported)
	if got := do("telemetry", "show"); got != "" {
		t.Errorf("recorded before the person has decided: %q", got)
	}

	do("telemetry", "on")
	do("export", exported)
	do("print")
	do("print")
	if got := do("theme", "dark"); got != "" {
		t.Errorf("theme: %q", got)
	}
	if b, err := os.ReadFile(exported); err != nil || string(b) != "Buy milk\nWater the plants\n" {
		t.Errorf("exported %q, %v", b, err)
	}
	shown := do("telemetry", "show")
	for _, want := range []string{"feature.export = 1, ", "pages.printed = 2, ", "theme = dark, ", "https://leader.example"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in what is about to be sent:\n%s", want, shown)
		}
	}

	do("telemetry", "off")
	if got := do("telemetry", "show"); got != "" {
		t.Errorf("kept after the person has said no: %q", got)
	}
}

// TestNotesErrors: a wrong command changes nothing and says what is wrong.
func TestNotesErrors(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", "no command: want add"},
		{"export", `"export" is not a command, or its arguments are wrong`},
		{"telemetry perhaps", "perhaps"},
	} {
		err := run(t.Context(), t.TempDir(), strings.Fields(c.args), &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("notes %s: %v, want %q", c.args, err, c.want)
		}
	}
}

// TestBundle: the app's tasks are those of docs/examples/aggregate.yaml, as the
// test of the SDK's examples builds them.
func TestBundle(t *testing.T) {
	want, err := os.ReadFile("../../testdata/aggregate.bundle")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(bundle, want) {
		t.Error("tasks.bundle is not testdata/aggregate.bundle: copy it")
	}
}
