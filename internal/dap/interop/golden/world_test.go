package golden_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/helper"
	helpertest "github.com/shoal-project/shoal/internal/dap/helper/storetest"
	"github.com/shoal-project/shoal/internal/dap/interop"
	"github.com/shoal-project/shoal/internal/dap/interop/golden"
	"github.com/shoal-project/shoal/internal/dap/leader"
	leadertest "github.com/shoal-project/shoal/internal/dap/leader/storetest"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	taskstest "github.com/shoal-project/shoal/internal/dap/tasks/storetest"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/vdaf"
)

// A world is our roles as they were in a trial, with the keys of then and stores in
// memory. The other implementation's parties are their records.
type world struct {
	t     *testing.T
	file  *golden.File
	task  *interop.Task
	clock *clock.Virtual
	keys  *atrest.Keys
	rand  *counter
	token auth.Token
	// collector opens results: the key of our collector, or one in place of the
	// foreign collector's.
	collector *dapkey.PrivateKey

	leader *leader.Leader // nil if it is foreign
	helper *helper.Helper // the same
	script *script        // of a foreign helper
}

// A counter is a source of bytes that repeats. Reads of the length of a batch ID get
// the one of the record.
type counter struct {
	n     uint64
	batch []byte
}

func (c *counter) Read(b []byte) (int, error) {
	if len(b) == len(c.batch) {
		return copy(b, c.batch), nil
	}
	for i := range b {
		c.n++
		b[i] = byte(c.n * 0x9e3779b97f4a7c15 >> 56)
	}
	return len(b), nil
}

func newWorld(t *testing.T, f *golden.File) *world {
	t.Helper()
	w := &world{t: t, file: f, clock: clock.NewVirtual(f.Recorded), rand: &counter{}}
	object, err := json.Marshal(f.Task)
	w.must(err)
	w.task, err = interop.ParseTask(dap.Janus(), object)
	w.must(err)
	w.keys, err = atrest.New(atrest.Key(bytes.Repeat([]byte{5}, 32)))
	w.must(err)
	w.token, err = auth.NewToken(w.rand)
	w.must(err)
	if f.CollectorKey != "" {
		w.collector, err = dapkey.Parse(f.CollectorKey)
	} else {
		w.collector, err = dapkey.Generate(1, hpke.X25519, w.rand)
	}
	w.must(err)
	if f.Pairing.Helper == golden.Ours {
		w.startHelper()
	}
	if f.Pairing.Leader == golden.Ours {
		w.startLeader()
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// entry is the task as an aggregator has it.
func (w *world) entry(role dap.Role) tasks.Entry {
	e := tasks.Entry{
		ID: w.task.ID(), Variant: dap.Janus().String(), Config: w.task.Bytes(), Role: role,
		VerifyKeys: map[dap.VerificationKeyID]vdaf.VerifyKey{0: vdaf.VerifyKey(w.file.VerifyKey)}, Collector: w.collector.Config(), Leeway: time.Minute,
	}
	if role == dap.Leader {
		e.Outbound, e.CollectorTokens = w.token, []auth.Hash{w.token.Hash()}
	} else {
		e.Inbound = []auth.Hash{w.token.Hash()}
	}
	return e
}

// registry returns a registry with the HPKE key of a text and the task. It writes the key
// in the form in which registries store theirs.
func (w *world) registry(role dap.Role, key string) *tasks.Registry {
	w.t.Helper()
	store := taskstest.NewModel()
	plain, err := json.Marshal([]map[string]any{{"key": key, "created": w.file.Recorded.Add(-24 * time.Hour)}})
	w.must(err)
	const name = "hpke keys"
	_, err = store.PutSecret(w.t.Context(), name, 0, w.keys.Seal(plain, "dap aggregator secret", []byte(name)))
	w.must(err)
	r, err := tasks.Open(w.t.Context(), store, tasks.Config{Role: role, Keys: w.keys, Clock: w.clock, Rand: w.rand})
	w.must(err)
	w.must(r.Add(w.t.Context(), w.entry(role)))
	return r
}

func (w *world) ledgers(store ledger.Store) *ledger.Ledgers {
	w.t.Helper()
	b, err := ledger.New(store, ledger.Config{Keys: w.keys, Clock: w.clock, Rand: w.rand})
	w.must(err)
	return b
}

func (w *world) startHelper() {
	w.t.Helper()
	store := helpertest.NewModel()
	var err error
	w.helper, err = helper.New(helper.Config{
		Store: store, Registry: w.registry(dap.Helper, w.file.HelperKey), Ledgers: w.ledgers(store), Clock: w.clock, Rand: w.rand,
		Async: w.file.Pairing.Async, Report: func(err error) { w.t.Error(err) },
	})
	w.must(err)
}

func (w *world) startLeader() {
	w.t.Helper()
	store := leadertest.NewModel()
	var wire http.RoundTripper = handlerTripper{w}
	if w.helper == nil {
		w.script = newScript(w.t, w.file, "leader", "helper")
		w.rand.batch = w.batch()
		wire = w.script
	}
	var err error
	w.leader, err = leader.New(w.t.Context(), leader.Config{
		Store: store, Ledgers: w.ledgers(store), Registry: w.registry(dap.Leader, w.file.LeaderKey), FS: durable.Mem(), Dir: "leader",
		Clock: w.clock, Rand: w.rand, Client: &http.Client{Transport: wire}, Workers: 1, Failed: func(err error) { w.t.Error(err) },
	})
	w.must(err)
	w.t.Cleanup(func() { _ = w.leader.Close() })
}

// batch returns the ID of the batch that our leader has selected, nil in the
// time-interval mode.
func (w *world) batch() []byte {
	w.t.Helper()
	for _, e := range w.file.Exchanges {
		if e.To != "helper" || e.Method != http.MethodPut || !strings.Contains(e.Path, "aggregate_shares") {
			continue
		}
		var req dap.AggregateShareReq
		w.must(w.task.Codec().Decode(&req, e.Body))
		if id, err := req.Selector.BatchID(); err == nil {
			return id[:]
		}
	}
	return nil
}

// do sends a request of the record to one of our roles.
func (w *world) do(h http.Handler, e *golden.Exchange) *httptest.ResponseRecorder {
	r := httptest.NewRequest(e.Method, "/"+e.Path, bytes.NewReader(e.Body))
	if e.Type != "" {
		r.Header.Set("Content-Type", e.Type)
	}
	w.token.SetDAP(r.Header)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

// handlerTripper carries requests to our helper.
type handlerTripper struct{ w *world }

func (h handlerTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if u := strings.TrimSuffix(h.w.task.Config().Helper, "/"); strings.HasPrefix(r.URL.String(), u) {
		r.URL.Path = strings.TrimPrefix(r.URL.String(), u)
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(r.URL.Path, "?")
	}
	rec := httptest.NewRecorder()
	h.w.helper.Handler().ServeHTTP(rec, r)
	return rec.Result(), nil
}

// A script is a foreign server: it answers what the record has, and holds requests
// against those of the record.
type script struct {
	t    *testing.T
	all  []golden.Exchange
	used []bool
	misc map[string]golden.Exchange // by path, in place of a record
	free bool                       // bodies differ from run to run
}

func newScript(t *testing.T, f *golden.File, from, to string) *script {
	s := &script{t: t, misc: map[string]golden.Exchange{}}
	for _, e := range f.Exchanges {
		if e.From == from && e.To == to {
			s.all = append(s.all, e)
		}
	}
	s.used = make([]bool, len(s.all))
	return s
}

// kind is the resource that a path is about, without IDs.
func kind(path string) string {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, p := range parts {
		if p == "tasks" && i+2 < len(parts) {
			return parts[i+2]
		}
	}
	return parts[len(parts)-1]
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	if e, ok := s.misc[kind(r.URL.Path)]; ok {
		return response(&e), nil
	}
	last := -1
	for i := range s.all {
		e := &s.all[i]
		if e.Method != r.Method || kind(e.Path) != kind(r.URL.Path) {
			continue
		}
		last = i
		if !s.used[i] {
			break
		}
	}
	if last < 0 {
		s.t.Errorf("%s %s: no such request is in the record", r.Method, r.URL.Path)
		return &http.Response{StatusCode: 500, Header: http.Header{}, Body: http.NoBody}, nil
	}
	s.used[last] = true
	e := &s.all[last]
	if r.Header.Get("Content-Type") != e.Type {
		s.t.Errorf("%s %s: media type %q, in the record %q", r.Method, e.Path, r.Header.Get("Content-Type"), e.Type)
	}
	if !s.free && !bytes.Equal(body, e.Body) {
		s.t.Errorf("%s %s: a body of %d bytes that differs from the %d bytes that the peer took", r.Method, e.Path, len(body), len(e.Body))
	}
	if s.free && len(body) != len(e.Body) {
		s.t.Errorf("%s %s: a body of %d bytes, the peer took one of %d", r.Method, e.Path, len(body), len(e.Body))
	}
	return response(e), nil
}

// response is the answer of the record.
func response(e *golden.Exchange) *http.Response {
	h := http.Header{}
	for name, value := range map[string]string{"Content-Type": e.AnswerType, "Retry-After": e.RetryAfter, "Location": e.Location} {
		if value != "" {
			h.Set(name, value)
		}
	}
	return &http.Response{StatusCode: e.Status, Header: h, Body: io.NopCloser(bytes.NewReader(e.Answer)), ContentLength: int64(len(e.Answer))}
}

// files are the records.
func files(t *testing.T) map[string]*golden.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", "janus", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*golden.File{}
	for _, name := range names {
		f, err := golden.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(name), ".json")] = f
	}
	return all
}
