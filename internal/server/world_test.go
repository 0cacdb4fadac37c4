package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// A world is a deployment of two organisations in one process: a shuffler and
// an analyzer with their own folders, keys and ports, under a virtual clock.
type world struct {
	t     *testing.T
	clock *clock.Virtual
	log   *buffer
	owner task.IdentityKey
	a, b  *org
	moved func(o *org, backup string) // before an organisation is restored; nil for nothing

	scheme string // of the organisations' URLs, "" for http

	task *task.Task
	id   task.ID
}

// An org is one organisation of a world.
type org struct {
	w        *world
	dir      string
	file     string
	address  string
	identity string
	fs       durable.FS
	client   *http.Client // nil for the default
	adjust   func(*Config)
	newData  bool // as with --new-data
	retry    bool // as with --retry-batches

	server *Server
	stop   context.CancelFunc
	done   chan error
}

// buffer is a log that may be written from many goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

const question = `version: 1
owner: Example Owner
parties:
  shufflers:
    - {url: %q, identity: %q}
  analyzer: {url: %q, identity: %q}
metrics:
  fruit:
    question: Which fruit do people like?
    consent: Your favourite fruit.
    record:
      name: {type: string, max: 16}
      ripe: {type: bool, flip: 0.1}
    crowd: [name]
    privacy: {threshold: 10, drop: 12, sigma: 2}
    min_batch: 100
    epoch: 1h
    max_delay: 10m
    per_epoch: 1
    expires: 2027-06-01
`

// newWorld founds two organisations and gives both the signed question.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: clock.NewVirtual(noon), log: &buffer{}}
	var err error
	if w.owner, err = task.GenerateIdentityKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	w.a, w.b = w.found(task.Shuffler), w.found(task.Analyzer)
	w.ask()
	return w
}

func (w *world) found(role task.Role) *org {
	w.t.Helper()
	o := &org{w: w, dir: filepath.Join(w.t.TempDir(), role.String()), fs: durable.OS()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	o.address = l.Addr().String()
	l.Close()
	o.file, o.identity, err = Init(o.dir, Organisation{
		Name: role.String(), Roles: []task.Role{role}, URL: o.url(), Owners: []string{task.FormatPublic(w.owner.Public())},
		CertFile: "later.pem", KeyFile: "later.key", // with https: adjust has the real ones
	}, w.clock.Now(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return o
}

func (o *org) url() string { return cmp.Or(o.w.scheme, "http") + "://" + o.address }

func (w *world) ask() {
	w.t.Helper()
	text := fmt.Sprintf(question, "http://"+w.a.address, w.a.identity, "http://"+w.b.address, w.b.identity)
	bundle := w.build(text)
	b, err := bundle.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	w.task, err = task.Parse(bundle.Tasks[0].Bytes)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.id, err = w.task.ID(); err != nil {
		w.t.Fatal(err)
	}
	for _, o := range []*org{w.a, w.b} {
		if err := os.WriteFile(filepath.Join(o.dir, "tasks.bundle"), b, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) build(text string) *task.Bundle {
	w.t.Helper()
	file, err := metric.Read("metrics.yaml", []byte(text), w.clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	bundle, err := file.Build(nil, w.owner, w.clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	return bundle
}

// config is the organisation's configuration with the question in it.
func (o *org) config() Config {
	o.w.t.Helper()
	c, err := Load(o.file)
	if err != nil {
		o.w.t.Fatal(err)
	}
	c.Tasks.Bundles = []string{filepath.Join(o.dir, "tasks.bundle")}
	c.Ops.Listen = "127.0.0.1:0"
	c.Console.Listen = Off
	if o.adjust != nil {
		o.adjust(&c)
	}
	return c
}

func (o *org) open() (*Server, error) {
	logger := slog.New(slog.NewTextHandler(o.w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return New(o.w.t.Context(), o.config(), Options{Clock: o.w.clock, Logger: logger, FS: o.fs, Client: o.client, Manual: true, NewData: o.newData, RetryBatches: o.retry})
}

// start opens and runs the organisation's server.
func (o *org) start() *org {
	o.w.t.Helper()
	s, err := o.open()
	if err != nil {
		o.w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	o.server, o.stop, o.done = s, stop, make(chan error, 1)
	go func() { o.done <- s.Run(ctx) }()
	o.w.t.Cleanup(func() { o.halt() })
	return o
}

// halt stops the server in order.
func (o *org) halt() {
	o.w.t.Helper()
	if o.stop == nil {
		return
	}
	o.stop()
	o.stop = nil
	http.DefaultClient.CloseIdleConnections()
	if err := <-o.done; err != nil {
		o.w.t.Errorf("stopping: %v", err)
	}
}

// kill stops the server as if its process had been killed: its data is what it was
// before it could write anything more.
func (o *org) kill() {
	o.w.t.Helper()
	data, kept := filepath.Join(o.dir, "data"), o.w.t.TempDir()
	must(o.w.t, os.CopyFS(kept, os.DirFS(data)))
	o.halt()
	must(o.w.t, os.RemoveAll(data))
	must(o.w.t, os.CopyFS(data, os.DirFS(kept)))
}

// reports makes n sealed reports of one fruit for the current epoch.
func (w *world) reports(n int, fruit string) [][]byte {
	w.t.Helper()
	enc, err := encoder.New(w.task, w.id)
	if err != nil {
		w.t.Fatal(err)
	}
	status, _, body := get(w.t, "http://"+w.a.address+"/tasks/"+w.id.String()+"/keys", "")
	if status != http.StatusOK {
		w.t.Fatalf("keys: status %d: %s", status, body)
	}
	list, err := task.ParseKeyConfigList(body)
	if err != nil {
		w.t.Fatal(err)
	}
	configs, err := list.Open(w.task, w.clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	keys, err := esa.ChooseKeys(w.task, configs, w.clock.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	var all [][]byte
	for range n {
		fragments, err := enc.Encode(map[string]any{"name": fruit, "ripe": true}, rand.Reader)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, f := range fragments {
			report, err := enc.Seal(f, w.task.EpochAt(w.clock.Now()), keys)
			if err != nil {
				w.t.Fatal(err)
			}
			all = append(all, report)
		}
	}
	return all
}

// post sends one report and returns the status.
func (w *world) post(report []byte) int {
	w.t.Helper()
	r, err := http.Post("http://"+w.a.address+"/tasks/"+w.id.String()+"/reports", "application/shoal-report;v=1", bytes.NewReader(report))
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Body.Close()
	_, _ = io.Copy(io.Discard, r.Body)
	return r.StatusCode
}

// send posts reports that must be accepted.
func (w *world) send(reports [][]byte) {
	w.t.Helper()
	for _, r := range reports {
		if status := w.post(r); status != http.StatusCreated {
			w.t.Fatalf("report: status %d", status)
		}
	}
}

// closeEpoch lets the current epoch's batch come due.
func (w *world) closeEpoch() {
	w.clock.Set(w.task.Closes(w.task.EpochAt(w.clock.Now())).Add(time.Second))
}

// tick lets both organisations work; errors are returned.
func (w *world) tick(orgs ...*org) error {
	var errs []string
	for _, o := range orgs {
		if err := o.server.Tick(w.t.Context()); err != nil {
			errs = append(errs, err.Error())
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("%s", strings.Join(errs, "\n"))
	}
	return nil
}

func get(t *testing.T, url, token string) (int, http.Header, []byte) {
	t.Helper()
	return call(t, http.MethodGet, url, token, nil)
}

func call(t *testing.T, method, url, token string, body []byte) (int, http.Header, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, r.Header, b
}
