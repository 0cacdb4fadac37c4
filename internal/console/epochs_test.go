package console_test

import (
	"database/sql"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/console"
)

// TestStatesOfEpochs: the page of a crowd question says of each epoch what is known of it:
// released, too few as the shuffler has stated, not stated yet, missing when it states
// nothing for long, and damaged when a manifest cannot be read, which costs the page
// nothing else. On 0caf301 there was no row of epochs without results.
func TestStatesOfEpochs(t *testing.T) {
	d := newDeployment(t)
	h := handler(t, console.FromServer(d.of[1]))
	next := func(n int) {
		d.send(0, slices.Repeat([]string{"apple"}, n)...)
		e := d.task.EpochAt(d.clock.Now())
		d.clock.Forward(d.task.Closes(e))
		must(t, d.of[0].Tick(t.Context()))
		d.clock.Forward(d.task.Closes(e).Add(11 * time.Minute))
		must(t, d.of[0].Tick(t.Context()))
		must(t, d.of[1].Tick(t.Context()))
		d.clock.Forward(d.task.Start(e + 2))
	}
	check := func(when string, want map[string]int) {
		t.Helper()
		page := body(t, get(t, h, "/questions/"+d.id.String()))
		checkTree(t, page)
		for state, n := range want {
			if have := strings.Count(page, `<span class="badge">`+state+`</span>`); have != n {
				t.Errorf("%s: %d epochs are %q, want %d", when, have, state, n)
			}
		}
		if n := strings.Count(page, "Nothing was lost."); n != want["too few"] {
			t.Errorf("%s: %d epochs are said to have lost nothing", when, n)
		}
	}
	next(230)
	next(3)
	next(230) // beside these three, those of which no report came
	d.send(0, "apple")
	d.clock.Forward(d.task.Closes(d.task.EpochAt(d.clock.Now())))
	check("one has closed", map[string]int{"released": 0, "too few": 3, "waiting": 2, "missing": 0, "damaged": 0})
	d.clock.Forward(d.clock.Now().Add(8 * 24 * time.Hour))
	page := body(t, get(t, h, "/questions/"+d.id.String()))
	if n := strings.Count(page, `<span class="badge">missing</span>`); n < 2 || !strings.Contains(page, "its operator knows more") {
		t.Errorf("the shuffler states nothing for a week: %d epochs are missing", n)
	}
	db, err := sql.Open("sqlite", filepath.Join(d.of[1].Config().Data, "analyzer.db"))
	must(t, err)
	_, err = db.Exec(`UPDATE batches SET manifest = substr(manifest, 1, 200) WHERE epoch = (SELECT min(epoch) FROM batches)`)
	must(t, err)
	must(t, db.Close())
	page = body(t, get(t, h, "/questions/"+d.id.String()))
	if n := strings.Count(page, `<span class="badge">damaged</span>`); n != 1 || !strings.Contains(page, "apple") {
		t.Errorf("with a damaged manifest %d epochs are damaged, and the page has the others' results: %v", n, strings.Contains(page, "apple"))
	}
}
