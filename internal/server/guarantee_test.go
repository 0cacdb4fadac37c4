package server

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// misused seals the record of one fruit under the tag of another.
func (w *world) misused(fruit, under string) []byte {
	w.t.Helper()
	_, _, body := get(w.t, "http://"+w.a.address+"/tasks/"+w.id.String()+"/keys", "")
	list, err := task.ParseKeyConfigList(body)
	must(w.t, err)
	configs, err := list.Open(w.task, w.clock.Now())
	must(w.t, err)
	keys, err := esa.ChooseKeys(w.task, configs, w.clock.Now())
	must(w.t, err)
	enc, err := encoder.New(w.task, w.id)
	must(w.t, err)
	own, err := enc.Encode(map[string]any{"name": fruit, "ripe": true}, rand.Reader)
	must(w.t, err)
	other, err := enc.Encode(map[string]any{"name": under, "ripe": true}, rand.Reader)
	must(w.t, err)
	s, err := esa.NewSealer(w.task, w.id, keys)
	must(w.t, err)
	e := w.task.EpochAt(w.clock.Now())
	r, err := s.Seal(e, enc.Tag(other[0], e), own[0].Payload)
	must(w.t, err)
	return r
}

// TestForgedCrowdsAreNotReleased covers values that ride under a big crowd's tag:
// each was a released "crowd" of one record.
func TestForgedCrowdsAreNotReleased(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	w.send(w.reports(200, "apple"))
	for i := range 20 {
		w.send([][]byte{w.misused(fmt.Sprint("forged", i), "apple")})
	}
	w.closeEpoch()
	must(t, w.tick(w.a, w.b))
	for _, table := range []string{analyzer.CountsTable, analyzer.RecordsTable, analyzer.ValuesTable} {
		var out bytes.Buffer
		must(t, w.b.server.Tables().Export(t.Context(), &out, release.CSV, release.Query{Metric: "fruit", Table: table}))
		if strings.Contains(out.String(), "forged") || !strings.Contains(out.String(), "apple") {
			t.Errorf("%s:\n%.400s", table, &out)
		}
	}
	entries, err := w.b.server.Tables().Entries(t.Context())
	must(t, err)
	m := entries[0].Manifest.Analyzer
	if m.Crowds != 1 || m.Records == 0 || m.Records > 200 {
		t.Errorf("counts %+v, want one crowd", m)
	}
	_, _, body := get(t, "http://"+w.b.server.Addr("ops")+"/metrics", "")
	if n := counted(t, body, `shoal_rejects_total{cause="wrong_crowd",role="analyzer"}`); n == 0 || n > 20 {
		t.Errorf("the operator counts %d of wrong_crowd, want up to 20", n)
	}
}

// counted reads one figure of operation.
func counted(t *testing.T, metrics []byte, name string) (n int) {
	t.Helper()
	_, rest, found := strings.Cut(string(metrics), name+" ")
	if _, err := fmt.Sscan(rest, &n); !found || err != nil {
		t.Errorf("there is no figure %s", name)
	}
	return n
}

// TestTotalsAreNoised covers exact totals beside a noised table: no surface of the
// analyzer discloses them, and 99 reports against 100 decide nothing for certain.
func TestTotalsAreNoised(t *testing.T) {
	told := map[uint64]bool{}
	for range 6 {
		w := newWorld(t)
		w.a.start()
		w.b.start()
		w.send(w.reports(250, "apple"))
		w.send(w.reports(3, "medlar"))
		w.closeEpoch()
		must(t, w.tick(w.a, w.b))
		entries, err := w.b.server.Tables().Entries(t.Context())
		must(t, err)
		if len(entries) != 1 || entries[0].Manifest == nil {
			t.Fatalf("entries %+v", entries)
		}
		total, low, high, ok := entries[0].Manifest.Total()
		if !ok || total < 200 || total > 306 || low > total || high < total {
			t.Fatalf("told %d, from %d to %d", total, low, high)
		}
		told[total] = true
		text, err := json.Marshal(entries[0].Manifest)
		must(t, err)
		for _, word := range []string{"received", "invalid", "duplicate", "suppressed", "dropped"} {
			if strings.Contains(string(text), word) {
				t.Errorf("the manifest holds %s: %s", word, text)
			}
		}
		if n := w.a.distinct(t); n != 253 {
			t.Errorf("the operator counts %d reports, want 253", n)
		}
		w.a.halt()
		w.b.halt()
	}
	if len(told) < 2 {
		t.Errorf("six batches of 253 reports are told as %v", told)
	}
}

// TestMinimumIsNoised: at 100 reports and some the minimum of 100 is not reached
// for certain, and far below it never is.
func TestMinimumIsNoised(t *testing.T) {
	for n, want := range map[int]int{99: 0, 100: 0, 300: 1} {
		w := newWorld(t)
		w.a.start()
		w.b.start()
		w.send(w.reports(n, "apple"))
		w.closeEpoch()
		must(t, w.tick(w.a, w.b))
		entries, err := w.b.server.Tables().Entries(t.Context())
		must(t, err)
		if len(entries) != want {
			t.Errorf("%d reports: %d batches are released, want %d", n, len(entries), want)
		}
		w.a.halt()
		w.b.halt()
	}
}
