package sdktest_test

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
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/metric/task"
)

// midnight is the moment of [sdktest.Midnight].
var midnight = sdktest.Midnight()

const day = sdktest.Day

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
	return sdktest.CrowdTask(metric, h.owner.identity.Public(),
		task.Party{Role: task.Shuffler, URL: h.URL, Identity: h.shuffler.identity.Public()},
		task.Party{Role: task.Analyzer, URL: "https://analyzer.example", Identity: h.analyzer.identity.Public()},
	)
}

func (h *firstHop) bundle(t testing.TB, tasks ...*task.Task) []byte {
	t.Helper()
	return sdktest.Bundle(t, h.owner.identity, tasks...)
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
