package leader_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// expiring returns a world whose reports expire after a day, and are kept longer.
func expiring(t *testing.T, expiryGrace time.Duration) *world {
	t.Helper()
	w := newWorld(t, dap.DAP18(), nil, nil)
	w.expiryGrace = expiryGrace
	w.restart(t)
	must(t, w.registry.Update(t.Context(), w.task.ID(), func(e *tasks.Entry) error {
		e.Expiry = 24 * time.Hour
		return nil
	}))
	return w
}

// A collection that waits for reports ends when all of its interval has expired,
// whether reports were counted or not.
func TestAllExpiresWhileWaiting(t *testing.T) {
	for _, expiryGrace := range []time.Duration{0, 48 * time.Hour} {
		for _, counted := range []bool{false, true} {
			w := expiring(t, expiryGrace)
			q := w.unit(t, 1)
			w.upload(t, w.report(t, 0, 0), w.report(t, 1, 0)) // one is missing
			at := w.collect(t, q)
			if counted {
				w.clock.Advance(precision + 10*time.Minute)
				w.tick(t)
			}
			if got := w.result(t, at, q); got != nil {
				t.Fatalf("result %v of two reports", got)
			}
			w.clock.Advance(26 * time.Hour)
			w.tickAlong(t, 3, time.Minute)
			abort := problemOf(t, w.do("GET", at, "", nil, w.token))
			if abort.Type != dap.ProblemBatchInvalid || !strings.Contains(abort.Detail, "whole interval have expired") {
				t.Errorf("kept %v longer, counted %v: %v", expiryGrace, counted, abort)
			}
			if lost := strings.Contains(abort.Detail, "2 accepted reports were not counted"); lost == counted {
				t.Errorf("kept %v longer, counted %v: %q", expiryGrace, counted, abort.Detail)
			}
			if n := w.seen.lost[leader.LostExpired]; (n == 2) == counted {
				t.Errorf("counted %v: %d reports lost", counted, n)
			}
			if again := problemOf(t, w.ask(t, dap.CollectionJobReq{Query: q}, dap.CollectionJobID{5})); again.Type != dap.ProblemBatchInvalid {
				t.Errorf("asked again: %v", again)
			}
		}
	}
}

// A collection whose counted reports expire while it waits for more is refused: the
// result would lack them.
func TestPartExpiresWhileWaiting(t *testing.T) {
	for _, expiryGrace := range []time.Duration{0, 48 * time.Hour} {
		w := expiring(t, expiryGrace)
		q := w.unit(t, 24)
		w.upload(t, w.report(t, 0, 0), w.report(t, 1, 0))
		w.clock.Advance(2 * precision)
		w.tick(t)
		if w.seen.aggregated != 2 {
			t.Fatalf("%d reports aggregated", w.seen.aggregated)
		}
		w.clock.Advance(21 * precision)
		at := w.collect(t, q)
		w.clock.Advance(2 * precision) // the two expire, before the interval can be collected
		w.tick(t)
		for i := range 5 {
			w.upload(t, w.report(t, i+2, 3))
		}
		w.tickAlong(t, 4, time.Minute)
		rec := w.do("GET", at, "", nil, w.token)
		if expiryGrace > 0 && rec.Code == 200 { // they are here: nothing is missing
			if got := w.open(t, rec.Body.Bytes(), q); !slices.Equal(got, ones(7)) {
				t.Errorf("result %v", got)
			}
			continue
		}
		if abort := problemOf(t, rec); abort.Type != dap.ProblemBatchInvalid || !strings.Contains(abort.Detail, "of a part of the interval") {
			t.Errorf("kept %v longer: %v", expiryGrace, abort)
		}
		start, _ := q.Interval()
		rest := dap.IntervalQuery(dap.Interval{Start: start.Start + 20, Duration: 4})
		later := w.collect(t, rest)
		w.tickAlong(t, 4, time.Minute)
		if got := w.result(t, later, rest); got == nil {
			t.Errorf("kept %v longer: no result of what is left", expiryGrace)
		}
	}
}

// A result that lacks accepted reports, because they expired in a log, is reported
// with their number: with the answer, as a metric, in the log and in the status.
func TestResultSaysWhatExpired(t *testing.T) {
	w := expiring(t, 48*time.Hour)
	q := w.unit(t, 24)
	w.upload(t, w.report(t, 0, 0), w.report(t, 1, 0))
	w.clock.Advance(25 * time.Hour) // the leader was away
	for i := range 3 {
		w.upload(t, w.report(t, i+2, 3))
	}
	at := w.collect(t, q)
	w.tickAlong(t, 4, time.Minute)
	rec := w.do("GET", at, "", nil, w.token)
	if rec.Code != 200 || rec.Body.Len() == 0 || rec.Header().Get(leader.LostHeader) != "2" {
		t.Fatalf("answer %d with %d bytes, %v", rec.Code, rec.Body.Len(), rec.Header())
	}
	if got := w.open(t, rec.Body.Bytes(), q); !slices.Equal(got, histogram(0, 0, 1, 1, 1)) {
		t.Errorf("result %v", got)
	}
	logged := 0
	for _, err := range w.seen.errs {
		if strings.Contains(err.Error(), "2 accepted reports") {
			logged++
		}
	}
	st, err := w.leader.Status(t.Context())
	must(t, err)
	if w.seen.lost[leader.LostExpired] != 2 || st.Lost[leader.LostExpired] != 2 || logged != 2 {
		t.Errorf("lost %v, status %v, logged %v", w.seen.lost, st.Lost, w.seen.errs)
	}
	w.restart(t)
	if rec := w.do("GET", at, "", nil, w.token); rec.Header().Get(leader.LostHeader) != "2" {
		t.Errorf("after a restart: %v", rec.Header())
	}
}
