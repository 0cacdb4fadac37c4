package sdktest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// newHardened is a deployment of a task with a hardened quorum: shuffler, analyzer and
// randomness, each an organisation that issues credentials of its own.
func newHardened(t *testing.T, edit func(*task.Task)) *requiring {
	t.Helper()
	return hardened(newRequiring(t, nil), edit)
}

// hardened adds a randomness party to a deployment, and hardens its task's quorum.
func hardened(w *requiring, edit func(*task.Task)) *requiring {
	t := w.t
	t.Helper()
	o := w.found(task.Randomness, "randomness")
	w.orgs[task.Randomness] = o
	w.all = append(w.all, o)
	id, err := task.ParsePublic(o.identity)
	must(t, err)
	w.sign(func(tk *task.Task) {
		tk.Schema = task.Schema{{Name: "program", Kind: task.String, Max: 32}}
		tk.Crowd = task.CrowdRule{Kind: task.Payload, SaltEpochs: 1}
		tk.Encoding = task.Encoding{Kind: task.Quorum, Shares: 3}
		tk.Threshold.T, tk.MaxDelay, tk.ClockSkew, tk.PayloadSize = 3, 6*3600, 600, 256
		tk.Protection.Randomness = task.Party{Role: task.Randomness, URL: o.url, Identity: id}
		tk.Protection.Evaluations = 2
		if edit != nil {
			edit(tk)
		}
	})
	return w
}

// sign signs the task again with changes.
func (w *requiring) sign(edit func(*task.Task)) {
	w.t.Helper()
	edit(w.task)
	w.bundle = sdktest.Bundle(w.t, w.owner, w.task)
	for _, o := range w.all {
		must(w.t, os.WriteFile(filepath.Join(o.dir, "tasks.bundle"), w.bundle, 0o600))
	}
}

// settled lets clients and servers work until a time, an hour a step.
func (w *requiring) settled(until time.Time, clients ...*shoal.Client) (sent int) {
	w.t.Helper()
	for w.clock.Now().Before(until) {
		sent += w.pass(w.clock.Now().Add(time.Hour), clients...)
		for _, o := range w.all {
			_ = o.server.Tick(w.t.Context()) // what fails is tried again
		}
	}
	return sent
}

func use(program string) map[string]any { return map[string]any{"program": program} }

// TestHardenedBySDK sends records of a hardened quorum through the servers of three
// organisations: values of as many clients as the quorum wants are read, others are not.
func TestHardenedBySDK(t *testing.T) {
	w := newHardened(t, nil)
	w.startAll()
	var clients []*shoal.Client
	for range 5 {
		clients = append(clients, w.client(w.invite(), ""))
	}
	// The clients fetch their credentials first; then they record in the middle of the day.
	w.settled(midnight.Add(day).Add(time.Hour), clients...)
	for i, c := range clients {
		if o := c.Record("api_use", use("cat")); !o.Queued() {
			t.Fatal(o.Err)
		}
		if o := c.Record("api_use", use(fmt.Sprint("own ", i))); !o.Queued() {
			t.Fatal(o.Err)
		}
	}
	if sent := w.settled(midnight.Add(2*day), clients...); sent != 0 {
		t.Fatalf("%d reports were sent before the key of their epoch was destroyed", sent)
	}
	sent := w.settled(midnight.Add(4*day), clients...)
	if sent != 10 {
		for _, c := range clients {
			p, err := c.SendDue(t.Context())
			t.Log(p, err)
			s, _ := c.Stats()
			t.Log(s)
		}
		t.Fatalf("%d reports were sent, want 10", sent)
	}
	if got := w.release(); len(got) != 1 || got["cat"] != 5 {
		t.Errorf("released %v, want 5 records of one crowd", got)
	}
}

// slotOf is a slot of credentials as relays name it.
func slotOf(s credential.Slot) witness.Slot {
	return witness.Slot{Party: s.Party, Purpose: s.Purpose(), Start: s.Start}
}
