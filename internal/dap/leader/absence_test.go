package leader_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	leadertest "github.com/shoal-project/shoal/internal/dap/leader/storetest"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/internal/durable"
)

// A faulty wire fails before the helper sees a request.
type faultyWire struct {
	http.RoundTripper
	fail func(*http.Request) (*http.Response, error) // nil, nil: goes on
}

func (f *faultyWire) RoundTrip(r *http.Request) (*http.Response, error) {
	if resp, err := f.fail(r); resp != nil || err != nil {
		return resp, err
	}
	return f.RoundTripper.RoundTrip(r)
}

// absences are the ways in which a helper can be away.
func absences() map[string]func(*http.Request) (*http.Response, error) {
	answer := func(status int, abort *dap.Abort) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) {
			if abort != nil {
				return problem(status, abort), nil
			}
			return respond(status, "", []byte("<html>no")), nil
		}
	}
	unauthorized := func(*http.Request) (*http.Response, error) {
		resp := respond(403, "", []byte(`{"type":"urn:ietf:params:ppm:dap:error:unauthorizedRequest","status":403}`))
		resp.Header.Set("Content-Type", dap.ProblemMediaType)
		return resp, nil
	}
	return map[string]func(*http.Request) (*http.Response, error){
		"no connection":        func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") },
		"404":                  answer(404, nil),
		"404 unrecognizedTask": answer(404, &dap.Abort{Type: dap.ProblemUnrecognizedTask}),
		"400 of a proxy":       answer(400, nil),
		"401":                  answer(401, nil),
		"403":                  answer(403, nil),
		"unauthorizedRequest":  unauthorized,
		"409 of a proxy":       answer(409, nil),
		"410 of a proxy":       answer(410, nil),
		"429":                  answer(429, nil),
		"500 with a problem":   answer(500, &dap.Abort{Type: dap.ProblemInvalidMessage}),
		"503":                  answer(503, nil),
		"200 of a portal":      answer(200, nil),
	}
}

// A helper that is away for six days costs no report, however it is away. The
// status contains since when it is waited for, also after a restart.
func TestLongAbsence(t *testing.T) {
	for name, fail := range absences() {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, dap.DAP18(), nil, nil)
			at, q := w.uploadAndCollect(t, 8)
			since := w.clock.Now().Truncate(time.Second)
			helper := w.wire.RoundTripper
			w.wire.RoundTripper = &faultyWire{helper, fail}
			w.tickAlong(t, 6*24*2, 30*time.Minute)
			w.restart(t)
			st, err := w.leader.Status(t.Context())
			must(t, err)
			want := leader.Absence{Jobs: 2, Reports: 8, Since: since}
			if have := st.Tasks[0].Helper; have.Absence != want || have.URL != w.task.Config().Helper {
				t.Errorf("status %+v, want %+v", have, want)
			}
			w.tickAlong(t, 1, 10*time.Minute)
			if st, err = w.leader.Status(t.Context()); err != nil || st.Tasks[0].Helper.Err == nil {
				t.Errorf("the status has no reason: %+v, %v", st.Tasks[0].Helper, err)
			}
			w.wire.RoundTripper = helper
			w.tickAlong(t, 3, 10*time.Minute)
			if got := w.result(t, at, q); !slices.Equal(got, ones(8)) {
				t.Fatalf("result %v, jobs %v, lost %v", got, w.seen.jobs, w.seen.lost)
			}
			if st, err = w.leader.Status(t.Context()); err != nil || st.Tasks[0].Helper.Absence != (leader.Absence{}) || len(st.Lost) != 0 {
				t.Errorf("after it has come back: %+v, %v", st, err)
			}
			if len(w.helper.bodies) != 2 || w.seen.jobs[leader.JobAbandoned] != 0 || len(w.helper.deleted) != 0 {
				t.Errorf("%d requests, jobs %v, deleted %v", len(w.helper.bodies), w.seen.jobs, w.helper.deleted)
			}
		})
	}
}

// Reports that expire while the helper is away are counted as lost, and logged with
// what was waited for; those that have not expired wait on.
func TestExpiresWhileAway(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	must(t, w.registry.Update(t.Context(), w.task.ID(), func(e *tasks.Entry) error {
		e.Expiry = 48 * time.Hour
		return nil
	}))
	w.upload(t, w.report(t, 0, 0), w.report(t, 1, 0), w.report(t, 2, 0))
	helper := w.wire.RoundTripper
	w.wire.RoundTripper = &faultyWire{helper, absences()["no connection"]}
	w.clock.Advance(time.Minute)
	since := w.clock.Now().Truncate(time.Second)
	w.tickAlong(t, 24, time.Hour)
	q := w.unit(t, 1)
	for i := range 3 {
		w.upload(t, w.report(t, i, 0))
	}
	at := w.collect(t, q)
	w.tickAlong(t, 24, time.Hour)
	if len(w.seen.lost) != 0 {
		t.Fatalf("lost %v before the expiry", w.seen.lost)
	}
	log := w.tickAlong(t, 4, time.Hour)
	if w.seen.lost[leader.LostExpired] != 3 || len(w.seen.lost) != 1 {
		t.Errorf("lost %v", w.seen.lost)
	}
	line := "3 accepted reports are not counted: expired, the helper has not answered since " + since.Format(time.RFC3339)
	if !strings.Contains(log, line) {
		t.Errorf("the log lacks %q:\n%s", line, log)
	}
	w.wire.RoundTripper = helper
	w.tickAlong(t, 2, time.Hour)
	if got := w.result(t, at, q); !slices.Equal(got, ones(3)) {
		t.Errorf("result %v", got)
	}
}

// Where reports do not expire, the collection timeout bounds the wait.
func TestCollectionTimeoutWhileAway(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, func(c *leader.Config) { c.CollectionTimeout = 36 * time.Hour })
	w.uploadAndCollect(t, 4)
	w.wire.RoundTripper = &faultyWire{w.wire.RoundTripper, absences()["404"]}
	w.tickAlong(t, 36, time.Hour)
	if len(w.seen.lost) != 0 {
		t.Fatalf("lost %v before the timeout", w.seen.lost)
	}
	w.tickAlong(t, 3, time.Hour)
	if w.seen.lost[leader.LostExpired] != 4 || len(w.seen.lost) != 1 {
		t.Errorf("lost %v", w.seen.lost)
	}
}

// A refusal after an attempt whose answer was lost is not believed at once: the
// helper may have counted the reports, and then it must get the same request.
func TestRefusalAfterLostAnswer(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	w.helper.lose = 1
	at, q := w.uploadAndCollect(t, 4)
	w.tickAlong(t, 1, time.Minute)
	refusals := 1
	w.helper.refuse = func(*http.Request) *http.Response {
		if refusals--; refusals < 0 {
			return nil
		}
		return problem(400, &dap.Abort{Type: dap.ProblemInvalidMessage, Detail: "not today"})
	}
	w.tickAlong(t, 3, 10*time.Minute)
	if got := w.result(t, at, q); !slices.Equal(got, ones(4)) || len(w.helper.bodies) != 1 || len(w.helper.deleted) != 0 {
		t.Fatalf("result %v, jobs %v, %d requests, deleted %v", got, w.seen.jobs, len(w.helper.bodies), w.helper.deleted)
	}
}

// A job that is taken and later refused goes into another one with another request,
// for a helper keeps its answers.
func TestRefusedLater(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	h := w.useHelper(t, true)
	at, q := w.uploadAndCollect(t, 4)
	entry := func(change func(*tasks.Entry)) {
		must(t, w.theirs.Update(t.Context(), w.task.ID(), func(e *tasks.Entry) error { change(e); return nil }))
	}
	var right tasks.Entry
	entry(func(e *tasks.Entry) {
		right = *e.Clone()
		e.VerifyKeys[5], e.VerifyWith = e.VerifyKeys[4], 5
		delete(e.VerifyKeys, 4) // the helper does not know the key of the leader's jobs
	})
	w.tickAlong(t, 1, time.Second)
	must(t, h.Finish(t.Context()))
	w.clock.Advance(time.Minute)
	w.tickAlong(t, 1, time.Minute) // it is refused, and asked once more
	entry(func(e *tasks.Entry) { e.VerifyKeys, e.VerifyWith = right.VerifyKeys, 4 })
	for range 8 {
		w.tickAlong(t, 1, 5*time.Minute)
		must(t, h.Finish(t.Context()))
	}
	if got := w.result(t, at, q); !slices.Equal(got, ones(4)) || w.seen.jobs[leader.JobAbandoned] != 1 {
		t.Fatalf("result %v, jobs %v, lost %v", got, w.seen.jobs, w.seen.lost)
	}
}

// A poll that fails again and again does not lose a job: the request finds it.
func TestPollFails(t *testing.T) {
	for _, status := range []int{400, 500} {
		w := newWorld(t, dap.DAP18(), nil, nil)
		w.helper.async = true
		at, q := w.uploadAndCollect(t, 4)
		w.helper.refuse = func(r *http.Request) *http.Response {
			if r.Method == "GET" && strings.Contains(r.URL.Path, "aggregation_jobs") {
				return problem(status, &dap.Abort{Type: dap.ProblemInvalidMessage})
			}
			return nil
		}
		w.tickAlong(t, 12, 10*time.Minute)
		w.helper.refuse = nil
		w.tickAlong(t, 6, time.Minute) // the share's polls
		if got := w.result(t, at, q); !slices.Equal(got, ones(4)) || len(w.helper.bodies) != 1 || len(w.helper.deleted) != 0 {
			t.Errorf("%d: result %v, jobs %v, %d requests", status, got, w.seen.jobs, len(w.helper.bodies))
		}
	}
}

// stepCheck fails the test on a GET of a job without step.
type stepCheck struct {
	http.RoundTripper
	t     testing.TB
	polls int
}

func (c *stepCheck) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == "GET" && strings.Contains(r.URL.Path, "aggregation_jobs") {
		c.polls++
		if got := r.URL.Query()["step"]; !slices.Equal(got, []string{"0"}) {
			c.t.Errorf("poll with step %v", got)
		}
	}
	return c.RoundTripper.RoundTrip(r)
}

// storedLocation is a store whose jobs have a location without the step, as an
// earlier version stored it.
type storedLocation struct{ leader.Store }

func (s storedLocation) As(c leader.Claim) leader.Store { return storedLocation{s.Store.As(c)} }

func (s storedLocation) UpdateJob(ctx context.Context, j leader.Job, held time.Time) error {
	j.Location, _, _ = strings.Cut(j.Location, "?")
	return s.Store.UpdateJob(ctx, j, held)
}

// Every poll of a job has the parameter step, whatever location the helper and the
// store give.
func TestPollHasStep(t *testing.T) {
	for _, v := range variants() {
		for _, async := range []bool{false, true} {
			t.Run(fmt.Sprint(v, async), func(t *testing.T) {
				w := newWorld(t, v, nil, nil)
				h := w.useHelper(t, async)
				check := &stepCheck{RoundTripper: w.wire.RoundTripper, t: t}
				w.wire.RoundTripper = check
				w.store = &unsteady{Store: storedLocation{leadertest.NewModel()}, before: 1}
				w.restart(t)
				at, q := w.uploadAndCollect(t, 4)
				for range 8 {
					w.tickAlong(t, 1, time.Minute)
					must(t, h.Finish(t.Context()))
				}
				if got := w.result(t, at, q); !slices.Equal(got, ones(4)) || async && check.polls == 0 {
					t.Errorf("result %v, %d polls", got, check.polls)
				}
			})
		}
	}
}

// An unsteady store fails while the process is alive: at ends of jobs before and
// after they take effect, and at their updates.
type unsteady struct {
	leader.Store
	before, after, updates int       // so many of these calls fail
	root                   *unsteady // that counts them; nil: this one
}

// As returns the store of a claim, whose failures are counted together with these.
func (u *unsteady) As(c leader.Claim) leader.Store {
	return &unsteady{Store: u.Store.As(c), root: u.counters()}
}

func (u *unsteady) counters() *unsteady {
	if u.root != nil {
		return u.root
	}
	return u
}

var errServerClosed = errors.New("server closed the connection unexpectedly")

func (u *unsteady) EndJob(ctx context.Context, e leader.End, c *ledger.Change) error {
	n := u.counters()
	if n.before > 0 {
		n.before--
		return errServerClosed
	}
	err := u.Store.EndJob(ctx, e, c)
	if err == nil && n.after > 0 {
		n.after--
		return errServerClosed
	}
	return err
}

func (u *unsteady) UpdateJob(ctx context.Context, j leader.Job, held time.Time) error {
	n := u.counters()
	if n.updates > 0 {
		n.updates--
		return errServerClosed
	}
	return u.Store.UpdateJob(ctx, j, held)
}

// requests records the bodies that create jobs.
type requestLog struct {
	http.RoundTripper
	bodies map[string]int
}

func (l *requestLog) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && strings.Contains(r.URL.Path, "aggregation_jobs") && r.Method != "DELETE" {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		if len(b) > 0 {
			l.bodies[string(b)]++
		}
	}
	return l.RoundTripper.RoundTrip(r)
}

// A store that fails after the helper's answer, before or after it has done what it
// was asked for, costs no report, and the request stays as it is.
func TestStoreFailsAfterAnswer(t *testing.T) {
	for _, v := range variants() {
		for _, async := range []bool{false, true} {
			for before := range 3 {
				for after := range 2 {
					for updates := range 3 {
						t.Run(fmt.Sprint(v, async, before, after, updates), func(t *testing.T) {
							w := newWorld(t, v, nil, nil)
							h := w.useHelper(t, async)
							sent := &requestLog{w.wire.RoundTripper, map[string]int{}}
							w.wire.RoundTripper = sent
							store := &unsteady{Store: w.store}
							w.store = store
							w.restart(t)
							at, q := w.uploadAndCollect(t, 8)
							store.before, store.after, store.updates = before, after, updates
							for range 12 {
								w.tickAlong(t, 1, 5*time.Minute)
								must(t, h.Finish(t.Context()))
							}
							if got := w.result(t, at, q); !slices.Equal(got, ones(8)) || len(sent.bodies) != 2 || len(w.seen.lost) != 0 {
								t.Errorf("result %v, jobs %v, %d requests, lost %v", got, w.seen.jobs, len(sent.bodies), w.seen.lost)
							}
						})
					}
				}
			}
		}
	}
}

// A report that is given up is counted as lost also when the store has ended its
// job and then returned an error.
func TestLossIsCountedOnce(t *testing.T) {
	for _, store := range []*unsteady{{after: 2}, {before: 2}, {before: 1, after: 1}} {
		w := newWorld(t, dap.DAP18(), nil, nil)
		store.Store = w.store
		w.store = store
		w.restart(t)
		w.helper.refuse = func(*http.Request) *http.Response {
			return problem(400, &dap.Abort{Type: dap.ProblemInvalidMessage, Detail: "never"})
		}
		w.uploadAndCollect(t, 4)
		w.tickAlong(t, 12, 15*time.Minute)
		if w.seen.lost[leader.LostRefused] != 4 {
			t.Errorf("lost %v, jobs %v", w.seen.lost, w.seen.jobs)
		}
	}
}

// Two nodes get the same report, for its client did not hear the first answer. The
// store fails after the helper's answer to one of the jobs. Both jobs keep their
// requests, and every report counts once.
func TestRetriedUploadAtSecondNode(t *testing.T) {
	for failing := range 3 {
		for _, async := range []bool{false, true} {
			t.Run(fmt.Sprint(failing, async), func(t *testing.T) {
				w := newWorld(t, dap.DAP18(), nil, nil)
				h := w.useHelper(t, async)
				sent := &requestLog{w.wire.RoundTripper, map[string]int{}}
				w.wire.RoundTripper = sent
				nodes := []*leader.Leader{w.leader}
				store := &unsteady{Store: w.store}
				w.store, w.fs, w.tweak = store, durable.Mem(), func(c *leader.Config) { c.Node = "second" }
				must(t, w.start())
				second := w.leader
				w.fs, w.tweak = durable.Mem(), func(c *leader.Config) { c.Node = "third" }
				must(t, w.start())
				nodes = append(nodes, second, w.leader)
				q := w.unit(t, 1)
				x := w.report(t, 0, 0)
				for i, node := range nodes {
					w.leader = node
					k := 5*i + 1
					w.upload(t, x, w.report(t, k, 0), w.report(t, k+1, 0), w.report(t, k+2, 0))
					w.upload(t, w.report(t, k+3, 0), w.report(t, k+4, 0)) // for another job
				}
				at := w.collect(t, q)
				w.clock.Advance(precision + 10*time.Minute)
				for _, node := range nodes { // all make their jobs before one is done
					node.TakeIn(t.Context())
				}
				order := slices.Concat(nodes[failing:], nodes[:failing])
				for range 3 { // one has counted the report, here and at the helper, when the store fails
					order[0].Tick(t.Context())
					must(t, h.Finish(t.Context()))
					w.clock.Advance(5 * time.Second)
				}
				store.before = 1 // and the other job shows the node what the first has counted
				for round := range 40 {
					if round%2 == 1 {
						slices.Reverse(order)
					}
					for _, node := range order {
						node.Tick(t.Context())
						must(t, h.Finish(t.Context()))
					}
					w.clock.Advance(time.Minute)
				}
				if got := w.result(t, at, q); !slices.Equal(got, ones(16)) || len(sent.bodies) != 6 {
					t.Errorf("result %v, jobs %v, rejected %v, %d requests for 6 jobs", got, w.seen.jobs, w.seen.rejected, len(sent.bodies))
				}
				for _, node := range nodes {
					node.Close()
				}
			})
		}
	}
}
