// Package shoaltest helps an app to test what it records.
//
// [Open] gives a client that sends nothing and forgets everything, and a
// [Recorder] that knows what the app has recorded:
//
//	client, recorded := shoaltest.Open(t, shoal.Options{Bundle: bundle, Owner: owner, Metrics: metrics})
//	app.Run(client)
//	recorded.Assert("api_use", map[string]any{"program": "cat", "apis": []string{"files"}})
//	recorded.AssertNothing("crash")
//
// What the app passes to Count, Add, Observe and Vector is asserted in the same way
// (1 for Count), and [Recorder.Accumulated] returns what it has come to:
//
//	recorded.Assert("pages.printed", int64(3), int64(4))
//	if got := recorded.Accumulated("pages.printed"); got != "7" { ... }
//
// Records pass the schema, the caps and the expiry of the app's own bundle, as
// they do in production. What the recorder shows is what the app gave to
// Record, before it is coarsened and randomised.
package shoaltest

import (
	"context"
	"reflect"
	"sync"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/metric/task"
)

// TB is what this package needs of a *testing.T.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// A Recorder knows what was recorded. It is safe for concurrent use.
type Recorder struct {
	t      TB
	client *shoal.Client

	mu      sync.Mutex
	queued  map[string][]any // guarded by mu
	refused []Refusal        // guarded by mu
}

// A Refusal is a record that was not accepted.
type Refusal struct {
	Metric  string
	Value   any
	Outcome shoal.Outcome
}

// Open returns a client with the given options, but in mode Local, in memory
// and watched by the recorder. The client is closed when the test ends. Options
// that no client can be opened with end the test.
func Open(t TB, o shoal.Options) (*shoal.Client, *Recorder) {
	t.Helper()
	r := &Recorder{t: t, queued: map[string][]any{}}
	o.Mode, o.Dir, o.NoSender = shoal.Local, "", true
	observe := o.Observe
	o.Observe = func(metric string, v any, out shoal.Outcome) {
		r.observe(metric, v, out)
		if observe != nil {
			observe(metric, v, out)
		}
	}
	c, err := shoal.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	r.client = c
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("closing the client: %v", err)
		}
	})
	return c, r
}

func (r *Recorder) observe(metric string, v any, o shoal.Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o.Queued() {
		r.queued[metric] = append(r.queued[metric], v)
		return
	}
	r.refused = append(r.refused, Refusal{metric, v, o})
}

// Values returns what was recorded and accepted of a metric, in order.
func (r *Recorder) Values(metric string) []any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]any(nil), r.queued[metric]...)
}

// Accumulated returns what an aggregate metric has come to in the present epoch, in
// the words in which a person is shown it: "7", "100 to 999, one of 2 values". It
// is "" if nothing was recorded.
func (r *Recorder) Accumulated(metric string) string {
	r.t.Helper()
	entries, err := r.client.Pending()
	if err != nil {
		r.t.Errorf("reading what waits: %v", err)
	}
	last, text := task.Epoch(0), ""
	for _, e := range entries {
		if e.Metric == metric && e.Epoch >= last {
			last, text = e.Epoch, e.Recorded
		}
	}
	return text
}

// Refused returns the records that were not accepted, in order.
func (r *Recorder) Refused() []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Refusal(nil), r.refused...)
}

// Assert fails the test unless exactly the values of want were recorded of a
// metric and accepted, in this order, as reflect.DeepEqual compares them.
func (r *Recorder) Assert(metric string, want ...any) {
	r.t.Helper()
	got := r.Values(metric)
	if len(got) != len(want) {
		r.t.Errorf("metric %s: recorded %v, want %v; refused: %v", metric, got, want, r.refusals(metric))
		return
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			r.t.Errorf("metric %s, record %d: %v, want %v", metric, i+1, got[i], want[i])
		}
	}
}

// AssertNothing fails the test if anything was recorded of a metric, accepted
// or not.
func (r *Recorder) AssertNothing(metric string) {
	r.t.Helper()
	if got := r.Values(metric); len(got) > 0 {
		r.t.Errorf("metric %s: recorded %v, want nothing", metric, got)
	}
	if no := r.refusals(metric); len(no) > 0 {
		r.t.Errorf("metric %s: tried to record: %v", metric, no)
	}
}

// AssertNoneRefused fails the test if any record of any metric was refused.
func (r *Recorder) AssertNoneRefused() {
	r.t.Helper()
	for _, no := range r.Refused() {
		r.t.Errorf("metric %s: %v was refused: %v", no.Metric, no.Value, no.Outcome)
	}
}

func (r *Recorder) refusals(metric string) []string {
	var list []string
	for _, no := range r.Refused() {
		if no.Metric == metric {
			list = append(list, no.Outcome.String())
		}
	}
	return list
}
