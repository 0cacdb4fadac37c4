package leader_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/leader"
	leadertest "github.com/shoal-project/shoal/internal/dap/leader/storetest"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	ledgertest "github.com/shoal-project/shoal/internal/dap/ledger/storetest"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	taskstest "github.com/shoal-project/shoal/internal/dap/tasks/storetest"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/vdaf"
)

// precision is the unit of time of all tasks here, and begin the start of one.
const precision = time.Hour

func begin() time.Time { return time.Unix(480_010*3600, 0).UTC() }

// A world is a leader, a helper whose behaviour can be scripted, clients and a
// collector of one task of Histogram(buckets).
type world struct {
	clock       *clock.Virtual
	rand        *rand.ChaCha8
	task        *dap.Task
	hist        *vdaf.Prio3[int, []uint64]
	registry    *tasks.Registry
	fs          durable.FS
	store       leader.Store
	leader      *leader.Leader
	tweak       func(*leader.Config)
	seen        *counts
	helper      *scripted
	theirs      *tasks.Registry // the helper's
	wire        *wire           // to the helper
	collector   *dapkey.PrivateKey
	token       auth.Token
	reports     uint32
	expiryGrace time.Duration // of the ledger; heeded by start
}

const buckets = 16

func newWorld(t testing.TB, v *dap.Variant, change func(*dap.TaskConfiguration), tweak func(*leader.Config)) *world {
	t.Helper()
	hist, err := vdaf.Histogram(buckets, 4)
	must(t, err)
	config := dap.TaskConfiguration{
		TaskInfo: []byte("info"), Leader: "https://leader.example/", Helper: "https://helper.example/dap",
		TimePrecision: dap.TimePrecision(precision / time.Second), MinBatchSize: 3, BatchMode: dap.TimeIntervalMode,
	}
	must(t, config.SetVDAF(hist))
	if change != nil {
		change(&config)
	}
	encoded, err := dap.NewCodec(v).Encode(&config)
	must(t, err)
	w := &world{
		clock: clock.NewVirtual(begin()), rand: rand.NewChaCha8([32]byte{1}), hist: hist,
		fs: durable.Mem(), store: leadertest.NewModel(), tweak: tweak, seen: newCounts(),
	}
	w.task, err = dap.NewTask(v, dap.TaskprovID(encoded), encoded)
	must(t, err)
	w.collector, err = dapkey.Generate(9, hpke.X25519, w.rand)
	must(t, err)
	w.token = w.newToken(t)
	w.enroll(t, v, encoded)
	must(t, w.start())
	t.Cleanup(func() { w.leader.Close() })
	return w
}

// enroll adds the task to both registries, which it makes if there are none, and makes its
// helper.
func (w *world) enroll(t testing.TB, v *dap.Variant, config []byte) {
	t.Helper()
	secret, err := dap.DeriveVerifyKey(bytes.Repeat([]byte{7}, 32), w.task.ID())
	must(t, err)
	token := w.newToken(t)
	e := tasks.Entry{
		ID: w.task.ID(), Variant: v.String(), Config: config, Role: dap.Leader,
		VerifyKeys: map[dap.VerificationKeyID]vdaf.VerifyKey{4: *secret}, VerifyWith: 4,
		CollectorTokens: []auth.Hash{w.token.Hash()}, Outbound: token, Collector: w.collector.Config(),
		Leeway: 5 * time.Minute, Grace: 10 * time.Minute,
	}
	if w.registry == nil {
		w.registry, w.theirs = w.newRegistry(t, dap.Leader), w.newRegistry(t, dap.Helper)
	}
	must(t, w.registry.Add(t.Context(), e))
	e.Role, e.Inbound = dap.Helper, []auth.Hash{token.Hash()}
	e.CollectorTokens, e.Outbound = nil, auth.Token{}
	must(t, w.theirs.Add(t.Context(), e))
	s, err := w.theirs.Lookup(t.Context(), w.task.ID())
	must(t, err)
	store := ledgertest.NewModel()
	ledgers, err := ledger.New(store, ledger.Config{Keys: w.keys(t), Clock: w.clock, Rand: w.rand})
	must(t, err)
	taskLedger, err := ledgers.Open(t.Context(), w.task, 0)
	must(t, err)
	w.helper = &scripted{clock: w.clock, serving: s, ring: w.theirs.Keyring, ledger: taskLedger, store: store, jobs: map[string]*answer{}, shares: map[string]*answer{}}
	w.wire = &wire{w.helper}
}

func (w *world) newToken(t testing.TB) auth.Token {
	t.Helper()
	token, err := auth.NewToken(w.rand)
	must(t, err)
	return token
}

func (w *world) keys(t testing.TB) *atrest.Keys {
	t.Helper()
	key, err := atrest.GenerateKey(w.rand)
	must(t, err)
	keys, err := atrest.New(key)
	must(t, err)
	return keys
}

func (w *world) newRegistry(t testing.TB, role dap.Role) *tasks.Registry {
	t.Helper()
	r, err := tasks.Open(t.Context(), taskstest.NewModel(), tasks.Config{Role: role, Keys: w.keys(t), Clock: w.clock, Rand: w.rand})
	must(t, err)
	return r
}

// start starts the leader on what there is.
func (w *world) start() error {
	key, err := atrest.ParseKey(fixedKey())
	if err != nil {
		return err
	}
	keys, err := atrest.New(key)
	if err != nil {
		return err
	}
	ledgers, err := ledger.New(w.store, ledger.Config{Keys: keys, Clock: w.clock, Rand: w.rand, Parts: 1, ExpiryGrace: w.expiryGrace})
	if err != nil {
		return err
	}
	c := leader.Config{
		Store: w.store, Ledgers: ledgers, Registry: w.registry, FS: w.fs, Dir: "leader", Clock: w.clock, Rand: w.rand,
		Client: &http.Client{Transport: w.wire}, Workers: 1, Metrics: w.seen, JobReports: 4,
		Failed: func(err error) { w.seen.failed(err) }, Lost: w.seen.damage,
	}
	if w.tweak != nil {
		w.tweak(&c)
	}
	l, err := leader.New(context.Background(), c)
	if err == nil {
		w.leader = l
	}
	return err
}

// fixedKey is a key at rest that outlives the leader.
func fixedKey() string { return atrest.Key(bytes.Repeat([]byte{3}, 32)).Text() }

// restart stops the leader and starts it again.
func (w *world) restart(t testing.TB) {
	t.Helper()
	w.leader.Close()
	must(t, w.start())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// report makes a report of the clock's time, back units earlier.
func (w *world) report(t testing.TB, bucket int, back int) dap.Report {
	t.Helper()
	now, err := w.task.Config().TimePrecision.Time(w.clock.Now())
	must(t, err)
	w.reports++
	md := dap.ReportMetadata{ID: dap.ReportID{byte(w.reports >> 16), byte(w.reports >> 8), byte(w.reports)}, Time: now - dap.Time(back)}
	return w.seal(t, md, bucket, nil)
}

// seal makes a report; spoil may change it before it is sealed.
func (w *world) seal(t testing.TB, md dap.ReportMetadata, bucket int, spoil func(leader, helper *dap.PlaintextInputShare)) dap.Report {
	t.Helper()
	shares, err := w.hist.Shard(w.rand, w.task.Context(), vdaf.Nonce(md.ID), bucket)
	must(t, err)
	r := dap.Report{Metadata: md, PublicShare: shares.PublicShare}
	mine, theirs := dap.PlaintextInputShare{Payload: shares.InputShares[0]}, dap.PlaintextInputShare{Payload: shares.InputShares[1]}
	if spoil != nil {
		spoil(&mine, &theirs)
	}
	now := w.clock.Now()
	r.LeaderShare, err = w.task.SealInputShare(w.registry.Keyring().Configs(now)[0], dap.Leader, &md, r.PublicShare, &mine)
	must(t, err)
	r.HelperShare, err = w.task.SealInputShare(w.helper.ring().Configs(now)[0], dap.Helper, &md, r.PublicShare, &theirs)
	must(t, err)
	return r
}

// do sends a request to the leader.
func (w *world) do(method, path, contentType string, body []byte, token auth.Token) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/"+path, bytes.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	if !token.IsZero() {
		token.SetBearer(r.Header)
	}
	rec := httptest.NewRecorder()
	w.leader.Handler().ServeHTTP(rec, r)
	return rec
}

// upload sends reports and returns the refused ones.
func (w *world) upload(t testing.TB, reports ...dap.Report) []dap.ReportUploadStatus {
	t.Helper()
	rec := w.post(t, reports...)
	if rec.Code != 200 {
		t.Fatalf("upload answered %d: %s", rec.Code, rec.Body)
	}
	var errs dap.UploadErrors
	must(t, w.task.Codec().Decode(&errs, rec.Body.Bytes()))
	return errs.Status
}

func (w *world) post(t testing.TB, reports ...dap.Report) *httptest.ResponseRecorder {
	t.Helper()
	body, err := w.task.Codec().Encode(&dap.UploadRequest{Reports: reports})
	must(t, err)
	return w.do("POST", dap.ReportsPath(w.task.ID()), dap.TypeUploadRequest.MediaType(), body, auth.Token{})
}

// collect begins a collection job and returns where it is.
func (w *world) collect(t testing.TB, q dap.Query) string {
	t.Helper()
	rec := w.ask(t, dap.CollectionJobReq{Query: q}, dap.CollectionJobID{byte(w.rand.Uint64())})
	if rec.Code != 201 {
		t.Fatalf("collection answered %d: %s", rec.Code, rec.Body)
	}
	if w.task.Variant().ClientChoosesIDs() {
		return rec.Header().Get("X-Test-Path")
	}
	at, ok := strings.CutPrefix(rec.Header().Get("Location"), w.task.Config().Leader)
	if !ok {
		t.Fatalf("location %q is not at the leader", rec.Header().Get("Location"))
	}
	return at
}

func (w *world) ask(t testing.TB, job dap.CollectionJobReq, id dap.CollectionJobID) *httptest.ResponseRecorder {
	t.Helper()
	body, err := w.task.Codec().Encode(&job)
	must(t, err)
	method, path := w.task.Variant().CreateCollectionJob(w.task.ID(), id)
	rec := w.do(method, path, dap.TypeCollectionJobReq.MediaType(), body, w.token)
	rec.Header().Set("X-Test-Path", path)
	return rec
}

// result asks for a collection's result: nil if it is not ready.
func (w *world) result(t testing.TB, path string, q dap.Query) []uint64 {
	t.Helper()
	rec := w.do("GET", path, "", nil, w.token)
	if rec.Code/100 != 2 {
		t.Fatalf("result answered %d: %s", rec.Code, rec.Body)
	}
	if rec.Body.Len() == 0 {
		return nil
	}
	return w.open(t, rec.Body.Bytes(), q)
}

func (w *world) open(t testing.TB, body []byte, q dap.Query) []uint64 {
	t.Helper()
	var resp dap.CollectionJobResp
	must(t, w.task.Codec().Decode(&resp, body))
	shares, err := w.task.OpenCollection(w.collector, w.collector, &dap.CollectionJobReq{Query: q}, &resp)
	must(t, err)
	sum, err := w.hist.Unshard(shares, resp.ReportCount)
	must(t, err)
	return sum
}

// unit returns the query for the unit of time that begins now.
func (w *world) unit(t testing.TB, length int) dap.Query {
	t.Helper()
	now, err := w.task.Config().TimePrecision.Time(w.clock.Now())
	must(t, err)
	return dap.IntervalQuery(dap.Interval{Start: now, Duration: dap.Duration(length)})
}

// tick works until there is nothing to do.
func (w *world) tick(t testing.TB) {
	t.Helper()
	must(t, w.leader.Tick(t.Context()))
}

// counts are the metrics.
type counts struct {
	mu         sync.Mutex
	upload     map[dap.ReportError]int
	rejected   map[dap.ReportError]int
	aggregated int
	jobs       map[leader.JobOutcome]int
	lost       map[leader.LossCause]int
	errs       []error
	damaged    map[string]loss.Loss // by place
}

func newCounts() *counts {
	return &counts{upload: map[dap.ReportError]int{}, rejected: map[dap.ReportError]int{}, jobs: map[leader.JobOutcome]int{}, lost: map[leader.LossCause]int{}, damaged: map[string]loss.Loss{}}
}

func (c *counts) in(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}
func (c *counts) Upload(e dap.ReportError)          { c.in(func() { c.upload[e]++ }) }
func (c *counts) Rejected(e dap.ReportError)        { c.in(func() { c.rejected[e]++ }) }
func (c *counts) Aggregated(n int)                  { c.in(func() { c.aggregated += n }) }
func (c *counts) Lost(l leader.LossCause, n int)    { c.in(func() { c.lost[l] += n }) }
func (c *counts) Job(o leader.JobOutcome)           { c.in(func() { c.jobs[o]++ }) }
func (c *counts) Collection(leader.CollectionState) {}
func (c *counts) damage(l loss.Loss)                { c.in(func() { c.damaged[l.Place] = l }) }
func (c *counts) failed(err error)                  { c.in(func() { c.errs = append(c.errs, err) }) }

// A wire leads to the helper.
type wire struct{ http.RoundTripper }

// A scripted helper is correct, unless it is set up not to be. It is an
// http.RoundTripper.
type scripted struct {
	clock   clock.Clock
	serving *tasks.Serving
	ring    func() *dapkey.Ring
	ledger  *ledger.Ledger
	store   ledger.Store

	mu       sync.Mutex
	requests []string           // method and path of each
	bodies   [][]byte           // of those that create jobs
	jobs     map[string]*answer // by path, or for POST by body
	shares   map[string]*answer
	async    bool                                 // answer later
	lose     int                                  // so many answers are lost, after the work
	refuse   func(r *http.Request) *http.Response // before anything else; nil goes on
	alter    func(*dap.AggregationJobResp)        // of the answer to a job
	late     bool                                 // reports are too early for the helper
	deleted  []string
}

// answer is the state of a resource.
type answer struct {
	request []byte
	kind    dap.MessageType
	body    []byte
	abort   error
	polls   int // until it is ready
	path    string
}

var errLost = errors.New("connection lost")

func (h *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, r.Method+" "+r.URL.Path)
	if h.refuse != nil {
		if resp := h.refuse(r); resp != nil {
			return resp, nil
		}
	}
	if !auth.Allowed(r.Header, h.serving.Entry.Inbound) {
		return respond(401, "", nil), nil
	}
	resp := h.serve(r, body)
	if h.lose > 0 {
		h.lose--
		return nil, errLost
	}
	return resp, nil
}

func respond(status int, kind dap.MessageType, body []byte) *http.Response {
	h := http.Header{}
	if kind != "" {
		h.Set("Content-Type", kind.MediaType())
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
}

func problem(status int, abort *dap.Abort) *http.Response {
	body, err := abort.Document(status, nil)
	if err != nil {
		panic(err)
	}
	resp := respond(status, "", body)
	resp.Header.Set("Content-Type", dap.ProblemMediaType)
	return resp
}

func (h *scripted) serve(r *http.Request, body []byte) *http.Response {
	kind := h.jobs
	if strings.Contains(r.URL.Path, "aggregate_shares") {
		kind = h.shares
	}
	switch r.Method {
	case "DELETE":
		h.deleted = append(h.deleted, r.URL.Path)
		return respond(204, "", nil)
	case "GET":
		for _, a := range kind {
			if a.path == r.URL.Path {
				return h.answer(a, 200)
			}
		}
		return problem(404, &dap.Abort{Type: dap.ProblemUnrecognizedAggregationJob, Detail: "none"})
	}
	key := string(body)
	if r.Method == "PUT" {
		key = r.URL.Path
	}
	a := kind[key]
	if a != nil && !bytes.Equal(a.request, body) {
		return respond(409, "", nil)
	}
	if a == nil {
		a = &answer{request: body, path: fmt.Sprintf("%s/%d", r.URL.Path, len(kind))}
		if r.Method == "PUT" {
			a.path = r.URL.Path
		}
		if h.async {
			a.polls = 2
		}
		kind[key] = a
		if strings.Contains(r.URL.Path, "aggregate_shares") {
			a.kind = dap.TypeAggregateShare
			a.body, a.abort = h.share(body)
		} else {
			h.bodies = append(h.bodies, body)
			a.kind = dap.TypeAggregationJobResp
			a.body, a.abort = h.job(body)
		}
	}
	return h.answer(a, 201)
}

func (h *scripted) answer(a *answer, status int) *http.Response {
	if a.polls > 0 {
		a.polls--
		resp := respond(status, "", nil)
		resp.Header.Set("Location", a.path+"?step=0")
		resp.Header.Set("Retry-After", "2")
		return resp
	}
	if a.abort != nil {
		return problem(400, dap.AbortOf(a.abort))
	}
	return respond(status, a.kind, a.body)
}

func (h *scripted) job(body []byte) ([]byte, error) {
	s := h.serving
	var req dap.AggregationJobInitReq
	if err := s.Task.Codec().Decode(&req, body); err != nil {
		return nil, err
	}
	now := h.clock.Now()
	if h.late {
		now = now.Add(-24 * time.Hour)
	}
	job, err := s.Aggregator.HelperInit(&req, now, h.ring())
	if err != nil {
		return nil, err
	}
	verdicts, err := h.ledger.Commit(context.Background(), &job.Outcome, nil)
	if err != nil {
		return nil, err
	}
	resp, err := job.Response(verdicts)
	if err != nil {
		return nil, err
	}
	if h.alter != nil {
		h.alter(resp)
	}
	return s.Task.Codec().Encode(resp)
}

func (h *scripted) share(body []byte) (out []byte, err error) {
	s := h.serving
	var req dap.AggregateShareReq
	if err := s.Task.Codec().Decode(&req, body); err != nil {
		return nil, err
	}
	if err := s.Task.CheckSelector(&req); err != nil {
		return nil, err
	}
	err = h.ledger.Collect(context.Background(), req.Selector, func(ctx context.Context, total *dap.Total, c ledger.Collection) error {
		if err := req.CheckAgreement(total); err != nil {
			return err
		}
		sealed, err := s.Task.SealAggregateShare(s.Entry.Collector, dap.Helper, &req.Job, total.Share.Bytes())
		if err != nil {
			return err
		}
		if out, err = s.Task.Codec().Encode(&dap.AggregateShare{Encrypted: sealed}); err != nil {
			return err
		}
		return h.store.Collect(ctx, c)
	})
	return out, err
}

// histogram returns a histogram with so many reports in each bucket.
func histogram(counts ...uint64) []uint64 {
	return append(slices.Clone(counts), make([]uint64, buckets-len(counts))...)
}

// problemOf returns the draft's problem that an answer is.
func problemOf(t testing.TB, rec *httptest.ResponseRecorder) *dap.Abort {
	t.Helper()
	if rec.Code < 400 || rec.Header().Get("Content-Type") != dap.ProblemMediaType {
		t.Fatalf("answer %d of %s is no problem", rec.Code, rec.Header().Get("Content-Type"))
	}
	abort, err := dap.ParseDocument(rec.Body.Bytes())
	must(t, err)
	return abort
}

// at returns the path of the collection job that an answer is about.
func (w *world) at(rec *httptest.ResponseRecorder) string {
	if w.task.Variant().ClientChoosesIDs() {
		return rec.Header().Get("X-Test-Path")
	}
	return strings.TrimPrefix(rec.Header().Get("Location"), w.task.Config().Leader)
}
