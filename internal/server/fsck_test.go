package server

import (
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// TestDamagedResult: one damaged result file costs its epoch, by name; the API serves
// the others, fsck and doctor name it, and it is a loss of the analyzer. On 0caf301
// it was an internal error for the whole question.
func TestDamagedResult(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	var epochs []task.Epoch
	for range 2 {
		epochs = append(epochs, w.task.EpochAt(w.clock.Now()))
		w.send(w.reports(300, "apple"))
		w.closeEpoch()
		must(t, w.tick(w.a, w.b))
		w.clock.Set(w.task.Start(w.task.EpochAt(w.clock.Now()) + 1).Add(time.Minute))
	}
	if files, damaged, err := Fsck(t.Context(), w.b.config()); err != nil || files < 4 || damaged != nil {
		t.Fatalf("fsck: %d files, %v, %v", files, damaged, err)
	}
	token, err := w.b.server.tokens.Create(rand.Reader, "t", []Scope{ScopeExport}, w.clock.Now().Add(24*time.Hour))
	must(t, err)
	url := "http://" + w.b.server.Addr("ops") + "/api/v1/tasks/" + w.id.String() + "/export?format=csv&table=counts"
	if status, header, body := get(t, url, token); status != http.StatusOK || header.Get("Shoal-Damaged-Epochs") != "" || strings.Count(string(body), "apple") != 2 {
		t.Fatalf("before: %d %v\n%s", status, header, body)
	}
	flip(t, w.b.files("counts.parquet")[0])
	status, header, body := get(t, url, token)
	bad := header.Get("Shoal-Damaged-Epochs")
	if status != http.StatusOK || strings.Count(string(body), "apple") != 1 || bad == "" {
		t.Errorf("after: %d %v\n%s", status, header, body)
	}
	if s := shown(w, w.b, "analyzer", "damaged"); s != (surface{true, true, true, true}) {
		t.Errorf("shown: %+v", s)
	}
	_, damaged, err := Fsck(t.Context(), w.b.config())
	if err != nil || len(damaged) != 1 || epochsOf(damaged) != bad || (damaged[0].Epoch != epochs[0] && damaged[0].Epoch != epochs[1]) {
		t.Errorf("fsck: %v, %v; the header named %q", damaged, err, bad)
	}
	halve(t, w.b.files("counts.parquet")[0])
	if f := findings(w, w.b)["results"]; f.Level != Failure || !strings.Contains(f.Detail, `of "fruit"`) {
		t.Errorf("doctor: %+v", f)
	}
	flip(t, w.b.files("counts.parquet")[1])
	if status, _, body := get(t, url, token); status != http.StatusInternalServerError || !strings.Contains(string(body), "is damaged") {
		t.Errorf("with no whole epoch: %d\n%s", status, body)
	}
}

// spoil changes the manifest of one released batch in the database of a role.
func (o *org) spoil(t *testing.T, r task.Role, query string, args ...any) {
	t.Helper()
	o.halt()
	db, err := sql.Open("sqlite", filepath.Join(o.dir, "data", r.String()+".db"))
	must(t, err)
	result, err := db.Exec(query, args...)
	must(t, err)
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("%d rows were changed: %v", n, err)
	}
	must(t, db.Close())
	o.start()
}

// beside opens the tables of an organisation as a command does while its server runs.
func (o *org) beside(t *testing.T) release.Catalogue {
	t.Helper()
	all, done, err := OpenEpochs(t.Context(), o.config(), o.w.clock.Now())
	must(t, err)
	t.Cleanup(func() { must(t, done()) })
	return all
}

// TestDamagedManifest: one manifest in a catalogue that cannot be read costs its epoch,
// by name; all others are served. On 0caf301 nothing of the organisation was.
func TestDamagedManifest(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	var epochs []task.Epoch
	for range 3 {
		epochs = append(epochs, w.task.EpochAt(w.clock.Now()))
		w.send(w.reports(300, "apple"))
		w.closeEpoch()
		must(t, w.tick(w.a, w.b))
		w.clock.Set(w.task.Start(w.task.EpochAt(w.clock.Now()) + 1).Add(time.Minute))
	}
	w.b.spoil(t, task.Analyzer, `UPDATE batches SET manifest = substr(manifest, 1, 200) WHERE epoch = ?`, int64(epochs[1]))
	token, err := w.b.server.tokens.Create(rand.Reader, "t", []Scope{ScopeExport, ScopeRead}, w.clock.Now().Add(24*time.Hour))
	must(t, err)
	url := "http://" + w.b.server.Addr("ops") + "/api/v1/tasks/" + w.id.String()
	status, header, body := get(t, url+"/export?format=csv&table=counts", token)
	if status != http.StatusOK || header.Get("Shoal-Damaged-Epochs") != fmt.Sprint(epochs[1]) || strings.Count(string(body), "apple") != 2 {
		t.Errorf("export: %d %v\n%s", status, header, body)
	}
	if s := shown(w, w.b, "analyzer", "damaged"); s != (surface{true, true, true, true}) {
		t.Errorf("shown: %+v", s)
	}
	if status, _, body := get(t, url+"/batches", token); status != http.StatusOK || strings.Count(string(body), `"damaged"`) != 1 || strings.Count(string(body), `"released"`) < 2 {
		t.Errorf("batches: %d\n%s", status, body)
	}
	for where, catalogue := range map[string]release.Catalogue{"in the server": w.b.server.Epochs(), "beside it": w.b.beside(t)} { // what SQL reads
		rows, err := release.OfMetric(t.Context(), catalogue, "fruit")
		must(t, err)
		for _, b := range rows {
			if bad := b.Epoch == epochs[1]; bad != (b.Row[3] == "damaged") || bad != (b.Damaged != nil) || bad && b.Row[4] != nil {
				t.Errorf("%s: epoch %d has the row %v", where, b.Epoch, b.Row)
			}
		}
	}
	_, damaged, err := Fsck(t.Context(), w.b.config())
	if err != nil || len(damaged) != 1 || damaged[0].Epoch != epochs[1] || damaged[0].Metric != "fruit" || !damaged[0].Start.Equal(w.task.Start(epochs[1])) {
		t.Errorf("fsck: %v, %v", damaged, err)
	}
	if f := findings(w, w.b)["results"]; f.Level != Failure || !strings.Contains(f.Detail, "manifest") {
		t.Errorf("doctor: %+v", f)
	}
	w.send(w.reports(300, "apple"))
	w.closeEpoch()
	must(t, w.tick(w.a, w.b))
	if _, _, body := get(t, url+"/export?format=csv&table=counts", token); strings.Count(string(body), "apple") != 3 {
		t.Errorf("after another epoch:\n%s", body)
	}
}

// TestDamagedManifestOfCollector is the same for a collector.
func TestDamagedManifestOfCollector(t *testing.T) {
	w := newAggregateWorld(t)
	w.pair()
	w.b.start()
	w.a.start()
	for range 2 {
		w.answer(repeat("red", 30)...)
		must(t, w.settle(100*time.Minute))
		w.clock.Forward(w.clock.Now().Truncate(time.Hour).Add(time.Hour))
	}
	before := w.results()
	if strings.Count(before, ",red,30,") != 2 {
		t.Fatal(before)
	}
	w.a.spoil(t, task.Collector, `UPDATE asks SET manifest = '{"version":' WHERE number = (SELECT max(number) FROM asks WHERE state = 3)`)
	token, err := w.a.server.tokens.Create(rand.Reader, "t", []Scope{ScopeExport, ScopeRead}, w.clock.Now().Add(24*time.Hour))
	must(t, err)
	url := "http://" + w.a.server.Addr("ops") + "/api/v1/tasks/" + w.id.String()
	status, header, body := get(t, url+"/export?format=csv", token)
	if status != http.StatusOK || header.Get("Shoal-Damaged-Epochs") == "" || strings.Count(string(body), ",red,30,") != 1 {
		t.Errorf("export: %d %v\n%s", status, header, body)
	}
	if s := shown(w, w.a, "collector", "damaged"); s != (surface{true, true, true, true}) {
		t.Errorf("shown: %+v", s)
	}
	if status, _, body := get(t, url+"/batches", token); status != http.StatusOK || strings.Count(string(body), `"damaged"`) != 1 {
		t.Errorf("batches: %d\n%s", status, body)
	}
	if _, damaged, err := Fsck(t.Context(), w.a.config()); err != nil || len(damaged) != 1 || damaged[0].Metric != "colour" || epochsOf(damaged) != header.Get("Shoal-Damaged-Epochs") {
		t.Errorf("fsck: %v, %v", damaged, err)
	}
	must(t, w.settle(10*time.Minute)) // the work goes on
}
