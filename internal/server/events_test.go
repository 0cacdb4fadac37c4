package server

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// logged counts the lines of the log that contain text.
func (w *world) logged(text string) int { return strings.Count(w.log.String(), text) }

// TestEventsOfTheCrowdRoute: tasks that come and go, batches and keys are one line
// each. On 0caf301 there was none.
func TestEventsOfTheCrowdRoute(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	if n := w.logged(`msg="the bundles of tasks have changed" new=1 finished=0`); n != 2 {
		t.Errorf("%d lines of new bundles, want one of each organisation", n)
	}
	w.send(w.reports(300, "apple"))
	w.closeEpoch()
	must(t, w.tick(w.a, w.b))
	must(t, w.tick(w.a, w.b))
	for _, line := range []string{
		`msg="a batch was handed over" role=shuffler`, `msg="a batch was released" role=analyzer metric=fruit epoch=`,
	} {
		if n := w.logged(line); n != 1 {
			t.Errorf("%d lines of %s, want 1\n%s", n, line, w.log.String())
		}
	}
	w.clock.Set(w.clock.Now().AddDate(0, 0, 6)) // report keys live for 7 days
	must(t, w.tick(w.a, w.b))
	if n := w.logged(`msg="keys were rotated" role=`); n != 4 {
		t.Errorf("%d lines of keys, want one of each role and gateway", n)
	}
	must(t, w.tick(w.a, w.b))
	if n := w.logged(`msg="keys were rotated" role=`); n != 4 {
		t.Errorf("%d lines of keys after a tick in which nothing changed", n)
	}
	w.send(w.reports(1, "apple"))
	w.closeEpoch()
	_ = w.tick(w.a, w.b)
	if n := w.logged(`msg="a batch was too small and is destroyed" role=shuffler`); n != 1 {
		t.Errorf("%d lines of batches that are too small, want 1", n)
	}
	w.a.halt()
	must(t, os.WriteFile(filepath.Join(w.a.dir, "tasks.bundle"), []byte{}, 0o600))
	w.a.adjust = func(c *Config) { c.Tasks.Bundles = nil }
	w.a.start()
	w.a.halt()
	w.clock.Set(w.clock.Now().AddDate(0, 0, 30))
	w.a.start()
	if w.logged(`no bundle names a task any more`) != 1 || w.logged(`msg="the bundles of tasks have changed" new=0 finished=1`) != 1 {
		t.Errorf("log of a task that ends:\n%s", w.log.String())
	}
	if strings.Contains(w.log.String(), "127.0.0.1:") && !onlyListens(w.log.String()) {
		t.Error("a line names a peer")
	}
}

// onlyListens reports whether addresses are only in the lines of listeners.
func onlyListens(log string) bool {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "127.0.0.1:") && !strings.Contains(line, "msg=listening") {
			return false
		}
	}
	return true
}

// TestLostPairing: a task whose pairing is lost is a line, and one that is served
// again another; a task that is disabled, too.
func TestLostPairing(t *testing.T) {
	w := newAggregateWorld(t)
	w.a.start()
	if w.logged(`msg="a task is not served" metric=colour role=leader why="waits for pairing`) != 1 {
		t.Errorf("before pairing:\n%s", w.log.String())
	}
	w.pair()
	must(t, w.tick(w.a))
	if w.logged(`msg="a task is served" metric=colour role=leader`) != 1 {
		t.Errorf("after pairing:\n%s", w.log.String())
	}
	before := w.logged(`msg="a task is not served" metric=colour role=leader`)
	must(t, os.Remove(w.a.config().pairingsPath()))
	_ = w.tick(w.a)
	_ = w.tick(w.a)
	if n := w.logged(`msg="a task is not served" metric=colour role=leader`); n != before+1 {
		t.Errorf("%d lines of the lost pairing, want 1\n%s", n-before, w.log.String())
	}
}

// TestRefusals: answers 503 are one line a minute and route, with their number.
func TestRefusals(t *testing.T) {
	w := newWorld(t)
	s := w.a.start().server
	for range 50 {
		s.metrics.answered("report", http.StatusServiceUnavailable)
	}
	s.metrics.answered("report", http.StatusCreated)
	const line = `msg="requests are answered 503: see shoal_rejects_total for the causes" route=report requests=`
	if w.logged(line) != 1 || w.logged(line+"1\n") != 1 {
		t.Errorf("at once:\n%s", w.log.String())
	}
	w.clock.Set(w.clock.Now().Add(time.Minute))
	s.refresh(t.Context())
	s.refresh(t.Context())
	if w.logged(line) != 2 || w.logged(line+"49\n") != 1 {
		t.Errorf("after a minute:\n%s", w.log.String())
	}
	s.metrics.observe("api", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })(discard{}, &http.Request{})
	if w.logged("route=api requests=1\n") != 1 {
		t.Errorf("a request:\n%s", w.log.String())
	}
}

// discard is an answer that is never read.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}
