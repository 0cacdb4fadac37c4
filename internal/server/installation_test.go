package server

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/store/postgres/postgrestest"
)

// TestMissingData: an organisation that has had a store or a folder does not start
// without it, changes nothing, and starts with --new-data.
func TestMissingData(t *testing.T) {
	crowd := func(t *testing.T) *world { return newWorld(t) }
	for _, c := range []struct {
		name string
		make func(*testing.T) *world
		org  func(*world) *org
		gone string // below the data folder
		want string // in the error
	}{
		{"shuffler's store", crowd, first, "shuffler.db", "shuffler.db"},
		{"shuffler's reports", crowd, first, "shuffler", "data/shuffler"},
		{"added tasks", crowd, first, "tasks", "data/tasks"},
		{"everything", crowd, first, "", "shuffler.db"},
		{"analyzer's store", crowd, second, "analyzer.db", "analyzer.db"},
		{"analyzer's tables", crowd, second, "analyzer", "data/analyzer"},
		{"leader's store", newAggregateWorld, first, "leader.db", "leader.db"},
		{"leader's reports", newAggregateWorld, first, "leader", "data/leader"},
		{"collector's store", newAggregateWorld, first, "collector.db", "collector.db"},
		{"collector's tables", newAggregateWorld, first, "collector", "data/collector"},
		{"helper's store", newAggregateWorld, second, "helper.db", "helper.db"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := c.make(t)
			o := c.org(w)
			o.start()
			o.halt()
			o.start() // what is there is no obstacle
			o.halt()
			must(t, os.RemoveAll(filepath.Join(o.dir, "data", c.gone)))
			s, err := o.open()
			if !errors.Is(err, errMissing) || !strings.Contains(err.Error(), filepath.FromSlash(c.want)) || !strings.Contains(err.Error(), "--new-data") {
				t.Fatalf("started without it: %v, %v", s, err)
			}
			if _, err := os.Stat(filepath.Join(o.dir, "data", c.gone)); err == nil && c.gone != "" {
				t.Error("the refused start has created it")
			}
			if f := findings(w, o)["data"]; f.Level != Failure || !strings.Contains(f.Detail, filepath.FromSlash(c.want)) {
				t.Errorf("doctor: %+v", f)
			}
			o.newData = true
			o.start()
			if log := w.log.String(); !strings.Contains(log, "data is missing and given up") {
				t.Errorf("logged:\n%s", log)
			}
			o.halt()
			o.newData = false
			o.start() // once is enough
			o.halt()
			if f := findings(w, o)["data"]; f.Level != OK {
				t.Errorf("doctor: %+v", f)
			}
		})
	}
}

func first(w *world) *org  { return w.a }
func second(w *world) *org { return w.b }

// TestOtherData: an empty store, the store of another installation and another
// folder are no replacement.
func TestOtherData(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.a.halt()
	other := newWorld(t)
	other.a.start()
	other.a.halt()
	data := func(w *world, name string) string { return filepath.Join(w.a.dir, "data", name) }
	for name, change := range map[string]func(){
		"an empty file":   func() { must(t, os.Truncate(data(w, "shuffler.db"), 0)) },
		"another's store": func() { copyFile(t, data(other, "shuffler.db"), data(w, "shuffler.db")) },
		"another's folder": func() {
			copyFile(t, data(other, "shuffler/"+installationFile), data(w, "shuffler/"+installationFile))
		},
	} {
		keep := t.TempDir()
		must(t, os.CopyFS(keep, os.DirFS(filepath.Join(w.a.dir, "data"))))
		change()
		if _, err := w.a.open(); !errors.Is(err, errMissing) {
			t.Errorf("%s: %v", name, err)
		}
		must(t, os.RemoveAll(filepath.Join(w.a.dir, "data")))
		must(t, os.CopyFS(filepath.Join(w.a.dir, "data"), os.DirFS(keep)))
		w.a.start() // what was restored is accepted
		w.a.halt()
	}
	must(t, os.WriteFile(w.a.config().installationPath(), []byte("{"), 0o600))
	if _, err := w.a.open(); err == nil || !strings.Contains(err.Error(), installationFile+" is damaged") {
		t.Errorf("a damaged marker: %v", err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o600))
}

// TestFormerInstallation: an organisation of a version that kept no marker starts
// without a flag, writes it, and is protected from then on.
func TestFormerInstallation(t *testing.T) {
	w := newWorld(t)
	w.b.start()
	w.a.start()
	w.send(w.reports(3, "apple"))
	w.a.halt()
	must(t, os.Remove(w.a.config().installationPath()))
	must(t, os.RemoveAll(filepath.Join(w.a.dir, "data", "tasks"))) // it was made when a task was added
	must(t, os.Remove(filepath.Join(w.a.dir, "data", "shuffler", installationFile)))
	db, err := sql.Open("sqlite", filepath.Join(w.a.dir, "data", "shuffler.db"))
	must(t, err)
	_, err = db.Exec(`DROP TABLE installation`)
	must(t, errors.Join(err, db.Close()))

	w.a.start()
	w.send(w.reports(3, "apple"))
	w.a.halt()
	i, err := openInstallation(w.a.config(), false)
	must(t, err)
	if len(i.known) != 3 {
		t.Errorf("the marker lists %v, want store and folder of the shuffler and the folder of tasks", i.known)
	}
	for _, h := range w.a.config().holdings(durable.OS()) {
		if h.dir {
			if id, err := h.id(); err != nil || id == "" || id != i.known[h.name] {
				t.Errorf("%s: ID %q, %v; the marker has %q", h.name, id, err, i.known[h.name])
			}
		}
	}
	must(t, os.Remove(filepath.Join(w.a.dir, "data", "shuffler.db")))
	if _, err := w.a.open(); !errors.Is(err, errMissing) {
		t.Errorf("not protected: %v", err)
	}
}

// TestMissingDatabase: a leader or helper whose schema is empty now, or another one,
// does not start; nor does one that changes from a file to a database.
func TestMissingDatabase(t *testing.T) {
	had, empty := postgrestest.Schema(t), postgrestest.Schema(t)
	w := newAggregateWorld(t)
	for _, o := range []*org{w.a, w.b} {
		place := had
		o.adjust = func(c *Config) { c.Aggregates.Postgres = place }
		o.start()
		o.halt()
		place = empty
		if _, err := o.open(); !errors.Is(err, errMissing) {
			t.Errorf("an empty schema: %v", err)
		}
		place = ""
		if _, err := o.open(); !errors.Is(err, errMissing) {
			t.Errorf("a new file instead of the schema: %v", err)
		}
		place = had
		o.start()
		o.halt()
		had, empty = postgrestest.Schema(t), postgrestest.Schema(t)
	}
}

// TestServesNothing: a bundle that names others only, and an organisation without
// tasks, warn in the log and in doctor.
func TestServesNothing(t *testing.T) {
	w, other := newWorld(t), newWorld(t)
	o := w.a
	o.adjust = func(c *Config) { c.Tasks.Bundles = []string{filepath.Join(other.a.dir, "tasks.bundle")} }
	o.start()
	o.halt()
	want := "none of its tasks (1) names this organisation: " + o.url() + ", " + o.identity
	if log := w.log.String(); !strings.Contains(log, want) || !strings.Contains(log, "no task is served") {
		t.Errorf("logged:\n%s", log)
	}
	var said []string
	for _, f := range Doctor(t.Context(), o.config(), Options{Clock: w.clock}) {
		if f.Check == "tasks" && f.Level == Warning {
			said = append(said, f.Detail)
		}
	}
	if len(said) != 2 || !strings.Contains(said[0], want) {
		t.Errorf("doctor said %q", said)
	}
	b, err := os.ReadFile(filepath.Join(o.dir, "tasks.bundle"))
	must(t, err)
	for name, c := range map[string]struct {
		bundle []byte
		want   string
	}{"its own": {b, ""}, "another's": {mustRead(t, filepath.Join(other.a.dir, "tasks.bundle")), want}} {
		if why, err := UselessBundle(o.config(), c.bundle, w.clock.Now()); err != nil || why != c.want {
			t.Errorf("%s: %q, %v; want %q", name, why, err, c.want)
		}
	}
}

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	must(t, err)
	return b
}
