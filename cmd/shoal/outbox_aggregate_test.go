package main

import (
	"bytes"
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
)

// A person sees what an aggregate metric has gathered, in words, and that the
// device takes part.
func TestOutboxShowsWhatIsGathered(t *testing.T) {
	now := clock.System().Now()
	f, err := metric.Load("../../docs/examples/aggregate.yaml", now)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := task.GenerateIdentityKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	bundle, err := f.Build(nil, owner, now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Encode()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "outbox")
	app, err := shoal.Open(t.Context(), shoal.Options{
		Bundle: b, Owner: task.FormatPublic(owner.Public()), Metrics: []string{"pages.printed", "theme"}, Dir: dir, Mode: shoal.On, NoSender: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	app.Add("pages.printed", 300)
	app.Observe("theme", "dark")
	if err := app.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	e := &env{ctx: t.Context(), stdout: &out, stderr: &out, clock: clock.System()}
	for _, tt := range []struct {
		run  interface{ Run(*env) error }
		want []string
	}{
		{&outboxListCmd{outboxDir: outboxDir{dir}}, []string{
			"200 (1 of 1 values went beyond the bounds and were cut)", "dark", "https://leader.example", "2 waiting",
			"Takes part in pages.printed since ", "one report an epoch, whether there is something to say or not",
		}},
		{&outboxListCmd{outboxDir: outboxDir{dir}, JSON: true}, []string{`"enrolled": [`, `"metric": "pages.printed"`}},
		{&outboxShowCmd{outboxDir{dir}, 1}, []string{"pages.printed", "200 (1 of 1", "two shares of it, by Prio3Sum(200): random numbers, each by itself", "sends at"}},
	} {
		out.Reset()
		if err := tt.run.Run(e); err != nil {
			t.Fatal(err)
		}
		for _, w := range tt.want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("no %q in\n%s", w, out.String())
			}
		}
		if strings.Contains(out.String(), "payload") || strings.Contains(out.String(), "Takes part in theme") {
			t.Errorf("too much is shown:\n%s", out.String())
		}
	}
}
