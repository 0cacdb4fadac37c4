package shoal_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

// midnight begins the epoch in which the tests record.
var midnight = sdktest.Midnight()

const day = sdktest.Day

// aggregators are a leader and a helper behind one server. They open, verify and
// add up reports by epoch, each report ID once.
type aggregators struct {
	t                        testing.TB
	clock                    *clock.Virtual
	server                   *httptest.Server
	owner, leader, helper    task.IdentityKey
	collector                task.IdentityKey
	tasks                    map[dap.TaskID]*aggregated
	mu                       sync.Mutex
	keys                     map[dap.Role]*dapkey.PrivateKey // guarded by mu, as is all that follows
	requests, posts, fetches int
	answer                   func(w http.ResponseWriter) bool // nil: the leader's own
	signed                   bool
}

// aggregated is what the two hold of a task.
type aggregated struct {
	shoal    *task.Task
	task     *dap.Task
	question *kind.Measure
	bodies   map[string]int // how often each body came
	ids      map[dap.Time]map[dap.ReportID]bool
	arrived  map[dap.Time][]time.Time
	sums     map[dap.Time][2]*vdaf.AggregateShare
}

func newAggregators(t testing.TB) *aggregators {
	t.Helper()
	a := &aggregators{t: t, clock: clock.NewVirtual(midnight.Add(time.Hour)), tasks: map[dap.TaskID]*aggregated{}, keys: map[dap.Role]*dapkey.PrivateKey{}, signed: true}
	for _, k := range []*task.IdentityKey{&a.owner, &a.leader, &a.helper, &a.collector} {
		var err error
		if *k, err = task.GenerateIdentityKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	a.rotate(1)
	a.server = httptest.NewServer(a)
	t.Cleanup(a.server.Close)
	return a
}

// rotate gives both aggregators new keys.
func (a *aggregators) rotate(id dap.HpkeConfigID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, role := range []dap.Role{dap.Leader, dap.Helper} {
		k, err := dapkey.Generate(id, hpke.X25519, rand.Reader)
		if err != nil {
			a.t.Fatal(err)
		}
		a.keys[role] = k
	}
}

// ask makes a task of an aggregation, of which the aggregators then know.
func (a *aggregators) ask(name string, g task.Aggregation) *task.Task {
	a.t.Helper()
	g.Variant = "dap-18"
	g, err := task.WithChunk(g)
	if err != nil {
		a.t.Fatal(err)
	}
	t := &task.Task{
		Owner: a.owner.Public(), OwnedBy: "Example", Metric: name, Question: "q", Method: task.Aggregate, Aggregation: g,
		MinBatch: 100, EpochSeconds: 86400, MaxDelay: 43200, ClockSkew: 3600,
		NotBefore: midnight.Add(-day).Unix(), Expires: midnight.Add(10 * day).Unix(),
		Hops: []task.Party{
			{Role: task.Leader, URL: a.server.URL + "/leader", Identity: a.leader.Public()},
			{Role: task.Helper, URL: a.server.URL + "/helper", Identity: a.helper.Public()},
			{Role: task.Collector, Identity: a.collector.Public()},
		},
	}
	a.know(t)
	return t
}

func (a *aggregators) know(t *task.Task) *aggregated {
	a.t.Helper()
	id, err := t.ID()
	if err != nil {
		a.t.Fatal(err)
	}
	d, err := taskconfig.New(t, id)
	if err != nil {
		a.t.Fatal(err)
	}
	q, err := t.Aggregation.Measure()
	if err != nil {
		a.t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tasks[d.ID()] == nil {
		a.tasks[d.ID()] = &aggregated{
			shoal: t, task: d, question: q, bodies: map[string]int{}, ids: map[dap.Time]map[dap.ReportID]bool{},
			arrived: map[dap.Time][]time.Time{}, sums: map[dap.Time][2]*vdaf.AggregateShare{},
		}
	}
	return a.tasks[d.ID()]
}

// options are those of an app that records something for the tasks.
func (a *aggregators) options(tasks ...*task.Task) shoal.Options {
	a.t.Helper()
	var b task.Bundle
	o := shoal.Options{Owner: task.FormatPublic(a.owner.Public()), Mode: shoal.On, NoSender: true, Clock: a.clock}
	for _, t := range tasks {
		s, err := task.Sign(t, a.owner)
		if err != nil {
			a.t.Fatal(err)
		}
		b.Tasks = append(b.Tasks, s)
		o.Metrics = append(o.Metrics, t.Metric)
	}
	var err error
	if o.Bundle, err = b.Encode(); err != nil {
		a.t.Fatal(err)
	}
	return o
}

func (a *aggregators) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests++
	switch {
	case r.URL.Path == "/leader/hpke_config":
		a.serveKeys(w, dap.Leader, a.leader)
	case r.URL.Path == "/helper/hpke_config":
		a.serveKeys(w, dap.Helper, a.helper)
	case strings.HasPrefix(r.URL.Path, "/leader/tasks/") && r.Method == http.MethodPost:
		a.posts++
		a.take(w, r)
	default:
		a.t.Errorf("a request for %s %s", r.Method, r.URL.Path)
	}
}

func (a *aggregators) serveKeys(w http.ResponseWriter, role dap.Role, by task.IdentityKey) {
	a.fetches++
	list := dap.HpkeConfigList{a.keys[role].Config()}
	b, err := dap.NewCodec(dap.DAP18()).Encode(&list)
	if err != nil {
		a.t.Error(err)
	}
	w.Header().Set("Content-Type", dap.TypeHpkeConfigList.MediaType())
	if a.signed {
		w.Header().Set(dap.KeySignatureHeader, dap.SignConfigs(by, role, b, a.clock.Now().Add(day)))
	}
	_, _ = w.Write(b)
}

func (a *aggregators) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Error(err)
	}
	var held *aggregated
	for id, g := range a.tasks {
		if r.URL.Path == "/leader/tasks/"+id.String()+"/reports" {
			held = g
		}
	}
	if held == nil {
		a.t.Errorf("an upload to %s", r.URL.Path)
		return
	}
	held.bodies[string(body)]++
	if a.answer != nil && a.answer(w) {
		return
	}
	var m dap.UploadRequest
	if err := held.task.Codec().Decode(&m, body); err != nil || len(m.Reports) != 1 {
		a.t.Errorf("an upload of %d reports: %v", len(m.Reports), err)
		return
	}
	report := &m.Reports[0]
	if report.LeaderShare.ConfigID != a.keys[dap.Leader].Config().ID {
		b, err := held.task.Codec().Encode(&dap.UploadErrors{Status: []dap.ReportUploadStatus{{ID: report.Metadata.ID, Error: dap.OutdatedConfig}}})
		if err != nil {
			a.t.Error(err)
		}
		w.Header().Set("Content-Type", dap.TypeUploadErrors.MediaType())
		_, _ = w.Write(b)
		return
	}
	a.count(held, report)
}

// count adds a report up, once.
func (a *aggregators) count(held *aggregated, r *dap.Report) {
	at := r.Metadata.Time
	held.arrived[at] = append(held.arrived[at], a.clock.Now())
	if held.ids[at] == nil {
		held.ids[at] = map[dap.ReportID]bool{}
		held.sums[at] = [2]*vdaf.AggregateShare{held.task.Instance().NewAggregateShare(), held.task.Instance().NewAggregateShare()}
	}
	if held.ids[at][r.Metadata.ID] {
		return
	}
	held.ids[at][r.Metadata.ID] = true
	share := func(role dap.Role, sealed dap.HpkeCiphertext) *vdaf.Report {
		s, err := held.task.OpenInputShare(a.keys[role], role, &dap.ReportShare{Metadata: r.Metadata, PublicShare: r.PublicShare, InputShare: sealed})
		if err != nil {
			a.t.Errorf("the %v cannot open its share: %v", role, err)
			return &vdaf.Report{}
		}
		return &vdaf.Report{Nonce: vdaf.Nonce(r.Metadata.ID), PublicShare: r.PublicShare, InputShare: s.Payload}
	}
	verifier := func(i int) *vdaf.Verifier {
		v, err := held.task.Instance().NewVerifier(&vdaf.VerifyKey{7}, held.task.Context(), i)
		if err != nil {
			a.t.Error(err)
		}
		return v
	}
	leader, helper := verifier(0), verifier(1)
	state, toHelper, err := leader.LeaderInit(share(dap.Leader, r.LeaderShare))
	if err != nil {
		a.t.Error(err)
		return
	}
	helperOut, toLeader, err := helper.HelperInit(share(dap.Helper, r.HelperShare), toHelper)
	if err != nil {
		a.t.Error(err)
		return
	}
	leaderOut, err := leader.LeaderFinish(state, toLeader)
	if err := errors.Join(err, held.sums[at][0].Add(leaderOut), held.sums[at][1].Add(helperOut)); err != nil {
		a.t.Error(err)
	}
}

// reports returns how many reports of an epoch counted.
func (a *aggregators) reports(t *task.Task, e task.Epoch) int {
	held := a.know(t)
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(held.ids[dap.Time(e)])
}

// result is what the collector would read of an epoch.
func (a *aggregators) result(t *task.Task, e task.Epoch) string {
	a.t.Helper()
	held := a.know(t)
	a.mu.Lock()
	defer a.mu.Unlock()
	sums, ok := held.sums[dap.Time(e)]
	if !ok {
		return "no reports"
	}
	r, err := held.question.Result([][]byte{sums[0].Bytes(), sums[1].Bytes()}, uint64(len(held.ids[dap.Time(e)])))
	if err != nil {
		a.t.Fatal(err)
	}
	var rows []string
	for _, row := range r.Rows {
		rows = append(rows, fmt.Sprintf("%s %.4g", row.Label, row.Estimate))
	}
	return strings.Join(rows, ", ")
}

// epochs returns the epochs of which reports counted.
func (a *aggregators) epochs(t *task.Task) []dap.Time {
	held := a.know(t)
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []dap.Time
	for e := range held.ids {
		out = append(out, e)
	}
	slices.Sort(out)
	return out
}
