package server

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
)

// A batch that cannot be processed is set aside: gauge and readiness report it, and a
// start with RetryBatches has it tried again.
func TestAsideIsSeen(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	w.send(w.reports(212, "apple"))
	w.closeEpoch()
	if err := w.tick(w.a); err != nil {
		t.Fatal(err)
	}
	batches, err := filepath.Glob(filepath.Join(w.b.config().Data, "analyzer", "batches", "received", "*.batch"))
	if err != nil || len(batches) != 1 {
		t.Fatal(batches, err)
	}
	whole, err := os.ReadFile(batches[0])
	must(t, err)
	must(t, os.WriteFile(batches[0], whole[:len(whole)/2], 0o600))
	for range analyzer.MaxAttempts {
		if err := w.tick(w.b); err == nil {
			t.Fatal("half a batch was released")
		}
		w.clock.Advance(10 * time.Minute)
	}
	wantAside := func(n int) {
		t.Helper()
		w.b.server.refresh(t.Context())
		_, _, text := get(t, "http://"+w.b.server.Addr("ops")+"/metrics", "")
		if line := fmt.Sprintf("shoal_batches_set_aside{role=\"analyzer\"} %d\n", n); !strings.Contains(string(text), line) {
			t.Errorf("metrics lack %q", line)
		}
		if reasons := strings.Join(w.b.server.unready(t.Context()), "\n"); strings.Contains(reasons, "set aside") != (n > 0) {
			t.Errorf("reasons %q with %d batches set aside", reasons, n)
		}
		c := w.b.config()
		c.Ops.Listen = w.b.server.Addr("ops")
		found := Doctor(t.Context(), c, Options{Clock: w.clock})
		if hasFinding(found, Failure, fmt.Sprintf(whySetAside, n)) != (n > 0) || !slices.ContainsFunc(found, func(f Finding) bool { return f.Check == "readiness" }) {
			t.Errorf("doctor with %d batches set aside: %v", n, found)
		}
	}
	wantAside(1)
	if s := shown(w, w.b, "analyzer", "damaged"); s != (surface{true, true, true, true}) {
		t.Errorf("shown as a loss: %+v", s)
	}
	if f := Doctor(t.Context(), w.b.config(), Options{Clock: w.clock}); !slices.ContainsFunc(f, func(f Finding) bool {
		return f.Check == "losses" && strings.Contains(f.Detail, "set aside after 8 tries") && strings.Contains(f.Detail, "serve --retry-batches")
	}) {
		t.Errorf("doctor does not say what to do: %v", f)
	}
	w.b.halt()
	must(t, os.WriteFile(batches[0], whole, 0o600))
	w.b.retry = true
	w.b.start()
	if err := w.tick(w.b); err != nil {
		t.Fatal(err)
	}
	wantAside(0)
	entries, err := w.b.server.Tables().Entries(t.Context())
	if err != nil || len(entries) != 1 || entries[0].State != analyzer.Released {
		t.Errorf("entries %v, %v", entries, err)
	}
}
