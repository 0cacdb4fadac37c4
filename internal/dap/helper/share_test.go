package helper_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/dap/helper/storetest"
)

// What is wrong with a request for a share; none of it makes the batch collected.
func TestBadShareRequests(t *testing.T) {
	for _, v := range variants() {
		w := newWorld(t, v, dap.TimeIntervalMode)
		results := []*dap.LeaderResult{w.aggregate(1, dap.BatchID{}, w.report(1), w.report(2))}
		query, selector := hour(unit)
		good, mine := w.shareReq(query, selector, results...)
		bad := func(change func(r *dap.AggregateShareReq)) []byte {
			r := *good
			change(&r)
			return w.encode(&r)
		}
		body := w.encode(good)
		for i, tt := range []struct {
			what string
			body []byte
			want string
		}{
			{"nothing", []byte{}, "invalidMessage"},
			{"cut", body[:len(body)-1], "invalidMessage"},
			{"too long", append(bytes.Clone(body), 0), "invalidMessage"},
			{"another mode", bad(func(r *dap.AggregateShareReq) { r.Selector = dap.BatchIDSelector(dap.BatchID{1}) }), "invalidMessage"},
			{"another mode of the query", bad(func(r *dap.AggregateShareReq) { r.Job.Query = dap.NextBatchQuery() }), "invalidMessage"},
			{"a malformed selector", bad(func(r *dap.AggregateShareReq) { r.Selector.Config = []byte{1} }), "invalidMessage"},
			{"outside of the query", bad(func(r *dap.AggregateShareReq) { _, r.Selector = hour(unit - 1) }), "batchInvalid"},
			{"an empty query", bad(func(r *dap.AggregateShareReq) { r.Job.Query = dap.IntervalQuery(dap.Interval{Start: unit}) }), "batchInvalid"},
			{"a batch without end", bad(func(r *dap.AggregateShareReq) {
				r.Selector = dap.IntervalSelector(dap.Interval{Start: 1 << 63, Duration: 1 << 63})
			}), "batchInvalid"},
			{"a batch that no store can hold", bad(func(r *dap.AggregateShareReq) {
				i := dap.Interval{Start: 1 << 63, Duration: 1}
				r.Job.Query, r.Selector = dap.IntervalQuery(i), dap.IntervalSelector(i)
			}), "batchInvalid"},
			{"an aggregation parameter", bad(func(r *dap.AggregateShareReq) { r.Job.AggParam = []byte{1} }), "invalidAggregationParameter"},
			{"an extension", bad(func(r *dap.AggregateShareReq) { r.Job.Extensions = []dap.Extension{{Type: 7}} }), "unsupportedExtension"},
			{"extensions out of order", bad(func(r *dap.AggregateShareReq) { r.Job.Extensions = []dap.Extension{{Type: 7}, {Type: 7}} }), "invalidExtension"},
			{"another count", bad(func(r *dap.AggregateShareReq) { r.ReportCount++ }), "batchMismatch"},
			{"another checksum", bad(func(r *dap.AggregateShareReq) { r.Checksum[31] ^= 1 }), "batchMismatch"},
			{"a batch without reports", bad(func(r *dap.AggregateShareReq) {
				r.Job.Query, r.Selector = hour(unit - 1)
				r.ReportCount, r.Checksum = 0, dap.Checksum{}
			}), "invalidBatchSize"},
			{"an interval of many years", bad(func(r *dap.AggregateShareReq) {
				i := dap.Interval{Start: 0, Duration: 1 << 62}
				r.Job.Query, r.Selector, r.ReportCount = dap.IntervalQuery(i), dap.IntervalSelector(i), 9
			}), "batchMismatch"},
		} {
			wantProblem(t, fmt.Sprintf("%v: %s", v, tt.what), w.createShare(byte(i), tt.body), 400, tt.want)
		}
		method, path := v.CreateAggregateShare(w.task.ID(), dap.AggregateShareID{50})
		wantProblem(t, "another type", w.do(method, path, dap.TypeCollectionJobReq, body), 415, "unsupportedMediaType")
		wantProblem(t, "a huge body", w.do(method, path, dap.TypeAggregateShareReq, make([]byte, 1<<20)), 413, "tooLarge")

		got := w.unshard(w.createShare(51, body), good, mine)
		if got[1] != 1 || got[2] != 1 {
			t.Errorf("%v: result %v", v, got)
		}
		wantProblem(t, "a second collection", w.createShare(52, bad(func(r *dap.AggregateShareReq) { r.ReportCount++ })), 400, "batchOverlap")
		wantProblem(t, "a wider one", w.createShare(53, bad(func(r *dap.AggregateShareReq) {
			i := dap.Interval{Start: unit - 1, Duration: 2}
			r.Job.Query, r.Selector = dap.IntervalQuery(i), dap.IntervalSelector(i)
		})), 400, "batchOverlap")
		if len(w.errs) > 0 {
			t.Error(w.errs)
		}
	}
}

// A batch that is too small is refused, and can be collected once it has grown.
func TestSmallBatch(t *testing.T) {
	w := newWorld(t, dap.DAP19(), dap.LeaderSelectedMode)
	batch := dap.BatchID{3}
	one := w.aggregate(1, batch, w.report(1))
	query, selector := dap.NextBatchQuery(), dap.BatchIDSelector(batch)
	req, _ := w.shareReq(query, selector, one)
	wantProblem(t, "one report", w.createShare(1, w.encode(req)), 400, "invalidBatchSize")
	two := w.aggregate(2, batch, w.report(1))
	req, mine := w.shareReq(query, selector, one, two)
	if got := w.unshard(w.createShare(2, w.encode(req)), req, mine); got[1] != 2 {
		t.Errorf("result %v", got)
	}
	// Another batch of the task is not collected.
	wantFates(t, w.fatesOf(w.aggregateAgain(dap.BatchID{4})), 0)
	wantFates(t, w.fatesOf(w.aggregateAgain(batch)), dap.BatchCollected)
}

func (w *world) aggregateAgain(batch dap.BatchID) []byte {
	w.t.Helper()
	_, body := w.init(batch, w.report(1))
	return body
}

func (w *world) fatesOf(body []byte) []dap.ReportError {
	w.t.Helper()
	return w.fates(w.createJob(99, body))
}

// The helper's noise is in its share, drawn once: the same request gets the same
// bytes, also after a crash.
func TestNoise(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, withNoise)
	result := w.aggregate(1, dap.BatchID{}, w.report(1), w.report(2))
	query, selector := hour(unit)
	req, mine := w.shareReq(query, selector, result)
	first := w.createShare(1, w.encode(req))
	var share dap.AggregateShare
	w.must(w.task.Codec().Decode(&share, first.Body.Bytes()))
	opened, err := w.task.OpenAggregateShare(w.collector, dap.Helper, &req.Job, &share.Encrypted)
	w.must(err)
	got, err := w.hist.UnshardSigned([][]byte{mine.Share.Bytes(), opened})
	w.must(err)
	exact := true
	for i, n := range got {
		want := int64(0)
		if i == 1 || i == 2 {
			want = 1
		}
		exact = exact && n == want
	}
	if exact {
		t.Errorf("result %v has no noise", got)
	}
	w.restart()
	if again := w.createShare(1, w.encode(req)); !bytes.Equal(first.Body.Bytes(), again.Body.Bytes()) {
		t.Error("the noise is drawn twice")
	}
}

// The helper adds its noise to its share exactly once: the result differs from the
// truth by one drawing from its randomness.
func TestNoiseIsDrawnOnce(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, withNoise)
	result := w.aggregate(1, dap.BatchID{}, w.report(1), w.report(2))
	query, selector := hour(unit)
	req, mine := w.shareReq(query, selector, result)
	w.rand = rand.NewChaCha8([32]byte{42})
	w.restart()
	copied := *w.rand // what the helper will read
	drawn := w.task.Instance().NewAggregateShare()
	w.must(w.task.AddNoise(drawn, &copied))
	want, err := w.task.Instance().UnshardSigned([][]byte{drawn.Bytes(), w.task.Instance().NewAggregateShare().Bytes()})
	w.must(err)
	want[1]++
	want[2]++
	answer := w.createShare(1, w.encode(req))
	var share dap.AggregateShare
	w.must(w.task.Codec().Decode(&share, answer.Body.Bytes()))
	opened, err := w.task.OpenAggregateShare(w.collector, dap.Helper, &req.Job, &share.Encrypted)
	w.must(err)
	got, err := w.hist.UnshardSigned([][]byte{mine.Share.Bytes(), opened})
	w.must(err)
	if !slices.Equal(got, want) {
		t.Errorf("result %v, want the truth and one drawing of noise: %v", got, want)
	}
}

// The store refuses a share again and again: none leaves, for the next would have
// other noise, and the mean of many is the truth.
func TestShareIsStoredBeforeItLeaves(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode, withNoise)
	result := w.aggregate(1, dap.BatchID{}, w.report(1), w.report(2))
	query, selector := hour(unit)
	req, _ := w.shareReq(query, selector, result)
	m := w.store.(*storetest.Model)
	m.Flaky = true
	for range 20 {
		m.CrashAt(1, false)
		if answer := w.createShare(1, w.encode(req)); answer.Code/100 != 5 || strings.Contains(answer.Header().Get("Content-Type"), "share") {
			t.Fatalf("answer %d %s, of a share that is not stored", answer.Code, answer.Header())
		}
	}
	first := w.createShare(1, w.encode(req))
	if first.Code/100 != 2 {
		t.Fatalf("answer %d %s, want the share that the store takes now", first.Code, first.Body)
	}
	if again := w.createShare(1, w.encode(req)); !bytes.Equal(first.Body.Bytes(), again.Body.Bytes()) {
		t.Error("a second share")
	}
}

// The store takes the share and then fails, with the process alive: the leader
// gets the share at once, and no other one later.
func TestShareAfterUnknownOutcome(t *testing.T) {
	for _, v := range []*dap.Variant{dap.DAP18(), dap.Janus()} {
		w := newWorld(t, v, dap.TimeIntervalMode)
		result := w.aggregate(1, dap.BatchID{}, w.report(1), w.report(2))
		query, selector := hour(unit)
		req, mine := w.shareReq(query, selector, result)
		m := w.store.(*storetest.Model)
		m.Flaky = true
		m.CrashAt(1, true)
		first := w.createShare(1, w.encode(req))
		if first.Code/100 != 2 {
			t.Fatalf("%v: answer %d %s, want the share that the store has taken", v, first.Code, first.Body)
		}
		if again := w.createShare(1, w.encode(req)); !bytes.Equal(first.Body.Bytes(), again.Body.Bytes()) {
			t.Errorf("%v: a second share", v)
		}
		if got := w.unshard(first, req, mine); got[1] != 1 || got[2] != 1 {
			t.Errorf("%v: result %v", v, got)
		}
	}
}

// withNoise makes the task one with noise.
func withNoise(w *world, c *dap.TaskConfiguration, _ *helperConfig) {
	noise, err := dap.NoiseExtension(dp.Noise{Mechanism: dp.Laplace, Num: 1, Den: 10, Sensitivity: 2})
	w.must(err)
	c.Extensions = append(c.Extensions, noise)
}
