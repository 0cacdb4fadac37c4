package dap_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

// unit is the time of the reports of a world, and start its first second.
const unit dap.Time = 480_010

func start() time.Time { return time.Unix(int64(unit)*3600, 0) }

// A world is leader, helper and collector of a task of Histogram(10) with clients.
type world struct {
	task           *dap.Task
	hist           *vdaf.Prio3[int, []uint64]
	leader, helper *dap.Aggregator
	leaderRing     *dapkey.Ring
	helperRing     *dapkey.Ring
	leaderLedger   *ledger
	helperLedger   *ledger
	collector      *dapkey.PrivateKey
	rand           *rand.ChaCha8
	now            time.Time
	reports        byte
}

// A ledger is one aggregator's storage.
type ledger struct {
	totals    map[dap.Bucket]*dap.Total
	collected map[dap.Bucket]bool
	seen      map[dap.ReportID]bool
	watermark dap.Time
}

func newLedger() *ledger {
	return &ledger{make(map[dap.Bucket]*dap.Total), make(map[dap.Bucket]bool), make(map[dap.ReportID]bool), 0}
}

func (b *ledger) Collected(k dap.Bucket) bool { return b.collected[k] }
func (b *ledger) Seen(id dap.ReportID) bool   { return b.seen[id] }
func (b *ledger) Evicted(t dap.Time) bool     { return t < b.watermark }

// commit is what a store does in one transaction.
func (b *ledger) commit(t testing.TB, o *dap.Outcome) []dap.ReportError {
	t.Helper()
	verdicts := dap.Admit(o.Candidates(), b)
	totals, err := o.Totals(verdicts)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range o.Candidates() {
		if verdicts[i] == 0 {
			b.seen[c.ID] = true
		}
	}
	for k, total := range totals {
		if b.totals[k] == nil {
			b.totals[k] = total
		} else if err := b.totals[k].Merge(total); err != nil {
			t.Fatal(err)
		}
	}
	return verdicts
}

// batch is the total of a batch.
func (b *ledger) batch(t testing.TB, w *world, s dap.BatchSelector) *dap.Total {
	t.Helper()
	sum := w.task.NewTotal()
	for k, total := range b.totals {
		if w.task.Selects(s, k) {
			if err := sum.Merge(total); err != nil {
				t.Fatal(err)
			}
		}
	}
	return sum
}

func newWorld(t testing.TB, v *dap.Variant, mode dap.BatchMode) *world {
	t.Helper()
	hist, err := vdaf.Histogram(10, 3)
	if err != nil {
		t.Fatal(err)
	}
	config := configuration()
	config.BatchMode, config.MinBatchSize = mode, 2
	w := &world{
		task: newTask(t, v, config), hist: hist, leaderLedger: newLedger(), helperLedger: newLedger(),
		collector: newKey(t, 77, task.KEMX25519), rand: rand.NewChaCha8([32]byte{1}), now: start(),
	}
	seed, err := dap.DeriveVerifyKey(upTo(9, 32), w.task.ID())
	if err != nil {
		t.Fatal(err)
	}
	keys := map[dap.VerificationKeyID]*vdaf.VerifyKey{4: seed}
	w.leader = newAggregator(t, w.task, dap.Leader, keys)
	w.helper = newAggregator(t, w.task, dap.Helper, keys)
	w.leaderRing, w.helperRing = newRing(t, w), newRing(t, w)
	return w
}

func newAggregator(t testing.TB, tsk *dap.Task, role dap.Role, keys map[dap.VerificationKeyID]*vdaf.VerifyKey) *dap.Aggregator {
	t.Helper()
	a, err := dap.NewAggregator(tsk, role, keys, 5*time.Minute, 21)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newRing(t testing.TB, w *world) *dapkey.Ring {
	t.Helper()
	ring, err := dapkey.NewRing(dapkey.DefaultPlan())
	if err != nil {
		t.Fatal(err)
	}
	if ring, _, err = ring.Rotate(w.now, false, nil, w.rand); err != nil {
		t.Fatal(err)
	}
	return ring
}

// A draft is a report before it is sealed, for tests to spoil.
type draft struct {
	md             dap.ReportMetadata
	public         []byte
	leader, helper dap.PlaintextInputShare
	leaderKey      dap.HpkeConfig
	helperKey      dap.HpkeConfig
}

func (w *world) draft(t testing.TB, bucket int) draft {
	t.Helper()
	w.reports++
	d := draft{md: dap.ReportMetadata{ID: dap.ReportID{w.reports}, Time: unit}}
	shares, err := w.hist.Shard(w.rand, w.task.Context(), vdaf.Nonce(d.md.ID), bucket)
	if err != nil {
		t.Fatal(err)
	}
	d.public = shares.PublicShare
	d.leader.Payload, d.helper.Payload = shares.InputShares[0], shares.InputShares[1]
	d.leaderKey, d.helperKey = w.leaderRing.Configs(w.now)[0], w.helperRing.Configs(w.now)[0]
	return d
}

func (w *world) seal(t testing.TB, d draft) dap.Report {
	t.Helper()
	r := dap.Report{Metadata: d.md, PublicShare: d.public}
	var err error
	if r.LeaderShare, err = w.task.SealInputShare(d.leaderKey, dap.Leader, &d.md, d.public, &d.leader); err != nil {
		t.Fatal(err)
	}
	if r.HelperShare, err = w.task.SealInputShare(d.helperKey, dap.Helper, &d.md, d.public, &d.helper); err != nil {
		t.Fatal(err)
	}
	return r
}

func (w *world) report(t testing.TB, bucket int) dap.Report { return w.seal(t, w.draft(t, bucket)) }

// aggregate runs one job from end to end, over the wire and through the leader's
// storage, and returns what happened to each report.
func (w *world) aggregate(t testing.TB, batch dap.BatchID, reports ...dap.Report) map[dap.ReportID]string {
	t.Helper()
	job, req, err := w.leader.LeaderInit(4, batch, reports, w.now, w.leaderRing)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := job.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	fate := make(map[dap.ReportID]string)
	for _, r := range job.Rejected() {
		fate[r.ID] = "leader: " + r.Error.String()
	}
	resp := w.help(t, req)
	again, err := w.leader.ParseLeaderJob(stored)
	if err != nil {
		t.Fatal(err)
	}
	result, err := w.leader.LeaderFinish(again, resp)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range result.Rejected {
		fate[r.ID] = "helper: " + r.Error.String()
	}
	verdicts := w.leaderLedger.commit(t, &result.Outcome)
	for i, c := range result.Candidates() {
		fate[c.ID] = "committed"
		if verdicts[i] != 0 {
			fate[c.ID] = "leader, late: " + verdicts[i].String()
		}
	}
	return fate
}

// help is the helper's part.
func (w *world) help(t testing.TB, req *dap.AggregationJobInitReq) *dap.AggregationJobResp {
	t.Helper()
	c := w.task.Codec()
	var received dap.AggregationJobInitReq
	if err := c.Decode(&received, mustEncode(t, c.Variant(), req)); err != nil {
		t.Fatal(err)
	}
	job, err := w.helper.HelperInit(&received, w.now, w.helperRing)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := job.Response(w.helperLedger.commit(t, &job.Outcome))
	if err != nil {
		t.Fatal(err)
	}
	back := new(dap.AggregationJobResp)
	if err := c.Decode(back, mustEncode(t, c.Variant(), resp)); err != nil {
		t.Fatal(err)
	}
	return back
}

// collect runs a collection job from end to end and returns the result.
func (w *world) collect(t testing.TB, query dap.Query, selector dap.BatchSelector) ([]uint64, error) {
	t.Helper()
	job := dap.CollectionJobReq{Query: query}
	if err := w.task.CheckCollection(&job); err != nil {
		return nil, err
	}
	mine := w.leaderLedger.batch(t, w, selector)
	if err := w.task.CheckBatch(mine, w.leaderLedger.overlaps(w, selector)); err != nil {
		return nil, err
	}
	req := dap.AggregateShareReq{Job: job, Selector: selector, ReportCount: mine.Count, Checksum: mine.Checksum}
	if err := w.task.CheckSelector(&req); err != nil {
		return nil, err
	}
	theirs := w.helperLedger.batch(t, w, selector)
	if err := w.task.CheckBatch(theirs, w.helperLedger.overlaps(w, selector)); err != nil {
		return nil, err
	}
	if err := req.CheckAgreement(theirs); err != nil {
		return nil, err
	}
	w.helperLedger.mark(w, selector)
	w.leaderLedger.mark(w, selector)
	resp := dap.CollectionJobResp{ReportCount: mine.Count, Interval: mine.Interval}
	var err error
	if resp.LeaderShare, err = w.task.SealAggregateShare(w.collector.Config(), dap.Leader, &job, mine.Share.Bytes()); err != nil {
		t.Fatal(err)
	}
	if resp.HelperShare, err = w.task.SealAggregateShare(w.collector.Config(), dap.Helper, &job, theirs.Share.Bytes()); err != nil {
		t.Fatal(err)
	}
	shares, err := w.task.OpenCollection(w.collector, w.collector, &job, &resp)
	if err != nil {
		return nil, err
	}
	return w.hist.Unshard(shares, resp.ReportCount)
}

func (b *ledger) overlaps(w *world, s dap.BatchSelector) bool {
	for k := range b.collected {
		if w.task.Selects(s, k) {
			return true
		}
	}
	return false
}

func (b *ledger) mark(w *world, s dap.BatchSelector) {
	if id, err := s.BatchID(); err == nil {
		b.collected[dap.Bucket{Batch: id}] = true
	}
	if i, err := s.Interval(); err == nil {
		for n := range uint64(i.Duration) {
			b.collected[dap.Bucket{Unit: i.Start + dap.Time(n)}] = true
		}
	}
}
