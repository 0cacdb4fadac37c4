package helper_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/helper"
	"github.com/shoal-project/shoal/internal/dap/helper/storetest"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	taskstest "github.com/shoal-project/shoal/internal/dap/tasks/storetest"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/vdaf"
)

// unit is the time of the reports of a world, and start its first second.
const unit dap.Time = 480_010

func start() time.Time { return time.Unix(int64(unit)*3600, 0) }

// A world is a helper over a store in memory, with a leader and clients beside it
// that do no I/O. Everything in it is the same in every run.
type world struct {
	t        testing.TB
	rand     *rand.ChaCha8
	clock    *clock.Virtual
	keys     *atrest.Keys
	keyText  string // of the first of keys
	store    helper.Store
	registry *tasks.Registry
	tasks    tasks.Store
	ledgers  *ledger.Ledgers
	helper   *helper.Helper
	handler  http.Handler
	config   helper.Config // of the helper

	task       *dap.Task
	hist       *vdaf.Prio3[int, []uint64]
	leader     *dap.Aggregator
	leaderRing *dapkey.Ring
	collector  *dapkey.PrivateKey
	token      auth.Token
	reports    uint32
	errs       []error // that the helper reported
	asked      []byte  // request for the share of this unit
}

type setting func(*world, *dap.TaskConfiguration, *helper.Config)

func newWorld(t testing.TB, v *dap.Variant, mode dap.BatchMode, settings ...setting) *world {
	t.Helper()
	w := &world{t: t, rand: rand.NewChaCha8([32]byte{1}), clock: clock.NewVirtual(start()), store: storetest.NewModel(), tasks: taskstest.NewModel()}
	key, err := atrest.GenerateKey(w.rand)
	w.must(err)
	w.keyText = key.Text()
	w.keys, err = atrest.New(key)
	w.must(err)
	w.hist, err = vdaf.Histogram(10, 3)
	w.must(err)
	c := dap.TaskConfiguration{
		TaskInfo: []byte("info"), Leader: "https://a.example/", Helper: "https://b.example/dap/",
		TimePrecision: 3600, MinBatchSize: 2, BatchMode: mode, VDAF: 4, VDAFConfig: []byte{0, 0, 0, 10, 0, 0, 0, 3},
		Extensions: []dap.Extension{dap.IntervalExtension(dap.Interval{Start: 480_000, Duration: 24})},
	}
	for _, s := range settings {
		s(w, &c, &w.config)
	}
	encoded, err := dap.NewCodec(v).Encode(&c)
	w.must(err)
	w.task, err = dap.NewTask(v, dap.TaskprovID(encoded), encoded)
	w.must(err)
	w.collector, err = dapkey.Generate(77, hpke.X25519, w.rand)
	w.must(err)
	w.token, err = auth.NewToken(w.rand)
	w.must(err)
	seed, err := dap.DeriveVerifyKey(bytes.Repeat([]byte{9}, 32), w.task.ID())
	w.must(err)
	w.leader, err = dap.NewAggregator(w.task, dap.Leader, map[dap.VerificationKeyID]*vdaf.VerifyKey{4: seed}, 5*time.Minute)
	w.must(err)
	w.leaderRing, err = dapkey.NewRing(dapkey.DefaultPlan())
	w.must(err)
	w.leaderRing, _, err = w.leaderRing.Rotate(w.clock.Now(), false, nil, w.rand)
	w.must(err)
	w.boot(w.store)
	w.must(w.registry.Add(t.Context(), tasks.Entry{
		ID: w.task.ID(), Variant: v.String(), Config: encoded, Role: dap.Helper,
		VerifyKeys: map[dap.VerificationKeyID]vdaf.VerifyKey{4: *seed}, VerifyWith: 4,
		Inbound: []auth.Hash{w.token.Hash()}, Collector: w.collector.Config(), Leeway: 5 * time.Minute,
	}))
	return w
}

// boot starts the helper over a store, as after a crash.
func (w *world) boot(s helper.Store) {
	w.t.Helper()
	var err error
	w.store = s
	w.registry, err = tasks.Open(w.t.Context(), w.tasks, tasks.Config{Role: dap.Helper, Keys: w.keys, Clock: w.clock, Rand: w.rand})
	w.must(err)
	ledgers, err := ledger.New(s, ledger.Config{Keys: w.keys, Clock: w.clock, Rand: w.rand})
	w.must(err)
	c := w.config
	c.Store, c.Registry, c.Ledgers, c.Clock, c.Rand = s, w.registry, ledgers, w.clock, w.rand
	c.Report = func(err error) { w.errs = append(w.errs, err) }
	w.ledgers = ledgers
	w.helper, err = helper.New(c)
	w.must(err)
	w.handler = w.helper.Handler()
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// A draft is a report before it is sealed, for tests to spoil.
type draft struct {
	md             dap.ReportMetadata
	public         []byte
	leader, helper dap.PlaintextInputShare
	task           *dap.Task
	helperKey      dap.HpkeConfig
}

func (w *world) draft(bucket int) draft {
	w.t.Helper()
	w.reports++
	d := draft{md: dap.ReportMetadata{ID: dap.ReportID{byte(w.reports), byte(w.reports >> 8), byte(w.reports >> 16)}, Time: unit}, task: w.task}
	shares, err := w.hist.Shard(w.rand, w.task.Context(), vdaf.Nonce(d.md.ID), bucket)
	w.must(err)
	d.public, d.leader.Payload, d.helper.Payload = shares.PublicShare, shares.InputShares[0], shares.InputShares[1]
	d.helperKey = w.registry.Keyring().Configs(w.clock.Now())[0]
	return d
}

func (w *world) seal(d draft) dap.Report {
	w.t.Helper()
	r := dap.Report{Metadata: d.md, PublicShare: d.public}
	var err error
	r.LeaderShare, err = w.task.SealInputShare(w.leaderRing.Configs(start())[0], dap.Leader, &d.md, d.public, &d.leader)
	w.must(err)
	r.HelperShare, err = d.task.SealInputShare(d.helperKey, dap.Helper, &d.md, d.public, &d.helper)
	w.must(err)
	return r
}

func (w *world) report(bucket int) dap.Report { return w.seal(w.draft(bucket)) }

// init is the leader's part of a job over reports.
func (w *world) init(batch dap.BatchID, reports ...dap.Report) (*dap.LeaderJob, []byte) {
	w.t.Helper()
	job, req, err := w.leader.LeaderInit(4, batch, reports, w.clock.Now(), w.leaderRing)
	w.must(err)
	body, err := w.task.Codec().Encode(req)
	w.must(err)
	return job, body
}

// do sends a request with the leader's token.
func (w *world) do(method, path string, t dap.MessageType, body []byte) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.as(w.token, method, path, t, body)
}

func (w *world) as(token auth.Token, method, path string, t dap.MessageType, body []byte) *httptest.ResponseRecorder {
	w.t.Helper()
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(body)
	}
	r := httptest.NewRequestWithContext(context.Background(), method, "/"+path, in)
	if t != "" {
		r.Header.Set("Content-Type", t.MediaType())
	}
	if !token.IsZero() {
		token.SetBearer(r.Header)
	}
	answer := httptest.NewRecorder()
	w.handler.ServeHTTP(answer, r)
	return answer
}

// createJob sends a request that creates a job. The ID counts only where the
// leader chooses it.
func (w *world) createJob(id byte, body []byte) *httptest.ResponseRecorder {
	w.t.Helper()
	method, path := w.task.Variant().CreateAggregationJob(w.task.ID(), dap.AggregationJobID{id})
	return w.do(method, path, dap.TypeAggregationJobInitReq, body)
}

func (w *world) createShare(id byte, body []byte) *httptest.ResponseRecorder {
	w.t.Helper()
	method, path := w.task.Variant().CreateAggregateShare(w.task.ID(), dap.AggregateShareID{id})
	return w.do(method, path, dap.TypeAggregateShareReq, body)
}

// response decodes an answer.
func (w *world) response(a *httptest.ResponseRecorder) *dap.AggregationJobResp {
	w.t.Helper()
	if a.Code > 299 || a.Header().Get("Content-Type") != dap.TypeAggregationJobResp.MediaType() {
		w.t.Fatalf("answer %d %v: %s", a.Code, a.Header(), a.Body)
	}
	resp := new(dap.AggregationJobResp)
	w.must(w.task.Codec().Decode(resp, a.Body.Bytes()))
	return resp
}

// fates are the errors of an answer, in its order; 0 for what was aggregated.
func (w *world) fates(a *httptest.ResponseRecorder) []dap.ReportError {
	w.t.Helper()
	var out []dap.ReportError
	for _, r := range w.response(a).VerifyResps {
		if (r.Type == dap.RespReject) != (r.Error != 0) || r.Type == dap.RespFinish {
			w.t.Fatalf("answer %+v", r)
		}
		out = append(out, r.Error)
	}
	return out
}

// aggregate runs a job to its end and returns what both sides have of it.
func (w *world) aggregate(id byte, batch dap.BatchID, reports ...dap.Report) *dap.LeaderResult {
	w.t.Helper()
	job, body := w.init(batch, reports...)
	return w.finish(job, w.createJob(id, body))
}

// finish is the leader's part after the answer.
func (w *world) finish(job *dap.LeaderJob, a *httptest.ResponseRecorder) *dap.LeaderResult {
	w.t.Helper()
	result, err := w.leader.LeaderFinish(job, w.response(a))
	w.must(err)
	return result
}

// shareReq is a request for the batch that the leader has in these results.
func (w *world) shareReq(query dap.Query, selector dap.BatchSelector, results ...*dap.LeaderResult) (*dap.AggregateShareReq, *dap.Total) {
	w.t.Helper()
	sum := w.task.NewTotal()
	for _, r := range results {
		totals, err := r.Totals(make([]dap.ReportError, len(r.Candidates())))
		w.must(err)
		for bucket, total := range totals {
			if w.task.Selects(selector, bucket) {
				w.must(sum.Merge(total))
			}
		}
	}
	return &dap.AggregateShareReq{Job: dap.CollectionJobReq{Query: query}, Selector: selector, ReportCount: sum.Count, Checksum: sum.Checksum}, sum
}

// hour is the query and selector of one unit.
func hour(t dap.Time) (dap.Query, dap.BatchSelector) {
	i := dap.Interval{Start: t, Duration: 1}
	return dap.IntervalQuery(i), dap.IntervalSelector(i)
}

func (w *world) encode(m dap.Structure) []byte {
	w.t.Helper()
	b, err := w.task.Codec().Encode(m)
	w.must(err)
	return b
}

// unshard is the collector's part.
func (w *world) unshard(a *httptest.ResponseRecorder, req *dap.AggregateShareReq, mine *dap.Total) []uint64 {
	w.t.Helper()
	if a.Code > 299 || a.Header().Get("Content-Type") != dap.TypeAggregateShare.MediaType() {
		w.t.Fatalf("answer %d %v: %s", a.Code, a.Header(), a.Body)
	}
	var share dap.AggregateShare
	w.must(w.task.Codec().Decode(&share, a.Body.Bytes()))
	opened, err := w.task.OpenAggregateShare(w.collector, dap.Helper, &req.Job, &share.Encrypted)
	w.must(err)
	result, err := w.hist.Unshard([][]byte{mine.Share.Bytes(), opened}, req.ReportCount)
	w.must(err)
	return result
}

// wantProblem requires a problem document of a type, the draft's or ours.
func wantProblem(t testing.TB, what string, a *httptest.ResponseRecorder, status int, kind string) {
	t.Helper()
	if a.Code != status || a.Header().Get("Content-Type") != dap.ProblemMediaType || !strings.Contains(a.Body.String(), kind+`"`) {
		t.Errorf("%s: %d %s, want %d %s", what, a.Code, a.Body, status, kind)
	}
}

func variants() []*dap.Variant { return []*dap.Variant{dap.DAP18(), dap.DAP19(), dap.Janus()} }

func wantFates(t testing.TB, got []dap.ReportError, want ...dap.ReportError) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("reports end as %v, want %v", got, want)
	}
}

type (
	entry        = tasks.Entry
	helperConfig = helper.Config
)

// update changes the task's entry in the registry.
func (w *world) update(change func(*entry)) {
	w.t.Helper()
	w.must(w.registry.Update(context.Background(), w.task.ID(), func(e *entry) error { change(e); return nil }))
}

// checksum is what the helper has in a batch.
func (w *world) checksum(s dap.BatchSelector) dap.Checksum {
	w.t.Helper()
	return w.total(s).Checksum
}

// total reads a batch from the helper's store.
func (w *world) total(s dap.BatchSelector) *dap.Total {
	w.t.Helper()
	ledgers, err := ledger.New(w.store, ledger.Config{Keys: w.keys, Clock: w.clock, Rand: w.rand})
	w.must(err)
	taskLedger, err := ledgers.Open(context.Background(), w.task, 0)
	w.must(err)
	total, _, err := taskLedger.Batch(context.Background(), s)
	w.must(err)
	return total
}

// initAt is init for a leader whose clock does not advance.
func (w *world) initAt(now time.Time, reports ...dap.Report) (*dap.LeaderJob, []byte) {
	w.t.Helper()
	job, req, err := w.leader.LeaderInit(4, dap.BatchID{}, reports, now, w.leaderRing)
	w.must(err)
	return job, w.encode(req)
}

// shareBody is a request for the batch of this unit as the helper has it, or had
// it when it was asked first.
func (w *world) shareBody(n int) []byte {
	w.t.Helper()
	query, selector := hour(unit)
	if w.asked == nil {
		w.asked = w.encode(&dap.AggregateShareReq{Job: dap.CollectionJobReq{Query: query}, Selector: selector, ReportCount: uint64(n), Checksum: w.checksum(selector)})
	}
	return w.asked
}

// restart starts the helper again with what its store has kept.
func (w *world) restart() {
	w.t.Helper()
	if m, ok := w.store.(*storetest.Model); ok {
		w.boot(m.Restart())
		return
	}
	w.boot(w.store)
}
