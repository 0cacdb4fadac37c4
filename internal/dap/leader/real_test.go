package leader_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/helper"
	helpertest "github.com/shoal-project/shoal/internal/dap/helper/storetest"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
)

// useHelper puts the real helper at the end of the wire.
func (w *world) useHelper(t testing.TB, async bool) *helper.Helper {
	t.Helper()
	store := helpertest.NewModel()
	ledgers, err := ledger.New(store, ledger.Config{Keys: w.keys(t), Clock: w.clock, Rand: w.rand})
	must(t, err)
	h, err := helper.New(helper.Config{
		Store: store, Ledgers: ledgers, Registry: w.theirs, Clock: w.clock, Rand: w.rand, Async: async,
		Report: func(err error) { t.Errorf("the helper says: %v", err) },
	})
	must(t, err)
	w.wire.RoundTripper = inProcess{http.StripPrefix("/dap", h.Handler())}
	return h
}

// inProcess answers requests by a handler.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	p.handler.ServeHTTP(rec, in)
	return rec.Result(), nil
}

// Leader and helper of this project agree in all variants, both modes, with a
// helper that answers at once and one that answers later.
func TestWithHelper(t *testing.T) {
	for _, v := range variants() {
		for _, mode := range []dap.BatchMode{dap.TimeIntervalMode, dap.LeaderSelectedMode} {
			for _, async := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v/%v/%v", v, mode, async), func(t *testing.T) {
					w := newWorld(t, v, func(c *dap.TaskConfiguration) { c.BatchMode, c.MinBatchSize = mode, 10 }, nil)
					w.together(t, w.useHelper(t, async))
				})
			}
		}
	}
}

func (w *world) together(t *testing.T, h *helper.Helper) {
	t.Helper()
	q := w.unit(t, 1)
	if w.task.Config().BatchMode == dap.LeaderSelectedMode {
		q = dap.NextBatchQuery()
	}
	var sent []dap.Report
	for i := range 10 {
		sent = append(sent, w.report(t, i%4, 0))
		w.upload(t, sent[i])
	}
	w.upload(t, sent[3], sent[4]) // again
	at := w.collect(t, q)
	w.clock.Advance(precision + 10*time.Minute)
	var got []uint64
	for range 10 {
		w.tick(t)
		must(t, h.Finish(t.Context()))
		w.clock.Advance(5 * time.Second)
		if got = w.result(t, at, q); got != nil {
			break
		}
	}
	if !slices.Equal(got, histogram(3, 3, 2, 2)) {
		t.Fatalf("result %v", got)
	}
}

// Clients upload while the leader runs and the collector waits for the result,
// all over real connections.
func TestRunning(t *testing.T) {
	var routes struct {
		leader, helper http.Handler
	}
	ours := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { routes.leader.ServeHTTP(w, r) }))
	defer ours.Close()
	theirs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { routes.helper.ServeHTTP(w, r) }))
	defer theirs.Close()
	w := newWorld(t, dap.DAP18(), func(c *dap.TaskConfiguration) {
		c.Leader, c.Helper, c.MinBatchSize = ours.URL+"/", theirs.URL+"/dap/", 100
	}, func(c *leader.Config) {
		c.Workers, c.JobReports, c.LogReports, c.LogAge = 4, 7, 40, time.Second
	})
	h := w.useHelper(t, false)
	w.wire.RoundTripper = http.DefaultTransport
	routes.leader, routes.helper = w.leader.Handler(), http.StripPrefix("/dap", h.Handler())
	var reports []dap.Report
	for i := range 120 {
		reports = append(reports, w.report(t, i%10, 0))
	}
	q := w.unit(t, 1)

	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		w.leader.Run(ctx, func(err error) { t.Errorf("running: %v", err) })
	})
	defer running.Wait()
	defer stop()
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			for i := c; i < len(reports); i += 4 {
				w.upload(t, reports[i])
			}
		})
	}
	clients.Wait()
	at := w.collect(t, q)
	w.clock.Advance(precision + 10*time.Minute)
	var got []uint64
	for got == nil {
		// A virtual clock: the wait ends when the result is there, or when
		// something else moves the time, and nothing does.
		rec := w.do("GET", at, "", nil, w.token)
		if rec.Code/100 != 2 {
			t.Fatalf("answer %d: %s", rec.Code, rec.Body)
		}
		if rec.Body.Len() > 0 {
			got = w.open(t, rec.Body.Bytes(), q)
		}
		w.clock.Advance(time.Second)
		time.Sleep(time.Millisecond)
	}
	if !slices.Equal(got, histogram(12, 12, 12, 12, 12, 12, 12, 12, 12, 12)) {
		t.Fatalf("result %v", got)
	}
}
