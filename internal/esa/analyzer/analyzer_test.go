package analyzer_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/analyzer/storetest"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// A bench is an analyzer with everything around it but a shuffler: batches are
// made by hand.
type bench struct {
	*hoptest.World
	store  *storetest.Model
	fs     durable.FS
	engine engine.Engine // for tasks with a quorum
	issuer *credential.Issuer
	a      *analyzer.Analyzer
	exact  exactCounts
}

// exactCounts are the operator's counts of batches, by their IDs.
type exactCounts struct {
	by map[string]analyzer.OperatorCounts
}

func (e *exactCounts) Batch(_ analyzer.State, m *analyzer.Manifest, c *analyzer.OperatorCounts) {
	if e.by == nil {
		e.by = map[string]analyzer.OperatorCounts{}
	}
	if c != nil {
		e.by[m.Batch] = *c
	}
}

func (e *exactCounts) Took(time.Duration) {}

// of are the counts of a batch that is released.
func (e *exactCounts) of(entry analyzer.Entry) analyzer.OperatorCounts {
	return e.by[entry.Manifest.Batch]
}

func newBench(t testing.TB, edit func(*task.Task)) *bench {
	t.Helper()
	b := &bench{World: hoptest.New(t, 1, edit), store: storetest.NewModel(), fs: durable.Mem()}
	b.start(t)
	return b
}

func (b *bench) start(t testing.TB) {
	t.Helper()
	p := b.Parties[1]
	a, err := analyzer.New(t.Context(), analyzer.Config{
		Store: b.store, FS: b.fs, Dir: "data", Clock: b.Clock, Identity: p.ID.Public(), Keys: p.Keys,
		Tasks: []*task.Task{b.Task}, Workers: 2, MaxBatch: 1 << 20, Engine: b.engine, Metrics: &b.exact, Issuer: b.issuer,
	})
	must(t, err)
	b.a = a
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rows turns reports into what the shuffler would hand over.
func (b *bench) rows(t testing.TB, reports ...[]byte) [][]byte {
	t.Helper()
	opener, err := esa.NewOpener(b.Task, b.ID, 0, b.Parties[0].Keys.Private...)
	must(t, err)
	var rows [][]byte
	for _, report := range reports {
		h, err := esa.ParseHeader(report)
		must(t, err)
		layer, err := opener.Open(report, h.Epoch)
		must(t, err)
		rows = append(rows, append(layer.Crowd[:], layer.Next...))
	}
	return rows
}

// batch returns a signed batch file.
func (b *bench) batch(t testing.TB, e task.Epoch, key task.IdentityKey, rows [][]byte) (esa.BatchID, []byte) {
	t.Helper()
	total := uint64(0)
	if b.Task.Threshold.Kind != task.Naive {
		total = uint64(len(rows)) + 5
	}
	h, err := esa.NewBatchHeader(b.Task, b.ID, 0, e, total, uint64(len(rows)))
	must(t, err)
	var buf bytes.Buffer
	w, err := esa.NewBatchWriter(&buf, h, key)
	must(t, err)
	for _, row := range rows {
		must(t, w.Write(row))
	}
	_, err = w.Close()
	must(t, err)
	return h.ID, buf.Bytes()
}

func (b *bench) put(id string, body []byte) int {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPut, "/tasks/"+b.ID.String()+"/batches/"+id, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/shoal-batch;v=1")
	r.Header.Set(hop.SealHeader, hop.FormatSeal(body[max(0, len(body)-esa.BatchSealSize):]))
	b.a.Handler().ServeHTTP(w, r)
	return w.Code
}

// release puts a batch of the reports and has it released.
func (b *bench) release(t testing.TB, e task.Epoch, reports ...[]byte) analyzer.Entry {
	t.Helper()
	id, file := b.batch(t, e, b.Parties[0].ID, b.rows(t, reports...))
	if code := b.put(id.String(), file); code != 201 {
		t.Fatalf("answer %d, want 201", code)
	}
	must(t, b.a.Tick(t.Context()))
	entries, err := b.a.Tables().Entries(t.Context())
	must(t, err)
	i := slices.IndexFunc(entries, func(have analyzer.Entry) bool { return have.ID == id })
	if i < 0 || entries[i].State != analyzer.Released {
		t.Fatalf("the batch is not released: %+v", entries)
	}
	return entries[i]
}

func TestAcceptOnce(t *testing.T) {
	b := newBench(t, nil)
	e, key := b.Epoch(0), b.Parties[0].ID
	rows := b.rows(t, b.Report(t, e, "a", 1), b.Report(t, e, "a", 2))
	id, file := b.batch(t, e, key, rows)
	_, other := b.batch(t, e, key, rows[:1])
	_, foreign := b.batch(t, e, b.Parties[1].ID, rows)
	flipped := bytes.Clone(file)
	flipped[len(file)/2] ^= 1
	otherID := esa.NewBatchID(b.ID, e+1, 0)
	for _, step := range []struct {
		what string
		id   string
		body []byte
		code int
	}{
		{"signed by another", id.String(), foreign, 400},
		{"a flipped bit", id.String(), flipped, 400},
		{"truncated", id.String(), file[:len(file)-1], 400},
		{"too long", id.String(), append(bytes.Clone(file), 0), 400},
		{"header only", id.String(), file[:20], 400},
		{"empty", id.String(), nil, 400},
		{"under another ID", otherID.String(), file, 400},
		{"under no ID", "x", file, 400},
		{"whole", id.String(), file, 201},
		{"again", id.String(), file, 200},
		{"another of the same ID", id.String(), other, 409},
	} {
		if code := b.put(step.id, step.body); code != step.code {
			t.Errorf("%s: answer %d, want %d", step.what, code, step.code)
		}
	}
	must(t, b.a.Tick(t.Context()))
	for range 2 { // released, and after a restart
		if code := b.put(id.String(), file); code != 200 {
			t.Errorf("after the release: answer %d, want 200", code)
		}
		if code := b.put(id.String(), other); code != 409 {
			t.Errorf("after the release: answer %d, want 409", code)
		}
		b.start(t)
	}
	entries, err := b.fs.ReadDir("data/received")
	must(t, err)
	if len(entries) != 0 {
		t.Errorf("files are left: %v", entries)
	}
}

func TestAcceptConcurrently(t *testing.T) {
	b := newBench(t, nil)
	e := b.Epoch(0)
	rows := b.rows(t, b.Report(t, e, "a", 1), b.Report(t, e, "a", 2))
	id, file := b.batch(t, e, b.Parties[0].ID, rows)
	var mu sync.Mutex
	codes := map[int]int{}
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			code := b.put(id.String(), file)
			mu.Lock()
			codes[code]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if codes[201] != 1 || codes[200] != 11 {
		t.Errorf("answers %v, want one 201 and eleven 200", codes)
	}
	must(t, b.a.Tick(t.Context()))
}

func TestTooLarge(t *testing.T) {
	b := newBench(t, nil)
	if code := b.put(esa.NewBatchID(b.ID, b.Epoch(0), 0).String(), make([]byte, 2<<20)); code != 400 && code != 413 {
		t.Errorf("answer %d, want 400 or 413", code)
	}
}

// apiTask is a question with every kind of field and a flipped bitmap.
func apiTask(t *task.Task) {
	t.Schema = task.Schema{
		{Name: "program", Kind: task.Enum, Values: []string{"cat", "ls"}},
		{Name: "apis", Kind: task.Set, Values: []string{"network", "dynamic loading", "math"}, Flip: 100_000},
		{Name: "fast", Kind: task.Bool, Flip: 200_000},
		{Name: "shell", Kind: task.Enum, Values: []string{"sh", "zsh", "fish"}, Flip: 300_000},
		{Name: "size", Kind: task.Int, High: 100},
		{Name: "tags", Kind: task.List, Elem: task.String, Max: 3, MaxStr: 4},
	}
	t.Threshold = task.Threshold{Kind: task.NoisyDrop, T: 5, D: 12, SigmaMilli: 2000}
}

func (b *bench) api(t testing.TB, e task.Epoch, program string, apis uint64, fast bool, shell string) []byte {
	return b.ReportOf(t, e, task.Record{program, apis, fast, shell, int64(7), []task.Value{"x", "y"}})
}

func TestTables(t *testing.T) {
	b := newBench(t, apiTask)
	e := b.Epoch(0)
	var reports [][]byte
	for i := range 40 {
		reports = append(reports, b.api(t, e, "cat", 0b011, i%4 == 0, "zsh"))
	}
	for range 20 {
		reports = append(reports, b.api(t, e, "ls", 0b100, true, "sh"))
	}
	reports = append(reports, b.Seal(t, e, "ls", []byte{0xff}), b.Report0(t, e))
	entry := b.release(t, e, reports...)
	m := entry.Manifest
	if c := b.exact.of(entry); c.Received != 62 || m.Analyzer.Records != 60 || c.Invalid["schema"] != 2 || m.Analyzer.Crowds != 2 {
		t.Errorf("counts %+v, %+v", m.Analyzer, c)
	}
	if m.Shuffler.Reports == nil || *m.Shuffler.Reports != 67 || m.Parameters.Flip["apis"] != 0.1 || m.Parameters.CrowdFields[0] != "program" {
		t.Errorf("manifest %+v", m)
	}
	if names := columnNames(m, analyzer.RecordsTable); names != "epoch program apis_network apis_dynamic_loading apis_math fast shell size tags" {
		t.Errorf("columns of records: %s", names)
	}
	counts := table(t, b.a.Tables(), entry, analyzer.CountsTable)
	start := b.Task.Start(e).UnixMilli()
	if len(counts) != 2 || counts[0][1] != "cat" || counts[0][2] != int64(40) || counts[0][0] != start || counts[1][2] != int64(20) {
		t.Fatalf("counts %v", counts)
	}
	// 40 are released; 12 are dropped on average, with deviation 2.
	estimate, stddev, low, high := counts[0][3].(float64), counts[0][4].(float64), counts[0][5].(float64), counts[0][6].(float64)
	if math.Abs(estimate-52) > 0.01 || math.Abs(stddev-2) > 0.1 || low != 48 || high != 56 {
		t.Errorf("estimate %v ± %v, [%v, %v], want 52 ± 2", estimate, stddev, low, high)
	}
	values := table(t, b.a.Tables(), entry, analyzer.ValuesTable)
	scale := estimate / 40
	want := map[string]float64{ // (shown - n p0) / (p1 - p0), and what was dropped in proportion
		"cat apis network":         (40 - 4) / 0.8 * scale,
		"cat apis dynamic loading": (40 - 4) / 0.8 * scale,
		"cat apis math":            (0 - 4) / 0.8 * scale,
		"cat fast true":            (10 - 8) / 0.6 * scale,
		"cat shell zsh":            (40 - 4) / 0.7 * scale,
		"cat shell sh":             (0 - 4) / 0.7 * scale,
	}
	seen := 0
	for _, row := range values {
		value, ok := want[fmt.Sprint(row[1], " ", row[2], " ", row[3])]
		if !ok {
			continue
		}
		seen++
		if got := row[6].(float64); math.Abs(got-value) > 1e-6 {
			t.Errorf("estimate of %v is %v, want %v", row[1:4], got, value)
		}
		if low, high := row[8].(float64), row[9].(float64); low < 0 || high > 56 || low > high || row[7].(float64) <= 0 {
			t.Errorf("interval of %v is [%v, %v] of 40 to 56", row[1:4], low, high)
		}
	}
	if seen != len(want) {
		t.Errorf("%d of %d values found in %v", seen, len(want), values)
	}
	for _, info := range m.Tables { // the manifest speaks of the files as they are
		f, err := b.a.Tables().Open(entry, info.Name)
		must(t, err)
		body, err := io.ReadAll(f)
		must(t, err)
		must(t, f.Close())
		if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != info.SHA256 || int64(len(body)) != info.Bytes {
			t.Errorf("%s: the manifest has another digest or size", info.Name)
		}
	}
}

// Report0 is a record that lacks fields, which no task without fragments has.
func (b *bench) Report0(t testing.TB, e task.Epoch) []byte {
	payload, err := b.Task.Schema.Encode(make(task.Record, len(b.Task.Schema)))
	must(t, err)
	return b.Seal(t, e, "cat", payload)
}

func columnNames(m *analyzer.Manifest, name string) string {
	var names []string
	for _, table := range m.Tables {
		if table.Name == name {
			for _, c := range table.Columns {
				names = append(names, c.Name)
			}
		}
	}
	return strings.Join(names, " ")
}

func table(t testing.TB, tables *analyzer.Tables, e analyzer.Entry, name string) []analyzer.Row {
	t.Helper()
	var rows []analyzer.Row
	for row, err := range tables.Rows(e, name) {
		must(t, err)
		rows = append(rows, row)
	}
	return rows
}

// A crash in the middle of a release leads to the same bytes.
func TestReleaseIsRepeatable(t *testing.T) {
	reports := func(b *bench) (all [][]byte) {
		for i := range 10 {
			all = append(all, b.api(t, b.Epoch(0), "cat", uint64(i%8), true, "sh"))
		}
		return all
	}
	b := newBench(t, apiTask)
	id, file := b.batch(t, b.Epoch(0), b.Parties[0].ID, b.rows(t, reports(b)...))
	b.put(id.String(), file)
	b.store.CrashAt(2, false) // the first change counts the try
	if err := b.a.Tick(t.Context()); err == nil {
		t.Fatal("the store did not crash")
	}
	first := files(t, b.fs, "data/tables")
	b.store = b.store.Restart()
	b.start(t)
	must(t, b.a.Tick(t.Context()))
	if second := files(t, b.fs, "data/tables"); len(first) != 4 || fmt.Sprint(first) != fmt.Sprint(second) {
		t.Errorf("files are %v, then %v", first, second)
	}
}

// files returns the digests of all files below dir, by name.
func files(t testing.TB, fsys durable.FS, dir string) map[string][32]byte {
	t.Helper()
	all := map[string][32]byte{}
	entries, err := fsys.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if e.IsDir() {
			for k, v := range files(t, fsys, name) {
				all[k] = v
			}
			continue
		}
		body, err := durable.ReadFile(fsys, name)
		must(t, err)
		all[name] = sha256.Sum256(body)
	}
	return all
}

func TestExport(t *testing.T) {
	b := newBench(t, func(t *task.Task) { apiTask(t); t.Threshold.T = 1 })
	for i := range 2 {
		b.Clock.Forward(b.Task.Start(b.Epoch(i)))
		b.release(t, b.Epoch(i), b.api(t, b.Epoch(i), "cat", 0b101, true, "sh"), b.api(t, b.Epoch(i), "ls", 0b010, false, "fish"))
	}
	tables := b.a.Tables()
	export := func(f release.Format, table string) string {
		var buf bytes.Buffer
		must(t, tables.Export(t.Context(), &buf, f, release.Query{Metric: "words", Table: table}))
		var again bytes.Buffer
		must(t, tables.Export(t.Context(), &again, f, release.Query{Metric: "words", Table: table}))
		if !bytes.Equal(buf.Bytes(), again.Bytes()) {
			t.Errorf("%s of %s: the same query gave different bytes", f, table)
		}
		return buf.String()
	}
	records, err := csv.NewReader(strings.NewReader(export(release.CSV, analyzer.RecordsTable))).ReadAll()
	must(t, err)
	if want := "2026-11-23T00:00:00Z,cat,true,false,true,true,sh,7,[\"x\",\"y\"]," + b.ID.String() + ",1"; len(records) != 5 || strings.Join(records[1], ",") != want {
		t.Errorf("CSV: %q", records)
	}
	var objects []map[string]any
	must(t, json.Unmarshal([]byte(export(release.JSON, analyzer.RecordsTable)), &objects))
	if len(objects) != 4 || objects[3]["apis_dynamic_loading"] != true || objects[3]["epoch"] != "2026-11-23T01:00:00Z" {
		t.Errorf("JSON: %v", objects)
	}
	file := export(release.Parquet, analyzer.CountsTable)
	f, err := parquet.OpenFile(strings.NewReader(file), int64(len(file)))
	must(t, err)
	if f.NumRows() != 4 {
		t.Errorf("Parquet: %d rows, want 4", f.NumRows())
	}
	one := b.Epoch(1)
	var buf bytes.Buffer
	must(t, tables.Export(t.Context(), &buf, release.CSV, release.Query{Metric: "words", Table: analyzer.CountsTable, Epoch: &one}))
	if n := strings.Count(buf.String(), "\n"); n != 3 {
		t.Errorf("one epoch has %d lines, want a header and two rows", n)
	}
	for _, q := range []release.Query{{Metric: "other", Table: analyzer.CountsTable}, {Metric: "words", Table: "nonsense"}} {
		if err := tables.Export(t.Context(), io.Discard, release.CSV, q); err == nil {
			t.Errorf("%+v was exported", q)
		}
	}
}

func TestEmptyBatch(t *testing.T) {
	b := newBench(t, nil)
	entry := b.release(t, b.Epoch(0))
	if m := entry.Manifest; m.Analyzer.Records != 0 || len(m.Tables) != 3 {
		t.Errorf("manifest %+v", m)
	}
	for _, f := range []release.Format{release.CSV, release.JSON, release.Parquet} {
		var buf bytes.Buffer
		must(t, b.a.Tables().Export(t.Context(), &buf, f, release.Query{Metric: "words", Table: analyzer.RecordsTable}))
		if f == release.JSON && !json.Valid(buf.Bytes()) {
			t.Errorf("not JSON: %s", &buf)
		}
	}
}

// TestKeysGone: an analyzer that has lost its keys must not turn the only copy of
// a batch into an empty table.
func TestKeysGone(t *testing.T) {
	b := newBench(t, func(t *task.Task) { t.Threshold.T = 1 })
	e := b.Epoch(0)
	id, file := b.batch(t, e, b.Parties[0].ID, b.rows(t, b.Report(t, e, "word", 1)))
	if code := b.put(id.String(), file); code != 201 {
		t.Fatalf("answer %d, want 201", code)
	}
	keys := b.Parties[1].Keys
	must(t, b.a.SetKeys(analyzer.Keys{Config: keys.Config}))
	if err := b.a.Tick(t.Context()); err == nil || !strings.Contains(err.Error(), "restore the analyzer's keys") {
		t.Fatalf("released without keys: %v", err)
	}
	must(t, b.a.SetKeys(keys))
	b.Clock.Advance(time.Hour)
	must(t, b.a.Tick(t.Context()))
	entries, err := b.a.Tables().Entries(t.Context())
	must(t, err)
	if len(entries) != 1 || entries[0].State != analyzer.Released || entries[0].Manifest.Analyzer.Records != 1 {
		t.Fatalf("not released once the keys were back: %+v", entries)
	}
}

func TestRetention(t *testing.T) {
	b := newBench(t, func(t *task.Task) { t.RetentionDays, t.Threshold.T = 2, 1 })
	entry := b.release(t, b.Epoch(0), b.Report(t, b.Epoch(0), "a", 1))
	b.Clock.Set(b.Task.Start(b.Epoch(1)).AddDate(0, 0, 2).Add(-1))
	must(t, b.a.Tick(t.Context()))
	if rows := table(t, b.a.Tables(), entry, analyzer.RecordsTable); len(rows) != 1 {
		t.Fatal("the tables went too early")
	}
	b.Clock.Advance(1)
	must(t, b.a.Tick(t.Context()))
	entries, err := b.a.Tables().Entries(t.Context())
	must(t, err)
	if entries[0].State != analyzer.Expired || entries[0].Manifest == nil || len(files(t, b.fs, "data/tables")) != 0 {
		t.Errorf("state %v with files %v, want expired without", entries[0].State, files(t, b.fs, "data/tables"))
	}
	for _, err := range b.a.Tables().Rows(entries[0], analyzer.RecordsTable) {
		if err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("error %v, want one that says that the table has expired", err)
		}
	}
}

// TestRetentionOutlivesTask: tables expire on their day although the task is no
// longer served.
func TestRetentionOutlivesTask(t *testing.T) {
	b := newBench(t, func(t *task.Task) { t.RetentionDays = 2 })
	b.release(t, b.Epoch(0), b.Report(t, b.Epoch(0), "a", 1))
	p := b.Parties[1]
	a, err := analyzer.New(t.Context(), analyzer.Config{
		Store: b.store, FS: b.fs, Dir: "data", Clock: b.Clock, Identity: p.ID.Public(), Keys: p.Keys,
	})
	must(t, err)
	must(t, a.Tick(t.Context()))
	if len(files(t, b.fs, "data/tables")) == 0 {
		t.Fatal("the tables went too early")
	}
	b.Clock.Set(b.Task.Start(b.Epoch(1)).AddDate(0, 0, 2))
	must(t, a.Tick(t.Context()))
	if left := files(t, b.fs, "data/tables"); len(left) != 0 {
		t.Errorf("files %v are left", left)
	}
}

// Fragments: members of a set that lie outside the chunk stay absent, and the
// estimates are of the reports that have the chunk.
func TestSetChunks(t *testing.T) {
	b := newBench(t, func(t *task.Task) {
		t.Schema = task.Schema{{Name: "apis", Kind: task.Set, Values: []string{"a", "b", "c"}}}
		t.Crowd = task.CrowdRule{Kind: task.Constant, SaltEpochs: 1}
		t.Fragment = task.Fragment{Kind: task.Bits, Field: 0, M: 2}
	})
	e := b.Epoch(0)
	chunk := func(i uint8, bits uint64) []byte {
		return b.ReportOf(t, e, task.Record{task.SetChunk{Index: i, Bits: bits}})
	}
	entry := b.release(t, e, chunk(0, 0b01), chunk(0, 0b11), chunk(1, 0b1))
	start := b.Task.Start(e).UnixMilli()
	want := []analyzer.Row{{start, true, false, nil}, {start, true, true, nil}, {start, nil, nil, true}}
	if rows := table(t, b.a.Tables(), entry, analyzer.RecordsTable); fmt.Sprint(rows) != fmt.Sprint(want) {
		t.Errorf("records %v, want %v", rows, want)
	}
	var got []string
	for _, row := range table(t, b.a.Tables(), entry, analyzer.ValuesTable) {
		got = append(got, fmt.Sprintf("%v %v/%v", row[2], row[4], row[3]))
	}
	if strings.Join(got, ", ") != "a 2/2, b 1/2, c 1/1" {
		t.Errorf("values %q", got)
	}
}

// FuzzBatch feeds the whole intake: it must answer, and never with a fault of
// the server, and never accept.
func FuzzBatch(f *testing.F) {
	b := newBench(f, nil)
	id, file := b.batch(f, b.Epoch(0), b.Parties[0].ID, b.rows(f, b.Report(f, b.Epoch(0), "a", 1)))
	f.Add(file[:len(file)-1])
	f.Add(file[:100])
	f.Add(append([]byte("shoalbat"), make([]byte, 400)...))
	f.Fuzz(func(t *testing.T, body []byte) {
		code := b.put(id.String(), body)
		if bytes.Equal(body, file) {
			return
		}
		if code/100 != 4 {
			t.Errorf("answer %d", code)
		}
	})
}
