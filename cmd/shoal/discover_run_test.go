package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/cmd/shoal/internal/parties"
	"github.com/shoal-project/shoal/cmd/shoal/internal/received"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bridge"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/message"
	"github.com/shoal-project/shoal/internal/discovery/testsite"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/reports"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/task"
)

// messagesYAML asks for both messages with every protection.
const messagesYAML = `metrics:
  page:
    question: Which pages are popular?
    consent: Your device reports public pages, in a form that nobody can read until enough others have reported the same one.
    record:
      url: {type: string, max: 1024, sensitive: true}
      dwell: {type: int, range: [0, 300], buckets: [0, 5, 15, 60, 300]}
      activity: {type: int, range: [0, 3], buckets: [0, 1, 3]}
    crowd: [url]
    encoding: quorum
    quorum: {evaluations: 1}
    privacy: {threshold: 10, drop: 12, sigma: 2}
    min_batch: 100
    epoch: 12h
    max_delay: 1h
    per_epoch: 13
    per_crowd: 1
    expires: 2027-01-01
  query:
    question: What do people search for?
    consent: Your device reports queries, in a form that nobody can read until enough others have reported the same one.
    record:
      query: {type: string, max: 256, sensitive: true}
      engine: {type: string, max: 32}
    crowd: [query, engine]
    encoding: quorum
    quorum: {evaluations: 1}
    privacy: {threshold: 10, drop: 12, sigma: 2}
    min_batch: 100
    epoch: 12h
    max_delay: 1h
    per_epoch: 7
    per_crowd: 1
    expires: 2027-01-01
`

// Of the thresholds above: 10 reports must be left after 12 and a normal draw of deviation 2
// were dropped. With certainReports a crowd is missing with the probability of 6 standard
// deviations, 1e-9; with fewer than 10 reports none can be in the table.
const (
	leastReports   = 10
	certainReports = leastReports + 12 + 6*2 + 1
)

// So that few people make crowds, the first ones browse alike: each engine sees the same
// pages, private ones included, which not even that many may report.
const (
	alike   = 46
	alikeAs = 16
)

// runStart is when people browse: the beginning of an epoch of both tasks.
func runStart() time.Time { return time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC) }

// A browsing is a whole run: organisations, and people with an engine each.
type browsing struct {
	t       *testing.T
	parties *parties.Parties
	site    *testsite.Site
	dir     string
	people  []*browser
	wasm    func(script string) []byte // runs the engine in Node; nil without Node
}

// A browser is one person.
type browser struct {
	walk    []testsite.Visit
	box     string // folder of the outbox
	code    string // invitation
	client  *reports.Sender
	next    time.Time
	emitted []message.Record
}

func newBrowsing(t *testing.T, people int) *browsing {
	t.Helper()
	b := &browsing{t: t, dir: t.TempDir(), site: testsite.New(testsite.Options{Seed: 3, People: people, Scale: 0.05})}
	var err error
	b.parties, err = parties.Start(t.Context(), parties.Config{
		Dir: filepath.Join(b.dir, "organisations"), Start: runStart().Add(-7 * time.Hour), Rand: rand.Reader,
		Shufflers: 1, Relay: true, Protected: true, Record: true,
		Questions: func(named []task.Party) (*metric.File, error) {
			text := "version: 1\nowner: Example\nparties:\n"
			for _, p := range named {
				line := fmt.Sprintf("{url: %q, identity: %q}", p.URL, task.FormatPublic(p.Identity))
				if p.Role == task.Shuffler {
					text += "  shufflers: [" + line + "]\n"
				} else {
					text += fmt.Sprintf("  %v: %s\n", p.Role, line)
				}
			}
			// As "shoal metrics check" reads what real people are asked.
			return metric.Read("metrics.yaml", []byte(text+messagesYAML), runStart())
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.parties.Close() })
	signed, err := bundle.Embedded(bundle.TestSite)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"rules.bundle": signed, "tasks.bundle": b.parties.Bundle, "nothing.jsonl": nil} {
		if err := os.WriteFile(filepath.Join(b.dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range people {
		who := i
		if i < alike {
			who = alikeAs
		}
		p := &browser{walk: b.site.Population().Walk(who, 25, runStart()), box: filepath.Join(b.dir, fmt.Sprint("box-", i))}
		if p.code, err = b.parties.Invite(); err != nil {
			t.Fatal(err)
		}
		b.people = append(b.people, p)
	}
	return b
}

// replay runs "shoal discover replay --no-dry-run" on a file of events.
func (b *browsing) replay(i int, file string) {
	b.t.Helper()
	var out bytes.Buffer
	c := discoverReplayCmd{File: file, JSON: true, Outbox: b.people[i].box, Tasks: filepath.Join(b.dir, "tasks.bundle"), Owner: b.parties.Owner, Admission: b.people[i].code}
	c.searchRules.Rules, c.Trust = filepath.Join(b.dir, "rules.bundle"), []string{task.FormatPublic(bundle.DevelopmentKey())}
	err := c.Run(&env{ctx: b.t.Context(), stdout: &out, stderr: &out, clock: b.parties.Clock, fetcher: b.site.Direct(i)})
	if err != nil {
		b.t.Fatalf("replaying person %d: %v\n%s", i, err, &out)
	}
	for line := range strings.Lines(out.String()) {
		var v struct{ Message json.RawMessage }
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			b.t.Fatalf("%q: %v", line, err)
		}
		if v.Message != nil {
			b.people[i].emit(b.t, v.Message)
		}
	}
}

func (p *browser) emit(t *testing.T, line []byte) {
	t.Helper()
	r, err := message.ParseRecord(line)
	if err != nil {
		t.Fatal(err)
	}
	p.emitted = append(p.emitted, r)
}

// open opens the outbox of a person.
func (b *browsing) open(i int) {
	b.t.Helper()
	var err error
	p := b.people[i]
	p.client, err = reports.Open(b.t.Context(), shoal.Options{
		Bundle: b.parties.Bundle, Owner: b.parties.Owner, Admission: p.code, Mode: shoal.On, Dir: p.box, NoSender: true,
		Clock: b.parties.Clock, Transport: &http.Transport{DisableKeepAlives: true},
	})
	if err != nil {
		b.t.Fatalf("opening the outbox of person %d: %v", i, err)
	}
}

// lines are the events of a person, and what follows until the engine is done.
func (b *browsing) lines(i int) (all [][]byte) {
	b.t.Helper()
	add := func(e lifecycle.Event) error {
		line, err := e.MarshalLine()
		all = append(all, bytes.TrimSpace(line))
		return err
	}
	walk := b.people[i].walk
	if err := b.site.Events(walk, add); err != nil {
		b.t.Fatal(err)
	}
	return all
}

// embed plays a person's events on the engine behind the bridge, and lets take have each
// message, as the embedder has it from Host.Emit. In Node, the engine in WebAssembly gets
// the same events and answers and must emit the same.
func (b *browsing) embed(i int, node bool, take func(line []byte) error) {
	b.t.Helper()
	signed, err := bundle.Embedded(bundle.TestSite)
	if err != nil {
		b.t.Fatal(err)
	}
	o := bridge.Options{Now: runStart(), Bundle: signed, Trust: []string{task.FormatPublic(bundle.DevelopmentKey())}, StoreKey: bytes.Repeat([]byte{7}, 32)}
	h := &embedder{direct: b.site.Direct(i), store: lifecycle.NewMemStore(), random: &counted{}}
	session, err := bridge.Open(b.t.Context(), o, h)
	if err != nil {
		b.t.Fatal(err)
	}
	lines := b.lines(i)
	end := b.people[i].walk[len(b.people[i].walk)-1].Until
	for n := range 12 * 60 {
		line, err := (&lifecycle.Event{At: end.Add(time.Duration(n+1) * time.Minute), Kind: lifecycle.Tick}).MarshalLine()
		if err != nil {
			b.t.Fatal(err)
		}
		lines = append(lines, bytes.TrimSpace(line))
	}
	for _, line := range lines {
		if err := session.Handle(b.t.Context(), line); err != nil {
			b.t.Fatal(err)
		}
	}
	emitted := h.emitted
	if node && b.wasm != nil {
		emitted = b.inNode(o, lines, h.answers)
		if !slices.EqualFunc(emitted, h.emitted, bytes.Equal) {
			b.t.Errorf("person %d: %d messages in Node, %d here, or others", i, len(emitted), len(h.emitted))
		}
	}
	for _, line := range emitted {
		b.people[i].emit(b.t, line)
		if err := take(line); err != nil {
			b.t.Fatal(err)
		}
	}
}

// An embedder does for the engine what an extension does, and keeps what it was answered.
type embedder struct {
	direct  discovery.Fetcher
	store   *lifecycle.MemStore
	random  io.Reader
	emitted [][]byte
	answers []map[string]any
}

func (h *embedder) Fetch(ctx context.Context, url string) (bridge.Answer, error) {
	u, err := discovery.ParseURL(url)
	if err != nil {
		return bridge.Answer{}, err
	}
	r, err := h.direct.Fetch(ctx, u)
	a := bridge.Answer{Status: http.StatusOK, Address: "93.184.216.34", ContentType: "text/html; charset=utf-8", Robots: r.Robots, Body: r.Body}
	if errors.Is(err, discovery.ErrPrivate) {
		a, err = bridge.Answer{Status: http.StatusNotFound, Address: a.Address, ContentType: a.ContentType}, nil
	}
	h.answers = append(h.answers, map[string]any{
		"url": url, "failed": err != nil, "status": a.Status, "address": a.Address, "content_type": a.ContentType, "robots": a.Robots, "body": a.Body,
	})
	if err != nil {
		return bridge.Answer{}, errors.New("the network failed")
	}
	return a, nil
}

func (h *embedder) Emit(line []byte) error {
	h.emitted = append(h.emitted, bytes.Clone(line))
	return nil
}
func (h *embedder) Explain([]byte)              {}
func (h *embedder) Purge(context.Context) error { return nil }
func (h *embedder) Store() lifecycle.Store      { return h.store }
func (h *embedder) Random() io.Reader           { return h.random }

// counted is the randomness of the script in Node: SHA-256 of a counter.
type counted struct {
	n    uint64
	pool []byte
}

func (c *counted) Read(p []byte) (int, error) {
	for len(c.pool) < len(p) {
		block := sha256.Sum256(binary.BigEndian.AppendUint64(nil, c.n))
		c.n++
		c.pool = append(c.pool, block[:]...)
	}
	n := copy(p, c.pool)
	c.pool = c.pool[n:]
	return n, nil
}

// inNode returns what the engine in WebAssembly emits.
func (b *browsing) inNode(o bridge.Options, lines [][]byte, answers []map[string]any) (emitted [][]byte) {
	b.t.Helper()
	options, err := json.Marshal(o)
	if err != nil {
		b.t.Fatal(err)
	}
	var ops []map[string]string
	for _, line := range lines {
		ops = append(ops, map[string]string{"op": "event", "text": string(line)})
	}
	script, err := json.Marshal(map[string]any{"options": string(options), "ops": ops, "answers": answers})
	if err != nil {
		b.t.Fatal(err)
	}
	name := filepath.Join(b.dir, "script.json")
	if err := os.WriteFile(name, script, 0o600); err != nil {
		b.t.Fatal(err)
	}
	for line := range bytes.Lines(b.wasm(name)) {
		kind, text, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		switch string(kind) {
		case "emit":
			emitted = append(emitted, bytes.Clone(text))
		case "error":
			b.t.Fatalf("in Node: %s", text)
		}
	}
	return emitted
}

// compile builds the engine for Node, nil if that is missing.
func compile(t *testing.T, dir string) func(script string) []byte {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("Node.js is missing, and continuous integration must not do without")
		}
		t.Log("Node.js was not found in PATH: nobody runs the engine in WebAssembly")
		return nil
	}
	source, module := filepath.Join("..", "..", "internal", "discovery", "wasm"), filepath.Join(dir, "discovery.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-o", module, ".")
	build.Dir, build.Env = source, append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building for WebAssembly: %v\n%s", err, out)
	}
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	support := filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js")
	return func(script string) []byte {
		t.Helper()
		run := exec.CommandContext(t.Context(), node, filepath.Join(source, "testdata", "run.cjs"), support, module, script)
		var stderr bytes.Buffer
		run.Stderr = &stderr
		out, err := run.Output()
		if err != nil {
			t.Fatalf("node: %v\n%s", err, &stderr)
		}
		return out
	}
}

// pass moves the clock to until by minutes, and lets those send whose moment has come.
func (b *browsing) pass(until time.Time) {
	b.t.Helper()
	for now := b.parties.Clock.Now(); now.Before(until); now = now.Add(time.Minute) {
		b.parties.Clock.Forward(now)
		if now.Minute()%10 == 0 {
			_ = b.parties.Tick(b.t.Context()) // what fails is tried again
		}
		group, ctx := errgroup.WithContext(b.t.Context())
		group.SetLimit(8)
		for _, p := range b.people {
			if p.next.After(now) {
				continue
			}
			group.Go(func() error {
				pass, err := p.client.Client().SendDue(ctx)
				if err == nil && pass.Refused > 0 {
					err = fmt.Errorf("a server refused a report: %w", pass.Err)
				}
				if p.next = pass.Next; p.next.IsZero() {
					p.next = until
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			b.t.Fatal(err)
		}
	}
}

// tables moves the clock until both questions are answered, and returns the rows: what is in
// the crowd's fields, and how many records there are.
func (b *browsing) tables() map[string]map[string]int64 {
	b.t.Helper()
	out := map[string]map[string]int64{}
	var last error
	var entries []analyzer.Entry
	for range 120 {
		now := b.parties.Clock.Now().Add(time.Minute)
		b.parties.Clock.Forward(now)
		last = b.parties.Tick(b.t.Context())
		tables := b.parties.Results().Tables()
		var err error
		if entries, err = tables.Entries(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
		for _, e := range entries {
			if e.State != analyzer.Released || out[e.Manifest.Metric] != nil {
				continue
			}
			rows := map[string]int64{}
			for row, err := range tables.Rows(e, analyzer.CountsTable) {
				if err != nil {
					b.t.Fatal(err)
				}
				var crowd []string
				for _, v := range row[1 : len(row)-5] {
					crowd = append(crowd, fmt.Sprint(v))
				}
				rows[strings.Join(crowd, ", ")] = row[len(row)-5].(int64)
			}
			out[e.Manifest.Metric] = rows
		}
		if len(out) == 2 {
			return out
		}
	}
	for _, e := range entries {
		b.t.Logf("batch %v, epoch %d: %s", e.Task, e.Epoch, e.Status())
	}
	b.t.Fatalf("tables of %d of 2 questions were released: %v; the last error: %v", len(out), out, last)
	return nil
}

// crowds returns how many people emitted each crowd of a message.
func (b *browsing) crowds(name string) map[string]int {
	fields := []string{"url"}
	if name == "query" {
		fields = []string{"query", "engine"}
	}
	all := map[string]int{}
	for _, p := range b.people {
		seen := map[string]bool{}
		for _, r := range p.emitted {
			if r.Name != name {
				continue
			}
			var values []string
			for _, f := range fields {
				values = append(values, fmt.Sprint(r.Fields[f]))
			}
			seen[strings.Join(values, ", ")] = true
		}
		for crowd := range seen {
			all[crowd]++
		}
	}
	return all
}

// TestDiscoveryRun: what people browse goes through the engines, the command line and the bridge's
// embedder, through relay, credentials and a hardened quorum for pages and queries, over
// real servers, to the analyzer's tables. What enough people met is there with its content,
// what fewer met or must stay is not, and no party has received any address or query in a
// form that it, or a search of all that it can open, reads.
func TestDiscoveryRun(t *testing.T) {
	if testing.Short() {
		t.Skip("runs every party and two engines")
	}
	b := newBrowsing(t, 54)
	b.wasm = compile(t, b.dir)
	const embedded = 24 // people whose engine is behind the bridge; of two of them it is in Node
	for i := range b.people {
		if i >= embedded {
			b.replay(i, filepath.Join(b.dir, "nothing.jsonl"))
		}
		b.open(i)
	}
	b.pass(runStart())
	b.parties.Clock.Forward(runStart())
	for i, p := range b.people {
		if i < embedded {
			b.embed(i, i < 2, p.client.Emit)
			continue
		}
		if err := p.client.Close(); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(b.dir, "events.jsonl")
		if err := os.WriteFile(file, append(bytes.Join(b.lines(i), []byte("\n")), '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
		b.replay(i, file)
		b.open(i)
		p.next = time.Time{}
	}
	opened := b.parties.Opened[0]
	b.pass(opened.Task.Closes(opened.Task.EpochAt(runStart())))
	b.enough()
	tables := b.tables()
	b.compare(tables)
	b.search()
}

// enough demands that the noised minimum of each batch is missed with a probability below
// 1e-8 only, and that no report waits.
func (b *browsing) enough() {
	b.t.Helper()
	sent := map[string]uint64{}
	for i, p := range b.people {
		waiting, err := p.client.Client().Pending()
		if err != nil || len(waiting) != 0 {
			b.t.Fatalf("person %d: %d reports wait, %v", i, len(waiting), err)
		}
		each := map[string]uint64{}
		for _, r := range p.emitted {
			each[r.Name]++
		}
		for _, o := range b.parties.Opened {
			sent[o.Task.Metric] += min(each[o.Task.Metric], uint64(o.Task.PerEpoch))
		}
	}
	for _, o := range b.parties.Opened {
		total, err := cost.Total(o.Task)
		if err != nil {
			b.t.Fatal(err)
		}
		if missed := 1 - total.Survival(sent[o.Task.Metric]); missed > 1e-8 {
			b.t.Fatalf("%d reports of %s miss the minimum with probability %g: %v", sent[o.Task.Metric], o.Task.Metric, missed, total)
		}
	}
}

// compare holds the tables against what the engines emitted and what must stay.
func (b *browsing) compare(tables map[string]map[string]int64) {
	b.t.Helper()
	for name, rows := range tables {
		emitted, certain := b.crowds(name), 0
		for crowd, n := range emitted {
			if n >= certainReports {
				certain++
				if rows[crowd] == 0 {
					b.t.Errorf("%d people reported %s %q, and it is not in the table", n, name, crowd)
				}
			}
			if n < leastReports && rows[crowd] != 0 {
				b.t.Errorf("%d people reported %s %q, and it is in the table", n, name, crowd)
			}
		}
		for crowd, n := range rows {
			if int(n) > emitted[crowd] {
				b.t.Errorf("%s %q: %d records of %d reports", name, crowd, n, emitted[crowd])
			}
		}
		b.t.Logf("%s: %d crowds reported, %d by at least %d people, %d in the table", name, len(emitted), certain, certainReports, len(rows))
		if certain == 0 || len(rows) >= len(emitted) {
			b.t.Errorf("%s: %d of %d crowds in the table, %d must be: the run shows too little", name, len(rows), len(emitted), certain)
		}
	}
	stays := 0
	for _, p := range b.people {
		for _, v := range p.walk {
			if page, ok := b.site.Lookup(v.URL); ok && (page.Truth().MustStay() || v.Secretly) {
				stays++
				if page.Truth().MustStay() && tables["page"][v.URL] != 0 {
					b.t.Errorf("%v page %s is in the table", page.Truth(), v.URL)
				}
			}
		}
	}
	if stays == 0 {
		b.t.Error("nobody met a page that must stay")
	}
}

// search looks for every address that was visited and every query that was emitted in all bytes that each
// party received and can open.
func (b *browsing) search() {
	b.t.Helper()
	seen := map[string]bool{}
	var values []received.Value
	add := func(text string) {
		if len(text) >= 12 && !seen[text] {
			seen[text] = true
			values = append(values, received.Value{Forms: [][]byte{[]byte(text)}})
		}
	}
	for _, p := range b.people {
		for _, v := range p.walk {
			add(v.URL)
		}
		for _, r := range p.emitted {
			add(fmt.Sprint(r.Fields["url"]))
			add(fmt.Sprint(r.Fields["query"]))
		}
	}
	findings, err := received.Search(b.t.Context(), b.parties.Received(), received.Question{Values: values, Tasks: b.parties.Opened, Clock: clock.NewVirtual(b.parties.Clock.Now())})
	if err != nil {
		b.t.Fatal(err)
	}
	opened := 0
	for _, f := range findings {
		b.t.Logf("%s: %d bytes, %d requests, %d layers, %d innermost ones opened", f.Party, f.Bytes, f.Requests, f.Reports, f.Records)
		if f.Values+f.Secrets+f.Opened != 0 || f.Bytes == 0 {
			b.t.Errorf("%s received %d values, %d secrets and %d plaintexts of others, in %d bytes", f.Party, f.Values, f.Secrets, f.Opened, f.Bytes)
		}
		opened += f.Reports + f.Records
	}
	if len(findings) != 4 || len(values) < 100 || opened == 0 {
		b.t.Errorf("%d parties, %d values, %d layers opened: the search shows too little", len(findings), len(values), opened)
	}
}
