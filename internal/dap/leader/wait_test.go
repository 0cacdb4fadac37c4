package leader_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/durable"
)

// lose starts a second node, lets it take a report and do some of its work, and
// loses it.
func (w *world) loseNode(t *testing.T, work func(*leader.Leader)) {
	t.Helper()
	first, fs, tweak := w.leader, w.fs, w.tweak
	w.fs, w.tweak = durable.Mem(), func(c *leader.Config) { c.Node = "second" }
	must(t, w.start())
	w.upload(t, w.report(t, 9, 0))
	work(w.leader)
	w.leader, w.fs, w.tweak = first, fs, tweak // it is never closed
}

// A node that is lost with one report, in a log or in a job, holds a collection up
// until its timeout, and no longer than that. The status names the node. When the
// node was dropped, the same request is answered.
func TestLostNode(t *testing.T) {
	for name, work := range map[string]func(*testing.T, *world) func(*leader.Leader){
		"with a log": func(*testing.T, *world) func(*leader.Leader) { return func(*leader.Leader) {} },
		"with a job": func(t *testing.T, w *world) func(*leader.Leader) {
			return func(l *leader.Leader) {
				w.helper.refuse = func(*http.Request) *http.Response { return respond(503, "", nil) }
				w.clock.Advance(time.Minute)
				_ = l.Tick(t.Context())
				w.helper.refuse = nil
			}
		},
	} {
		for _, mode := range []func(*dap.TaskConfiguration){nil, leaderSelected} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, dap.DAP18(), mode, nil)
				q := w.unit(t, 1)
				if mode != nil {
					q = dap.NextBatchQuery()
				}
				w.loseNode(t, work(t, w))
				have := 5
				if mode != nil {
					have = int(w.task.Config().MinBatchSize) - 1
				}
				for i := range have {
					w.upload(t, w.report(t, i, 0))
				}
				at := w.collect(t, q)
				w.clock.Advance(2 * time.Hour)
				w.tick(t)
				due := w.clock.Now()
				st, err := w.leader.Status(t.Context())
				must(t, err)
				c := st.Tasks[0].Collections[0]
				if len(c.Nodes) != 1 || c.Nodes[0].Node != "second" || c.Since.IsZero() || c.Since.After(due) || c.Nodes[0].Until.IsZero() || c.Nodes[0].Until.After(due) {
					t.Fatalf("status %+v does not name the node", c)
				}
				w.clock.Advance(6 * 24 * time.Hour)
				w.tick(t)
				if got := w.result(t, at, q); got != nil {
					t.Fatalf("result %v without a report of the second node", got)
				}
				w.clock.Advance(24 * time.Hour)
				w.tick(t)
				abort := problemOf(t, w.do("GET", at, "", nil, w.token))
				if abort.Type != dap.ProblemInvalidBatchSize || !strings.Contains(abort.Detail, "1 servers of the leader") || strings.Contains(abort.Detail, "second") {
					t.Errorf("problem %+v", abort)
				}
				if len(w.seen.errs) != 1 || !strings.Contains(w.seen.errs[0].Error(), `"second"`) {
					t.Errorf("logged: %v", w.seen.errs)
				}
				d, err := w.store.DropNode(t.Context(), "second", w.clock.Now())
				must(t, err)
				if d.Logs != 1 || d.Open+int(d.Reports) != 1 {
					t.Errorf("given up: %+v", d)
				}
				if mode != nil {
					must(t, w.registry.Rotate(t.Context())) // a week has passed
					must(t, w.theirs.Rotate(t.Context()))
					w.upload(t, w.report(t, have, 0))
				}
				at = w.collect(t, q)
				w.clock.Advance(time.Hour)
				w.tick(t)
				if mode != nil {
					have++
				}
				if got := w.result(t, at, q); !slices.Equal(got, ones(have)) {
					t.Fatalf("result %v after the drop", got)
				}
			})
		}
	}
}

// Collections of the leader-selected mode are served in the order in which they
// were asked for, in one second, over restarts, and by several nodes.
func TestSelectionInOrder(t *testing.T) {
	w := newWorld(t, dap.Janus(), leaderSelected, func(c *leader.Config) { c.Workers = 8 })
	w.useHelper(t, false)
	q := dap.NextBatchQuery()
	n := int(w.task.Config().MinBatchSize)
	var all []string
	ask := func(id byte) {
		rec := w.ask(t, dap.CollectionJobReq{Query: q}, dap.CollectionJobID{id})
		if rec.Code != 201 {
			t.Fatalf("collection answered %d", rec.Code)
		}
		all = append(all, w.at(rec))
	}
	for _, id := range []byte{9, 3, 7, 1, 8, 2} {
		ask(id)
	}
	w.restart(t)
	for served := range all {
		for i := range n {
			w.upload(t, w.report(t, i, 0))
		}
		w.clock.Advance(time.Minute)
		w.tick(t)
		for i, at := range all {
			if got := w.result(t, at, q); (got != nil) != (i <= served) {
				t.Fatalf("after batch %d, collection %d has the result %v", served+1, i+1, got)
			}
		}
	}
}
