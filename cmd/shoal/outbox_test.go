package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/outbox"
)

// An app has recorded twice, once with consent to send.
func outboxOfAnApp(t *testing.T) outboxDir {
	t.Helper()
	bundle, err := os.ReadFile("../../testdata/tasks.bundle")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "outbox")
	app, err := shoal.Open(t.Context(), shoal.Options{
		Bundle: bundle, Owner: "ed25519:iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w", Metrics: []string{"api_use"},
		Dir: dir, Mode: shoal.Local, NoSender: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"cat", "dog"} {
		if got := app.Record("api_use", map[string]any{"program": program, "apis": []string{"files"}}); !got.Queued() {
			t.Fatal(got)
		}
		if err := app.SetMode(shoal.On); err != nil {
			t.Fatal(err)
		}
	}
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	return outboxDir{dir}
}

func TestOutboxCommands(t *testing.T) {
	dir := outboxOfAnApp(t)
	var out bytes.Buffer
	e := &env{ctx: t.Context(), stdout: &out, stderr: &out, clock: clock.System()}
	run := func(c interface{ Run(*env) error }, want ...string) {
		t.Helper()
		out.Reset()
		if err := c.Run(e); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("the output lacks %q:\n%s", w, out.String())
			}
		}
	}
	fails := func(c interface{ Run(*env) error }, want string) {
		t.Helper()
		err := c.Run(e)
		if _, ok := errors.AsType[setupError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want a set-up error with %q", err, want)
		}
	}
	run(&outboxListCmd{outboxDir: dir}, "held", "never", "waiting", `program="cat"`, `program="dog"`, "https://shuffler.example", "1 waiting, 0 sealed, 1 held; 0 sent so far\n")
	run(&outboxListCmd{outboxDir: dir, JSON: true}, `"stage": "held"`, `"payload": "c003646f670001"`, `"destination": "https://shuffler.example"`)
	run(&outboxShowCmd{dir, 2}, "waiting", `recorded     program="dog", apis={"files"}`, "encoded", "c003646f670001", "goes to", "sends at")
	run(&outboxDropCmd{outboxDir: dir, IDs: []outbox.ID{2}}, "dropped 1\n")
	run(&outboxListCmd{outboxDir: dir}, "0 waiting, 0 sealed, 1 held; 0 sent so far; 1 dropped (withdrawn)\n")
	run(&outboxDropCmd{outboxDir: dir, All: true}, "dropped 1\n")

	fails(&outboxShowCmd{dir, 2}, "no report 2")
	fails(&outboxDropCmd{outboxDir: dir}, "--all")
	nowhere := outboxDir{filepath.Join(t.TempDir(), "no")}
	fails(&outboxListCmd{outboxDir: nowhere}, "there is no outbox")
	fails(&agentCmd{nowhere}, "no such file")
	if _, err := os.Stat(nowhere.Dir); err == nil {
		t.Error("listing made an outbox")
	}
}

func TestAgentStopsWhenTold(t *testing.T) {
	dir := outboxOfAnApp(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var out bytes.Buffer
	if err := (&agentCmd{dir}).Run(&env{ctx: ctx, stdout: &out, stderr: &out, clock: clock.System()}); err != nil {
		t.Error(err)
	}
}
