package shoal_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// midnight begins the epoch in which the tests record.
var midnight = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// A party is a hop of the tests' task, or its owner.
type party struct {
	identity task.IdentityKey
	key      *esa.PrivateKey
}

func newParty(t testing.TB) *party {
	t.Helper()
	id, err := task.GenerateIdentityKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &party{identity: id}
	p.rotate(t)
	return p
}

// rotate gives the party a new report key.
func (p *party) rotate(t testing.TB) {
	t.Helper()
	var err error
	if p.key, err = esa.GenerateKey(esa.X25519, midnight.Add(-day), midnight.Add(30*day), rand.Reader); err != nil {
		t.Fatal(err)
	}
}

func (p *party) config(t testing.TB, role task.Role, from, to time.Time) []byte {
	t.Helper()
	b, err := task.SignKeyConfig(&task.KeyConfig{
		Role: role, Identity: p.identity.Public(), Keys: []task.Key{p.key.Public()},
		NotBefore: from.Unix(), NotAfter: to.Unix(),
	}, p.identity)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A firstHop is the server of the first shuffler. It keeps each request, with
// its headers as they came.
type firstHop struct {
	*httptest.Server
	owner, shuffler, analyzer *party

	mu       sync.Mutex
	requests []request
	answer   func(w http.ResponseWriter, r *http.Request) bool // true: answered
	configs  func() [][]byte                                   // nil: valid ones
}

type request struct {
	method, path string
	header       http.Header
	remote       string
	body         []byte
}

func newFirstHop(t testing.TB) *firstHop {
	h := &firstHop{owner: newParty(t), shuffler: newParty(t), analyzer: newParty(t)}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.serve(t, w, r) }))
	t.Cleanup(h.Close)
	return h
}

func (h *firstHop) serve(t testing.TB, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests = append(h.requests, request{r.Method, r.URL.RequestURI(), r.Header.Clone(), r.RemoteAddr, body})
	if h.answer != nil && h.answer(w, r) {
		return
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/keys"):
		list := task.KeyConfigList{
			h.shuffler.config(t, task.Shuffler, midnight.Add(-day), midnight.Add(30*day)),
			h.analyzer.config(t, task.Analyzer, midnight.Add(-day), midnight.Add(30*day)),
		}
		if h.configs != nil {
			list = h.configs()
		}
		b, err := list.Encode()
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/shoal-keys;v=1")
		w.Write(b)
	case strings.HasSuffix(r.URL.Path, "/reports"):
		w.WriteHeader(http.StatusCreated)
	}
}

// posts returns the reports that were sent.
func (h *firstHop) posts() []request {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []request
	for _, r := range h.requests {
		if r.method == http.MethodPost {
			list = append(list, r)
		}
	}
	return list
}

func (h *firstHop) gets() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, r := range h.requests {
		if r.method == http.MethodGet {
			n++
		}
	}
	return n
}

func (h *firstHop) setAnswer(f func(w http.ResponseWriter, r *http.Request) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = f
}

// task returns a sound task whose first hop this is.
func (h *firstHop) task(metric string) *task.Task {
	return &task.Task{
		Owner: h.owner.identity.Public(), OwnedBy: "Example", Metric: metric,
		Question: "Which programs use which APIs?", Consent: "Your programs.", Method: task.Crowd,
		Schema: task.Schema{
			{Name: "program", Kind: task.String, Max: 32},
			{Name: "apis", Kind: task.Set, Values: []string{"files", "network", "time"}},
		},
		Crowd:     task.CrowdRule{Kind: task.Attributes, Fields: []uint8{0}, SaltEpochs: 1},
		Threshold: task.Threshold{Kind: task.Naive, T: 10}, MinBatch: 100,
		EpochSeconds: 86400, MaxDelay: 43200, ClockSkew: 3600, PerEpoch: 100, PerCrowd: 1,
		PayloadSize: 64,
		Hops: []task.Party{
			{Role: task.Shuffler, URL: h.URL, Identity: h.shuffler.identity.Public()},
			{Role: task.Analyzer, URL: "https://analyzer.example", Identity: h.analyzer.identity.Public()},
		},
		NotBefore: midnight.Add(-day).Unix(), Expires: midnight.Add(10 * day).Unix(),
	}
}

func (h *firstHop) bundle(t testing.TB, tasks ...*task.Task) []byte {
	t.Helper()
	var b task.Bundle
	for _, tk := range tasks {
		s, err := task.Sign(tk, h.owner.identity)
		if err != nil {
			t.Fatal(err)
		}
		b.Tasks = append(b.Tasks, s)
	}
	file, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// options are those of an app with the metric api_use whose clock is at
// one o'clock.
func (h *firstHop) options(t testing.TB) (shoal.Options, *clock.Virtual) {
	t.Helper()
	c := clock.NewVirtual(midnight.Add(time.Hour))
	return shoal.Options{
		Bundle: h.bundle(t, h.task("api_use")), Owner: task.FormatPublic(h.owner.identity.Public()),
		Metrics: []string{"api_use"}, Mode: shoal.On, NoSender: true, Clock: c,
	}, c
}

func open(t testing.TB, o shoal.Options) *shoal.Client {
	t.Helper()
	c, err := shoal.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func use(program string, apis ...string) map[string]any {
	return map[string]any{"program": program, "apis": apis, "user": "alice", "host": "192.0.2.1"}
}

// drain lets the clock run to each time at which something is due, until
// nothing is before end. It returns what the passes add up to.
func drain(t testing.TB, c *shoal.Client, v *clock.Virtual, end time.Time) (sent, refused int) {
	t.Helper()
	for range 10_000 {
		pass, err := c.SendDue(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sent += pass.Sent
		refused += pass.Refused
		if pass.Next.IsZero() || pass.Next.After(end) {
			return sent, refused
		}
		v.Forward(pass.Next)
	}
	t.Fatal("sending does not come to an end")
	return 0, 0
}

// read opens a report as both hops would and returns the record as text.
func (h *firstHop) read(t testing.TB, tk *task.Task, report []byte) string {
	t.Helper()
	id, err := tk.ID()
	if err != nil {
		t.Fatal(err)
	}
	epoch := tk.EpochAt(midnight)
	for i, p := range []*party{h.shuffler, h.analyzer} {
		opener, err := esa.NewOpener(tk, id, i, p.key)
		if err != nil {
			t.Fatal(err)
		}
		layer, err := opener.Open(report, epoch)
		if err != nil {
			t.Fatalf("hop %d: %v", i, err)
		}
		report = bytes.Clone(layer.Next)
	}
	record, err := tk.Schema.Decode(report)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(record[0], " ", record[1])
}

// contextUntil returns a context that ends with stop.
func contextUntil(t *testing.T, stop <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
