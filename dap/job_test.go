package dap_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
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
	leaderRing     *dap.Keyring
	helperRing     *dap.Keyring
	leaderBook     *book
	helperBook     *book
	collector      *dap.PrivateKey
	rand           *rand.ChaCha8
	now            time.Time
	reports        byte
}

// A book is one aggregator's storage.
type book struct {
	totals    map[dap.Bucket]*dap.Total
	collected map[dap.Bucket]bool
	seen      map[dap.ReportID]bool
	watermark dap.Time
}

func newBook() *book {
	return &book{make(map[dap.Bucket]*dap.Total), make(map[dap.Bucket]bool), make(map[dap.ReportID]bool), 0}
}

func (b *book) Collected(k dap.Bucket) bool { return b.collected[k] }
func (b *book) Seen(id dap.ReportID) bool   { return b.seen[id] }
func (b *book) Evicted(t dap.Time) bool     { return t < b.watermark }

// commit is what a store does in one transaction.
func (b *book) commit(t testing.TB, o *dap.Outcome) []dap.ReportError {
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
func (b *book) batch(t testing.TB, w *world, s dap.BatchSelector) *dap.Total {
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
		task: newTask(t, v, config), hist: hist, leaderBook: newBook(), helperBook: newBook(),
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

func newRing(t testing.TB, w *world) *dap.Keyring {
	t.Helper()
	ring, err := dap.NewKeyring(dap.DefaultRotation())
	if err != nil {
		t.Fatal(err)
	}
	if ring, _, err = ring.Rotate(w.now, w.rand); err != nil {
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
	verdicts := w.leaderBook.commit(t, &result.Outcome)
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
	resp, err := job.Response(w.helperBook.commit(t, &job.Outcome))
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
	mine := w.leaderBook.batch(t, w, selector)
	if err := w.task.CheckBatch(mine, w.leaderBook.overlaps(w, selector)); err != nil {
		return nil, err
	}
	req := dap.AggregateShareReq{Job: job, Selector: selector, ReportCount: mine.Count, Checksum: mine.Checksum}
	if err := w.task.CheckSelector(&req); err != nil {
		return nil, err
	}
	theirs := w.helperBook.batch(t, w, selector)
	if err := w.task.CheckBatch(theirs, w.helperBook.overlaps(w, selector)); err != nil {
		return nil, err
	}
	if err := req.CheckAgreement(theirs); err != nil {
		return nil, err
	}
	w.helperBook.mark(w, selector)
	w.leaderBook.mark(w, selector)
	resp := dap.CollectionJobResp{ReportCount: mine.Count, Interval: mine.Interval}
	var err error
	if resp.LeaderShare, err = w.task.SealAggregateShare(w.collector.Config(), dap.Leader, &job, mine.Share.Bytes()); err != nil {
		t.Fatal(err)
	}
	if resp.HelperShare, err = w.task.SealAggregateShare(w.collector.Config(), dap.Helper, &job, theirs.Share.Bytes()); err != nil {
		t.Fatal(err)
	}
	shares, err := w.task.OpenCollection(w.collector, &job, &resp)
	if err != nil {
		return nil, err
	}
	return w.hist.Unshard(shares, resp.ReportCount)
}

func (b *book) overlaps(w *world, s dap.BatchSelector) bool {
	for k := range b.collected {
		if w.task.Selects(s, k) {
			return true
		}
	}
	return false
}

func (b *book) mark(w *world, s dap.BatchSelector) {
	if id, err := s.BatchID(); err == nil {
		b.collected[dap.Bucket{Batch: id}] = true
	}
	if i, err := s.Interval(); err == nil {
		for n := range uint64(i.Duration) {
			b.collected[dap.Bucket{Unit: i.Start + dap.Time(n)}] = true
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, v := range variants() {
		for _, mode := range []dap.BatchMode{dap.TimeIntervalMode, dap.LeaderSelectedMode} {
			t.Run(fmt.Sprintf("%v/%v", v, mode), func(t *testing.T) { testRoundTrip(t, v, mode) })
		}
	}
}

func testRoundTrip(t *testing.T, v *dap.Variant, mode dap.BatchMode) {
	w := newWorld(t, v, mode)
	batch := batchID(1)
	w.aggregate(t, batch, w.report(t, 3), w.report(t, 3))
	later := w.draft(t, 9)
	later.md.Time = unit - 2
	w.aggregate(t, batch, w.seal(t, later))

	query, selector := dap.NextBatchQuery(), dap.BatchIDSelector(batch)
	if mode == dap.TimeIntervalMode {
		query = dap.IntervalQuery(dap.Interval{Start: unit - 5, Duration: 6})
		selector = dap.IntervalSelector(dap.Interval{Start: unit - 2, Duration: 3})
	}
	got, err := w.collect(t, query, selector)
	if want := []uint64{0, 0, 0, 2, 0, 0, 0, 0, 0, 1}; err != nil || !slices.Equal(got, want) {
		t.Fatalf("result %v, %v, want %v", got, err, want)
	}
	if i := w.leaderBook.batch(t, w, selector).Interval; i != (dap.Interval{Start: unit - 2, Duration: 3}) {
		t.Errorf("reports are of %v", i)
	}
	if _, err := w.collect(t, query, selector); dap.AbortOf(err) == nil || dap.AbortOf(err).Type != dap.ProblemBatchOverlap {
		t.Errorf("collected twice: %v", err)
	}
	late := w.report(t, 1)
	if got := w.aggregate(t, batch, late)[late.Metadata.ID]; got != "helper: batch_collected" {
		t.Errorf("a report of a collected batch: %s", got)
	}
}

// Threat: a replay must not count twice, within a job, across jobs, or when the
// leader repeats it on purpose.
func TestReplay(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	r := w.report(t, 2)
	if got := w.aggregate(t, dap.BatchID{}, r)[r.Metadata.ID]; got != "committed" {
		t.Fatal(got)
	}
	if got := w.aggregate(t, dap.BatchID{}, r)[r.Metadata.ID]; got != "helper: report_replayed" {
		t.Errorf("the second time: %s", got)
	}
	if _, _, err := w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{r, r}, w.now, w.leaderRing); err == nil {
		t.Error("a leader's job has a report twice")
	}
	_, req, err := w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{w.report(t, 1)}, w.now, w.leaderRing)
	if err != nil {
		t.Fatal(err)
	}
	req.VerifyInits = append(req.VerifyInits, req.VerifyInits[0])
	if _, err := w.helper.HelperInit(req, w.now, w.helperRing); dap.AbortOf(err) == nil || dap.AbortOf(err).Type != dap.ProblemInvalidMessage {
		t.Errorf("a helper's job has a report twice: %v", err)
	}
	// Two jobs that were verified at the same time: the commit decides.
	fresh := w.report(t, 1)
	_, req, err = w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{fresh}, w.now, w.leaderRing)
	if err != nil {
		t.Fatal(err)
	}
	first, err1 := w.helper.HelperInit(req, w.now, w.helperRing)
	second, err2 := w.helper.HelperInit(req, w.now, w.helperRing)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if a, b := w.helperBook.commit(t, &first.Outcome), w.helperBook.commit(t, &second.Outcome); a[0] != 0 || b[0] != dap.ReportReplayed {
		t.Errorf("concurrent jobs: %v, %v", a, b)
	}
	if _, err := first.Response(nil); err == nil {
		t.Error("a response without verdicts")
	}
	if _, err := first.Totals(nil); err == nil {
		t.Error("totals without verdicts")
	}
}

func TestAdmit(t *testing.T) {
	b := newBook()
	b.collected[dap.Bucket{Unit: 3}] = true
	b.seen[dap.ReportID{2}] = true
	b.watermark = 2
	got := dap.Admit([]dap.Candidate{
		{ID: dap.ReportID{1}, Time: 5, Bucket: dap.Bucket{Unit: 5}},
		{ID: dap.ReportID{1}, Time: 6, Bucket: dap.Bucket{Unit: 6}},
		{ID: dap.ReportID{2}, Time: 5, Bucket: dap.Bucket{Unit: 5}},
		{ID: dap.ReportID{2}, Time: 3, Bucket: dap.Bucket{Unit: 3}},
		{ID: dap.ReportID{4}, Time: 1, Bucket: dap.Bucket{Unit: 1}},
		{ID: dap.ReportID{4}, Time: 2, Bucket: dap.Bucket{Unit: 2}},
	}, b)
	want := []dap.ReportError{0, dap.ReportReplayed, dap.ReportReplayed, dap.BatchCollected, dap.ReportDropped, 0}
	if !slices.Equal(got, want) {
		t.Errorf("verdicts %v, want %v", got, want)
	}
}

// Threat: a client that sends what it should not. Only its own report is
// refused, with the error that the draft names; the good one beside it counts.
func TestBadClients(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(w *world, d *draft)
		after func(r *dap.Report)
		want  map[string]string // by variant; "" is any other
	}{
		{"good", nil, nil, map[string]string{"": "committed"}},
		{"known extension", func(_ *world, d *draft) { d.md.PublicExtensions = []byte{0, 21, 0, 0} }, nil, map[string]string{"": "committed"}},
		{"future", func(_ *world, d *draft) { d.md.Time = unit + 1 }, nil, map[string]string{"": "leader: report_too_early"}},
		{"before the task", func(_ *world, d *draft) { d.md.Time = 479_999 }, nil, map[string]string{"": "leader: task_not_started", "dap-19": "leader: report_dropped"}},
		{"old helper key", func(_ *world, d *draft) { d.helperKey.ID = 99 }, nil, map[string]string{"": "helper: hpke_unknown_config_id", "dap-18": "helper: hpke_decrypt_error"}},
		{"wrong helper key", func(_ *world, d *draft) { d.helperKey.PublicKey = d.leaderKey.PublicKey }, nil, map[string]string{"": "helper: hpke_decrypt_error"}},
		{"wrong leader key", func(_ *world, d *draft) { d.leaderKey.PublicKey = d.helperKey.PublicKey }, nil, map[string]string{"": "leader: hpke_decrypt_error"}},
		{"swapped shares", nil, func(r *dap.Report) { r.LeaderShare, r.HelperShare = r.HelperShare, r.LeaderShare }, map[string]string{"": "leader: hpke_decrypt_error"}},
		{"time changed", nil, func(r *dap.Report) { r.Metadata.Time-- }, map[string]string{"": "leader: hpke_decrypt_error"}},
		{"unknown public extension", func(_ *world, d *draft) { d.md.PublicExtensions = []byte{0, 22, 0, 0} }, nil, map[string]string{"": "leader: invalid_message", "dap-19": "leader: unsupported_extension"}},
		{"unknown extension for the helper", func(_ *world, d *draft) { d.helper.PrivateExtensions = []byte{0, 22, 0, 0} }, nil, map[string]string{"": "helper: invalid_message", "dap-19": "helper: unsupported_extension"}},
		{"malformed public extensions", func(_ *world, d *draft) { d.md.PublicExtensions = []byte{0, 21, 9} }, nil, map[string]string{"": "leader: invalid_message"}},
		{"extension in both lists", func(_ *world, d *draft) {
			d.md.PublicExtensions, d.helper.PrivateExtensions = []byte{0, 21, 0, 0}, []byte{0, 21, 0, 0}
		}, nil, map[string]string{"": "helper: invalid_message"}},
		{"oversized share", func(_ *world, d *draft) { d.leader.Payload = make([]byte, 4000) }, nil, map[string]string{"": "leader: invalid_message"}},
		{"short share for the helper", func(_ *world, d *draft) { d.helper.Payload = d.helper.Payload[1:] }, nil, map[string]string{"": "helper: invalid_message"}},
		{"oversized public share", func(_ *world, d *draft) { d.public = make([]byte, 4000) }, nil, map[string]string{"": "leader: invalid_message"}},
		{"not in the field", func(_ *world, d *draft) {
			for i := range 16 {
				d.leader.Payload[i] = 0xff
			}
		}, nil, map[string]string{"": "leader: invalid_message"}},
		{"invalid measurement", func(_ *world, d *draft) { d.leader.Payload[0] ^= 1 }, nil, map[string]string{"": "helper: vdaf_verify_error"}},
		{"invalid share for the helper", func(_ *world, d *draft) { d.helper.Payload[0] ^= 1 }, nil, map[string]string{"": "helper: vdaf_verify_error"}},
	}
	for _, v := range variants() {
		for _, tt := range tests {
			t.Run(v.String()+"/"+tt.name, func(t *testing.T) {
				w := newWorld(t, v, dap.TimeIntervalMode)
				d := w.draft(t, 1)
				if tt.spoil != nil {
					tt.spoil(w, &d)
				}
				r, good := w.seal(t, d), w.report(t, 2)
				if tt.after != nil {
					tt.after(&r)
				}
				fate := w.aggregate(t, dap.BatchID{}, r, good)
				want, ok := tt.want[v.String()]
				if !ok {
					want = tt.want[""]
				}
				if fate[d.md.ID] != want || fate[good.Metadata.ID] != "committed" {
					t.Errorf("the report: %s, want %s; the one beside it: %s", fate[d.md.ID], want, fate[good.Metadata.ID])
				}
				a, b := w.leaderBook.batch(t, w, dap.IntervalSelector(unit.Bucket())), w.helperBook.batch(t, w, dap.IntervalSelector(unit.Bucket()))
				if a.Count != b.Count || a.Checksum != b.Checksum {
					t.Errorf("leader has %d reports, helper %d", a.Count, b.Count)
				}
			})
		}
	}
}

func TestUploadChecks(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(r *dap.Report)
		want  map[string]string
	}{
		{"good", func(*dap.Report) {}, map[string]string{"": "none"}},
		{"future", func(r *dap.Report) { r.Metadata.Time++ }, map[string]string{"": "report_too_early"}},
		{"before the task", func(r *dap.Report) { r.Metadata.Time = 1 }, map[string]string{"": "report_dropped", "janus": "task_not_started"}},
		{"old key", func(r *dap.Report) { r.LeaderShare.ConfigID = 99 }, map[string]string{"": "hpke_unknown_config_id", "dap-18": "outdated_config"}},
		{"public share", func(r *dap.Report) { r.PublicShare = r.PublicShare[1:] }, map[string]string{"": "invalid_message"}},
		{"extension", func(r *dap.Report) { r.Metadata.PublicExtensions = []byte{0, 22, 0, 0} }, map[string]string{"": "invalid_message", "dap-19": "unsupported_extension"}},
	}
	for _, v := range variants() {
		w := newWorld(t, v, dap.TimeIntervalMode)
		for _, tt := range tests {
			r := w.report(t, 1)
			tt.spoil(&r)
			want, ok := tt.want[v.String()]
			if !ok {
				want = tt.want[""]
			}
			if got := w.leader.CheckUpload(&r, w.now, w.leaderRing).String(); got != want {
				t.Errorf("%v, %s: %s, want %s", v, tt.name, got, want)
			}
		}
		// Within the leeway of five minutes.
		r := w.report(t, 1)
		r.Metadata.Time++
		if got := w.leader.CheckUpload(&r, w.now.Add(55*time.Minute), w.leaderRing); got != 0 {
			t.Errorf("%v: five minutes ahead: %v", v, got)
		}
	}
}

func TestJobChecks(t *testing.T) {
	id := batchID(1)
	named := dap.Extension{Type: dap.LeaderSelectedBatchID, Data: id[:]}
	selector := func(m dap.BatchMode, b []byte) dap.AggregationJobHeader {
		return dap.AggregationJobHeader{Selector: dap.PartialBatchSelector{Mode: m, Config: b}}
	}
	extensions := func(list ...dap.Extension) dap.AggregationJobHeader {
		return dap.AggregationJobHeader{Extensions: list}
	}
	tests := []struct {
		variant *dap.Variant
		mode    dap.BatchMode
		header  dap.AggregationJobHeader
		want    dap.ProblemType
	}{
		{dap.DAP18(), dap.TimeIntervalMode, extensions(), ""},
		{dap.DAP18(), dap.LeaderSelectedMode, extensions(named), ""},
		{dap.DAP18(), dap.TimeIntervalMode, extensions(named), dap.ProblemInvalidMessage},
		{dap.DAP18(), dap.LeaderSelectedMode, extensions(), dap.ProblemInvalidMessage},
		{dap.DAP18(), dap.LeaderSelectedMode, extensions(dap.Extension{Type: 1, Data: id[1:]}), dap.ProblemInvalidMessage},
		{dap.DAP18(), dap.LeaderSelectedMode, extensions(named, named), dap.ProblemInvalidMessage},
		{dap.DAP18(), dap.LeaderSelectedMode, extensions(named, dap.Extension{Type: 2}), dap.ProblemUnsupportedExtension},
		{dap.DAP18(), dap.TimeIntervalMode, extensions(dap.Extension{Type: 2}), dap.ProblemUnsupportedExtension},
		{dap.DAP18(), dap.TimeIntervalMode, dap.AggregationJobHeader{AggParam: []byte{1}}, dap.ProblemInvalidAggregationParameter},
		{dap.Janus(), dap.TimeIntervalMode, selector(dap.TimeIntervalMode, nil), ""},
		{dap.Janus(), dap.LeaderSelectedMode, selector(dap.LeaderSelectedMode, id[:]), ""},
		{dap.Janus(), dap.LeaderSelectedMode, selector(dap.TimeIntervalMode, nil), dap.ProblemInvalidMessage},
		{dap.Janus(), dap.LeaderSelectedMode, selector(dap.LeaderSelectedMode, nil), dap.ProblemInvalidMessage},
		{dap.Janus(), dap.TimeIntervalMode, selector(dap.TimeIntervalMode, id[:]), dap.ProblemInvalidMessage},
	}
	for i, tt := range tests {
		config := configuration()
		config.BatchMode = tt.mode
		tsk := newTask(t, tt.variant, config)
		batch, err := tsk.CheckJob(&tt.header)
		abort := dap.AbortOf(err)
		if tt.want == "" && err != nil || tt.want != "" && (abort == nil || abort.Type != tt.want) {
			t.Errorf("case %d: %v, want %s", i, err, tt.want)
		}
		if tt.want == "" {
			header := tsk.JobHeader(0, id)
			if got := mustEncode(t, tt.variant, &header); !equal(got, mustEncode(t, tt.variant, &tt.header)) {
				t.Errorf("case %d: the leader writes %x", i, got)
			}
			if want := (tt.mode == dap.LeaderSelectedMode); (batch == id) != want || (tsk.Bucket(7, batch) == dap.Bucket{Batch: id}) != want {
				t.Errorf("case %d: batch %v", i, batch)
			}
		}
	}
}

func TestUnknownVerificationKey(t *testing.T) {
	for _, v := range variants() {
		w := newWorld(t, v, dap.TimeIntervalMode)
		_, req, err := w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{w.report(t, 1), w.report(t, 2)}, w.now, w.leaderRing)
		if err != nil {
			t.Fatal(err)
		}
		req.VerificationKey = 5
		job, err := w.helper.HelperInit(req, w.now, w.helperRing)
		if v.String() != "dap-19" {
			if abort := dap.AbortOf(err); abort == nil || abort.Type != dap.ProblemInvalidMessage {
				t.Errorf("%v: %v", v, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		resp, err := job.Response(w.helperBook.commit(t, &job.Outcome))
		if err != nil || len(resp.VerifyResps) != 2 || resp.VerifyResps[1].Error != dap.UnknownVerificationKey {
			t.Errorf("%v, %v", resp, err)
		}
		if _, _, err := w.leader.LeaderInit(5, dap.BatchID{}, nil, w.now, w.leaderRing); err == nil {
			t.Error("a leader begins a job with an unknown key")
		}
	}
}

// Threat: a helper that answers something else must not make the leader commit
// anything.
func TestAbandon(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	reports := []dap.Report{w.report(t, 1), w.report(t, 2)}
	job, req, err := w.leader.LeaderInit(4, dap.BatchID{}, reports, w.now, w.leaderRing)
	if err != nil {
		t.Fatal(err)
	}
	good := w.help(t, req)
	for name, change := range map[string]func(*dap.AggregationJobResp){
		"fewer":       func(r *dap.AggregationJobResp) { r.VerifyResps = r.VerifyResps[:1] },
		"none":        func(r *dap.AggregationJobResp) { r.VerifyResps = nil },
		"more":        func(r *dap.AggregationJobResp) { r.VerifyResps = append(r.VerifyResps, r.VerifyResps[0]) },
		"other order": func(r *dap.AggregationJobResp) { slices.Reverse(r.VerifyResps) },
		"finish":      func(r *dap.AggregationJobResp) { r.VerifyResps[1].Type = dap.RespFinish },
	} {
		resp := dap.AggregationJobResp{VerifyResps: slices.Clone(good.VerifyResps)}
		change(&resp)
		if _, err := w.leader.LeaderFinish(job, &resp); !errors.Is(err, dap.ErrAbandon) {
			t.Errorf("%s: %v, want ErrAbandon", name, err)
		}
	}
	resp := dap.AggregationJobResp{VerifyResps: slices.Clone(good.VerifyResps)}
	resp.VerifyResps[0].Payload = flip(resp.VerifyResps[0].Payload)
	resp.VerifyResps[1] = dap.VerifyResp{ID: reports[1].Metadata.ID, Type: dap.RespReject, Error: dap.ReportTooEarly}
	result, err := w.leader.LeaderFinish(job, &resp)
	if err != nil || len(result.Candidates()) != 0 || len(result.Rejected) != 2 || result.Rejected[0].Error != dap.VerifyError || !result.Rejected[1].Error.Retryable() {
		t.Errorf("%v, %v", result, err)
	}
	if _, err := w.helper.LeaderFinish(job, good); err == nil {
		t.Error("the helper finishes the leader's job")
	}
	if _, err := w.leader.HelperInit(req, w.now, w.leaderRing); err == nil {
		t.Error("the leader is a helper")
	}
	if _, _, err := w.helper.LeaderInit(4, dap.BatchID{}, nil, w.now, w.helperRing); err == nil {
		t.Error("the helper is a leader")
	}
	other := newWorld(t, dap.DAP19(), dap.LeaderSelectedMode)
	if _, err := other.leader.LeaderFinish(job, good); err == nil {
		t.Error("another task's leader finishes the job")
	}
	if s := fmt.Sprintf("%v %+v %x", job, job, job); strings.Count(s, "redacted") != 3 {
		t.Errorf("the job prints as %s", s)
	}
}

func TestNoReports(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	if fate := w.aggregate(t, dap.BatchID{}); len(fate) != 0 {
		t.Errorf("%v", fate)
	}
}

func TestCollectionChecks(t *testing.T) {
	interval := func(start dap.Time, n dap.Duration) []byte {
		return dap.IntervalQuery(dap.Interval{Start: start, Duration: n}).Config
	}
	id := batchID(1)
	query := func(m dap.BatchMode, b []byte) dap.CollectionJobReq {
		return dap.CollectionJobReq{Query: dap.Query{Mode: m, Config: b}}
	}
	good := query(dap.TimeIntervalMode, interval(10, 4))
	withParam, withExtension := good, good
	withParam.AggParam = []byte{0}
	withExtension.Extensions = []dap.Extension{{Type: 1}}
	tests := []struct {
		mode     dap.BatchMode
		job      dap.CollectionJobReq
		selector dap.BatchSelector
		want     dap.ProblemType
	}{
		{dap.TimeIntervalMode, good, dap.BatchSelector{Mode: 1, Config: interval(10, 4)}, ""},
		{dap.TimeIntervalMode, good, dap.BatchSelector{Mode: 1, Config: interval(11, 1)}, ""},
		{dap.TimeIntervalMode, good, dap.BatchSelector{Mode: 1, Config: interval(9, 4)}, dap.ProblemBatchInvalid},
		{dap.TimeIntervalMode, good, dap.BatchSelector{Mode: 1, Config: interval(11, 4)}, dap.ProblemBatchInvalid},
		{dap.TimeIntervalMode, good, dap.BatchSelector{Mode: 1, Config: interval(10, 0)}, dap.ProblemBatchInvalid},
		{dap.TimeIntervalMode, good, dap.BatchSelector{Mode: 1, Config: interval(11, 1<<64-1)}, dap.ProblemBatchInvalid},
		{dap.TimeIntervalMode, good, dap.BatchSelector{Mode: 1, Config: interval(10, 4)[1:]}, dap.ProblemInvalidMessage},
		{dap.TimeIntervalMode, good, dap.BatchIDSelector(id), dap.ProblemInvalidMessage},
		{dap.TimeIntervalMode, query(dap.TimeIntervalMode, interval(10, 0)), dap.BatchSelector{Mode: 1, Config: interval(10, 4)}, dap.ProblemBatchInvalid},
		{dap.TimeIntervalMode, query(dap.TimeIntervalMode, nil), dap.BatchSelector{Mode: 1, Config: interval(10, 4)}, dap.ProblemInvalidMessage},
		{dap.TimeIntervalMode, query(dap.LeaderSelectedMode, nil), dap.BatchSelector{Mode: 1, Config: interval(10, 4)}, dap.ProblemInvalidMessage},
		{dap.TimeIntervalMode, withParam, dap.BatchSelector{Mode: 1, Config: interval(10, 4)}, dap.ProblemInvalidAggregationParameter},
		{dap.TimeIntervalMode, withExtension, dap.BatchSelector{Mode: 1, Config: interval(10, 4)}, dap.ProblemUnsupportedExtension},
		{dap.LeaderSelectedMode, query(dap.LeaderSelectedMode, nil), dap.BatchIDSelector(id), ""},
		{dap.LeaderSelectedMode, query(dap.LeaderSelectedMode, id[:]), dap.BatchIDSelector(id), dap.ProblemInvalidMessage},
		{dap.LeaderSelectedMode, query(dap.LeaderSelectedMode, nil), dap.BatchSelector{Mode: 2, Config: id[1:]}, dap.ProblemInvalidMessage},
	}
	for i, tt := range tests {
		config := configuration()
		config.BatchMode = tt.mode
		err := newTask(t, dap.DAP18(), config).CheckSelector(&dap.AggregateShareReq{Job: tt.job, Selector: tt.selector})
		abort := dap.AbortOf(err)
		if tt.want == "" && err != nil || tt.want != "" && (abort == nil || abort.Type != tt.want) {
			t.Errorf("case %d: %v, want %s", i, err, tt.want)
		}
	}
}

func TestBatchChecks(t *testing.T) {
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	query, selector := dap.IntervalQuery(unit.Bucket()), dap.IntervalSelector(unit.Bucket())
	problem := func(want dap.ProblemType) {
		t.Helper()
		_, err := w.collect(t, query, selector)
		if abort := dap.AbortOf(err); abort == nil || abort.Type != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	problem(dap.ProblemInvalidBatchSize)
	w.aggregate(t, dap.BatchID{}, w.report(t, 1))
	problem(dap.ProblemInvalidBatchSize)
	w.aggregate(t, dap.BatchID{}, w.report(t, 1), w.report(t, 1))
	// The helper has another report in place of one: same count.
	total := w.helperBook.totals[dap.Bucket{Unit: unit}]
	total.Checksum[0] ^= 1
	problem(dap.ProblemBatchMismatch)
	total.Checksum[0] ^= 1
	total.Count++
	problem(dap.ProblemBatchMismatch)
	total.Count--
	if got, err := w.collect(t, query, selector); err != nil || got[1] != 3 {
		t.Errorf("%v, %v", got, err)
	}
	// An answer with reports from outside of the query.
	job := dap.CollectionJobReq{Query: query}
	if _, err := w.task.OpenCollection(w.collector, &job, &dap.CollectionJobResp{Interval: (unit + 1).Bucket()}); !errors.Is(err, dap.ErrMalformed) {
		t.Errorf("%v, want ErrMalformed", err)
	}
}

// FuzzHelperInit: whatever a leader sends, the helper answers every report or
// fails the job, and commits only what it admitted.
func FuzzHelperInit(f *testing.F) {
	w := newWorld(f, dap.DAP18(), dap.TimeIntervalMode)
	_, req, err := w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{w.report(f, 1), w.report(f, 2)}, w.now, w.leaderRing)
	if err != nil {
		f.Fatal(err)
	}
	whole := mustEncode(f, dap.DAP18(), req)
	f.Add(uint16(0), byte(0), uint16(0))
	f.Add(uint16(7), byte(1), uint16(9))
	f.Add(uint16(len(whole)-1), byte(0x80), uint16(0))
	f.Fuzz(func(t *testing.T, at uint16, x byte, cut uint16) {
		b := slices.Clone(whole)
		b[int(at)%len(b)] ^= x
		b = b[:len(b)-int(cut)%len(b)]
		var got dap.AggregationJobInitReq
		if w.task.Codec().Decode(&got, b) != nil {
			return
		}
		job, err := w.helper.HelperInit(&got, w.now, w.helperRing)
		if err != nil {
			if dap.AbortOf(err) == nil {
				t.Fatalf("%v is no problem document", err)
			}
			return
		}
		resp, err := job.Response(newBook().commit(t, &job.Outcome))
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range resp.VerifyResps {
			if r.ID != got.VerifyInits[i].Share.Metadata.ID {
				t.Fatalf("answer %d is for another report", i)
			}
			if touched := !equal(mustEncode(t, dap.DAP18(), &got.VerifyInits[i].Share), mustEncode(t, dap.DAP18(), &req.VerifyInits[i].Share)); touched && r.Type != dap.RespReject {
				t.Fatalf("report %d was changed and is accepted", i)
			}
		}
		mustEncode(t, dap.DAP18(), resp)
	})
}

// FuzzLeaderJob: whatever stands in the storage or comes from a helper, the
// leader takes it, refuses it or abandons the job.
func FuzzLeaderJob(f *testing.F) {
	w := newWorld(f, dap.DAP18(), dap.TimeIntervalMode)
	job, req, err := w.leader.LeaderInit(4, dap.BatchID{}, []dap.Report{w.report(f, 1)}, w.now, w.leaderRing)
	if err != nil {
		f.Fatal(err)
	}
	stored, err := job.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	resp := mustEncode(f, dap.DAP18(), w.help(f, req))
	f.Add(stored, resp)
	f.Add(stored[:34], []byte{})
	f.Add(stored, resp[:16])
	f.Fuzz(func(t *testing.T, stored, b []byte) {
		job, err := w.leader.ParseLeaderJob(stored)
		if err != nil {
			return
		}
		if again, err := job.MarshalBinary(); err != nil || !equal(again, stored) {
			t.Fatalf("%x is a job, stored as %x (%v)", stored, again, err)
		}
		var got dap.AggregationJobResp
		if w.task.Codec().Decode(&got, b) != nil {
			return
		}
		result, err := w.leader.LeaderFinish(job, &got)
		if err != nil {
			if !errors.Is(err, dap.ErrAbandon) {
				t.Fatal(err)
			}
			return
		}
		if len(result.Candidates())+len(result.Rejected) != len(got.VerifyResps) {
			t.Fatal("a report is lost")
		}
	})
}
