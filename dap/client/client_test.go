package client_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

var start = time.Date(2026, 12, 1, 10, 30, 0, 0, time.UTC)

// A world is a leader and a helper in one server, that open and verify what they
// get as real ones do.
type world struct {
	t        *testing.T
	task     *dap.Task
	clock    *clock.Virtual
	server   *httptest.Server
	identity map[dap.Role]task.IdentityKey

	mu      sync.Mutex
	keys    map[dap.Role]*dapkey.PrivateKey
	life    string // Cache-Control of keys
	unsign  bool
	fetched int
	bodies  [][]byte
	before  func(w http.ResponseWriter) bool // answers in the leader's place if it returns true
	outcome map[dap.ReportID]int             // how often a report was accepted
	sum     []*vdaf.AggregateShare
}

func newWorld(t *testing.T, v *dap.Variant, in vdaf.Instance) *world {
	t.Helper()
	w := &world{
		t: t, clock: clock.NewVirtual(start), keys: map[dap.Role]*dapkey.PrivateKey{}, identity: map[dap.Role]task.IdentityKey{},
		outcome: map[dap.ReportID]int{}, sum: []*vdaf.AggregateShare{in.NewAggregateShare(), in.NewAggregateShare()},
	}
	w.server = httptest.NewServer(w)
	t.Cleanup(w.server.Close)
	c := dap.TaskConfiguration{
		TaskInfo: []byte("foreign"), Leader: w.server.URL + "/leader", Helper: w.server.URL + "/helper/",
		TimePrecision: 3600, MinBatchSize: 10, BatchMode: dap.TimeIntervalMode,
	}
	if err := c.SetVDAF(in); err != nil {
		t.Fatal(err)
	}
	b, err := dap.NewCodec(v).Encode(&c)
	if err != nil {
		t.Fatal(err)
	}
	if w.task, err = dap.NewTask(v, dap.TaskprovID(b), b); err != nil {
		t.Fatal(err)
	}
	for _, role := range []dap.Role{dap.Leader, dap.Helper} {
		if w.identity[role], err = task.GenerateIdentityKey(rand.Reader); err != nil {
			t.Fatal(err)
		}
		w.newKey(role, dap.HpkeConfigID(role))
	}
	return w
}

func (w *world) newKey(role dap.Role, id dap.HpkeConfigID) {
	k, err := dapkey.Generate(id, hpke.X25519, rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys[role] = k
}

func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range r.Header {
		if name != "Content-Type" && name != "Content-Length" && name != "Connection" && name != "Accept-Encoding" {
			w.t.Errorf("a request carries the header %s", name)
		}
	}
	switch r.URL.Path {
	case "/leader/hpke_config":
		w.serveKeys(rw, dap.Leader)
	case "/helper/hpke_config":
		w.serveKeys(rw, dap.Helper)
	case "/leader/tasks/" + w.task.ID().String() + "/reports":
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.t.Error(err)
		}
		w.bodies = append(w.bodies, body)
		if w.before != nil && w.before(rw) {
			return
		}
		if r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/ppm-dap;message=upload-req" {
			w.t.Errorf("%s %s", r.Method, r.Header.Get("Content-Type"))
		}
		w.take(rw, body)
	default:
		http.NotFound(rw, r)
	}
}

func (w *world) serveKeys(rw http.ResponseWriter, role dap.Role) {
	w.fetched++
	list := dap.HpkeConfigList{w.keys[role].Config()}
	b, err := w.task.Codec().Encode(&list)
	if err != nil {
		w.t.Error(err)
	}
	rw.Header().Set("Content-Type", dap.TypeHpkeConfigList.MediaType())
	if w.life != "" {
		rw.Header().Set("Cache-Control", w.life)
	}
	if !w.unsign {
		rw.Header().Set(dap.KeySignatureHeader, dap.SignConfigs(w.identity[role], role, b, w.clock.Now().Add(48*time.Hour)))
	}
	_, _ = rw.Write(b)
}

// take opens, verifies and adds up the reports of a body.
func (w *world) take(rw http.ResponseWriter, body []byte) {
	var m dap.UploadRequest
	if err := w.task.Codec().Decode(&m, body); err != nil {
		w.t.Error(err)
	}
	var refused dap.UploadErrors
	for i := range m.Reports {
		r := &m.Reports[i]
		if r.LeaderShare.ConfigID != w.keys[dap.Leader].Config().ID {
			refused.Status = append(refused.Status, dap.ReportUploadStatus{ID: r.Metadata.ID, Error: w.task.Variant().UploadConfigError()})
			continue
		}
		w.verify(r)
	}
	if len(refused.Status) == 0 {
		return
	}
	b, err := w.task.Codec().Encode(&refused)
	if err != nil {
		w.t.Error(err)
	}
	rw.Header().Set("Content-Type", dap.TypeUploadErrors.MediaType())
	_, _ = rw.Write(b)
}

func (w *world) verify(r *dap.Report) {
	w.outcome[r.Metadata.ID]++
	open := func(role dap.Role, sealed dap.HpkeCiphertext) *vdaf.Report {
		share, err := w.task.OpenInputShare(w.keys[role], role, &dap.ReportShare{Metadata: r.Metadata, PublicShare: r.PublicShare, InputShare: sealed})
		if err != nil {
			w.t.Errorf("the %v cannot open its share: %v", role, err)
			return nil
		}
		return &vdaf.Report{Nonce: vdaf.Nonce(r.Metadata.ID), PublicShare: r.PublicShare, InputShare: share.Payload}
	}
	a, b := open(dap.Leader, r.LeaderShare), open(dap.Helper, r.HelperShare)
	if a == nil || b == nil {
		return
	}
	leader, _ := w.task.Instance().NewVerifier(&vdaf.VerifyKey{}, w.task.Context(), 0)
	helper, _ := w.task.Instance().NewVerifier(&vdaf.VerifyKey{}, w.task.Context(), 1)
	state, toHelper, err := leader.LeaderInit(a)
	if err != nil {
		w.t.Error(err)
		return
	}
	helperOut, toLeader, err := helper.HelperInit(b, toHelper)
	if err != nil {
		w.t.Error(err)
		return
	}
	leaderOut, err := leader.LeaderFinish(state, toLeader)
	if err := errors.Join(err, w.sum[0].Add(leaderOut), w.sum[1].Add(helperOut)); err != nil {
		w.t.Error(err)
	}
}

func (w *world) result() []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	out, err := w.task.Instance().UnshardSigned([][]byte{w.sum[0].Bytes(), w.sum[1].Bytes()})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) options() client.Options {
	return client.Options{Leader: w.identity[dap.Leader].Public(), Helper: w.identity[dap.Helper].Public(), Clock: w.clock}
}

func histogram(t testing.TB) *vdaf.Prio3[int, []uint64] {
	t.Helper()
	h, err := vdaf.Histogram(4, 0)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func variants() []*dap.Variant { return []*dap.Variant{dap.DAP18(), dap.DAP19(), dap.Janus()} }

func TestUpload(t *testing.T) {
	h := histogram(t)
	for _, v := range variants() {
		w := newWorld(t, v, h)
		c := client.New(w.task, w.options())
		for _, x := range []int{3, 0, 3} {
			if err := c.Upload(t.Context(), client.Of(h, x), w.clock.Now()); err != nil {
				t.Fatal(err)
			}
		}
		var many []*dap.Report
		for range 2 {
			r, err := c.Report(t.Context(), client.Of(h, 1), w.clock.Now())
			if err != nil {
				t.Fatal(err)
			}
			if want := dap.Time(start.Unix() / 3600); r.Metadata.Time != want {
				t.Errorf("time %d, want %d", r.Metadata.Time, want)
			}
			many = append(many, r)
		}
		if rejected, err := c.UploadReports(t.Context(), many...); err != nil || len(rejected) > 0 {
			t.Fatalf("%v, %v", rejected, err)
		}
		if got := fmt.Sprint(w.result()); got != "[1 2 0 2]" {
			t.Errorf("%v: result %s", v, got)
		}
		// «Upload Request»: IDs are random and never repeated. «Client Behavior»: so is
		// the randomness of the shares, even for equal measurements.
		if len(w.outcome) != 5 || w.outcome[dap.ReportID{}] > 0 {
			t.Errorf("%v: the IDs of five reports are %v", v, w.outcome)
		}
		for i, a := range w.bodies[:3] {
			for _, b := range w.bodies[:i] {
				if same := commonBytes(a[24:], b[24:]); same > len(a)/8 {
					t.Errorf("%v: two reports have %d of %d bytes in common", v, same, len(a))
				}
			}
		}
		if w.fetched != 2 {
			t.Errorf("%v: keys were fetched %d times, want once from each aggregator", v, w.fetched)
		}
		if got := len(w.bodies[0]); got != client.Size(w.task) {
			t.Errorf("%v: a report has %d bytes, foretold are %d", v, got, client.Size(w.task))
		}
	}
}

// commonBytes counts the places at which a and b agree.
func commonBytes(a, b []byte) int {
	n := 0
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			n++
		}
	}
	return n
}

// «HPKE Configuration Request»: the client aborts, and sends nothing, if it gets
// no list that it understands and can use.
func TestBadKeyLists(t *testing.T) {
	h := histogram(t)
	w := newWorld(t, dap.DAP18(), h)
	encode := func(list dap.HpkeConfigList) []byte {
		b, err := w.task.Codec().Encode(&list)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	unknown := w.keys[dap.Leader].Config()
	unknown.KEM = 0x7777
	kind := dap.TypeHpkeConfigList.MediaType()
	for name, tt := range map[string]struct {
		status int
		kind   string
		body   []byte
	}{
		"failed":            {500, kind, nil},
		"redirected":        {301, kind, nil},
		"another type":      {200, "text/html", encode(dap.HpkeConfigList{w.keys[dap.Leader].Config()})},
		"another message":   {200, dap.TypeUploadErrors.MediaType(), encode(dap.HpkeConfigList{w.keys[dap.Leader].Config()})},
		"empty":             {200, kind, nil},
		"malformed":         {200, kind, []byte{0, 1, 2}},
		"a suite not known": {200, kind, encode(dap.HpkeConfigList{unknown})},
		"too long":          {200, kind, make([]byte, 1<<18)},
	} {
		rt := roundTrip(func() *http.Response {
			return &http.Response{StatusCode: tt.status, Header: http.Header{"Content-Type": {tt.kind}, "Location": {"/elsewhere"}}, Body: io.NopCloser(bytes.NewReader(tt.body))}
		})
		c := client.New(w.task, client.Options{Transport: rt, Clock: w.clock})
		if err := c.Upload(t.Context(), client.Of(h, 1), w.clock.Now()); err == nil || !strings.Contains(err.Error(), "keys of the leader") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Of several the first that is known is taken.
	list := encode(dap.HpkeConfigList{unknown, w.keys[dap.Helper].Config()})
	rt := roundTrip(func() *http.Response {
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(bytes.NewReader(list))}
	})
	keys, err := client.New(w.task, client.Options{Transport: rt, Clock: w.clock}).Keys(t.Context())
	if err != nil || keys.Leader.ID != w.keys[dap.Helper].Config().ID {
		t.Errorf("%+v, %v", keys, err)
	}
}

// The signal that keys are outdated makes the client fetch them and try again,
// once, with the same report ID.
func TestOutdatedKeys(t *testing.T) {
	h := histogram(t)
	for _, v := range variants() {
		w := newWorld(t, v, h)
		c := client.New(w.task, w.options())
		if _, err := c.Keys(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.newKey(dap.Leader, 77)
		if err := c.Upload(t.Context(), client.Of(h, 2), w.clock.Now()); err != nil {
			t.Fatalf("%v: %v", v, err)
		}
		if got := fmt.Sprint(w.result()); got != "[0 0 1 0]" || len(w.bodies) != 2 || w.fetched != 4 {
			t.Errorf("%v: result %s after %d requests and %d fetches", v, got, len(w.bodies), w.fetched)
		}
		if !bytes.Equal(w.bodies[0][:16], w.bodies[1][:16]) {
			t.Errorf("%v: the second try has another report ID: both could count", v)
		}
		// A leader that never knows its own keys is given up.
		w.before = func(rw http.ResponseWriter) bool {
			k, err := dapkey.Generate(w.keys[dap.Leader].Config().ID+1, hpke.X25519, rand.Reader)
			if err != nil {
				t.Error(err)
			}
			w.keys[dap.Leader] = k
			return false
		}
		err := c.Upload(t.Context(), client.Of(h, 2), w.clock.Now())
		if r, ok := errors.AsType[*client.Rejected](err); !ok || r.Cause != v.UploadConfigError() || len(w.bodies) != 4 {
			t.Errorf("%v: %v after %d requests", v, err, len(w.bodies))
		}
	}
}

func TestRetriesAreByteEqual(t *testing.T) {
	h := histogram(t)
	w := newWorld(t, dap.DAP18(), h)
	c := client.New(w.task, w.options())
	n := 0
	w.before = func(rw http.ResponseWriter) bool {
		n++
		switch n {
		case 1: // taken, but the answer is lost
			w.take(httptest.NewRecorder(), w.bodies[0])
			http.Error(rw, "gone", http.StatusBadGateway)
			return true
		case 2:
			rw.Header().Set("Retry-After", "7")
			http.Error(rw, "busy", http.StatusTooManyRequests)
			return true
		}
		return true // accepted again: nothing to check
	}
	done := make(chan error, 1)
	go func() { done <- c.Upload(t.Context(), client.Of(h, 2), w.clock.Now()) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			if n != 3 || !bytes.Equal(w.bodies[0], w.bodies[1]) || !bytes.Equal(w.bodies[1], w.bodies[2]) {
				t.Errorf("%d requests, equal: %v", n, bytes.Equal(w.bodies[0], w.bodies[1]))
			}
			if waited := w.clock.Now().Sub(start); waited < 8*time.Second {
				t.Errorf("three attempts within %v, although the leader asked for 7 s", waited)
			}
			return
		case <-time.After(time.Millisecond):
			w.clock.Advance(time.Second / 2)
		}
	}
}

func TestAnswers(t *testing.T) {
	h := histogram(t)
	w := newWorld(t, dap.DAP18(), h)
	o := w.options()
	o.Attempts = 1
	c := client.New(w.task, o)
	for _, tt := range []struct {
		status    int
		kind      string
		body      string
		temporary bool
		problem   dap.ProblemType
	}{
		{404, "application/problem+json", `{"type":"urn:ietf:params:ppm:dap:error:unrecognizedTask","detail":"no"}`, false, dap.ProblemUnrecognizedTask},
		{400, "application/problem+json", `{"type":"urn:ietf:params:ppm:dap:error:invalidMessage"}`, false, dap.ProblemInvalidMessage},
		{404, "text/html", "<h1>a captive portal</h1>", true, ""},
		{400, "application/problem+json", `{"type":"urn:other"}`, true, ""},
		{429, "application/problem+json", `{"type":"urn:ietf:params:ppm:dap:error:invalidMessage"}`, true, dap.ProblemInvalidMessage},
		{503, "", "", true, ""},
		{302, "", "", true, ""},
	} {
		w.before = func(rw http.ResponseWriter) bool {
			rw.Header().Set("Content-Type", tt.kind)
			rw.Header().Set("Location", w.server.URL+"/leader/hpke_config")
			rw.WriteHeader(tt.status)
			_, _ = io.WriteString(rw, tt.body)
			return true
		}
		err := c.Upload(t.Context(), client.Of(h, 2), w.clock.Now())
		a, ok := errors.AsType[*client.Answer](err)
		if !ok || a.Status != tt.status || a.Temporary() != tt.temporary || a.Problem != tt.problem {
			t.Errorf("%d %s: %v", tt.status, tt.body, err)
		}
	}
	for _, tt := range []struct{ kind, body string }{
		{"text/html", "<h1>welcome</h1>"},
		{dap.TypeUploadErrors.MediaType(), "short"},
	} {
		w.before = func(rw http.ResponseWriter) bool {
			rw.Header().Set("Content-Type", tt.kind)
			_, _ = io.WriteString(rw, tt.body)
			return true
		}
		if err := c.Upload(t.Context(), client.Of(h, 2), w.clock.Now()); err == nil {
			t.Errorf("%s is taken for success", tt.body)
		}
	}
}

func TestKeysAreCached(t *testing.T) {
	for _, tt := range []struct {
		header string
		life   time.Duration
	}{
		{"", time.Hour},
		{"max-age=600", 10 * time.Minute},
		{"public, max-age=120, x=y", 2 * time.Minute},
		{"max-age=999999", 24 * time.Hour},
		{"no-store", 0},
		{"max-age=600, no-cache", 0},
		{"max-age=soon", time.Hour},
	} {
		w := newWorld(t, dap.DAP18(), histogram(t))
		w.life = tt.header
		c := client.New(w.task, w.options())
		get := func() {
			t.Helper()
			if _, err := c.Keys(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		get()
		if tt.life > 0 {
			w.clock.Advance(tt.life - time.Second)
			get()
			if w.fetched != 2 {
				t.Errorf("%q: fetched again before its time", tt.header)
			}
			w.clock.Advance(time.Second)
		}
		get()
		if w.fetched != 4 {
			t.Errorf("%q: %d fetches, want 4", tt.header, w.fetched)
		}
	}
}

// Threat: an attacker between client and aggregator offers keys of its own.
func TestKeysMustBeSigned(t *testing.T) {
	h := histogram(t)
	w := newWorld(t, dap.DAP18(), h)
	good := w.identity[dap.Leader]
	try := func(name string, want bool) {
		t.Helper()
		_, err := client.New(w.task, w.options()).Keys(t.Context())
		if (err == nil) != want || err != nil && !errors.Is(err, dap.ErrKeySignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
	try("signed", true)
	w.unsign = true
	try("not signed", false)
	if _, err := client.New(w.task, client.Options{Clock: w.clock}).Keys(t.Context()); err != nil {
		t.Errorf("no identity asked for: %v", err)
	}
	w.unsign = false
	o := w.options()
	w.identity[dap.Leader] = w.identity[dap.Helper]
	_, err := client.New(w.task, o).Keys(t.Context())
	if !errors.Is(err, dap.ErrKeySignature) {
		t.Errorf("signed by another: %v", err)
	}
	list := []byte("list")
	header := dap.SignConfigs(good, dap.Leader, list, start)
	if _, err := dap.CheckConfigs(good.Public(), dap.Leader, list, header, start); err != nil {
		t.Error(err)
	}
	for name, f := range map[string]func() (time.Time, error){
		"as the helper's": func() (time.Time, error) { return dap.CheckConfigs(good.Public(), dap.Helper, list, header, start) },
		"another list": func() (time.Time, error) {
			return dap.CheckConfigs(good.Public(), dap.Leader, []byte("lisT"), header, start)
		},
		"too old": func() (time.Time, error) {
			return dap.CheckConfigs(good.Public(), dap.Leader, list, header, start.Add(2*time.Second))
		},
		"longer life": func() (time.Time, error) {
			return dap.CheckConfigs(good.Public(), dap.Leader, list, "9"+header, start)
		},
		"no dot": func() (time.Time, error) { return dap.CheckConfigs(good.Public(), dap.Leader, list, "123", start) },
	} {
		if _, err := f(); !errors.Is(err, dap.ErrKeySignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRefusedBeforeTheNetwork(t *testing.T) {
	h := histogram(t)
	w := newWorld(t, dap.DAP18(), h)
	c := client.New(w.task, w.options())
	other, err := vdaf.Sum(1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Upload(t.Context(), client.Of(other, 5), w.clock.Now()); err == nil || !strings.Contains(err.Error(), "not one of") {
		t.Errorf("a measurement of another VDAF: %v", err)
	}
	if err := c.Upload(t.Context(), client.Of(h, 4), w.clock.Now()); err == nil {
		t.Error("a measurement out of range is sent")
	}
	config := *w.task.Config()
	config.Leader = "http://leader.example/"
	b, err := dap.NewCodec(dap.DAP18()).Encode(&config)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := dap.NewTask(dap.DAP18(), dap.TaskprovID(b), b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.New(plain, w.options()).Keys(t.Context()); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Errorf("HTTP in the open: %v", err)
	}
	if len(w.bodies) > 0 {
		t.Error("something was sent")
	}
	if text := fmt.Sprintf("%+v %v", client.Of(h, 3), client.Of(h, 3)); strings.Contains(text, "3") {
		t.Errorf("a measurement prints as %s", text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Upload(ctx, client.Of(h, 1), w.clock.Now()); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// roundTrip answers every request with the same bytes.
type roundTrip func() *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := f()
	resp.Request = r
	return resp, nil
}

// Whatever a server answers, a client neither crashes nor takes it for keys or
// for success.
func FuzzAnswers(f *testing.F) {
	f.Add(200, "application/ppm-dap;message=hpke-config-list", "max-age=3", []byte{0, 0})
	f.Add(201, "application/ppm-dap;message=upload-errors", "", append(make([]byte, 16), 11))
	f.Add(400, "application/problem+json", "no-store", []byte(`{"type":"urn:ietf:params:ppm:dap:error:invalidMessage"}`))
	h, err := vdaf.Histogram(4, 0)
	if err != nil {
		f.Fatal(err)
	}
	c := dap.TaskConfiguration{TaskInfo: []byte("x"), Leader: "https://a.example", Helper: "https://b.example", TimePrecision: 1, MinBatchSize: 1, BatchMode: dap.TimeIntervalMode}
	if err := c.SetVDAF(h); err != nil {
		f.Fatal(err)
	}
	b, err := dap.NewCodec(dap.DAP18()).Encode(&c)
	if err != nil {
		f.Fatal(err)
	}
	made, err := dap.NewTask(dap.DAP18(), dap.TaskprovID(b), b)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, kind, control string, body []byte) {
		rt := roundTrip(func() *http.Response {
			header := http.Header{"Content-Type": {kind}, "Cache-Control": {control}}
			return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(body))}
		})
		up := client.New(made, client.Options{Transport: rt, Clock: clock.NewVirtual(start), Attempts: 1})
		if keys, err := up.Keys(t.Context()); err == nil {
			if err := keys.Leader.Validate(); err != nil {
				t.Error(err)
			}
		}
		rejected, err := up.Post(t.Context(), nil)
		if err == nil && len(body) > 0 && len(rejected) == 0 {
			t.Errorf("%d with %q is taken for success", status, body)
		}
	})
}
