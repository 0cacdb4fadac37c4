package admission_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/dap/admission"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/helper"
	helpertest "github.com/shoal-project/shoal/internal/dap/helper/storetest"
	"github.com/shoal-project/shoal/internal/dap/leader"
	leadertest "github.com/shoal-project/shoal/internal/dap/leader/storetest"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	taskstest "github.com/shoal-project/shoal/internal/dap/tasks/storetest"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

const (
	epochSeconds = 86400
	first        = 20_000 // epoch in which the tests begin
	minBatch     = 3
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A version is a signed version of the metric.
type version struct {
	task *task.Task
	id   task.ID
	dap  *dap.Task
}

// A world is a leader of two servers and a helper of two servers, each with one store, and
// the issuers of both organisations.
type world struct {
	t          testing.TB
	clock      *clock.Virtual
	inviter    task.IdentityKey
	keys       map[task.Role]task.IdentityKey
	disks      map[task.Role]durable.FS
	issuers    map[task.Role]*credential.Issuer
	versions   []*version
	between    auth.Token
	token      auth.Token
	atRest     *atrest.Keys
	collector  *dapkey.PrivateKey
	ours       *leadertest.Model
	theirs     *helpertest.Model
	taskStores map[task.Role]*taskstest.Model
	nodes      []durable.FS // disks of the leader's servers
	leaders    []*leader.Leader
	helpers    []*helper.Helper
	next       int
	registries map[task.Role]*tasks.Registry
	lose       func() bool // whether the answer of the helper gets lost; nil: none does
}

func newWorld(t testing.TB, edits ...func(*task.Task)) *world {
	t.Helper()
	w := &world{
		t: t, clock: clock.NewVirtual(time.Unix(first*epochSeconds, 0).Add(time.Hour)),
		keys: map[task.Role]task.IdentityKey{}, disks: map[task.Role]durable.FS{}, issuers: map[task.Role]*credential.Issuer{},
		ours: leadertest.NewModel(), theirs: helpertest.NewModel(), nodes: []durable.FS{durable.Mem(), durable.Mem()},
		taskStores: map[task.Role]*taskstest.Model{task.Leader: taskstest.NewModel(), task.Helper: taskstest.NewModel()},
	}
	var err error
	w.inviter, err = task.GenerateIdentityKey(rand.Reader)
	must(t, err)
	for _, r := range []task.Role{task.Leader, task.Helper, task.Collector} {
		w.keys[r], err = task.GenerateIdentityKey(rand.Reader)
		must(t, err)
		w.disks[r] = durable.Mem()
	}
	w.between, err = auth.NewToken(rand.Reader)
	must(t, err)
	w.token, err = auth.NewToken(rand.Reader)
	must(t, err)
	key, err := atrest.GenerateKey(rand.Reader)
	must(t, err)
	w.atRest, err = atrest.New(key)
	must(t, err)
	w.collector, err = dapkey.Generate(5, hpke.X25519, rand.Reader)
	must(t, err)
	for _, edit := range append([]func(*task.Task){func(*task.Task) {}}, edits...) {
		w.versions = append(w.versions, w.sign(edit))
	}
	w.start()
	for _, v := range w.versions {
		w.enter(v)
	}
	t.Cleanup(w.stop)
	return w
}

// sign makes a version of the metric.
func (w *world) sign(edit func(*task.Task)) *version {
	w.t.Helper()
	tk := &task.Task{
		Owner: w.inviter.Public(), OwnedBy: "Example", Metric: "feature.used", Question: "Is it used?", Consent: "Whether it is used.",
		Method: task.Aggregate, Aggregation: task.Aggregation{Kind: kind.Count{Max: 1}, Variant: "dap-18"},
		MinBatch: minBatch, EpochSeconds: epochSeconds, MaxDelay: 7200, ClockSkew: 60,
		NotBefore: first * epochSeconds, Expires: (first + 60) * epochSeconds,
		Hops: []task.Party{
			{Role: task.Leader, URL: "https://leader.example", Identity: w.keys[task.Leader].Public()},
			{Role: task.Helper, URL: "https://helper.example", Identity: w.keys[task.Helper].Public()},
			{Role: task.Collector, Identity: w.keys[task.Collector].Public()},
		},
		Protection: task.Protection{CredentialEpochs: 28},
	}
	edit(tk)
	id, err := tk.ID()
	must(w.t, err)
	made, err := taskconfig.New(tk, id)
	must(w.t, err)
	return &version{tk, id, made}
}

// start starts all servers on what is in their stores.
func (w *world) start() {
	w.t.Helper()
	w.registries = map[task.Role]*tasks.Registry{}
	for _, r := range []task.Role{task.Leader, task.Helper} {
		var err error
		w.issuers[r], err = credential.NewIssuer(credential.IssuerConfig{
			FS: w.disks[r], Dir: "credentials", Role: r, Party: w.keys[r].Public(), Clock: w.clock,
			Gates: []credential.Gate{credential.Invitations{w.inviter.Public()}},
			Sign:  func(_ credential.Slot, b []byte) ([]byte, error) { return b, nil },
		})
		must(w.t, err)
		role := dap.Leader
		if r == task.Helper {
			role = dap.Helper
		}
		w.registries[r], err = tasks.Open(w.t.Context(), w.taskStores[r], tasks.Config{
			Role: role, Keys: w.atRest, Clock: w.clock, Rand: rand.Reader,
			Admission: func(e *tasks.Entry) (dap.Admission, [32]byte, error) { return w.admission(e, r) },
		})
		must(w.t, err)
	}
	config := ledger.Config{Keys: w.atRest, Clock: w.clock, Rand: rand.Reader}
	w.leaders, w.helpers = nil, nil
	for n, disk := range w.nodes {
		ledgers, err := ledger.New(w.ours, config)
		must(w.t, err)
		l, err := leader.New(w.t.Context(), leader.Config{
			Store: w.ours, Ledgers: ledgers, Registry: w.registries[task.Leader], FS: disk, Dir: "reports", Node: fmt.Sprint("node", n),
			Clock: w.clock, Client: &http.Client{Transport: w}, Failed: func(err error) {
				if w.lose == nil {
					w.t.Errorf("leader: %v", err)
				}
			},
		})
		must(w.t, err)
		w.leaders = append(w.leaders, l)
		if ledgers, err = ledger.New(w.theirs, config); err != nil {
			w.t.Fatal(err)
		}
		h, err := helper.New(helper.Config{
			Store: w.theirs, Ledgers: ledgers, Registry: w.registries[task.Helper], Clock: w.clock,
			Report: func(err error) { w.t.Errorf("helper: %v", err) },
		})
		must(w.t, err)
		w.helpers = append(w.helpers, h)
	}
}

func (w *world) admission(e *tasks.Entry, r task.Role) (dap.Admission, [32]byte, error) {
	for _, v := range w.versions {
		if v.dap.ID() == e.ID {
			x, err := admission.New(w.issuers[r], v.task, e.ID, r)
			return x, admission.List(v.task, r), err
		}
	}
	return nil, [32]byte{}, fmt.Errorf("unknown task %v", e.ID)
}

func (w *world) stop() {
	for _, l := range w.leaders {
		if err := l.Close(); err != nil {
			w.t.Errorf("closing: %v", err)
		}
	}
}

// restart stops all servers and starts them again.
func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

// enter configures a version at leader and helper.
func (w *world) enter(v *version) {
	w.t.Helper()
	verify, err := dap.DeriveVerifyKey(bytes.Repeat([]byte{7}, 32), v.dap.ID())
	must(w.t, err)
	e := tasks.Entry{
		ID: v.dap.ID(), Variant: v.dap.Variant().String(), Config: v.dap.Bytes(), Role: dap.Leader,
		VerifyKeys: map[dap.VerificationKeyID]vdaf.VerifyKey{0: *verify}, CollectorTokens: []auth.Hash{w.token.Hash()},
		Outbound: w.between, Collector: w.collector.Config(), Leeway: time.Minute, Grace: taskconfig.Grace(v.task),
	}
	theirs := e
	theirs.Role, theirs.Inbound, theirs.CollectorTokens, theirs.Outbound = dap.Helper, []auth.Hash{w.between.Hash()}, nil, auth.Token{}
	must(w.t, w.registries[task.Leader].Add(w.t.Context(), e))
	must(w.t, w.registries[task.Helper].Add(w.t.Context(), theirs))
}

// RoundTrip implements [http.RoundTripper]: the helper's servers take turns.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.next++
	in := httptest.NewRequestWithContext(r.Context(), r.Method, r.URL.String(), r.Body)
	in.Header = r.Header.Clone()
	out := httptest.NewRecorder()
	w.helpers[w.next%len(w.helpers)].Handler().ServeHTTP(out, in)
	if w.lose != nil && w.lose() {
		return nil, io.ErrUnexpectedEOF
	}
	return out.Result(), nil
}

// A person has a credential of each aggregator.
type person map[task.Role]*arc.Credential

// person gets credentials for one invitation, for the period of an epoch.
func (w *world) person(e task.Epoch) person {
	w.t.Helper()
	code, err := credential.Invite(w.inviter, w.clock.Now().AddDate(1, 0, 0), rand.Reader)
	must(w.t, err)
	return person{task.Leader: w.obtain(task.Leader, e, code), task.Helper: w.obtain(task.Helper, e, code)}
}

// obtain gets one credential by the protocol alone.
func (w *world) obtain(r task.Role, e task.Epoch, code string) *arc.Credential {
	w.t.Helper()
	v := w.versions[0]
	slot, ok := credential.SlotOf(v.task, w.party(r), e)
	if !ok {
		w.t.Fatal("the task asks for no credentials")
	}
	path := "/tasks/" + v.id.String() + "/credentials/" + r.String() + "/" + strconv.FormatInt(slot.Start, 10)
	do := func(method string, body []byte) []byte {
		q := httptest.NewRequestWithContext(w.t.Context(), method, path, bytes.NewReader(body))
		q.Header.Set("Content-Type", credential.RequestType)
		a := httptest.NewRecorder()
		w.issuers[r].Handler().ServeHTTP(a, q)
		if a.Code != http.StatusOK {
			w.t.Fatalf("no credential: HTTP %d %s", a.Code, a.Body)
		}
		return a.Body.Bytes()
	}
	public, err := arc.ParsePublicKey(do(http.MethodGet, nil)[1 : 1+arc.PublicKeySize])
	must(w.t, err)
	secrets, request, err := arc.NewRequest(rand.Reader, slot.RequestContext())
	must(w.t, err)
	body := append([]byte{1}, request.Bytes()...)
	body = append(body, make([]byte, 8)...)
	body = append(append(body, byte(len(code)>>8), byte(len(code))), code...)
	response, err := arc.ParseResponse(do(http.MethodPost, body))
	must(w.t, err)
	cr, err := secrets.Finalize(public, request, response)
	must(w.t, err)
	return cr
}

func (w *world) party(r task.Role) task.Party {
	if r == task.Leader {
		return w.versions[0].task.Leader()
	}
	return w.versions[0].task.Helper()
}

// shows makes private extensions of what people show, nil: nothing.
func (w *world) shows(v *version, e task.Epoch, by person) client.Show {
	return func(to dap.Role, share *dap.Opened) (dap.Extensions, error) {
		r := task.Leader
		if to == dap.Helper {
			r = task.Helper
		}
		if by[r] == nil {
			return nil, nil
		}
		return w.present(v, e, r, by[r], share)
	}
}

func (w *world) present(v *version, e task.Epoch, r task.Role, by *arc.Credential, share *dap.Opened) (dap.Extensions, error) {
	of := credential.ContextsOf(v.task, w.party(r), e, nil)[0]
	c, err := arc.NewContext(of.Data[:], of.Limit)
	if err != nil {
		return nil, err
	}
	p, err := by.Present(rand.Reader, c, 0, credential.Binding(task.ID(v.dap.ID()), admission.Digest(share, nil)))
	if err != nil {
		return nil, err
	}
	return dap.NewExtensions(dap.Extension{Type: dap.ReportPresentation, Data: p.Bytes()})
}

// report makes a report of one person, without caps.
func (w *world) report(v *version, e task.Epoch, show client.Show) *dap.Report {
	w.t.Helper()
	id, err := client.NewReportID(rand.Reader)
	must(w.t, err)
	keys := client.Keys{Leader: w.registries[task.Leader].Keyring().Keys()[0].Key.Config(), Helper: w.registries[task.Helper].Keyring().Keys()[0].Key.Config()}
	q, err := v.task.Aggregation.Measure()
	must(w.t, err)
	tally := q.Empty()
	must(w.t, tally.Add(1))
	r, err := client.MakeShowing(v.dap, tally, keys, id, dap.Time(e), rand.Reader, show)
	must(w.t, err)
	return r
}

// upload sends a report to a server of the leader.
func (w *world) upload(v *version, node int, r *dap.Report) {
	w.t.Helper()
	body, err := client.Encode(v.dap, r)
	must(w.t, err)
	q := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, "/tasks/"+v.dap.ID().String()+"/reports", bytes.NewReader(body))
	q.Header.Set("Content-Type", dap.TypeUploadRequest.MediaType())
	a := httptest.NewRecorder()
	w.leaders[node].Handler().ServeHTTP(a, q)
	if a.Code != http.StatusOK || a.Body.Len() > 0 {
		w.t.Fatalf("uploading: HTTP %d %s", a.Code, a.Body)
	}
}

// pass lets all servers work for a while.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	for end := w.clock.Now().Add(d); w.clock.Now().Before(end); {
		w.clock.Advance(d / 6)
		for _, l := range w.leaders {
			if err := l.Tick(w.t.Context()); w.lose == nil {
				must(w.t, err)
			}
		}
		for _, h := range w.helpers {
			must(w.t, h.Tick(w.t.Context()))
		}
	}
}

// collect returns how many reports an epoch of a version has, 0 if there are too few.
func (w *world) collect(v *version, e task.Epoch) uint64 {
	w.t.Helper()
	job := &dap.CollectionJobReq{Query: dap.IntervalQuery(dap.Interval{Start: dap.Time(e), Duration: 1})}
	body, err := v.dap.Codec().Encode(job)
	must(w.t, err)
	do := func(method, path string, body []byte) *httptest.ResponseRecorder {
		q := httptest.NewRequestWithContext(w.t.Context(), method, path, bytes.NewReader(body))
		if body != nil {
			q.Header.Set("Content-Type", dap.TypeCollectionJobReq.MediaType())
		}
		w.token.SetBearer(q.Header)
		a := httptest.NewRecorder()
		w.leaders[0].Handler().ServeHTTP(a, q)
		if a.Code/100 != 2 {
			w.t.Fatalf("collecting: HTTP %d %s", a.Code, a.Body)
		}
		return a
	}
	a := do(http.MethodPost, "/tasks/"+v.dap.ID().String()+"/collection_jobs", body)
	at, err := url.Parse(a.Header().Get("Location"))
	must(w.t, err)
	for range 40 {
		w.pass(3 * time.Hour)
		if a = do(http.MethodGet, at.Path, nil); a.Body.Len() > 0 {
			break
		}
	}
	if a.Body.Len() == 0 {
		return 0
	}
	var resp dap.CollectionJobResp
	must(w.t, v.dap.Codec().Decode(&resp, a.Body.Bytes()))
	shares, err := v.dap.OpenCollection(w.collector, w.collector, job, &resp)
	must(w.t, err)
	q, err := v.task.Aggregation.Measure()
	must(w.t, err)
	result, err := q.Result(shares, resp.ReportCount)
	must(w.t, err)
	if got := result.Rows[0].Estimate; got != float64(resp.ReportCount) {
		w.t.Errorf("the sum is %v of %d reports that say 1", got, resp.ReportCount)
	}
	return resp.ReportCount
}

// answered is what the helper answers a request of the leader.
func (w *world) answered(method, path string, typ dap.MessageType, body []byte) *httptest.ResponseRecorder {
	w.t.Helper()
	q := httptest.NewRequestWithContext(w.t.Context(), method, path, bytes.NewReader(body))
	q.Header.Set("Content-Type", typ.MediaType())
	w.between.SetBearer(q.Header)
	resp, err := w.RoundTrip(q)
	must(w.t, err)
	a := httptest.NewRecorder()
	a.Code = resp.StatusCode
	_, err = io.Copy(a.Body, resp.Body)
	must(w.t, err)
	return a
}
