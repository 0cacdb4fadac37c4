package server

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/store/sqlite"
)

// The ways in which a database is damaged.
func noisePages(t *testing.T, name string) {
	t.Helper()
	b := mustRead(t, name)
	r := rand.NewChaCha8([32]byte{7})
	for page := 4096; page < len(b); page += 4096 { // all but the first
		_, _ = r.Read(b[page:min(page+4096, len(b))])
	}
	must(t, os.WriteFile(name, b, 0o600))
}

func noiseHeader(t *testing.T, name string) {
	t.Helper()
	b := mustRead(t, name)
	for i := range 200 {
		b[i] = byte(i * 31)
	}
	must(t, os.WriteFile(name, b, 0o600))
}

func noiseEnd(t *testing.T, name string) {
	t.Helper()
	b := mustRead(t, name)
	r := rand.NewChaCha8([32]byte{8})
	_, _ = r.Read(b[len(b)-4096:])
	must(t, os.WriteFile(name, b, 0o600))
}

func empty0(t *testing.T, name string) {
	t.Helper()
	must(t, os.Truncate(name, 0))
}

func removeAll(t *testing.T, name string) {
	t.Helper()
	must(t, os.RemoveAll(name))
}

// A harm is what a test does to a store or a folder.
type harm struct {
	name  string
	do    func(*testing.T, string)
	cause string
}

var (
	storeHarms = []harm{
		{"noise in all pages", noisePages, "damaged"},
		{"noise in the header", noiseHeader, "damaged"},
		{"noise in the last page", noiseEnd, "damaged"},
		{"cut in half", halve, "damaged"},
		{"emptied", empty0, "missing"},
		{"gone", remove, "missing"},
	}
	folderHarms = []harm{{"gone", removeAll, "missing"}}
)

// worked returns a world whose organisations have worked and are stopped.
func workedCrowd(t *testing.T) *world {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	w.send(w.reports(200, "apple"))
	w.closeEpoch()
	must(t, w.tick(w.a, w.b))
	w.send(w.reports(20, "pear"))
	w.a.halt()
	w.b.halt()
	return w
}

func workedAggregate(t *testing.T) *world {
	w := newAggregateWorld(t)
	w.pair()
	w.b.start()
	w.a.start()
	w.answer(repeat("red", 30)...)
	must(t, w.settle(100*time.Minute))
	w.answer(repeat("blue", 5)...)
	w.a.halt()
	w.b.halt()
	return w
}

// TestStores damages every store and folder that any role has, as the configuration
// lists them. A damaged or missing one stops the start with an error that names it
// and what to do, and is a finding of doctor; when it is given up with --new-data the
// loss is a log line, a gauge, a reason not to be ready and a finding, over restarts,
// until it is acknowledged.
func TestStores(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(*testing.T) *world
	}{{"crowd", workedCrowd}, {"aggregate", workedAggregate}} {
		whole := c.make(t)
		for _, org := range []func(*world) *org{first, second} {
			for _, h := range org(whole).config().holdings(durable.OS()) {
				harms := storeHarms
				if h.dir {
					harms = folderHarms
				}
				for _, harm := range harms {
					t.Run(fmt.Sprintf("%s/%s %s", filepath.Base(org(whole).dir), filepath.Base(h.path), harm.name), func(t *testing.T) {
						harmStore(t, whole, org(whole), h, harm)
					})
				}
			}
		}
	}
}

func harmStore(t *testing.T, w *world, o *org, h holding, harm harm) {
	kept := t.TempDir()
	for _, name := range []string{"data", "keys"} {
		copyTree(t, filepath.Join(o.dir, name), filepath.Join(kept, name))
	}
	defer func() {
		o.halt()
		o.newData = false
		for _, name := range []string{"data", "keys"} {
			must(t, os.RemoveAll(filepath.Join(o.dir, name)))
			copyTree(t, filepath.Join(kept, name), filepath.Join(o.dir, name))
		}
	}()
	w.t, w.log = t, &buffer{}
	role := ownerOf(h.role)
	harm.do(t, h.path)
	_, err := o.open()
	if err == nil || !strings.Contains(err.Error(), h.path) || !strings.Contains(err.Error(), "--new-data") || !strings.Contains(err.Error(), "estore a backup") {
		t.Fatalf("the start: %v", err)
	}
	if harm.cause == "damaged" && !sqlite.IsDamaged(err) {
		t.Errorf("the error does not say that it is damage: %v", err)
	}
	found := false
	for _, f := range Doctor(t.Context(), o.config(), Options{Clock: w.clock}) {
		found = found || f.Check == "data" && f.Level == Failure && strings.Contains(f.Detail, h.path)
	}
	if !found {
		t.Error("doctor finds nothing")
	}
	o.newData = true
	o.start()
	o.newData = false
	want := surface{true, true, true, true}
	for range 2 {
		if s := shown(w, o, role, harm.cause); s != want {
			t.Errorf("after the start: %+v\n%s", s, w.log.String())
		}
		o.halt()
		o.start()
	}
	if _, err := Acknowledge(o.config(), w.clock.Now()); err != nil {
		t.Error(err)
	}
	if s := shown(w, o, role, harm.cause); s != (surface{log: true}) {
		t.Errorf("after it was acknowledged: %+v", s)
	}
	if aside, err := filepath.Glob(h.path + ".damaged"); err != nil || (len(aside) == 1) != (harm.cause == "damaged") {
		t.Errorf("set aside: %v, %v", aside, err)
	}
}

// copyTree copies a folder with the permissions of its files.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	must(t, os.CopyFS(to, os.DirFS(from)))
	must(t, filepath.WalkDir(from, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		return os.Chmod(filepath.Join(to, rel), info.Mode().Perm())
	}))
}
