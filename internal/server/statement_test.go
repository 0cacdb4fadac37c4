package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/server/door"
	"github.com/shoal-project/shoal/metric/task"
)

// next lets the current epoch be closed, handed over and stated, and goes on to a later
// one. It returns the epoch that was.
func (w *world) next(n int) task.Epoch {
	w.t.Helper()
	e := w.task.EpochAt(w.clock.Now())
	w.send(w.reports(n, "apple"))
	w.pass(e)
	return e
}

// pass lets an epoch be closed, handed over and stated, as far as that goes.
func (w *world) pass(e task.Epoch) {
	w.t.Helper()
	for _, at := range []time.Time{w.task.Closes(e).Add(time.Second), w.task.Closes(e).Add(11 * time.Minute), w.task.Start(e + 2).Add(time.Minute)} {
		w.clock.Set(at)
		for _, o := range []*org{w.a, w.b} {
			if o.stop != nil {
				_ = w.tick(o) // the other one may be away
			}
		}
	}
}

// epochs returns the state of each epoch as the analyst sees it, which is the same in the
// API and in the tables of SQL, where no epoch has a figure that was not released.
func (w *world) epochs() map[task.Epoch]string {
	w.t.Helper()
	status, _, body := get(w.t, "http://"+w.b.server.Addr("ops")+"/api/v1/tasks/"+w.id.String()+"/batches", w.b.token(ScopeRead))
	if status != http.StatusOK {
		w.t.Fatalf("status %d: %s", status, body)
	}
	var list struct {
		Batches []struct {
			Epoch task.Epoch
			State string
		}
	}
	must(w.t, json.Unmarshal(body, &list))
	states := map[task.Epoch]string{}
	for _, b := range list.Batches {
		states[b.Epoch] = b.State
	}
	rows, err := release.OfMetric(w.t.Context(), w.b.server.Epochs(), "fruit")
	must(w.t, err)
	for _, b := range rows {
		if have := fmt.Sprint(b.Row[3]); have != states[b.Epoch] && (have != "waiting" || states[b.Epoch] != "received") {
			w.t.Errorf("epoch %d is %s in SQL and %s in the API", b.Epoch, have, states[b.Epoch])
		}
		for i, v := range b.Row[6:] {
			if b.Row[3] != "released" && v != nil {
				w.t.Errorf("epoch %d, %v: column %s has the figure %v", b.Epoch, b.Row[3], b.Columns[6+i].Name, v)
			}
		}
	}
	return states
}

// wantEpochs compares states, given as epoch and state in turn.
func (w *world) wantEpochs(what string, want map[task.Epoch]string) {
	w.t.Helper()
	have := w.epochs()
	for e, state := range want {
		if have[e] != state {
			w.t.Errorf("%s: epoch %d is %q, want %q", what, e, have[e], state)
		}
	}
}

// TestLostShufflerStore: what a shuffler has lost with its store is missing, not "too few",
// and what it stated before and after that is not touched. On 0caf301 nothing was shown.
func TestLostShufflerStore(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	want := map[task.Epoch]string{w.next(300): "released", w.next(3): "too few"}
	w.wantEpochs("before", want)
	lost := w.task.EpochAt(w.clock.Now())
	w.send(w.reports(300, "apple"))
	w.a.halt()
	must(t, os.Remove(w.a.dir+"/data/shuffler.db"))
	w.a.newData = true
	w.a.start()
	w.a.newData = false
	w.pass(lost)
	want[w.next(3)], want[w.next(300)] = "too few", "released"
	want[lost] = "missing"
	w.wantEpochs("afterwards", want)
}

// TestDamagedBatchShows: a batch that is damaged at the shuffler while it waits, and a log
// that is cut off, are missing at once; a batch that comes after all is released.
func TestDamagedBatchShows(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	want := map[task.Epoch]string{w.next(300): "released"}
	logged := w.task.EpochAt(w.clock.Now())
	w.send(w.reports(105, "apple"))
	w.a.halt()
	halve(t, w.a.files("shared/", ".seg")[0])
	w.a.start()
	w.pass(logged)
	want[logged] = "missing"
	waits := w.task.EpochAt(w.clock.Now())
	w.send(w.reports(300, "apple"))
	w.b.halt()
	w.pass(waits)
	file := w.a.files("handover.batch")[0]
	whole := mustRead(t, file)
	w.a.halt()
	flip(t, file)
	w.a.start()
	w.b.start()
	for range 3 {
		w.clock.Advance(11 * time.Minute)
		_ = w.tick(w.a, w.b) // the batch is refused
	}
	want[waits] = "missing"
	w.wantEpochs("with a damaged batch", want)
	must(t, os.WriteFile(file, whole, 0o600))
	for range 3 {
		w.clock.Advance(11 * time.Minute)
		_ = w.tick(w.a, w.b)
	}
	want[waits] = "released"
	w.wantEpochs("when it was restored", want)
}

// TestShufflerAbsent: while a shuffler is away its epochs are waiting, and after the grace
// missing; when it is back each is what it is.
func TestShufflerAbsent(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	first := w.next(300)
	few := w.task.EpochAt(w.clock.Now())
	w.send(w.reports(3, "apple"))
	w.clock.Set(w.task.Start(few + 1).Add(time.Minute))
	many := few + 1
	w.send(w.reports(300, "apple"))
	w.a.halt()
	w.pass(many)
	w.wantEpochs("away", map[task.Epoch]string{first: "released", few: "waiting", many: "waiting"})
	w.clock.Advance(8 * 24 * time.Hour)
	w.wantEpochs("away for long", map[task.Epoch]string{first: "released", few: "missing", many: "missing"})
	w.a.start()
	for range 3 {
		w.clock.Advance(11 * time.Minute)
		_ = w.tick(w.a, w.b) // the keys of the reports have ended, or have not
	}
	w.wantEpochs("back", map[task.Epoch]string{first: "released", few: "too few", many: "released"})
}

// TestStatementAfterCrash: a shuffler that is killed between closing a batch and stating
// it, or while it states, states it when it runs again.
func TestStatementAfterCrash(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	want := map[task.Epoch]string{w.next(300): "released"}
	few := w.task.EpochAt(w.clock.Now())
	w.send(w.reports(3, "apple"))
	w.closeEpoch()
	must(t, w.tick(w.a))
	w.a.kill()
	w.a.start()
	want[few] = "waiting"
	w.wantEpochs("killed", want)
	w.clock.Advance(11 * time.Minute)
	must(t, w.tick(w.a, w.b))
	w.a.kill()
	w.a.start()
	want[few] = "too few"
	w.wantEpochs("killed again", want)
	w.a.halt()
	w.b.halt()
	w.a.start()
	w.b.start()
	must(t, w.tick(w.a, w.b))
	w.wantEpochs("after restarts", want)
}

// lossy is a transport that loses every second answer to a statement after the request
// was served.
type lossy struct{ n atomic.Int64 }

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && strings.HasSuffix(r.URL.Path, "/statement") && l.n.Add(1)%2 == 1 {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return nil, fmt.Errorf("lost the answer to %s", r.URL.Path)
	}
	return resp, err
}

// TestStatementTimeout: a statement whose answer is lost is sent again, and changes
// nothing; until then the gauge says that a task is not stated.
func TestStatementTimeout(t *testing.T) {
	w := newWorld(t)
	w.a.client = &http.Client{Transport: &lossy{}}
	w.a.start()
	w.b.start()
	unstated := func() string {
		w.a.server.refresh(t.Context())
		_, _, body := get(t, "http://"+w.a.server.Addr("ops")+"/metrics", "")
		for line := range strings.Lines(string(body)) {
			if n, ok := strings.CutPrefix(line, `shoal_tasks_unstated{role="shuffler"} `); ok {
				return strings.TrimSpace(n)
			}
		}
		return "none"
	}
	many := w.next(300)
	few := w.task.EpochAt(w.clock.Now())
	w.send(w.reports(3, "apple"))
	w.closeEpoch()
	_ = w.tick(w.a, w.b)
	seen := map[string]bool{unstated(): true}
	for range 4 {
		w.clock.Advance(11 * time.Minute)
		_ = w.tick(w.a, w.b)
		seen[unstated()] = true
	}
	w.wantEpochs("with lost answers", map[task.Epoch]string{many: "released", few: "too few"})
	if !seen["0"] || !seen["1"] {
		t.Errorf("the gauge of tasks that are not stated was %v, want 1 and then 0", seen)
	}
	if st := w.a.server.unready(t.Context()); len(st) > 0 {
		t.Errorf("not ready: %v", st)
	}
}

// TestOlderAnalyzer: an analyzer of a version that takes no statements is no failure of
// the shuffler.
func TestOlderAnalyzer(t *testing.T) {
	w := newWorld(t)
	w.a.client = &http.Client{Transport: without{}}
	w.a.start()
	w.b.start()
	many, few := w.next(300), w.task.EpochAt(w.clock.Now())
	w.send(w.reports(3, "apple"))
	for _, at := range []time.Duration{time.Second, 11 * time.Minute, 12 * time.Minute} {
		w.clock.Set(w.task.Closes(few).Add(at))
		must(t, w.tick(w.a, w.b))
	}
	w.wantEpochs("an older analyzer", map[task.Epoch]string{many: "released", few: "waiting"})
	if why := w.a.server.unready(t.Context()); len(why) > 0 {
		t.Errorf("not ready: %v", why)
	}
}

// without answers statements as a server does that has no such page.
type without struct{}

func (without) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/statement") {
		r.URL.Path = "/no/such/page"
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestRestoredAnalyzer: of batches that an analyzer received after the backup from which it
// is restored nothing is known: their epochs are not "too few", whatever the shuffler
// stated.
func TestRestoredAnalyzer(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	first := w.next(300)
	w.b.halt()
	kept := filepath.Join(t.TempDir(), "analyzer.db")
	must(t, os.WriteFile(kept, mustRead(t, w.b.dir+"/data/analyzer.db"), 0o600))
	w.b.start()
	gone := w.next(300)
	w.b.halt()
	must(t, os.WriteFile(w.b.dir+"/data/analyzer.db", mustRead(t, kept), 0o600))
	must(t, markRestored(w.b.config(), w.clock.Now(), w.clock.Now()))
	w.b.start()
	few := w.next(3)
	w.wantEpochs("restored", map[task.Epoch]string{first: "released", gone: "waiting", few: "too few"})
	w.clock.Advance(8 * 24 * time.Hour)
	w.wantEpochs("after the grace", map[task.Epoch]string{first: "released", gone: "missing", few: "too few"})
}

// TestDiskFullAnalyzer: an analyzer without space takes no batch and loses none: not one
// that comes, not one that it has taken, and goes on by itself.
func TestDiskFullAnalyzer(t *testing.T) {
	for name, received := range map[string]bool{"a batch comes": false, "a batch is released": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			full := new(atomic.Bool)
			w.b.fs = fullDisk{FS: durable.OS(), full: full}
			w.a.start()
			w.b.start()
			w.send(w.reports(210, "apple"))
			w.send(w.reports(3, "medlar"))
			e := w.task.EpochAt(w.clock.Now())
			w.closeEpoch()
			if received {
				must(t, w.tick(w.a))
			}
			full.Store(true)
			errs := fmt.Sprint(w.tick(w.a), w.tick(w.b))
			if want := map[bool]string{false: "503", true: "no space left"}[received]; !strings.Contains(errs, want) {
				t.Errorf("without space: %s, want %q", errs, want)
			}
			w.wantEpochs("without space", map[task.Epoch]string{e: map[bool]string{false: "waiting", true: "received"}[received]})
			if s := shown(w, w.b, "analyzer", "damaged"); s != (surface{}) {
				t.Errorf("without space a loss is shown: %+v", s)
			}
			w.b.halt() // it may be restarted meanwhile
			w.b.start()
			_ = w.tick(w.a, w.b)
			full.Store(false)
			w.clock.Advance(11 * time.Minute)
			must(t, w.tick(w.a, w.b))
			checkReleased(t, w, 210)
			w.wantEpochs("with space", map[task.Epoch]string{e: "released"})
		})
	}
}

// TestReserveForBatches: a server with the reserve alone left takes no batch, without
// having written any of it, and takes the statements that need no room; the batch waits at
// the hop before.
func TestReserveForBatches(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	w.b.server.need.Store(1 << 60) // what the largest batch takes: more than any disk has
	w.send(w.reports(300, "apple"))
	many := w.task.EpochAt(w.clock.Now())
	w.closeEpoch()
	if err := w.tick(w.a); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("with the reserve left a batch was answered %v, want 503", err)
	}
	if entries, err := os.ReadDir(filepath.Join(w.b.config().analyzerDir(), "received")); err != nil || len(entries) > 0 {
		t.Errorf("something was written: %v, %v", entries, err)
	}
	w.clock.Advance(11 * time.Minute)
	_ = w.tick(w.a, w.b)
	w.wantEpochs("with the reserve left", map[task.Epoch]string{many: "waiting"})
	w.b.server.need.Store(0)
	w.clock.Advance(11 * time.Minute)
	must(t, w.tick(w.a, w.b))
	w.wantEpochs("with room", map[task.Epoch]string{many: "released"})
}

// TestIdleStatements: statements whose bodies do not come hold no more places than one
// network may, and none of batches, keys or other networks' statements.
func TestIdleStatements(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	s, err := w.b.open()
	must(t, err)
	s.network = func(r *http.Request) netip.Prefix { return door.Network(r.Header.Get("Test-Address")) }
	ctx, stop := context.WithCancel(t.Context())
	w.b.server, w.b.stop, w.b.done = s, stop, make(chan error, 1)
	go func() { w.b.done <- s.Run(ctx) }()
	t.Cleanup(w.b.halt)
	w.send(w.reports(300, "apple"))
	e := w.task.EpochAt(w.clock.Now())
	client := &http.Client{Transport: &http.Transport{}}
	url := "http://" + w.b.server.Addr("public") + "/tasks/" + w.id.String() + "/statement"
	end := idleAs(t, client, http.MethodPut, "application/shoal-statement;v=1", url, "192.0.2.1", keySlots/4+10, func() bool {
		return w.b.server.gates.statements.Places() == keySlots/4
	})
	w.pass(e)
	few := w.next(3)
	w.wantEpochs("while others hold places", map[task.Epoch]string{e: "released", e + 1: "too few", few: "too few"})
	end()
	client.CloseIdleConnections()
}
