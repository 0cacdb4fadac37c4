package server

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/internal/release"
)

// TestWay sends reports through two organisations over HTTP and finds the large
// crowd in the table, the small one suppressed.
func TestWay(t *testing.T) {
	for _, stage := range shuffler.Stages() {
		t.Run(string(stage), func(t *testing.T) { testWay(t, stage) })
	}
}

func testWay(t *testing.T, stage shuffler.Stage) {
	w := newWorld(t)
	w.a.adjust = func(c *Config) { c.Shuffler.Stage, c.Intake.MaxBatchReports = stage, 1_000_000 }
	w.b.start()
	w.a.start()
	w.send(w.reports(210, "apple"))
	w.send(w.reports(3, "medlar"))
	if status := w.post([]byte("nonsense")); status != http.StatusBadRequest {
		t.Errorf("nonsense: status %d, want 400", status)
	}
	w.closeEpoch()
	if err := w.tick(w.a, w.b); err != nil {
		t.Fatal(err)
	}
	checkReleased(t, w, 210)
	checkMetrics(t, w)
	checkStage(t, w, stage)
	w.a.halt()
	w.b.halt()
	checkNothingIdentifying(t, w)
}

// checkReleased: apples are released, fewer than were sent, medlars are not.
func checkReleased(t *testing.T, w *world, sent uint64) {
	t.Helper()
	entries, err := w.b.server.Tables().Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].State != analyzer.Released {
		t.Fatalf("entries %+v, want one that is released", entries)
	}
	m := entries[0].Manifest
	if m.Analyzer.Crowds != 1 || m.Analyzer.Records == 0 || m.Analyzer.Records > sent || m.Shuffler.Reports == nil {
		t.Errorf("manifest %+v, %+v", m.Shuffler, m.Analyzer)
	}
	var out strings.Builder
	if err := w.b.server.Tables().Export(t.Context(), &out, release.CSV, release.Query{Metric: "fruit", Table: analyzer.CountsTable}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "apple") || strings.Contains(out.String(), "medlar") {
		t.Errorf("table:\n%s", out.String())
	}
}

func checkMetrics(t *testing.T, w *world) {
	t.Helper()
	for o, wants := range map[*org][]string{
		w.a: {`shoal_reports_total{outcome="accepted",role="shuffler"} 213`, `shoal_rejects_total{cause="malformed",role="shuffler"} 1`, `shoal_batches_total{outcome="delivered",role="shuffler"} 1`, `shoal_tasks{role="shuffler"} 1`},
		w.b: {`shoal_batches_total{outcome="released",role="analyzer"} 1`},
	} {
		_, _, body := get(t, "http://"+o.server.Addr("ops")+"/metrics", "")
		for _, want := range wants {
			if !strings.Contains(string(body), want) {
				t.Errorf("metrics of %s lack %s", o.server.Config().Organisation, want)
			}
		}
		if strings.Contains(string(body), w.id.String()) || strings.Contains(string(body), "fruit") {
			t.Error("a task is named in the metrics")
		}
	}
}

// checkStage: the gauge is that of the stage, and only a plain one tells the operator
// why reports do not go on.
func checkStage(t *testing.T, w *world, stage shuffler.Stage) {
	t.Helper()
	_, _, body := get(t, "http://"+w.a.server.Addr("ops")+"/metrics", "")
	oblivious := stage == shuffler.Oblivious
	for line, want := range map[string]bool{
		`shoal_stage_oblivious{role="shuffler"} 1`:                    oblivious,
		`shoal_stage_oblivious{role="shuffler"} 0`:                    !oblivious,
		`shoal_reports_total{outcome="withheld",role="shuffler"} 0`:   !oblivious,
		`shoal_reports_total{outcome="suppressed",role="shuffler"} 0`: oblivious,
		`shoal_reports_total{outcome="suppressed",role="shuffler"} 3`: !oblivious,
	} {
		if strings.Contains(string(body), line) != want {
			t.Errorf("%s: metrics have %s: %v", stage, line, !want)
		}
	}
}

// checkNothingIdentifying reads every file of both organisations and the log:
// no address of a sender, no plaintext at the shuffler, no suppressed value
// anywhere (invariant 5 of docs/architecture.md).
func checkNothingIdentifying(t *testing.T, w *world) {
	t.Helper()
	log := w.log.String()
	for _, secret := range []string{"127.0.0.1:", "apple", "medlar", "User-Agent", "Go-http-client"} {
		for line := range strings.Lines(log) {
			if strings.Contains(line, secret) && !strings.Contains(line, "msg=listening") {
				t.Errorf("the log says %s", line)
			}
		}
	}
	for o, secrets := range map[*org][]string{
		w.a: {"apple", "medlar", "Go-http-client", "127.0.0.1:"},
		w.b: {"medlar", "Go-http-client"},
	} {
		err := filepath.WalkDir(filepath.Join(o.dir, "data"), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Base(filepath.Dir(name)) == "served" { // copies of the bundle, which names the organisations
				return err
			}
			b, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			for _, secret := range secrets {
				if strings.Contains(string(b), secret) {
					t.Errorf("%s holds %q", name, secret)
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestRestart: what was acknowledged before a stop is in the answer after it.
func TestRestart(t *testing.T) {
	w := newWorld(t)
	w.b.start()
	w.a.start()
	w.send(w.reports(105, "apple"))
	w.a.halt()
	w.a.start()
	w.send(w.reports(105, "apple"))
	w.send(w.reports(3, "medlar"))
	w.closeEpoch()
	if err := w.tick(w.a); err != nil {
		t.Fatal(err)
	}
	w.b.halt() // between acceptance and release
	w.b.start()
	if err := w.tick(w.b, w.a, w.b); err != nil {
		t.Fatal(err)
	}
	checkReleased(t, w, 210)
}

// distinct is how many valid reports the operator of a shuffler sees counted, over
// all tasks.
func (o *org) distinct(t *testing.T) int {
	t.Helper()
	_, _, body := get(t, "http://"+o.server.Addr("ops")+"/metrics", "")
	n := 0
	for _, outcome := range []string{"released", "dropped", "suppressed"} {
		_, rest, found := strings.Cut(string(body), fmt.Sprintf("shoal_reports_total{outcome=%q,role=\"shuffler\"} ", outcome))
		var x int
		if _, err := fmt.Sscan(rest, &x); !found || err != nil {
			t.Fatalf("the metrics do not count reports that were %s", outcome)
		}
		n += x
	}
	return n
}
