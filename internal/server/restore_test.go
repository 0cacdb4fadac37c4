package server

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
)

// restored checks an organisation that was put back: its marker lists what is there,
// it is ready, doctor finds no data missing, and it starts again without a flag; without
// its data it does not.
func (o *org) restored(t *testing.T, names int) {
	t.Helper()
	if reasons := o.server.unready(t.Context()); len(reasons) > 0 {
		t.Errorf("%s is not ready after the restore: %q", o.dir, reasons)
	}
	i, err := openInstallation(o.config(), false)
	must(t, err)
	all := o.config().holdings(durable.OS())
	for _, h := range all {
		if i.known[h.name] == "" {
			t.Errorf("the marker lacks the %s", h.name)
		}
	}
	if gone, err := i.check(all); err != nil || len(gone) > 0 {
		t.Errorf("missing after the restore: %v, %v", gone, err)
	}
	if kept, err := filepath.Glob(filepath.Join(o.config().servedDir(), "*"+bundleSuffix)); err != nil || len(kept) != names {
		t.Errorf("copies of bundles after the restore: %v, %v; want %d", kept, err, names)
	}
	o.halt()
	o.start()
	o.halt()
	data := filepath.Join(o.dir, "data")
	must(t, os.Rename(data, data+".away"))
	if _, err := o.open(); err == nil || !strings.Contains(err.Error(), "missing data") {
		t.Errorf("a restored organisation starts without its data: %v", err)
	}
	must(t, os.RemoveAll(data))
	must(t, os.Rename(data+".away", data))
	o.start()
}

// TestRestoreServed loses shuffler and analyzer while a bundle is withdrawn whose task
// still has work to do: after the restore both still serve it for that, refuse its
// reports, know when it ends, and the marker protects what was restored. Before, the
// copies were not in the backup, and a batch that arrived afterwards was refused.
func TestRestoreServed(t *testing.T) {
	w := newWorld(t)
	for _, o := range []*org{w.a, w.b} {
		o.name()
		o.start()
	}
	w.send(w.reports(300, "apple"))
	oldID, old := w.id, w.task
	late := w.reports(1, "apple")[0]
	w.reask("Which fruit do people eat?")
	w.restart()
	for _, o := range []*org{w.a, w.b} {
		if n := len(o.server.Tasks()); n != 2 {
			t.Fatalf("%d tasks are served before the loss, want 2", n)
		}
	}
	w.clock.Set(w.clock.Now().Add(5 * time.Minute))
	analyzers, shufflers := w.b.backup(), w.a.backup()
	w.b.restore(analyzers) // the shuffler goes on: it holds reports of the withdrawn task
	w.b.restored(t, 2)
	w.clock.Set(old.Closes(old.EpochAt(w.clock.Now())).Add(time.Second))
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
	w.a.restore(shufflers)
	w.a.restored(t, 2)
	r, err := http.Post("http://"+w.a.address+"/tasks/"+oldID.String()+"/reports", "application/shoal-report;v=1", strings.NewReader(string(late)))
	must(t, err)
	r.Body.Close()
	if r.StatusCode != http.StatusNotFound {
		t.Errorf("a report for the withdrawn task: status %d, want 404", r.StatusCode)
	}
	w.clock.Set(w.task.Start(w.task.EpochAt(w.clock.Now()) + 1).Add(time.Minute))
	w.send(w.reports(300, "pear"))
	w.closeEpoch()
	must(t, w.tick(w.a, w.b))
	if got := w.counts(); !strings.Contains(got, "pear") {
		t.Errorf("after the restore: %q", got)
	}
	w.clock.Set(w.clock.Now().AddDate(0, 0, 9))
	w.restart()
	for _, o := range []*org{w.a, w.b} {
		if n := len(o.server.Tasks()); n != 1 {
			t.Errorf("%d tasks are served after the end of the withdrawn one", n)
		}
	}
}

// TestRestoreMarker is the same for leader, collector and helper: they are restored,
// protected by their markers, and go on.
func TestRestoreMarker(t *testing.T) {
	w := newAggregateWorld(t)
	w.pair()
	for _, o := range []*org{w.b, w.a} {
		o.name()
		o.start()
	}
	w.answer(repeat("red", 30)...)
	must(t, w.settle(100*time.Minute))
	for _, o := range []*org{w.a, w.b} {
		backup := o.backup()
		o.restore(backup)
		o.restored(t, 1)
	}
	w.clock.Forward(w.clock.Now().Truncate(time.Hour).Add(2 * time.Hour))
	w.answer(repeat("blue", 30)...)
	_ = w.settle(100 * time.Minute) // an epoch that had begun is not answered
	if got := w.results(); !strings.Contains(got, ",blue,30,30,") || !strings.Contains(got, ",red,30,30,") {
		t.Errorf("after the restore:\n%s", got)
	}
}
