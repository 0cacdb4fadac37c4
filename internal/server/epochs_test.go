package server

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// TestRowOfEachEpoch: an epoch with too few reports leaves a row for the analyst, in
// the API and in the table of batches, without a figure. On 0caf301 it left none.
func TestRowOfEachEpoch(t *testing.T) {
	w := newWorld(t)
	w.a.start()
	w.b.start()
	var want []string
	epochOf := func(state string) {
		want = append(want, fmt.Sprintf("%d %s", w.task.EpochAt(w.clock.Now()), state))
	}
	next := func() {
		w.closeEpoch()
		_ = w.tick(w.a, w.b)
		w.clock.Set(w.task.Start(w.task.EpochAt(w.clock.Now()) + 1).Add(time.Minute))
		_ = w.tick(w.a, w.b) // what has closed is stated
	}
	for _, n := range []int{300, 3, 300} { // each step takes two epochs; in the second nothing is sent
		epochOf(map[bool]string{true: "released", false: "too few"}[n == 300])
		w.send(w.reports(n, "apple"))
		next()
	}
	token, err := w.b.server.tokens.Create(rand.Reader, "t", []Scope{ScopeRead}, w.clock.Now().Add(24*time.Hour))
	must(t, err)
	readPart := func(query string) map[uint64]string {
		status, _, body := get(t, "http://"+w.b.server.Addr("ops")+"/api/v1/tasks/"+w.id.String()+"/batches"+query, token)
		if status != http.StatusOK {
			t.Fatalf("status %d: %s", status, body)
		}
		var list struct {
			Batches []struct {
				Epoch    uint64
				State    string
				Manifest json.RawMessage
			}
		}
		must(t, json.Unmarshal(body, &list))
		states := map[uint64]string{}
		for _, b := range list.Batches {
			if _, twice := states[b.Epoch]; twice {
				t.Errorf("epoch %d has two rows", b.Epoch)
			}
			states[b.Epoch] = b.State
			if b.State != "released" && b.Manifest != nil {
				t.Errorf("epoch %d, %s, has figures: %s", b.Epoch, b.State, b.Manifest)
			}
		}
		return states
	}
	read := func() map[uint64]string { return readPart("") }
	states := read()
	pages := map[uint64]string{}
	for before, n := uint64(1<<62), 0; n < 20; n++ { // the same in parts, the newest first
		part := readPart(fmt.Sprintf("?limit=2&before=%d", before))
		if len(part) > 2 {
			t.Errorf("a page of %d", len(part))
		}
		if len(part) == 0 {
			break
		}
		maps.Copy(pages, part)
		before = slices.Min(slices.Collect(maps.Keys(part)))
	}
	if !maps.Equal(pages, states) {
		t.Errorf("pages %v, want %v", pages, states)
	}
	for _, query := range []string{"?limit=0", "?limit=10001", "?limit=x", "?before=-1"} {
		if status, _, body := get(t, "http://"+w.b.server.Addr("ops")+"/api/v1/tasks/"+w.id.String()+"/batches"+query, token); status != http.StatusBadRequest {
			t.Errorf("%s: status %d: %s", query, status, body)
		}
	}
	for _, line := range want {
		var e uint64
		_, err := fmt.Sscan(line, &e)
		must(t, err)
		if got := fmt.Sprintf("%d %s", e, states[e]); got != line {
			t.Errorf("API: %s, want %s", got, line)
		}
	}
	all, err := w.b.server.Epochs().Released(t.Context())
	must(t, err)
	rows := map[task.Epoch]string{}
	for _, b := range all {
		rows[b.Epoch] = fmt.Sprint(b.Row[3])
		if b.Row[3] == "released" {
			continue
		}
		if b.Kept || b.Tables != nil {
			t.Errorf("epoch %d has tables", b.Epoch)
		}
		for i, v := range b.Row[6:] {
			if v != nil {
				t.Errorf("epoch %d, %v: column %s has the figure %v", b.Epoch, b.Row[3], b.Columns[6+i].Name, v)
			}
		}
	}
	for e, state := range states {
		if rows[task.Epoch(e)] != state {
			t.Errorf("epoch %d: %q in the table of batches, %q in the API", e, rows[task.Epoch(e)], state)
		}
	}
	must(t, w.b.server.Tick(t.Context()))
	w.send(w.reports(300, "apple"))
	lost := uint64(w.task.EpochAt(w.clock.Now()))
	w.closeEpoch()
	must(t, w.tick(w.a)) // received, and lost before it is released
	must(t, os.Remove(w.b.files("received/")[0]))
	if got := read()[lost]; got != "missing" {
		t.Errorf("a batch whose file is gone: %q", got)
	}
	w.b.halt()
	tables, done, err := OpenEpochs(t.Context(), w.b.config(), w.clock.Now())
	must(t, err)
	defer done()
	outside, err := tables.Released(t.Context())
	must(t, err)
	if len(outside) < len(all) || !strings.Contains(fmt.Sprint(outside[len(outside)-1].Row), "missing") {
		t.Errorf("without a server: %d rows, the last %v", len(outside), outside[len(outside)-1].Row)
	}
}

// TestRowOfEachAsk: an epoch of an aggregate question that is not released has a row in
// the table of batches, without a figure, in a server and beside it.
func TestRowOfEachAsk(t *testing.T) {
	w := newAggregateWorld(t)
	w.pair()
	w.b.start()
	w.a.start()
	states := func(c release.Catalogue, err error) map[string]int {
		t.Helper()
		must(t, err)
		all, err := release.OfMetric(t.Context(), c, "colour")
		must(t, err)
		found := map[string]int{}
		for _, b := range all {
			found[fmt.Sprint(b.Row[3])]++
			if b.Row[3] == "released" {
				continue
			}
			for i, v := range b.Row[4:] {
				if v != nil {
					t.Errorf("epoch %d, %v: column %s has the figure %v", b.Epoch, b.Row[3], b.Columns[4+i].Name, v)
				}
			}
		}
		return found
	}
	w.answer(repeat("red", 30)...)
	must(t, w.settle(100*time.Minute))
	w.clock.Forward(w.clock.Now().Truncate(time.Hour).Add(time.Hour))
	w.answer(repeat("red", 3)...)
	_ = w.settle(100 * time.Minute) // the leader has not enough
	got := states(w.a.server.Epochs(), nil)
	if got["released"] != 1 || got["not enough yet"] == 0 {
		t.Errorf("states %v, want one released and those of which there is not enough yet", got)
	}
	for range 8 {
		w.clock.Forward(w.clock.Now().Add(time.Hour))
	}
	if got = states(w.a.server.Epochs(), nil); got["released"] != 1 || got["too few"] == 0 {
		t.Errorf("states %v, want one released and those of which there are too few", got)
	}
	beside, done, err := OpenEpochs(t.Context(), w.a.config(), w.clock.Now())
	if have := states(beside, err); !maps.Equal(have, got) {
		t.Errorf("beside the server %v, in it %v", have, got)
	}
	must(t, done())
}
