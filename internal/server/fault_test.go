package server

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/metric/task"
)

// fullDisk is a file system that has no space while full is set, below a folder if
// below is set.
type fullDisk struct {
	durable.FS
	full  *atomic.Bool
	below string
}

func (d fullDisk) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	if !strings.HasPrefix(name, d.below) {
		return d.FS.OpenFile(name, flag, perm)
	}
	if d.full.Load() && flag&os.O_CREATE != 0 {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.ENOSPC}
	}
	f, err := d.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return fullFile{f, d.full}, nil
}

type fullFile struct {
	durable.File
	full *atomic.Bool
}

func (f fullFile) Write(b []byte) (int, error) {
	if f.full.Load() {
		return 0, &fs.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
	}
	return f.File.Write(b)
}

func (f fullFile) WriteAt(b []byte, at int64) (int, error) {
	if f.full.Load() {
		return 0, &fs.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
	}
	return f.File.WriteAt(b, at)
}

// TestDiskFull: without space intake answers 503 with Retry-After, loses
// nothing that it has acknowledged, and goes on by itself.
func TestDiskFull(t *testing.T) {
	w := newWorld(t)
	full := new(atomic.Bool)
	w.a.fs = fullDisk{FS: durable.OS(), full: full}
	w.b.start()
	w.a.start()
	w.send(w.reports(160, "apple"))
	w.send(w.reports(3, "medlar"))
	more := w.reports(50, "apple")
	full.Store(true)
	for _, r := range more[:5] {
		if status := w.post(r); status != http.StatusServiceUnavailable {
			t.Errorf("without space: status %d, want 503", status)
		}
	}
	full.Store(false)
	deadline := time.Now().Add(10 * time.Second)
	for w.post(more[0]) != http.StatusCreated {
		if time.Now().After(deadline) {
			t.Fatal("intake does not recover")
		}
		time.Sleep(20 * time.Millisecond)
	}
	w.send(more[1:])
	w.closeEpoch()
	if err := w.tick(w.a, w.b); err != nil {
		t.Fatal(err)
	}
	checkReleased(t, w, 210)
	if n := w.a.distinct(t); n != 213 {
		t.Errorf("%d distinct reports, want all 213 that were acknowledged", n)
	}
}

// TestPeerDown: while the analyzer is away the batch waits at the shuffler; it
// takes no other way and is not lost.
func TestPeerDown(t *testing.T) {
	w := newWorld(t)
	w.b.start()
	w.a.start()
	w.send(w.reports(210, "apple"))
	w.send(w.reports(3, "medlar"))
	w.b.halt()
	w.closeEpoch()
	if err := w.tick(w.a); err == nil {
		t.Error("handing over to nobody went well")
	}
	_, _, body := get(t, "http://"+w.a.server.Addr("ops")+"/api/v1/tasks/"+w.id.String()+"/batches", w.a.token(ScopeRead))
	if !strings.Contains(string(body), `"state": "processed"`) {
		t.Errorf("the batch does not wait: %s", body)
	}
	w.a.halt() // the wait outlives a restart
	w.a.start()
	w.b.start()
	w.clock.Advance(10 * time.Minute)
	if err := w.tick(w.a, w.b); err != nil {
		t.Fatal(err)
	}
	checkReleased(t, w, 210)
}

// TestDamagedSegment: a record that the disk has damaged costs itself and nothing
// else.
func TestDamagedSegment(t *testing.T) {
	w := newWorld(t)
	w.b.start()
	w.a.start()
	w.send(w.reports(212, "apple"))
	w.send(w.reports(3, "medlar"))
	w.a.halt()
	segments, err := filepath.Glob(filepath.Join(w.a.config().Data, "shuffler", "batches", "*", "*", "*.*"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("no segment found: %v", err)
	}
	last := segments[len(segments)-1]
	content, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	content[200] ^= 1 // in the first record, which begins after 36 bytes
	must(t, os.WriteFile(last, content, 0o600))
	w.a.start()
	w.closeEpoch()
	if err := w.tick(w.a, w.b); err != nil {
		t.Fatal(err)
	}
	entries, err := w.b.server.Tables().Entries(t.Context())
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d batches, %v", len(entries), err)
	}
	if n := w.a.distinct(t); n != 214 {
		t.Errorf("%d reports were counted, want 214: all but the damaged one", n)
	}
}

// TestRefusesToStart: what is wrong with a set-up is one clear line.
func TestRefusesToStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, c := range map[string]struct {
		spoil func(t *testing.T, o *org, c *Config)
		want  string
	}{
		"identity missing": {func(t *testing.T, o *org, c *Config) { must(t, os.Remove(c.identityPath())) }, "is missing: write it with"},
		"identity open":    {func(t *testing.T, o *org, c *Config) { must(t, os.Chmod(c.identityPath(), 0o644)) }, "chmod 600"},
		"keys missing":     {func(t *testing.T, o *org, c *Config) { must(t, os.Remove(c.roleKeysPath(task.Shuffler))) }, "is missing"},
		"keys open":        {func(t *testing.T, o *org, c *Config) { must(t, os.Chmod(c.roleKeysPath(task.Shuffler), 0o640)) }, "chmod 600"},
		"keys damaged": {func(t *testing.T, o *org, c *Config) {
			must(t, os.WriteFile(c.roleKeysPath(task.Shuffler), []byte("x"), 0o600))
		}, "line 1"},
		"key folder open":     {func(t *testing.T, o *org, c *Config) { must(t, os.Chmod(c.Keys.Dir, 0o777)) }, "chmod 700"},
		"identity damaged":    {func(t *testing.T, o *org, c *Config) { must(t, os.WriteFile(c.identityPath(), []byte("x"), 0o600)) }, "reading identity key"},
		"port in use":         {func(t *testing.T, o *org, c *Config) { c.Ops.Listen = taken.Addr().String() }, "is in use by another program"},
		"bundle missing":      {func(t *testing.T, o *org, c *Config) { c.Tasks.Bundles = []string{"/none"} }, "shoal metrics build"},
		"bundle damaged":      {func(t *testing.T, o *org, c *Config) { must(t, os.Truncate(c.Tasks.Bundles[0], 40)) }, "tasks.bundle"},
		"unknown owner":       {func(t *testing.T, o *org, c *Config) { c.Tasks.Owners = nil }, "not among tasks.owners"},
		"below the floor":     {func(t *testing.T, o *org, c *Config) { c.Floors.MinThreshold = 50 }, "floors.min_threshold"},
		"epsilon too large":   {func(t *testing.T, o *org, c *Config) { c.Floors.MaxEpsilon = 0.5 }, "floors.max_epsilon"},
		"delta too small":     {func(t *testing.T, o *org, c *Config) { c.Floors.MaxDelta = 1e-14 }, "floors.max_delta is"},
		"too much in 30 days": {func(t *testing.T, o *org, c *Config) { c.Floors.MaxMonthEpsilon = 20 }, "in 30 days, floors.max_epsilon_month is 20"},
		"too much in a year":  {func(t *testing.T, o *org, c *Config) { c.Floors.MaxYearEpsilon = 20 }, "in 365 days, floors.max_epsilon_year is 20"},
		"another URL":         {func(t *testing.T, o *org, c *Config) { c.URL = "http://127.0.0.1:1" }, "but url is"},
		"another role":        {func(t *testing.T, o *org, c *Config) { c.Roles = []task.Role{task.Analyzer} }, ""},
		"plain off loopback":  {func(t *testing.T, o *org, c *Config) { c.Listen = "0.0.0.0:0" }, "without TLS"},
		"certificate":         {func(t *testing.T, o *org, c *Config) { c.TLS.CertFile, c.TLS.KeyFile = "/none", "/none" }, "tls.key_file"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			config := w.a.config()
			c.spoil(t, w.a, &config)
			s, err := New(t.Context(), config, Options{Clock: w.clock})
			if err == nil {
				s.Close()
				t.Fatal("started")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q, want %q in it", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q is more than one line", err)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestExpired: after a task has expired no report is taken, and a batch that
// waits is handed over all the same, also by a server that was restarted.
func TestExpired(t *testing.T) {
	w := newWorld(t)
	w.clock.Set(time.Unix(w.task.Expires, 0).Add(-time.Hour))
	w.b.start()
	w.a.start()
	reports := w.reports(213, "apple")
	w.send(reports[:210])
	w.send(w.reports(3, "medlar"))
	w.closeEpoch()
	if status := w.post(reports[210]); status != http.StatusConflict {
		t.Errorf("after the end: status %d, want 409", status)
	}
	w.b.halt()
	if err := w.tick(w.a); err == nil {
		t.Error("handing over to nobody went well")
	}
	w.a.halt()
	w.clock.Advance(24 * time.Hour)
	w.a.start()
	w.b.start()
	if err := w.tick(w.a, w.b); err != nil {
		t.Fatal(err)
	}
	checkReleased(t, w, 210)
	w.a.halt()
	w.clock.Advance(60 * 24 * time.Hour)
	w.a.start()
	w.b.halt()
	w.b.start()
	if a, b := len(w.a.server.Tasks()), len(w.b.server.Tasks()); a != 0 || b != 1 {
		t.Errorf("after 60 days the shuffler serves %d tasks, want 0, the analyzer %d, want 1: it keeps tables", a, b)
	}
}

// TestOneProcess: a second server on the same data is refused.
func TestOneProcess(t *testing.T) {
	w := newWorld(t)
	w.b.start()
	s, err := w.b.open()
	if err == nil {
		s.Close()
		t.Fatal("two servers on one data folder")
	}
	if !strings.Contains(err.Error(), "another shoal process") {
		t.Errorf("error %q", err)
	}
}

// TestInitKeeps: an organisation is not overwritten.
func TestInitKeeps(t *testing.T) {
	dir := t.TempDir()
	o := Organisation{Name: "One", Roles: []task.Role{task.Shuffler}, URL: "https://one.example"}
	file, _, err := Init(dir, o, noon, nil)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, "keys", identityFile))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Init(dir, o, noon, nil); err == nil || !strings.Contains(err.Error(), "exists and is not overwritten") {
		t.Errorf("a second time: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Init(dir, o, noon, nil); err == nil {
		t.Error("keys without a configuration were overwritten")
	}
	after, err := os.ReadFile(filepath.Join(dir, "keys", identityFile))
	if err != nil || string(before) != string(after) {
		t.Errorf("the identity key changed: %v", err)
	}
	for _, name := range []string{identityFile, "shuffler.keys"} {
		info, err := os.Stat(filepath.Join(dir, "keys", name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("init made data: %v", err)
	}
}
