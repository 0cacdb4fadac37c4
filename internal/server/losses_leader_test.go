package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/metric/task"
)

// TestLeaderLosses damages the logs of a leader: every loss is a log line, a gauge, a
// reason not to be ready and a finding of doctor, until it is acknowledged. A log that
// is gone as a whole stops the start.
func TestLeaderLosses(t *testing.T) {
	for _, c := range []struct {
		name, suffix string
		damage       func(*testing.T, string)
	}{
		{"cut off", ".seg", halve},
		{"flipped", ".seg", flip},
		{"a file gone", ".seg", remove},
		{"killed and cut off", ".open", halve},
		{"killed and one report cut off", ".open", shorten},
		{"killed and a file gone", ".open", remove},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newAggregateWorld(t)
			w.pair()
			w.b.start()
			w.a.start()
			w.answer(repeat("red", 40)...)
			if s := shown(w, w.a, "leader", "damaged"); s != (surface{}) {
				t.Fatalf("before the damage: %+v", s)
			}
			if c.suffix == ".open" {
				w.a.kill()
				w.clock.Advance(6 * time.Minute) // until its lease has lapsed
			} else {
				w.a.halt()
			}
			c.damage(t, w.a.files("data/leader/", c.suffix)[0])
			w.a.start()
			must(t, w.settle(3*time.Minute))
			want := surface{true, true, true, true}
			if s := shown(w, w.a, "leader", "damaged"); s != want {
				t.Errorf("after the damage: %+v\n%s", s, w.log.String())
			}
			w.a.halt()
			w.a.start()
			if s := shown(w, w.a, "leader", "damaged"); s != want {
				t.Errorf("after a restart: %+v", s)
			}
			_, err := Acknowledge(w.a.config(), w.clock.Now())
			must(t, err)
			must(t, w.settle(2*time.Minute))
			if s := shown(w, w.a, "leader", "damaged"); s != (surface{log: true}) {
				t.Errorf("after it was acknowledged: %+v", s)
			}
		})
	}
	t.Run("gone", func(t *testing.T) {
		w := newAggregateWorld(t)
		w.pair()
		w.b.start()
		w.a.start()
		w.answer("red")
		w.a.halt()
		must(t, os.RemoveAll(filepath.Dir(w.a.files("data/leader/", ".seg")[0])))
		if _, err := w.a.open(); err == nil || !strings.Contains(err.Error(), "restore the folder") {
			t.Errorf("a log of the store that is gone: %v", err)
		}
	})
}

// TestGivenUp: reports that could not be aggregated in their time are in the list of
// losses, once, over restarts.
func TestGivenUp(t *testing.T) {
	w := newAggregateWorld(t)
	w.a.start()
	enter := func(reports int64) {
		st := leader.Status{Lost: map[leader.LossCause]int64{leader.LostExpired: reports}}
		w.a.server.enterLosses(task.Leader, leaderHealth(w.clock.Now(), st, nil).Losses)
	}
	for _, all := range []int64{7, 7, 9} {
		enter(all)
	}
	w.a.server.logLoss(loss.Loss{Role: "leader", Cause: loss.GivenUp}) // the leader has its own lines
	if s := shown(w, w.a, "leader", "given_up"); s != (surface{true, true, true, true}) {
		t.Errorf("shown: %+v", s)
	}
	w.a.halt()
	w.a.start()
	enter(1)
	list, err := w.a.server.losses.State()
	must(t, err)
	if len(list.Open) != 1 || list.Open[0].Reports != 10 {
		t.Errorf("list %+v, want one entry with 10 reports", list.Open)
	}
}
