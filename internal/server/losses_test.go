package server

import (
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A surface is what shows a loss.
type surface struct {
	log, ready, metric, doctor bool
}

// shown returns where losses of a role and a cause are shown and not acknowledged.
func shown(w *world, o *org, role, cause string) surface {
	w.t.Helper()
	rec := httptest.NewRecorder()
	o.server.refresh(w.t.Context())
	o.server.metrics.handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	finding := func(f Finding) bool {
		return f.Check == "losses" && f.Level == Failure && strings.Contains(f.Detail, role+", "+cause+": ")
	}
	return surface{
		log: strings.Contains(w.log.String(), fmt.Sprintf("role=%s cause=%s ", role, cause)),
		ready: slices.ContainsFunc(o.server.unready(w.t.Context()), func(s string) bool {
			return strings.Contains(s, "the "+role+" has lost") && strings.Contains(s, "("+cause+",")
		}),
		metric: strings.Contains(rec.Body.String(), fmt.Sprintf(`shoal_losses{cause="%s",role="%s",state="open"}`, cause, role)),
		doctor: slices.ContainsFunc(Doctor(w.t.Context(), o.config(), Options{Clock: w.clock}), finding),
	}
}

// files returns the files below the data folder whose names contain all parts.
func (o *org) files(parts ...string) []string {
	o.w.t.Helper()
	var found []string
	err := filepath.WalkDir(filepath.Join(o.dir, "data"), func(name string, e fs.DirEntry, err error) error {
		has := func(part string) bool { return !strings.Contains(filepath.ToSlash(name), part) }
		if err == nil && !e.IsDir() && !slices.ContainsFunc(parts, has) {
			found = append(found, name)
		}
		return err
	})
	must(o.w.t, err)
	if len(found) == 0 {
		o.w.t.Fatalf("no file with %v below %s", parts, o.dir)
	}
	return found
}

// The ways in which a disk damages a file.
func halve(t *testing.T, name string) {
	t.Helper()
	info, err := os.Stat(name)
	must(t, err)
	must(t, os.Truncate(name, info.Size()/2))
}

func shorten(t *testing.T, name string) {
	t.Helper()
	info, err := os.Stat(name)
	must(t, err)
	must(t, os.Truncate(name, info.Size()-1))
}

func flip(t *testing.T, name string) {
	t.Helper()
	b := mustRead(t, name)
	for i := len(b) / 3; i < len(b)/3+8; i++ {
		b[i] ^= 0x5a
	}
	must(t, os.WriteFile(name, b, 0o600))
}

func remove(t *testing.T, name string) {
	t.Helper()
	must(t, os.Remove(name))
}

// TestLosses damages what each role of the crowd route has acknowledged, in each
// state of a batch: every loss is a log line, a gauge, a reason not to be ready and
// a finding of doctor, over restarts, until it is acknowledged. On 0caf301 there was
// none of them.
func TestLosses(t *testing.T) {
	for _, c := range []struct {
		name   string
		role   string
		file   []string // parts of the name
		damage func(*testing.T, string)
		cause  string
		killed bool // before the damage, not stopped in order
		closed bool // the batch is closed, processed and handed over as far as that goes
		away   bool // the analyzer does not run
	}{
		{"a log is cut off", "shuffler", []string{"shared/", ".seg"}, halve, "damaged", false, false, false},
		{"a log that takes reports is cut off", "shuffler", []string{"shared/", ".open"}, halve, "damaged", true, false, false},
		{"the last report of a log that takes reports is cut off", "shuffler", []string{"shared/", ".open"}, shorten, "damaged", true, false, false},
		{"the file of a log is gone", "shuffler", []string{"shared/", ".seg"}, remove, "damaged", false, false, false},
		{"the file of a log that takes reports is gone", "shuffler", []string{"shared/", ".open"}, remove, "damaged", true, false, false},
		{"records of a log flip", "shuffler", []string{"shared/", ".seg"}, flip, "damaged", false, false, false},
		{"the folder of a log is gone", "shuffler", []string{"shared/", ".seg"}, func(t *testing.T, name string) { must(t, os.RemoveAll(filepath.Dir(name))) }, "missing", false, false, false},
		{"the folder of all logs is gone", "shuffler", []string{"shared/", ".seg"}, func(t *testing.T, name string) { must(t, os.RemoveAll(filepath.Dir(filepath.Dir(name)))) }, "missing", false, false, false},
		{"the reports of a batch that waits are cut off", "shuffler", []string{"handover.batch"}, halve, "damaged", false, true, true},
		{"a batch that waits flips", "shuffler", []string{"handover.batch"}, flip, "damaged", false, true, true},
		{"a batch that waits is gone", "shuffler", []string{"handover.batch"}, remove, "missing", false, true, true},
		{"a received batch is cut off", "analyzer", []string{"received/"}, halve, "damaged", false, true, false},
		{"a received batch flips", "analyzer", []string{"received/"}, flip, "damaged", false, true, false},
		{"a received batch is gone", "analyzer", []string{"received/"}, remove, "missing", false, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.a.start()
			w.b.start()
			w.send(w.reports(200, "apple"))
			o := w.a
			if c.role == "analyzer" {
				o = w.b
			}
			if c.closed {
				if c.away {
					w.b.halt()
				}
				w.closeEpoch()
				_ = w.tick(w.a) // the analyzer may be away
			}
			if s := shown(w, o, c.role, c.cause); s != (surface{}) {
				t.Fatalf("before the damage: %+v", s)
			}
			if c.killed {
				o.kill()
			} else {
				o.halt()
			}
			c.damage(t, o.files(c.file...)[0])
			if c.away {
				w.b.start()
			}
			o.start()
			if !c.closed {
				w.closeEpoch()
			}
			_ = w.tick(o)
			want := surface{true, true, true, true}
			if s := shown(w, o, c.role, c.cause); s != want {
				t.Errorf("after the damage: %+v\n%s", s, w.log.String())
			}
			o.halt()
			o.start()
			if s := shown(w, o, c.role, c.cause); s != want {
				t.Errorf("after a restart: %+v", s)
			}
			all, err := Acknowledge(o.config(), w.clock.Now())
			if err != nil || len(all) == 0 || !strings.HasPrefix(all[0], c.role+", "+c.cause) {
				t.Errorf("acknowledged %q, %v", all, err)
			}
			w.clock.Set(w.clock.Now().Add(time.Hour))
			_ = w.tick(o) // it is found again
			for range 2 {
				if s := shown(w, o, c.role, c.cause); s != (surface{log: true}) {
					t.Errorf("after it was acknowledged: %+v", s)
				}
				o.halt()
				o.start()
			}
		})
	}
}
