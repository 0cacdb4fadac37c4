package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/metric/task"
)

// reask gives both organisations another question in place of the one that they have.
func (w *world) reask(words string) {
	w.t.Helper()
	text := fmt.Sprintf(question, "http://"+w.a.address, w.a.identity, "http://"+w.b.address, w.b.identity)
	bundle := w.build(strings.Replace(text, "Which fruit do people like?", words, 1))
	b, err := bundle.Encode()
	must(w.t, err)
	w.task, err = task.Parse(bundle.Tasks[0].Bytes)
	must(w.t, err)
	w.id, err = w.task.ID()
	must(w.t, err)
	for _, o := range []*org{w.a, w.b} {
		must(w.t, os.WriteFile(filepath.Join(o.dir, "tasks.bundle"), b, 0o600))
	}
}

func (w *world) restart() {
	w.t.Helper()
	for _, o := range []*org{w.a, w.b} {
		o.halt()
		o.start()
	}
}

// TestWithdrawn: when a bundle is replaced, the reports that were acknowledged for
// its task are released, no more are taken, and the task is forgotten when its last
// batch must be done. On 0caf301 the reports stayed for ever and their keys went.
func TestWithdrawn(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	w.send(w.reports(300, "apple"))
	old, oldID := w.task, w.id
	late := w.reports(1, "apple")
	w.a.halt()
	w.b.halt()
	w.reask("Which fruit do people eat?")
	w.restart()
	r, err := http.Post("http://"+w.a.address+"/tasks/"+oldID.String()+"/reports", "application/shoal-report;v=1", strings.NewReader(string(late[0])))
	must(t, err)
	r.Body.Close()
	if r.StatusCode != http.StatusNotFound {
		t.Errorf("a report for the withdrawn task: status %d, want 404", r.StatusCode)
	}
	w.send(w.reports(1, "pear")) // the new one is served
	if log := w.log.String(); !strings.Contains(log, "no bundle names a task any more") {
		t.Error("no log line")
	}
	w.clock.Set(old.Closes(old.EpochAt(w.clock.Now())).Add(time.Second))
	w.restart()
	must(t, w.tick(w.a, w.b))
	entries, err := w.b.server.Tables().Entries(t.Context())
	must(t, err)
	released := 0
	for _, e := range entries {
		if e.Task == oldID && e.Manifest != nil && e.Manifest.Analyzer.Records > 0 {
			released++
		}
	}
	if released != 1 {
		t.Errorf("batches %+v, want one of the withdrawn task released", entries)
	}
	got := ""
	for _, s := range w.a.server.Tasks() {
		got += w.a.server.TaskState(t.Context(), s) + "\n"
	}
	if !strings.Contains(got, stateServed+"\n") || !strings.Contains(got, "withdrawn: ") {
		t.Errorf("states:\n%s", got)
	}
	if len(w.a.server.unready(t.Context())) > 0 {
		t.Errorf("not ready: %q", w.a.server.unready(t.Context()))
	}
	w.clock.Set(w.clock.Now().AddDate(0, 0, 9))
	w.restart()
	w.restart()
	for _, o := range []*org{w.a, w.b} {
		if n := len(o.server.Tasks()); n != 1 {
			t.Errorf("%d tasks are served after the end", n)
		}
		if names, err := os.ReadDir(o.config().servedDir()); err != nil || len(names) != 1 {
			t.Errorf("copies of bundles: %v, %v; want one", names, err)
		}
	}
}

// TestBundleComesBack: a bundle that is listed again is as before.
func TestBundleComesBack(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	file := filepath.Join(w.a.dir, "tasks.bundle")
	b := mustRead(t, file)
	w.a.adjust = func(c *Config) { c.Tasks.Bundles = nil }
	w.a.halt()
	w.a.start()
	if tasks := w.a.server.Tasks(); len(tasks) != 1 || tasks[0].Until.IsZero() {
		t.Fatalf("tasks %+v", tasks)
	}
	added, err := AddTasks(w.a.config(), b, w.clock.Now())
	must(t, err)
	if len(added) != 1 {
		t.Errorf("added %+v", added)
	}
	w.a.halt()
	w.a.start()
	if tasks := w.a.server.Tasks(); len(tasks) != 1 || !tasks[0].Until.IsZero() {
		t.Errorf("tasks %+v", tasks)
	}
	w.send(w.reports(1, "apple"))
}

// TestOrphans: reports of which no store or task knows are found at the start, shown
// like losses, and kept with their keys, until an operator discards them.
func TestOrphans(t *testing.T) {
	for name, orphan := range map[string]func(w *world){
		"a store that is lost": func(w *world) {
			for _, name := range w.a.files("shuffler.db") {
				must(t, os.Remove(name))
			}
			w.a.newData = true
		},
		"a task that nothing names": func(w *world) {
			w.a.adjust = func(c *Config) { c.Tasks.Bundles = nil }
			must(t, os.RemoveAll(w.a.config().servedDir())) // as of a version that kept none
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.a.start()
			w.b.start()
			w.send(w.reports(300, "apple"))
			w.a.halt()
			keys := mustRead(t, w.a.config().roleKeysPath(task.Shuffler))
			orphan(w)
			w.a.start()
			w.a.newData = false
			want := surface{true, true, true, true}
			if s := shown(w, w.a, "shuffler", "orphaned"); s != want {
				t.Errorf("at the start: %+v\n%s", s, w.log.String())
			}
			for range 30 { // days, in which all keys would have gone
				w.clock.Set(w.clock.Now().Add(24 * time.Hour))
				_ = w.tick(w.a)
			}
			first := strings.Split(strings.TrimSpace(string(keys)), "\n")[1]
			if !strings.Contains(string(mustRead(t, w.a.config().roleKeysPath(task.Shuffler))), first) {
				t.Error("the key of the reports is gone")
			}
			if _, err := DiscardOrphans(t.Context(), w.a.config(), Options{Clock: w.clock}); err == nil {
				t.Error("discarded beside a running server")
			}
			w.a.halt()
			gone, err := DiscardOrphans(t.Context(), w.a.config(), Options{Clock: w.clock})
			if err != nil || len(gone) != 1 || !strings.HasPrefix(gone[0], "shuffler, orphaned: ") {
				t.Errorf("discarded %q, %v", gone, err)
			}
			w.a.start()
			if s := shown(w, w.a, "shuffler", "orphaned"); s != (surface{log: true}) {
				t.Errorf("after it was discarded: %+v", s)
			}
			for range 3 {
				w.clock.Set(w.clock.Now().Add(24 * time.Hour))
				_ = w.tick(w.a)
			}
			if strings.Contains(string(mustRead(t, w.a.config().roleKeysPath(task.Shuffler))), first) {
				t.Error("the key stays although nothing needs it")
			}
		})
	}
}

// TestWithdrawnAggregate: a leader takes no report for a task that no bundle names any
// more, as a copy of what was served or not at all, and what it has taken is released.
func TestWithdrawnAggregate(t *testing.T) {
	for name, copies := range map[string]bool{"with the copy of its bundle": true, "of a version that kept none": false} {
		t.Run(name, func(t *testing.T) {
			w := newAggregateWorld(t)
			w.pair()
			w.b.start()
			w.a.start()
			var late recorder
			w.answer(repeat("red", 29)...)
			w.answerBy(&late, "red")
			upload := func() int {
				t.Helper()
				last := late.sent[len(late.sent)-1].Clone(t.Context())
				body := mustReadAll(t, late.sent[len(late.sent)-1].Body)
				late.sent[len(late.sent)-1].Body = io.NopCloser(bytes.NewReader(body))
				last.Body = io.NopCloser(bytes.NewReader(body))
				r, err := http.DefaultTransport.RoundTrip(last)
				must(t, err)
				r.Body.Close()
				return r.StatusCode
			}
			if code := upload(); code != http.StatusOK { // a repeated one is no error
				t.Fatalf("before: status %d", code)
			}
			w.a.adjust = func(c *Config) { c.Tasks.Bundles = nil }
			w.a.halt()
			if !copies {
				must(t, os.RemoveAll(w.a.config().servedDir()))
			}
			w.a.start()
			if code := upload(); code != http.StatusNotFound {
				t.Errorf("withdrawn: status %d, want 404", code)
			}
			if copies {
				must(t, w.settle(100*time.Minute))
				if got := w.results(); !strings.Contains(got, ",red,30,30,") {
					t.Errorf("what was taken before: %s", got)
				}
			}
			w.a.adjust = nil
			w.a.halt()
			w.a.start()
			if code := upload(); copies && code == http.StatusNotFound || !copies && code != http.StatusOK { // with copies it is too late for it
				t.Errorf("listed again: status %d", code)
			}
		})
	}
}

func mustReadAll(t *testing.T, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	must(t, err)
	return b
}

// TestDiscardReceived: a batch that an analyzer has received and whose task no bundle
// names any more waits, visibly, until it is discarded; then it is gone and cannot come
// again, and its epoch is missing if the bundle is listed again. On 0caf301 and after it
// stayed for ever.
func TestDiscardReceived(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	epoch := w.task.EpochAt(w.clock.Now())
	w.send(w.reports(300, "apple"))
	w.closeEpoch()
	must(t, w.tick(w.a)) // hands the batch over
	file := w.b.files("received/", ".batch")[0]
	handed := mustRead(t, file)
	w.b.halt()
	w.b.adjust = func(c *Config) { c.Tasks.Bundles = nil }
	must(t, os.RemoveAll(w.b.config().servedDir()))
	w.b.start()
	if s := shown(w, w.b, "analyzer", "orphaned"); s != (surface{true, true, true, true}) {
		t.Errorf("while it waits: %+v", s)
	}
	w.b.halt()
	gone, err := DiscardOrphans(t.Context(), w.b.config(), Options{Clock: w.clock})
	if err != nil || len(gone) != 1 || !strings.Contains(gone[0], filepath.Base(file)) {
		t.Fatalf("discarded %q, %v", gone, err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the file is still there")
	}
	must(t, os.WriteFile(file, handed, 0o600)) // as if its removal had not reached the disk
	w.b.adjust = nil
	w.b.start()
	if s := shown(w, w.b, "analyzer", "orphaned"); s != (surface{log: true}) {
		t.Errorf("after it was discarded: %+v", s)
	}
	must(t, w.tick(w.a, w.b))
	t0, ok := w.b.server.task(w.id)
	if !ok {
		t.Fatal("the task is not served")
	}
	gaps, err := w.b.server.Unreleased(t.Context(), t0, 10)
	if err != nil || len(gaps) != 1 || gaps[0].Epoch != epoch || gaps[0].State != analyzer.EpochMissing {
		t.Errorf("unreleased: %+v, %v", gaps, err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("the file is there again")
	}
	w.clock.Set(w.task.Start(w.task.EpochAt(w.clock.Now()) + 1).Add(time.Minute))
	w.send(w.reports(300, "pear"))
	w.closeEpoch()
	must(t, w.tick(w.a, w.b))
	if got := w.counts(); !strings.Contains(got, "pear") || strings.Contains(got, "apple") {
		t.Errorf("released:\n%s", got)
	}
}
