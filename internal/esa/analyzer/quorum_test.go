package analyzer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/engine/local"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/analyzer/storetest"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/metric/task"
)

// shares is how many reports make a value readable in these tests.
const shares = 5

func quorumTask(kind task.CrowdKind) func(*task.Task) {
	return func(t *task.Task) {
		t.Schema = task.Schema{{Name: "word", Kind: task.String, Max: 40}, {Name: "ok", Kind: task.Bool}}
		t.Crowd = task.CrowdRule{Kind: kind, SaltEpochs: 1}
		t.Threshold = task.Threshold{Kind: task.NoisyDrop, T: 20, D: 12, SigmaMilli: 2000}
		t.Encoding = task.Encoding{Kind: task.Quorum, Shares: shares}
		t.PayloadSize = 128
	}
}

// newQuorum returns an analyzer of a task with a quorum, on the given files and
// engine.
func newQuorum(t testing.TB, kind task.CrowdKind, fsys durable.FS, e engine.Engine) *bench {
	t.Helper()
	b := &bench{World: hoptest.New(t, 1, quorumTask(kind)), store: storetest.NewModel(), fs: fsys, engine: e}
	b.start(t)
	return b
}

func encode(t testing.TB, b *bench, word string) []byte {
	t.Helper()
	payload, err := b.Task.Encode(task.Record{word, true})
	must(t, err)
	return payload
}

// content returns what the innermost layer of a payload's report holds.
func (b *bench) content(t testing.TB, e task.Epoch, payload []byte) []byte {
	t.Helper()
	message, err := task.Pad(payload, b.Task.MessageSize())
	must(t, err)
	enc, err := secretshare.NewEncoder(secretshare.MessageHash{}, esa.QuorumBinding(b.ID, e), shares)
	must(t, err)
	x, err := enc.Encode(t.Context(), message, rand.Reader)
	must(t, err)
	return esa.JoinShared(x)
}

// sealed wraps a content into a report.
func (b *bench) sealed(t testing.TB, e task.Epoch, content []byte) []byte {
	return b.Seal(t, e, "crowd", content)
}

// honest returns n reports of a word.
func (b *bench) honest(t testing.TB, e task.Epoch, word string, n int) [][]byte {
	var out [][]byte
	for range n {
		out = append(out, b.sealed(t, e, b.content(t, e, encode(t, b, word))))
	}
	return out
}

// forged returns a report in the group of a word whose share is wrong.
func (b *bench) forged(t testing.TB, e task.Epoch, word string) []byte {
	c := b.content(t, e, encode(t, b, word))
	c[len(c)-1] ^= 1
	return b.sealed(t, e, c)
}

// words returns how often each word has been released.
func (b *bench) words(t testing.TB, entry analyzer.Entry) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, row := range table(t, b.a.Tables(), entry, analyzer.RecordsTable) {
		out[row[1].(string)]++
	}
	return out
}

func equalWords(t testing.TB, got, want map[string]int) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("released %v, want %v", got, want)
	}
}

// TestQuorum covers the threats to a quorum at the analyzer: a replayed share
// that counts as a second person, shares of another epoch or task, shares that
// were forged, payloads that are none.
func TestQuorum(t *testing.T) {
	b := newQuorum(t, task.Payload, durable.Mem(), hoptest.NewEngine())
	e := b.Epoch(0)
	reports := b.honest(t, e, "often", 9)
	reports = append(reports, b.forged(t, e, "often"), b.forged(t, e, "often"))
	reports = append(reports, b.honest(t, e, "just", shares)...)
	reports = append(reports, b.honest(t, e, "rare", shares-1)...)
	replayed := b.content(t, e, encode(t, b, "replayed"))
	for range shares {
		reports = append(reports, b.sealed(t, e, replayed)) // one share, sealed again each time
	}
	for range shares - 1 {
		reports = append(reports, b.sealed(t, e, b.content(t, e, encode(t, b, "late"))))
	}
	reports = append(reports, b.sealed(t, e, b.content(t, e+1, encode(t, b, "late")))) // bound to another epoch
	for range shares {
		reports = append(reports, b.sealed(t, e, b.content(t, e, []byte{0xff}))) // no payload of the schema
	}
	reports = append(reports, b.sealed(t, e, []byte("neither ciphertext nor share")))
	entry := b.release(t, e, reports...)
	equalWords(t, b.words(t, entry), map[string]int{"often": 9, "just": shares})
	m := entry.Manifest.Analyzer
	if want := (analyzer.QuorumCounts{Shares: shares, Recovered: 2}); *m.Quorum != want {
		t.Errorf("counts %+v, want %+v", *m.Quorum, want)
	}
	causes := map[string]uint64{"schema": shares + 1, "below_quorum": 4 + 1 + 4 + 1, "forged_share": 2, "duplicate_share": shares - 1}
	c := b.exact.of(entry)
	if !maps.Equal(c.Invalid, causes) || c.Values != 7 || c.Received != uint64(len(reports)) || m.Records != 14 || m.Crowds != 2 {
		t.Errorf("counts %+v, %+v", m, c)
	}
	sum := m.Records
	for _, n := range c.Invalid {
		sum += n
	}
	if sum != c.Received {
		t.Errorf("%d reports accounted for, %d received", sum, c.Received)
	}
	if names := columnNames(entry.Manifest, analyzer.RecordsTable); names != "epoch word ok" {
		t.Errorf("columns %s: want those of a plain task", names)
	}
	counts := table(t, b.a.Tables(), entry, analyzer.CountsTable)
	if counts[0][1] != "often" || counts[0][3] != int64(9) || counts[0][4] != float64(9+12) {
		t.Errorf("counts %v: want 9 records and 12 dropped on average", counts[0])
	}
}

// TestForgedShares: a forger that knows a value, and so its ciphertext, cannot
// keep others from being counted, up to (n-t)/2 forged shares; and is never
// counted.
func TestForgedShares(t *testing.T) {
	b := newQuorum(t, task.Payload, durable.Mem(), hoptest.NewEngine())
	i := 0
	rapid.Check(t, func(rt *rapid.T) {
		e := b.Epoch(i % 8000)
		i++
		n := shares + rapid.IntRange(0, 12).Draw(rt, "extra")
		forged := rapid.IntRange(0, (n-shares)/2).Draw(rt, "forged")
		again := rapid.IntRange(0, 3).Draw(rt, "again")
		reports := b.honest(t, e, "word", n-forged)
		for range forged {
			reports = append(reports, b.forged(t, e, "word"))
		}
		one := b.content(t, e, encode(t, b, "word"))
		reports = append(reports, b.sealed(t, e, one))
		for range again {
			reports = append(reports, b.sealed(t, e, one))
		}
		entry := b.release(t, e, reports...)
		by := b.exact.of(entry).Invalid
		if got := b.words(t, entry)["word"]; got != n-forged+1 || by["forged_share"] != uint64(forged) || by["duplicate_share"] != uint64(again) || by["below_quorum"] != 0 {
			rt.Fatalf("%d of %d forged, %d repeated: %d records, %+v", forged, n+1, again, got, by)
		}
	})
}

// TestConstantCrowd: without crowds, the quorum alone decides; the estimate of
// the one crowd's size includes what stays unreadable.
func TestConstantCrowd(t *testing.T) {
	b := newQuorum(t, task.Constant, durable.Mem(), hoptest.NewEngine())
	e := b.Epoch(0)
	reports := b.honest(t, e, "often", 30)
	for i := range 10 {
		reports = append(reports, b.honest(t, e, fmt.Sprint("single ", i), 1)...)
	}
	entry := b.release(t, e, reports...)
	equalWords(t, b.words(t, entry), map[string]int{"often": 30})
	if m, c := entry.Manifest.Analyzer, b.exact.of(entry); c.Invalid["below_quorum"] != 10 || c.Values != 11 || m.Quorum.Recovered != 1 {
		t.Errorf("counts %+v, %+v", m.Quorum, c)
	}
	counts := table(t, b.a.Tables(), entry, analyzer.CountsTable)
	if len(counts) != 1 || counts[0][1] != int64(30) || counts[0][2] != float64(40+12) {
		t.Errorf("counts %v: want 30 records of 40, and 12 dropped on average", counts)
	}
	values := table(t, b.a.Tables(), entry, analyzer.ValuesTable)
	if len(values) != 1 || values[0][3] != int64(30) || values[0][4] != int64(30) {
		t.Errorf("values %v: want the 30 that can be read", values)
	}
}

// TestManyShares: a value with more shares than one piece holds is counted
// whole, with forged and repeated ones counted separately.
func TestManyShares(t *testing.T) {
	if testing.Short() {
		t.Skip("seals thousands of reports")
	}
	b := newQuorum(t, task.Payload, durable.Mem(), hoptest.NewEngine())
	e := b.Epoch(0)
	const n, bad = 2600, 300
	reports := b.honest(t, e, "popular", n)
	for range bad {
		reports = append(reports, b.forged(t, e, "popular"))
	}
	twice := b.content(t, e, encode(t, b, "popular"))
	reports = append(reports, b.sealed(t, e, twice), b.sealed(t, e, twice))
	entry := b.release(t, e, reports...)
	equalWords(t, b.words(t, entry), map[string]int{"popular": n + 1})
	m, c := entry.Manifest.Analyzer, b.exact.of(entry)
	if !maps.Equal(c.Invalid, map[string]uint64{"forged_share": bad, "duplicate_share": 1}) || c.Values != 1 || m.Quorum.Recovered != 1 {
		t.Errorf("counts %+v, %+v", m.Quorum, c)
	}
}

// TestQuorumRepeats: a release that is done over gives the same bytes, whatever
// the order of the engine's work, also where luck has to find the key among
// forged shares.
func TestQuorumRepeats(t *testing.T) {
	first := newQuorum(t, task.Payload, durable.Mem(), hoptest.NewEngine())
	e := first.Epoch(0)
	reports := first.honest(t, e, "word", 8)
	for range 9 { // far more than the decoder corrects
		reports = append(reports, first.forged(t, e, "word"))
	}
	reports = append(reports, first.honest(t, e, "other", 6)...)
	id, file := first.batch(t, e, first.Parties[0].ID, first.rows(t, reports...))
	var digests []string
	for range 2 {
		b := newQuorum(t, task.Payload, durable.Mem(), hoptest.NewEngine())
		if code := b.put(id.String(), file); code != 201 {
			t.Fatalf("answer %d", code)
		}
		must(t, b.a.Tick(t.Context()))
		entries, err := b.a.Tables().Entries(t.Context())
		must(t, err)
		digests = append(digests, fmt.Sprint(entries[0].Manifest.Tables, b.exact.of(entries[0]).Invalid))
	}
	if digests[0] != digests[1] {
		t.Errorf("two releases of one batch:\n%s\n%s", digests[0], digests[1])
	}
}

// A recording is a file system that remembers all that was ever written.
type recording struct {
	durable.FS
	mu      sync.Mutex
	written bytes.Buffer
}

func (r *recording) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	f, err := r.FS.OpenFile(name, flag, perm)
	return &recordingFile{f, r}, err
}

func (r *recording) has(s string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Contains(r.written.Bytes(), []byte(s))
}

type recordingFile struct {
	durable.File
	r *recording
}

func (f *recordingFile) keep(p []byte) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.r.written.Write(p)
}

func (f *recordingFile) Write(p []byte) (int, error) {
	f.keep(p)
	return f.File.Write(p)
}

func (f *recordingFile) WriteAt(p []byte, off int64) (int, error) {
	f.keep(p)
	return f.File.WriteAt(p, off)
}

// TestBelowQuorumIsWrittenNowhere covers the threat of an analyzer's disk that is
// read: of a value with t-1 shares no plaintext was ever written, neither to the
// engine's files nor to a table, while that of one with t shares was.
func TestBelowQuorumIsWrittenNowhere(t *testing.T) {
	disk := &recording{FS: durable.Mem()}
	engine, err := local.New("work", local.Options{FS: disk, MemoryBytes: local.MinMemory, Workers: 2})
	must(t, err)
	defer engine.Close()
	b := newQuorum(t, task.Constant, disk, engine)
	e := b.Epoch(0)
	reports := b.honest(t, e, "https://example.org/read by many", shares)
	reports = append(reports, b.honest(t, e, "https://example.org/unlisted 8fa1c22e", shares-1)...)
	reports = append(reports, b.honest(t, e, "https://example.org/unlisted 11ce77d0", 1)...)
	b.release(t, e, reports...)
	if disk.has("unlisted") {
		t.Error("a value with too few shares has been written in the clear")
	}
	if !disk.has("read by many") {
		t.Error("this test would not find a value")
	}
	if entries, err := disk.ReadDir("work"); err != nil || len(entries) != 0 {
		t.Errorf("the engine keeps %d files after the release: %v", len(entries), err)
	}
}

// A broken engine fails to sort once.
type broken struct {
	engine.Engine
	left int
}

func (b *broken) SortBy(ctx context.Context, in string, columns []string, out string) error {
	if b.left--; b.left >= 0 {
		return fmt.Errorf("no space")
	}
	return b.Engine.SortBy(ctx, in, columns, out)
}

// TestEngineFails: a release that fails leaves no dataset, and the next one
// succeeds.
func TestEngineFails(t *testing.T) {
	mem := hoptest.NewEngine()
	b := newQuorum(t, task.Payload, durable.Mem(), &broken{mem, 1})
	e := b.Epoch(0)
	id, file := b.batch(t, e, b.Parties[0].ID, b.rows(t, b.honest(t, e, "word", shares)...))
	if code := b.put(id.String(), file); code != 201 {
		t.Fatalf("answer %d", code)
	}
	if err := b.a.Tick(t.Context()); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Fatalf("first attempt: %v", err)
	}
	if names := mem.Names(); len(names) != 0 {
		t.Errorf("datasets left: %v", names)
	}
	b.Clock.Advance(10 * 60 * 1e9)
	must(t, b.a.Tick(t.Context()))
	entries, err := b.a.Tables().Entries(t.Context())
	must(t, err)
	equalWords(t, b.words(t, entries[0]), map[string]int{"word": shares})
}

// TestNoEngine: a task that needs an engine is refused by an analyzer without.
func TestNoEngine(t *testing.T) {
	w := hoptest.New(t, 1, quorumTask(task.Payload))
	p := w.Parties[1]
	_, err := analyzer.New(t.Context(), analyzer.Config{
		Store: storetest.NewModel(), FS: durable.Mem(), Dir: "data", Clock: w.Clock, Identity: p.ID.Public(), Keys: p.Keys,
		Tasks: []*task.Task{w.Task},
	})
	if err == nil || !strings.Contains(err.Error(), "needs an engine") {
		t.Errorf("got %v", err)
	}
}
