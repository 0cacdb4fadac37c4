package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bridge"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/testsite"
)

// A script is what both engines play.
type script struct {
	Options string   `json:"options"`
	Ops     []op     `json:"ops"`
	Answers []answer `json:"answers"` // of the network, in the order in which they are asked
}

type op struct {
	Op     string   `json:"op"`
	Text   string   `json:"text,omitempty"`
	URL    string   `json:"url,omitempty"`
	Robots []string `json:"robots,omitempty"`
	Body   []byte   `json:"body,omitempty"`
}

type answer struct {
	URL         string   `json:"url"`
	Failed      bool     `json:"failed,omitempty"`
	Status      int      `json:"status"`
	Address     string   `json:"address"`
	ContentType string   `json:"content_type"`
	Robots      []string `json:"robots"`
	Body        []byte   `json:"body"`
}

// TestNode plays what two people did on the test site in Node, on the module
// that JavaScript gets, and holds the output equal, byte for byte, to that of
// the engine compiled for this machine.
func TestNode(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("Node.js is missing, and continuous integration must not do without")
		}
		t.Skip("Node.js was not found in PATH: the WebAssembly module was built by nobody and run by nobody")
	}
	if testing.Short() {
		t.Skip("compiles the engine for WebAssembly")
	}
	s := play(t)
	want := native(t, s)
	dir := t.TempDir()
	module := filepath.Join(dir, "discovery.wasm")
	build(t, module)
	measure(t, module)
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "script.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	run := exec.CommandContext(t.Context(), node, filepath.Join("testdata", "run.cjs"), support(t), module, filepath.Join(dir, "script.json"))
	var stderr bytes.Buffer
	run.Stderr = &stderr
	got, err := run.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s%s", err, tail(got), &stderr)
	}
	if !bytes.Equal(got, want) {
		g, w := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				t.Fatalf("line %d of %d:\nin Node %s\nhere    %s", i+1, len(w), g[i], w[i])
			}
		}
		t.Fatalf("%d lines in Node, %d here", len(g), len(w))
	}
	told := bytes.Count(want, []byte("\nemit "))
	if told < 10 || !bytes.Contains(want, []byte("\nerror ")) || !bytes.Contains(want, []byte(`"outcome":"withheld"`)) {
		t.Errorf("the script shows too little: %d messages in %d bytes", told, len(want))
	}
	t.Logf("%d events, %d fetches, %d messages, %d bytes of output", len(s.Ops), len(s.Answers), told, len(want))
}

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }

// support finds the wasm_exec.js of the Go release.
func support(t *testing.T) string {
	t.Helper()
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js")
}

func build(t *testing.T, output string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", output, ".")
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building for WebAssembly: %v\n%s", err, out)
	}
}

// largest is how large the module may be when it is compressed by package gzip, in
// bytes: 2.5 MB by gzip -9, which makes it 0.94 % smaller.
const largest = 2_500_000 * 10094 / 10000

// measure holds the module to its size, as gzip -9 makes it.
func measure(t *testing.T, module string) {
	t.Helper()
	b, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(b)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	t.Logf("the module has %d bytes, %d with gzip -9", len(b), packed.Len())
	if packed.Len() > largest {
		t.Errorf("the module has %d bytes compressed, want at most %d", packed.Len(), largest)
	}
}

// play writes the script: it lets the people browse on an engine here and keeps
// what the network answered.
func play(t *testing.T) *script {
	t.Helper()
	site := testsite.New(testsite.Options{Seed: 9, People: 40, Scale: 0.1})
	start := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	signed, err := bundle.Embedded(bundle.TestSite)
	if err != nil {
		t.Fatal(err)
	}
	options, err := json.Marshal(bridge.Options{
		Now: start, Bundle: signed, Trust: []string{"ed25519:" + rawURL(bundle.DevelopmentKey())}, StoreKey: bytes.Repeat([]byte{7}, 32),
		Country: "DE", Countries: map[string]uint64{"DE": 80_000_000}, Titles: true, Referrers: true, Results: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &script{Options: string(options)}
	event := func(e lifecycle.Event) error {
		line, err := e.MarshalLine()
		s.Ops = append(s.Ops, op{Op: "event", Text: string(line)})
		return err
	}
	last := start
	for _, person := range []int{3, 11} {
		walk := site.Population().Walk(person, 25, last)
		if err := site.Events(walk, event); err != nil {
			t.Fatal(err)
		}
		for _, v := range walk[:5] {
			r := site.Show(v)
			s.Ops = append(s.Ops, op{Op: "sign", URL: v.URL, Robots: []string{r.Robots}, Body: r.Body}, op{Op: "judge", URL: v.URL})
		}
		last = walk[len(walk)-1].Until
		for range 60 {
			last = last.Add(time.Minute)
			if err := event(lifecycle.Event{At: last, Kind: lifecycle.Tick}); err != nil {
				t.Fatal(err)
			}
		}
		s.Ops = append(s.Ops, op{Op: "stats"}, op{Op: "restart"}, op{Op: "event", Text: `{"event":"no such event"}`})
		for range 150 {
			last = last.Add(time.Minute)
			if err := event(lifecycle.Event{At: last, Kind: lifecycle.Tick}); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Ops = append(s.Ops, op{Op: "stats"})
	if err := event(lifecycle.Event{At: last, Kind: lifecycle.Cleared}); err != nil {
		t.Fatal(err)
	}
	runScript(t, s, &recorder{direct: site.Direct(3), script: s})
	return s
}

func rawURL(b []byte) string {
	text, _ := json.Marshal(b) // base64
	return strings.TrimRight(strings.NewReplacer("+", "-", "/", "_", `"`, "").Replace(string(text)), "=")
}

// native plays the script here and returns the lines that Node must print too.
func native(t *testing.T, s *script) []byte {
	t.Helper()
	return runScript(t, s, &replayer{script: s})
}

// A network answers as bridge.Host asks.
type network interface {
	Fetch(ctx context.Context, url string) (bridge.Answer, error)
}

// A recorder asks the test site and writes the answers into the script.
type recorder struct {
	direct discovery.Fetcher
	script *script
}

func (r *recorder) Fetch(ctx context.Context, url string) (bridge.Answer, error) {
	u, err := discovery.ParseURL(url)
	if err != nil {
		return bridge.Answer{}, err
	}
	a := answer{URL: url, Status: 200, Address: "93.184.216.34", ContentType: "text/html; charset=utf-8"}
	response, err := r.direct.Fetch(ctx, u)
	switch {
	case errors.Is(err, discovery.ErrPrivate):
		a.Status = 404
	case err != nil:
		a.Failed = true
	default:
		a.Body, a.Robots = response.Body, response.Robots
	}
	r.script.Answers = append(r.script.Answers, a)
	return a.bridge()
}

func (a *answer) bridge() (bridge.Answer, error) {
	if a.Failed {
		return bridge.Answer{}, errors.New("the embedder's hook failed")
	}
	return bridge.Answer{Status: a.Status, Address: a.Address, ContentType: a.ContentType, Robots: a.Robots, Body: a.Body}, nil
}

// A replayer gives the answers of the script.
type replayer struct {
	script *script
	next   int
}

func (r *replayer) Fetch(_ context.Context, url string) (bridge.Answer, error) {
	if r.next == len(r.script.Answers) || r.script.Answers[r.next].URL != url {
		return bridge.Answer{}, errors.New("a fetch that the script does not have")
	}
	r.next++
	return r.script.Answers[r.next-1].bridge()
}

// A host prints what Node prints.
type host struct {
	network

	out   bytes.Buffer
	store *counted
	bytes io.Reader
}

func (h *host) Random() io.Reader           { return h.bytes }
func (h *host) Store() lifecycle.Store      { return h.store }
func (h *host) Explain(line []byte)         { fmt.Fprintf(&h.out, "explain %s\n", line) }
func (h *host) Purge(context.Context) error { fmt.Fprintln(&h.out, "purge "); return nil }

func (h *host) Emit(line []byte) error {
	fmt.Fprintf(&h.out, "emit %s\n", line)
	return nil
}

// counted is a store that knows how much it holds.
type counted struct{ *lifecycle.MemStore }

func (c *counted) size(t *testing.T) (n int) {
	t.Helper()
	if err := c.Load(t.Context(), func(string, []byte) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// counter is SHA-256 of a counter, one block after the other.
type counter struct {
	n    uint64
	pool []byte
}

func (c *counter) Read(p []byte) (int, error) {
	for len(c.pool) < len(p) {
		block := sha256.Sum256(binary.BigEndian.AppendUint64(nil, c.n))
		c.n++
		c.pool = append(c.pool, block[:]...)
	}
	n := copy(p, c.pool)
	c.pool = c.pool[n:]
	return n, nil
}

func runScript(t *testing.T, s *script, n network) []byte {
	t.Helper()
	h := &host{network: n, store: &counted{lifecycle.NewMemStore()}, bytes: &counter{}}
	open := func() *bridge.Session {
		o, err := bridge.ParseOptions([]byte(s.Options))
		if err != nil {
			t.Fatal(err)
		}
		session, err := bridge.Open(t.Context(), o, h)
		if err != nil {
			t.Fatal(err)
		}
		return session
	}
	session := open()
	for _, o := range s.Ops {
		var text []byte
		var err error
		switch o.Op {
		case "event":
			err = session.Handle(t.Context(), []byte(o.Text))
		case "restart":
			session = open()
		case "sign":
			text, err = bridge.Sign(o.URL, o.Robots, o.Body)
		case "judge":
			text, err = session.Judge(o.URL)
		case "stats":
			text, err = session.Stats()
		}
		switch {
		case err != nil:
			fmt.Fprintf(&h.out, "error %v\n", err)
		case text != nil:
			fmt.Fprintf(&h.out, "%s %s\n", o.Op, text)
		}
	}
	fmt.Fprintf(&h.out, "records %d\n", h.store.size(t))
	return h.out.Bytes()
}
