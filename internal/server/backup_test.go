package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/store/postgres/postgrestest"
)

func quiet(string, int, int) {}

// name puts the world's question into an organisation's own configuration, which is
// all that a backup knows.
func (o *org) name() {
	o.w.t.Helper()
	b, err := os.ReadFile(o.file)
	if err != nil {
		o.w.t.Fatal(err)
	}
	b = bytes.Replace(b, []byte("bundles: []"), []byte("bundles:\n    - tasks.bundle"), 1)
	if err := os.WriteFile(o.file, b, 0o600); err != nil {
		o.w.t.Fatal(err)
	}
}

// backup backs the running organisation up and returns the backup's folder.
func (o *org) backup() string {
	o.w.t.Helper()
	c, err := Load(o.file)
	if err != nil {
		o.w.t.Fatal(err)
	}
	dir := filepath.Join(o.w.t.TempDir(), "backup")
	if _, err := Backup(o.w.t.Context(), c, o.file, dir, o.w.clock.Now(), quiet); err != nil {
		o.w.t.Fatal(err)
	}
	return dir
}

// restore loses the organisation's machine, puts a backup in its place and starts.
func (o *org) restore(backup string) []string {
	o.w.t.Helper()
	o.halt()
	if err := os.RemoveAll(o.dir); err != nil {
		o.w.t.Fatal(err)
	}
	_, remarks, err := Restore(o.w.t.Context(), backup, o.dir, o.w.clock.Now(), quiet)
	if err != nil {
		o.w.t.Fatal(err)
	}
	o.start()
	return remarks
}

// A recorder keeps the uploads that pass it.
type recorder struct{ sent []*http.Request }

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(b))
		again := req.Clone(context.WithoutCancel(req.Context()))
		again.Body, again.GetBody = io.NopCloser(bytes.NewReader(b)), nil
		r.sent = append(r.sent, again)
	}
	return http.DefaultTransport.RoundTrip(req)
}

// TestRestoreAggregators loses leader and collector, or the helper, or both, after
// more has counted and been released than the backup knows. Nothing counts twice,
// also if every upload is repeated, and the next epoch's result is right.
func TestRestoreAggregators(t *testing.T) {
	for name, lost := range map[string]func(w *world) []*org{
		"leader and collector": func(w *world) []*org { return []*org{w.a} },
		"helper":               func(w *world) []*org { return []*org{w.b} },
		"both":                 func(w *world) []*org { return []*org{w.a, w.b} },
	} {
		t.Run(name, func(t *testing.T) { newAggregateWorld(t).restoreAggregators(lost) })
	}
}

// TestRestoreOverPostgres is the same with a new, empty database.
func TestRestoreOverPostgres(t *testing.T) {
	w := newAggregateWorld(t)
	places := map[*org][]string{w.a: {postgrestest.Schema(t), postgrestest.Schema(t)}, w.b: {postgrestest.Schema(t), postgrestest.Schema(t)}}
	for o, p := range places {
		if err := appendTo(o.file, fmt.Sprintf("\naggregates:\n  postgres: %q\n", p[0])); err != nil {
			t.Fatal(err)
		}
	}
	w.moved = func(o *org, backup string) { // the configuration names the new database
		name := filepath.Join(backup, configPart, backupConfigName)
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		rewriteBackup(t, backup, configPart+"/"+backupConfigName, bytes.Replace(b, fmt.Appendf(nil, "%q", places[o][0]), fmt.Appendf(nil, "%q", places[o][1]), 1))
	}
	w.restoreAggregators(func(w *world) []*org { return []*org{w.a, w.b} })
}

func appendTo(name, text string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

func (w *world) restoreAggregators(lost func(*world) []*org) {
	t := w.t
	t.Helper()
	w.pair()
	w.a.name()
	w.b.name()
	w.b.start()
	w.a.start()
	w.answer(append(repeat("red", 20), repeat("blue", 10)...)...)
	if err := w.settle(100 * time.Minute); err != nil {
		t.Fatal(err)
	}
	backups := map[*org]string{w.a: w.a.backup(), w.b: w.b.backup()}

	var uploads recorder
	before := w.clock.Now().Truncate(time.Hour)
	w.answerBy(&uploads, repeat("green", 40)...)
	if err := w.settle(100 * time.Minute); err != nil {
		t.Fatal(err)
	}
	epoch := before.UTC().Format(time.RFC3339)
	if got := w.results(); !strings.Contains(got, epoch+",green,40,40,") {
		t.Fatalf("before the loss: %s", got)
	}
	for _, o := range lost(w) {
		if w.moved != nil {
			w.moved(o, backups[o])
		}
		o.restore(backups[o])
	}
	for _, r := range uploads.sent {
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
	}
	_ = w.settle(100 * time.Minute) // what cannot be answered any more fails
	// A collector that has lost the result gets none again: it would have other noise.
	want := 1
	if slices.Contains(lost(w), w.a) {
		want = 0
	}
	if got := w.results(); strings.Count(got, epoch+",green,") != want || strings.Count(got, epoch+",green,40,40,") != want {
		t.Errorf("the epoch that was lost is there %d times, want %d:\n%s", strings.Count(got, epoch+",green,"), want, got)
	}
	w.clock.Forward(w.clock.Now().Truncate(time.Hour).Add(2 * time.Hour))
	next := w.clock.Now().UTC().Format(time.RFC3339)
	w.answer(append(repeat("blue", 25), repeat("red", 5)...)...)
	_ = w.settle(100 * time.Minute)
	got := w.results()
	for _, want := range []string{next + ",red,30,5,", next + ",green,30,0,", next + ",blue,30,25,", "2026-11-23T12:00:00Z,red,30,20,"} {
		if !strings.Contains(got, want) {
			t.Errorf("after the restore\n%s\nwant %s", got, want)
		}
	}
}

// TestRestoreCrowd loses the shuffler and the analyzer. What was released is still
// there, reports of an epoch that was closed are refused, and the next one is
// answered.
func TestRestoreCrowd(t *testing.T) {
	w := newWorld(t)
	w.a.name()
	w.b.name()
	w.a.start()
	w.b.start()
	old := w.reports(400, "apple")
	w.send(old)
	w.closeEpoch()
	for range 3 {
		if err := w.tick(w.a, w.b); err != nil {
			t.Fatal(err)
		}
	}
	released := w.counts()
	if !strings.Contains(released, "apple") {
		t.Fatalf("released %q", released)
	}
	shufflers, analyzers := w.a.backup(), w.b.backup()
	w.send(w.reports(20, "pear")) // acknowledged, and lost with the machine
	w.a.restore(shufflers)
	w.b.restore(analyzers)
	if got := w.counts(); got != released {
		t.Errorf("released after the restore %q, before it %q", got, released)
	}
	for _, r := range old[:5] {
		if status := w.post(r); status < 400 {
			t.Errorf("a report of a closed epoch: status %d", status)
		}
	}
	w.closeEpoch()
	w.clock.Advance(time.Hour)
	w.send(w.reports(400, "plum"))
	w.closeEpoch()
	for range 3 {
		if err := w.tick(w.a, w.b); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.counts(); !strings.Contains(got, "plum") || !strings.Contains(got, "apple") || strings.Contains(got, "pear") {
		t.Errorf("released after the restore and another epoch: %q", got)
	}
}

func (w *world) counts() string {
	w.t.Helper()
	var out bytes.Buffer
	err := release.Export(w.t.Context(), w.b.server.Released(), &out, release.CSV, release.Query{Metric: "fruit", Table: analyzer.CountsTable})
	if err != nil {
		return err.Error()
	}
	return out.String()
}

// TestDamagedBackup: a backup with one changed, missing or foreign byte restores
// nothing; nor does any backup over something that is there.
func TestDamagedBackup(t *testing.T) {
	w := newAggregateWorld(t)
	w.pair()
	w.a.name()
	w.a.start()
	backup := w.a.backup()
	info, err := ReadBackup(backup, quiet)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range info.Files {
		paths = append(paths, f.Path)
	}
	for _, want := range []string{
		"config/shoal.yaml", "keys/identity.key", "keys/collector.identity.key", "keys/pairing.key", "keys/pairings.json",
		"keys/leader.storage.keys", "bundles/0", "stores/leader.db", "stores/collector.db",
	} {
		if !slices.Contains(paths, want) {
			t.Errorf("the backup has no %s, only %v", want, paths)
		}
	}
	to := filepath.Join(t.TempDir(), "again")
	refused := func(what, want string) {
		t.Helper()
		_, _, err := Restore(t.Context(), backup, to, w.clock.Now(), quiet)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
		if _, err := os.Stat(to); err == nil {
			t.Errorf("%s: something was restored", what)
		}
	}
	for _, f := range append(paths, backupManifest, backupDigest) {
		name := filepath.Join(backup, filepath.FromSlash(f))
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(b)
		bad[len(bad)/2] ^= 1
		for _, change := range []func() error{
			func() error { return os.WriteFile(name, bad, 0o600) },
			func() error { return os.WriteFile(name, b[:len(b)-1], 0o600) },
		} {
			if f == backupDigest && len(b) == 65 { // its last byte is a line feed
				change = func() error { return os.WriteFile(name, bad, 0o600) }
			}
			if err := change(); err != nil {
				t.Fatal(err)
			}
			refused(f+" changed", "the backup is damaged")
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := Restore(t.Context(), backup, w.a.dir, w.clock.Now(), quiet); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("over an organisation: %v", err)
	}
	if _, err := Backup(t.Context(), w.a.config(), w.a.file, backup, w.clock.Now(), quiet); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("over a backup: %v", err)
	}
	if _, err := os.Stat(backup + ".partial"); err == nil {
		t.Error("half a backup was left")
	}
}

// rewriteBackup changes a file of a backup and its digests, as no operator does.
func rewriteBackup(t *testing.T, dir, path string, b []byte) {
	t.Helper()
	name := filepath.Join(dir, filepath.FromSlash(path))
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := readInfo(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range info.Files {
		if info.Files[i].Path == path {
			if info.Files[i].Bytes, info.Files[i].SHA256, err = digestOf(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := writeInfo(dir, info); err != nil {
		t.Fatal(err)
	}
}
