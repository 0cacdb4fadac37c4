package ledger_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/vdaf"
)

// first is the time of the oldest reports of a world: the first hour of a day.
const first dap.Time = 480_000

// A world is a task with a helper, and reports that are ready for jobs. Report i
// has the measurement i, so that a sum shows which reports are in it.
type world struct {
	task    *dap.Task
	hist    *vdaf.Prio3[int, []uint64]
	leader  *dap.Aggregator
	helper  *dap.Aggregator
	ring    *dapkey.Ring
	clock   *clock.Virtual
	keys    *atrest.Keys
	rand    *rand.ChaCha8
	inits   []dap.VerifyInit
	batches []dap.BatchID // of report i, in the leader-selected mode
	alone   []*dap.Total  // of report i by itself
	bucket  []dap.Bucket
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// newWorld makes n reports, whose times are every 7 hours one after another.
func newWorld(t testing.TB, mode dap.BatchMode, n int) *world {
	t.Helper()
	hist := must(vdaf.Histogram(n, 4))(t)
	config := dap.TaskConfiguration{
		TaskInfo: []byte("ledger"), Leader: "https://leader.example/", Helper: "https://helper.example/",
		TimePrecision: 3600, MinBatchSize: 2, BatchMode: mode,
	}
	if err := config.SetVDAF(hist); err != nil {
		t.Fatal(err)
	}
	encoded := must(dap.NewCodec(dap.DAP18()).Encode(&config))(t)
	w := &world{
		task:  must(dap.NewTask(dap.DAP18(), dap.TaskprovID(encoded), encoded))(t),
		clock: clock.NewVirtual(time.Unix(int64(first)*3600, 0).AddDate(0, 0, 30)),
		keys:  must(atrest.New(atrest.Key{1}))(t),
		hist:  hist,
		rand:  rand.NewChaCha8([32]byte{5}),
	}
	verify := map[dap.VerificationKeyID]*vdaf.VerifyKey{0: {7}}
	w.leader = must(dap.NewAggregator(w.task, dap.Leader, verify, time.Minute))(t)
	w.helper = must(dap.NewAggregator(w.task, dap.Helper, verify, time.Minute))(t)
	key := dapkey.Hold(must(dapkey.Generate(1, hpke.X25519, w.rand))(t), w.clock.Now(), w.clock.Now().AddDate(1, 0, 0))
	w.ring = must(dapkey.NewRing(dapkey.DefaultPlan(), key))(t)
	for i := range n {
		w.add(t, i)
	}
	return w
}

func (w *world) add(t testing.TB, i int) {
	t.Helper()
	md := dap.ReportMetadata{Time: first + dap.Time(7*i)}
	w.rand.Read(md.ID[:])
	if i == 3 {
		md.ID = dap.ReportID{}
	}
	w.batches = append(w.batches, dap.BatchID{byte(i/3 + 1)})
	w.inits = append(w.inits, w.init(t, md, i))
	w.bucket = append(w.bucket, w.task.Bucket(md.Time, w.batches[i]))
	totals := must(w.job(t, i).Totals([]dap.ReportError{0}))(t)
	w.alone = append(w.alone, totals[w.bucket[i]])
}

// init makes a report and what the leader sends of it.
func (w *world) init(t testing.TB, md dap.ReportMetadata, measurement int) dap.VerifyInit {
	t.Helper()
	shares := must(w.hist.Shard(w.rand, w.task.Context(), vdaf.Nonce(md.ID), measurement))(t)
	r := dap.Report{Metadata: md, PublicShare: shares.PublicShare}
	to := w.ring.Keys()[0].Key.Config()
	r.LeaderShare = must(w.task.SealInputShare(to, dap.Leader, &md, r.PublicShare, &dap.PlaintextInputShare{Payload: shares.InputShares[0]}))(t)
	r.HelperShare = must(w.task.SealInputShare(to, dap.Helper, &md, r.PublicShare, &dap.PlaintextInputShare{Payload: shares.InputShares[1]}))(t)
	_, req, err := w.leader.LeaderInit(0, dap.BatchID{}, []dap.Report{r}, w.clock.Now(), w.ring)
	if err != nil || len(req.VerifyInits) != 1 {
		t.Fatalf("report %v: %v", md.ID, err)
	}
	return req.VerifyInits[0]
}

// job returns the outcome of a job over some reports, in the leader-selected mode
// those of the first one's batch.
func (w *world) job(t testing.TB, reports ...int) *dap.Outcome {
	t.Helper()
	req := &dap.AggregationJobInitReq{AggregationJobHeader: w.task.JobHeader(0, w.batches[reports[0]])}
	for _, i := range reports {
		req.VerifyInits = append(req.VerifyInits, w.inits[i])
	}
	job := must(w.helper.HelperInit(req, w.clock.Now(), w.ring))(t)
	if len(job.Candidates()) != len(reports) {
		t.Fatalf("%d of %d reports are valid", len(job.Candidates()), len(reports))
	}
	return &job.Outcome
}

// forged returns the outcome of a job over valid reports of the first hour with
// other IDs: the time of report 0 and its measurement.
func (w *world) forged(t testing.TB, ids ...dap.ReportID) *dap.Outcome {
	t.Helper()
	req := &dap.AggregationJobInitReq{AggregationJobHeader: w.task.JobHeader(0, dap.BatchID{})}
	for _, id := range ids {
		req.VerifyInits = append(req.VerifyInits, w.init(t, dap.ReportMetadata{ID: id, Time: first}, 0))
	}
	return &must(w.helper.HelperInit(req, w.clock.Now(), w.ring))(t).Outcome
}

// ledgers opens the ledgers of one process over a store.
func (w *world) ledgers(t testing.TB, s ledger.Store, change ...func(*ledger.Config)) *ledger.Ledgers {
	t.Helper()
	c := ledger.Config{Keys: w.keys, Clock: w.clock, Rand: w.rand}
	for _, f := range change {
		f(&c)
	}
	return must(ledger.New(s, c))(t)
}

func (w *world) open(t testing.TB, s ledger.Store, change ...func(*ledger.Config)) *ledger.Ledger {
	t.Helper()
	return must(w.ledgers(t, s, change...).Open(t.Context(), w.task, 0))(t)
}

// sum returns the total of some reports.
func (w *world) sum(t testing.TB, reports ...int) *dap.Total {
	t.Helper()
	total := w.task.NewTotal()
	for _, i := range reports {
		if err := total.Merge(w.alone[i]); err != nil {
			t.Fatal(err)
		}
	}
	return total
}

func equal(t testing.TB, what string, have, want *dap.Total) {
	t.Helper()
	if !sameTotal(t, have, want) {
		t.Fatalf("%s: a total of %d reports, want %d, or others", what, have.Count, want.Count)
	}
}

func sameTotal(t testing.TB, have, want *dap.Total) bool {
	t.Helper()
	return string(must(have.MarshalBinary())(t)) == string(must(want.MarshalBinary())(t))
}
