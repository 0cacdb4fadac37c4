package collector_test

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/dap/collector/storetest"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// A world is a collector and a leader that it asks, both in this process.
type world struct {
	t      *testing.T
	clock  *clock.Virtual
	leader *leader
	shoal  *task.Task
	task   *dap.Task
	key    *dapkey.PrivateKey
	token  auth.Token

	store  *storetest.Model
	fs     durable.FS
	c      *collector.Collector
	tables *collector.Tables
}

type setting struct {
	variant *dap.Variant
	mode    dap.BatchMode
	noise   dp.Noise
	foreign bool          // a task without a Shoal task
	begins  time.Duration // of the task, after noon
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// newWorld makes a question with buckets red, green and blue, an epoch of an hour
// and ten minutes of grace.
func newWorld(t *testing.T, s setting) *world {
	t.Helper()
	s.variant = cmp.Or(s.variant, dap.DAP18())
	s.mode = cmp.Or(s.mode, dap.TimeIntervalMode)
	w := &world{t: t, clock: clock.NewVirtual(noon), fs: durable.Mem(), store: storetest.NewModel()}
	w.token = must(auth.NewToken(rand.Reader))
	w.leader = newLeader(w)
	w.key = must(dapkey.Generate(7, hpke.X25519, rand.Reader))
	w.shoal = w.question(s)
	id := must(w.shoal.ID())
	config := dap.TaskConfiguration{
		TaskInfo: dap.TaskInfo(id), Leader: w.shoal.Leader().URL, Helper: w.shoal.Helper().URL,
		TimePrecision: 3600, MinBatchSize: uint64(w.shoal.MinBatch), BatchMode: s.mode,
	}
	if err := config.SetVDAF(must(w.shoal.Aggregation.Measure()).Instance()); err != nil {
		t.Fatal(err)
	}
	if s.noise.Mechanism != dp.NoNoise {
		config.Extensions = []dap.Extension{must(dap.NoiseExtension(s.noise))}
	}
	b := must(dap.NewCodec(s.variant).Encode(&config))
	w.task = must(dap.NewTask(s.variant, dap.TaskprovID(b), b))
	if s.foreign {
		w.shoal = nil
	}
	w.start()
	return w
}

func (w *world) question(s setting) *task.Task {
	a := must(task.WithChunk(task.Aggregation{
		Kind: kind.Categories{Labels: []string{"red", "green", "blue"}}, Variant: s.variant.String(), Noise: s.noise,
	}))
	t := &task.Task{
		Owner: must(task.GenerateIdentityKey(rand.Reader)).Public(), OwnedBy: "Example", Metric: "colour", Question: "Which colour?",
		Consent: "Your colour.", Method: task.Aggregate, Aggregation: a,
		MinBatch: 50, EpochSeconds: 3600, MaxDelay: 540, ClockSkew: 60, RetentionDays: 2,
		NotBefore: noon.Add(s.begins).Unix(), Expires: noon.Add(5 * time.Hour).Unix(),
	}
	for role, url := range map[task.Role]string{task.Leader: w.leader.server.URL, task.Helper: "http://127.0.0.1:2", task.Collector: ""} {
		t.Hops = append(t.Hops, task.Party{Role: role, URL: url, Identity: must(task.GenerateIdentityKey(rand.Reader)).Public()})
	}
	for i, role := range []task.Role{task.Leader, task.Helper, task.Collector} {
		for j := range t.Hops {
			if t.Hops[j].Role == role {
				t.Hops[i], t.Hops[j] = t.Hops[j], t.Hops[i]
			}
		}
	}
	return t
}

// start makes the collector over what the store and the disk hold.
func (w *world) start() {
	w.t.Helper()
	c, err := collector.New(collector.Config{
		Store: w.store, FS: w.fs, Dir: "collector", Clock: w.clock, Keys: []*dapkey.PrivateKey{w.key}, HTTP: w.leader.server.Client(),
	})
	if err == nil {
		err = c.Serve(w.t.Context(), collector.Question{Task: w.task, Leader: w.token, Shoal: w.shoal})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.c, w.tables = c, collector.NewTables(w.store, w.fs, "collector")
}

// pass lets time go by; the collector looks at each minute.
func (w *world) pass(d time.Duration) error {
	var last error
	for end := w.clock.Now().Add(d); w.clock.Now().Before(end); {
		w.clock.Forward(w.clock.Now().Add(time.Minute))
		last = w.c.Tick(w.t.Context())
	}
	return last
}

// rows returns the released numbers, one a line.
func (w *world) rows() string {
	w.t.Helper()
	var out bytes.Buffer
	err := release.Export(w.t.Context(), w.tables, &out, release.CSV, release.Query{Metric: w.metric(), Table: collector.ResultsTable})
	if err != nil {
		return err.Error()
	}
	return series.ReplaceAllString(out.String(), "")
}

// series are the columns with the task and the version of a question in each row.
var series = regexp.MustCompile(`(?m),(task,version|[A-Za-z0-9_-]{43},1)$`)

func (w *world) metric() string {
	if w.shoal != nil {
		return w.shoal.Metric
	}
	return "task." + w.task.ID().String()[:8]
}

// states returns the states of all asks, in order.
func (w *world) states() string {
	w.t.Helper()
	var all []string
	for _, a := range must(w.store.Asks(w.t.Context())) {
		all = append(all, a.State.String())
	}
	return strings.Join(all, " ")
}

// A leader is the collection side of a leader, with the helper behind it: only the
// draft's HTTP exchange, over batches that a test fills.
type leader struct {
	w      *world
	server *httptest.Server

	mu       sync.Mutex
	batches  map[string][]int64 // by query: what was added up
	jobs     map[string]*job    // by path
	fail     func(r *http.Request) bool
	lose     bool   // the next answer
	lost     string // the lost reports header of an answer
	mute     bool   // as Janus: no location, and a creation is answered without the result
	notReady int    // the status of an answer that is not ready; 0: 202
	created  int
	waits    map[string]string // headers of an answer without a body
}

type job struct {
	request []byte
	answer  []byte
}

func newLeader(w *world) *leader {
	l := &leader{w: w, batches: map[string][]int64{}, jobs: map[string]*job{}, waits: map[string]string{"Retry-After": "120"}}
	l.server = httptest.NewServer(l)
	w.t.Cleanup(l.server.Close)
	return l
}

// fill makes a batch ready.
func (l *leader) fill(q dap.Query, sums ...int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.batches[string(q.Config)] = sums
}

func (l *leader) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := rw
	if !auth.Allowed(r.Header, []auth.Hash{l.w.token.Hash()}) {
		http.Error(w, "who is there?", http.StatusUnauthorized)
		return
	}
	if l.fail != nil && l.fail(r) {
		return
	}
	path := r.URL.Path
	if r.Method == http.MethodDelete {
		delete(l.jobs, path)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if r.Method != http.MethodGet {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Type") != dap.TypeCollectionJobReq.MediaType() {
			http.Error(w, "what?", http.StatusBadRequest)
			return
		}
		if r.Method == http.MethodPost {
			path += "/" + must(dap.ParseCollectionJobID("AAECAwQFBgcICQoLDA0ODw")).String() + strconv.Itoa(l.created)
			for p, j := range l.jobs {
				if bytes.Equal(j.request, body) {
					path = p
				}
			}
		}
		if l.jobs[path] == nil {
			l.jobs[path] = &job{request: body}
			l.created++
		}
	}
	j := l.jobs[path]
	if j == nil {
		http.NotFound(w, r)
		return
	}
	l.answer(j)
	if l.lose {
		l.lose = false
		panic(http.ErrAbortHandler)
	}
	if !l.mute {
		w.Header().Set("Location", path)
	}
	if j.answer == nil || l.mute && r.Method != http.MethodGet {
		for name, value := range l.waits {
			w.Header().Set(name, value)
		}
		w.WriteHeader(cmp.Or(l.notReady, http.StatusAccepted))
		return
	}
	if l.lost != "" {
		w.Header().Set("Shoal-Lost-Reports", l.lost)
	}
	w.Header().Set("Content-Type", dap.TypeCollectionJobResp.MediaType())
	_, _ = w.Write(j.answer)
}

// answer seals the shares of a batch that is ready.
func (l *leader) answer(j *job) {
	var req dap.CollectionJobReq
	if err := l.w.task.Codec().Decode(&req, j.request); err != nil {
		panic(err)
	}
	sums, ready := l.batches[string(req.Query.Config)]
	if !ready || j.answer != nil {
		return
	}
	in := l.w.task.Instance()
	shares := [2]interface{ Bytes() []byte }{}
	total := uint64(0)
	for i := range shares {
		share := in.NewAggregateShare()
		for k, n := range sums {
			if i == 1 {
				n = 1000 - n // so that neither share is the sum
			} else {
				n = 2*n - 1000
			}
			if err := share.AddNoise(k, n); err != nil {
				panic(err)
			}
		}
		shares[i] = share
	}
	for _, n := range sums {
		total += uint64(max(0, n))
	}
	interval, err := req.Query.Interval()
	if err != nil {
		interval = dap.Interval{Start: dap.Time(noon.Unix() / 3600), Duration: 2}
	}
	resp := dap.CollectionJobResp{ReportCount: total, Interval: interval}
	resp.LeaderShare = must(l.w.task.SealAggregateShare(l.w.key.Config(), dap.Leader, &req, shares[0].Bytes()))
	resp.HelperShare = must(l.w.task.SealAggregateShare(l.w.key.Config(), dap.Helper, &req, shares[1].Bytes()))
	j.answer = must(l.w.task.Codec().Encode(&resp))
	if req.Query.Mode == dap.LeaderSelectedMode {
		delete(l.batches, "") // it is taken
	}
}

// problem answers with a problem document.
func problem(w http.ResponseWriter, status int, p dap.ProblemType) {
	w.Header().Set("Content-Type", dap.ProblemMediaType)
	w.WriteHeader(status)
	_, _ = w.Write(must((&dap.Abort{Type: p, Detail: "no"}).Document(status, nil)))
}

// hour is the query for the nth hour after noon.
func hour(n int) dap.Query {
	return dap.IntervalQuery(dap.Interval{Start: dap.Time(noon.Unix()/3600 + int64(n)), Duration: 1})
}
