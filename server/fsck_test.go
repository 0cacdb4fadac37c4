package server

import (
	"crypto/rand"
	"net/http"
	"strings"
	"testing"
	"time"

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
