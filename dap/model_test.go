package dap_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/dap"
)

// A run is a world under a random schedule: jobs over any reports, also over
// those that were aggregated before, answers that get lost and requests that are
// sent again, and collections of any interval.
type run struct {
	*world
	t       *rapid.T
	sent    []dap.Report // of measurement 0, 1, ...: each has a bucket of its own
	waiting []sentJob
	answers map[dap.AggregationJobID]*dap.AggregationJobResp
	key     dap.ResourceKey
	results [10]uint64
	counted uint64
}

type sentJob struct {
	job *dap.LeaderJob
	req *dap.AggregationJobInitReq
}

// upload sends a report, if the histogram has a bucket left.
func (r *run) upload(tb testing.TB) {
	if len(r.sent) == 10 {
		return
	}
	d := r.draft(tb, len(r.sent))
	d.md.Time = unit - dap.Time(rapid.IntRange(0, 2).Draw(r.t, "age"))
	r.sent = append(r.sent, r.seal(tb, d))
}

// begin starts a job over reports that the leader may commit.
func (r *run) begin(tb testing.TB) {
	var reports []dap.Report
	for _, s := range r.sent {
		c := dap.Candidate{ID: s.Metadata.ID, Time: s.Metadata.Time, Bucket: r.task.Bucket(s.Metadata.Time, dap.BatchID{})}
		if rapid.Bool().Draw(r.t, "in the job") && dap.Admit([]dap.Candidate{c}, r.leaderLedger)[0] == 0 {
			reports = append(reports, s)
		}
	}
	job, req, err := r.leader.LeaderInit(4, dap.BatchID{}, reports, r.now, r.leaderRing)
	if err != nil {
		tb.Fatal(err)
	}
	r.waiting = append(r.waiting, sentJob{job, req})
}

// deliver sends the request of a job, perhaps again; the answer may get lost.
func (r *run) deliver(tb testing.TB) {
	if len(r.waiting) == 0 {
		return
	}
	i := rapid.IntRange(0, len(r.waiting)-1).Draw(r.t, "job")
	j := r.waiting[i]
	id := r.key.AggregationJob(r.task.ID(), mustEncode(tb, dap.DAP18(), j.req))
	if r.answers[id] == nil {
		r.answers[id] = r.help(tb, j.req)
	}
	if rapid.Bool().Draw(r.t, "answer is lost") {
		return
	}
	r.waiting = append(r.waiting[:i:i], r.waiting[i+1:]...)
	result, err := r.leader.LeaderFinish(j.job, r.answers[id])
	if err != nil {
		tb.Fatal(err)
	}
	// Two jobs over the same reports are one request, with one answer: the
	// second one's commit finds them replayed.
	for k, e := range r.leaderLedger.commit(tb, &result.Outcome) {
		if e != 0 && e != dap.ReportReplayed {
			tb.Fatalf("the helper committed report %v, the leader cannot: %v", result.Candidates()[k].ID, e)
		}
	}
}

// query collects an interval once no job of the leader waits.
func (r *run) query(tb testing.TB) {
	for range 100 {
		r.deliver(tb)
	}
	if len(r.waiting) > 0 {
		return
	}
	i := dap.Interval{
		Start:    unit - dap.Time(rapid.IntRange(0, 2).Draw(r.t, "start")),
		Duration: dap.Duration(rapid.IntRange(1, 3).Draw(r.t, "units")),
	}
	got, err := r.collect(tb, dap.IntervalQuery(i), dap.IntervalSelector(i))
	if err != nil {
		abort := dap.AbortOf(err)
		if abort == nil || abort.Type != dap.ProblemInvalidBatchSize && abort.Type != dap.ProblemBatchOverlap {
			tb.Fatal(err)
		}
		return
	}
	for k, n := range got {
		r.results[k] += n
		r.counted += n
	}
}

// No report is lost on one side only or counts twice: leader and helper never
// disagree, and all results together hold each measurement at most once.
func TestSchedules(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := &run{world: newWorld(t, dap.DAP18(), dap.TimeIntervalMode), t: rt, answers: make(map[dap.AggregationJobID]*dap.AggregationJobResp)}
		steps := map[string]func(testing.TB){"upload": r.upload, "begin": r.begin, "deliver": r.deliver, "query": r.query}
		for range 25 {
			steps[rapid.SampledFrom([]string{"upload", "upload", "begin", "deliver", "deliver", "query"}).Draw(rt, "step")](t)
		}
		for k, n := range r.results {
			if n > 1 {
				rt.Fatalf("measurement %d counts %d times", k, n)
			}
		}
		if r.counted > uint64(len(r.sent)) || len(r.leaderLedger.seen) > len(r.sent) {
			rt.Fatalf("%d of %d reports are counted", r.counted, len(r.sent))
		}
	})
}
