package shuffler_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

// Bad input costs only itself, is answered by a problem that describes what to do,
// and leaves nothing behind.
func TestBadReports(t *testing.T) {
	c := newChain(t, nil)
	other := hoptest.New(t, 1, func(t *task.Task) { t.Question = "Another?" })
	e := c.Epoch(0)
	good := c.Report(t, e, "word", 1)
	edit := func(at int, b byte) []byte {
		bad := bytes.Clone(good)
		bad[at] ^= b
		return bad
	}
	for _, test := range []struct {
		name   string
		body   []byte
		status int
		kind   string
	}{
		{"empty", nil, 400, "malformed"},
		{"truncated", good[:len(good)-1], 400, "malformed"},
		{"header only", good[:40], 400, "malformed"},
		{"oversized", append(bytes.Clone(good), 0), 413, "tooLarge"},
		{"other version", edit(0, 1), 400, "malformed"},
		{"other role", edit(1, 3), 400, "malformed"},
		{"unknown key", edit(2, 1), 409, "unknownKey"},
		{"other task", other.Report(t, e, "word", 1), 400, "wrongTask"},
		{"next epoch", c.Report(t, e+1, "word", 1), 503, "tooEarly"},
		{"last epoch", c.Report(t, e-1, "word", 1), 409, "wrongEpoch"},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/tasks/"+c.ID.String()+"/reports", bytes.NewReader(test.body))
		r.Header.Set("Content-Type", shuffler.ReportType)
		c.s.Handler().ServeHTTP(w, r)
		if w.Code != test.status || !strings.Contains(w.Body.String(), `"urn:shoal:problem:`+test.kind+`"`) ||
			w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: answer %d %s, want %d %s", test.name, w.Code, w.Body, test.status, test.kind)
		}
	}
	for name, change := range map[string]func(*http.Request){
		"unknown task": func(r *http.Request) { r.URL.Path = "/tasks/" + other.ID.String() + "/reports" },
		"no task ID":   func(r *http.Request) { r.URL.Path = "/tasks/x/reports" },
		"media type":   func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"cut":          func(r *http.Request) { r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(good[:9]), broken{})) },
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/tasks/"+c.ID.String()+"/reports", bytes.NewReader(good))
		r.Header.Set("Content-Type", shuffler.ReportType)
		change(r)
		c.s.Handler().ServeHTTP(w, r)
		if w.Code < 400 || w.Code >= 500 {
			t.Errorf("%s: answer %d, want a client error", name, w.Code)
		}
	}
	if all := c.states(t); len(all) != 0 {
		t.Errorf("bad reports have opened batches: %v", all)
	}
}

// broken is a connection that ends early.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// An altered report must not take a place in any crowd: each bit of the frame
// is authenticated by some layer.
func TestFlippedBits(t *testing.T) {
	c := newChain(t, func(t *task.Task) { t.Threshold.T = 1 })
	good := c.Report(t, c.Epoch(0), "word", 1)
	c.Post(t, good)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1 << (i % 8)
		c.Post(t, bad)
	}
	c.closeEpoch(0)
	c.finish(t)
	equal(t, c.released(t), map[string][]int64{"word": {1}})
}

func TestEpochsOpenAndClose(t *testing.T) {
	c := newChain(t, nil)
	skew := time.Duration(c.Task.ClockSkew) * time.Second
	late := c.Report(t, c.Epoch(0), "word", 1)
	early := c.Report(t, c.Epoch(1), "word", 2)
	start := c.Task.Start(c.Epoch(1))
	for _, test := range []struct {
		at     time.Time
		report []byte
		status int
	}{
		{start.Add(-skew - time.Second), early, 503}, // one of the clocks is wrong: nothing to be dropped for
		{start.Add(-skew), early, 201},
		{c.Task.Closes(c.Epoch(0)).Add(-time.Second), late, 201},
		{c.Task.Closes(c.Epoch(0)), late, 409},
	} {
		c.Clock.Set(test.at)
		if status := c.Post(t, test.report); status != test.status {
			t.Errorf("at %v: answer %d, want %d", test.at, status, test.status)
		}
	}
	c.finish(t)
	c.Clock.Set(hoptest.Begin) // a clock that jumps back opens nothing again
	if status := c.Post(t, late); status != 409 {
		t.Errorf("a closed batch took a report: %d", status)
	}
	must(t, c.s.Close())
	must(t, c.startShuffler(t))
	if status := c.Post(t, late); status != 409 {
		t.Errorf("a closed batch took a report after a restart: %d", status)
	}
}

func TestConcurrentClients(t *testing.T) {
	c := newChain(t, func(t *task.Task) { t.Threshold.T = 1 })
	const clients, each = 20, 5
	truth := map[string][]int64{}
	var wg sync.WaitGroup
	for i := range clients {
		var mine [][]byte
		for j := range each {
			n := int64(i*each + j)
			mine = append(mine, c.Report(t, c.Epoch(0), "word", n))
			truth["word"] = append(truth["word"], n)
		}
		wg.Go(func() {
			for range 3 { // retries and duplicates
				for _, report := range mine {
					if status := c.Post(t, report); status != 201 {
						t.Errorf("answer %d", status)
					}
				}
			}
		})
	}
	wg.Wait()
	c.closeEpoch(0)
	c.finish(t)
	equal(t, c.released(t), truth)
	if got := c.metrics.reports[shuffler.Accepted]; got != 3*clients*each {
		t.Errorf("metrics counted %d accepted reports, want %d", got, 3*clients*each)
	}
}

// Reports that arrive while the batch closes are either in it or refused.
func TestCloseUnderLoad(t *testing.T) {
	c := newChain(t, func(t *task.Task) { t.Threshold.T = 1 })
	c.Clock.Set(c.Task.Closes(c.Epoch(0)).Add(-time.Second))
	var mu sync.Mutex
	truth := map[string][]int64{}
	var reports [][]byte
	for n := range 200 {
		reports = append(reports, c.Report(t, c.Epoch(0), "word", int64(n)))
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := i; n < len(reports); n += 8 {
				if n == 100 {
					c.closeEpoch(0)
				}
				if c.Post(t, reports[n]) == 201 {
					mu.Lock()
					truth["word"] = append(truth["word"], int64(n))
					mu.Unlock()
				}
			}
		})
	}
	for range 50 {
		must(t, c.s.Tick(t.Context()))
	}
	wg.Wait()
	c.finish(t)
	equal(t, c.released(t), truth)
}

func TestFullDiskAndFullBatch(t *testing.T) {
	c := newChain(t, nil)
	must(t, c.s.Close())
	disk := crashfs.New(1)
	c.fs = disk
	must(t, c.startShuffler(t))
	c.Post(t, c.Report(t, c.Epoch(0), "word", 0))
	full := true
	var mu sync.Mutex
	disk.FailWith(func(op, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if full && (op == "write" || op == "create") {
			return syscall.ENOSPC
		}
		return nil
	})
	refused := c.Report(t, c.Epoch(0), "word", 1)
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/tasks/"+c.ID.String()+"/reports", bytes.NewReader(refused))
	r.Header.Set("Content-Type", shuffler.ReportType)
	c.s.Handler().ServeHTTP(w, r)
	if w.Code != 503 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "diskFull") {
		t.Errorf("full disk: answer %d %s with Retry-After %q", w.Code, w.Body, w.Header().Get("Retry-After"))
	}
	mu.Lock()
	full = false
	mu.Unlock()
	for n := range 3 {
		if status := c.Post(t, c.Report(t, c.Epoch(0), "word", int64(n+1))); status != 201 {
			t.Errorf("answer %d when there is space again", status)
		}
	}
	// Full while the batch is being processed: it waits, and goes on.
	mu.Lock()
	full = true
	mu.Unlock()
	c.closeEpoch(0)
	if err := c.s.Tick(t.Context()); err == nil {
		t.Error("a batch was processed on a full disk")
	}
	mu.Lock()
	full = false
	mu.Unlock()
	c.Clock.Advance(time.Hour)
	c.finish(t)
	equal(t, c.released(t), map[string][]int64{"word": {0, 1, 2, 3}})
}

func TestBatchFull(t *testing.T) {
	c := newChain(t, nil)
	p := c.Parties[0]
	s, err := shuffler.New(t.Context(), shuffler.Config{
		Store: c.store, FS: durable.Mem(), Dir: "small", Engine: c.engine, Clock: c.Clock, Identity: p.ID, Keys: p.Keys,
		Tasks: []*task.Task{c.Task}, Client: c.Net.Client(), MaxReports: 2,
	})
	must(t, err)
	c.Net.Serve(p, s.Handler())
	for n, want := range []int{201, 201, 503, 503} {
		if status := c.Post(t, c.Report(t, c.Epoch(0), "word", int64(n))); status != want {
			t.Errorf("report %d was answered %d, want %d", n, status, want)
		}
	}
}

// Damage to the log costs the reports that it hits, is reported, and the rest
// is kept.
func TestDamagedLog(t *testing.T) {
	c := newChain(t, func(t *task.Task) { t.Threshold.T = 1 })
	for n := range 10 {
		c.Post(t, c.Report(t, c.Epoch(0), "word", int64(n)))
	}
	must(t, c.s.Close())
	name := find(t, c.fs, "shuffler", ".seg")
	f, err := c.fs.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	info, err := f.Stat()
	must(t, err)
	_, err = f.WriteAt([]byte{0xff, 0xff, 0xff}, info.Size()/2)
	must(t, err)
	must(t, f.Close())
	must(t, c.startShuffler(t))
	if st := c.s.Status(); st.Damaged == 0 {
		t.Error("the damage was not reported")
	}
	c.closeEpoch(0)
	c.finish(t)
	if got := c.released(t)["word"]; len(got) != 9 {
		t.Errorf("%d reports were released, want 9 of 10", len(got))
	}
}

// find returns the file below dir whose name ends in suffix.
func find(t *testing.T, fsys durable.FS, dir, suffix string) string {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if e.IsDir() {
			if found := find(t, fsys, name, suffix); found != "" {
				return found
			}
			continue
		}
		if strings.HasSuffix(name, suffix) {
			return name
		}
	}
	return ""
}

func TestKeys(t *testing.T) {
	c := newChain(t, nil)
	get := func() (int, []byte) {
		w := httptest.NewRecorder()
		c.s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/tasks/"+c.ID.String()+"/keys", nil))
		return w.Code, w.Body.Bytes()
	}
	code, body := get()
	list, err := task.ParseKeyConfigList(body)
	must(t, err)
	configs, err := list.Open(c.Task, c.Clock.Now())
	must(t, err)
	if code != 200 || len(configs) != 2 {
		t.Fatalf("answer %d with %d configs, want 200 with 2", code, len(configs))
	}
	c.Net.Serve(c.Parties[1], nil)
	c.Clock.Advance(time.Hour)
	if again, same := get(); again != 200 || !bytes.Equal(same, body) {
		t.Errorf("answer %d while the analyzer is away, want the keys known", again)
	}
	c.Clock.Set(hoptest.Begin.AddDate(2, 0, 0))
	if again, _ := get(); again != 503 {
		t.Errorf("answer %d with keys that have run out, want 503", again)
	}
}

// A shuffler that was given somebody else's keys by a server in the analyzer's
// place must not pass them on.
func TestForeignKeysAreRefused(t *testing.T) {
	c := newChain(t, nil)
	forged := c.Parties[0].Keys.Config
	c.Net.Serve(c.Parties[1], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(forged) }))
	w := httptest.NewRecorder()
	c.s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/tasks/"+c.ID.String()+"/keys", nil))
	if w.Code != 503 {
		t.Errorf("answer %d, want 503", w.Code)
	}
}

// Threat: an operator's disk is seized or leaked. While a batch is open and
// after everything is done, no file of either role holds the sender's address,
// a header of its request or, at the shuffler, any plaintext.
func TestNothingIdentifyingIsWritten(t *testing.T) {
	dir := t.TempDir()
	c := newChain(t, nil)
	must(t, c.s.Close())
	var err error
	must(t, os.MkdirAll(filepath.Join(dir, "s"), 0o700))
	store, err := sqlite.OpenShuffler(t.Context(), filepath.Join(dir, "s", "shuffler.db"))
	must(t, err)
	defer store.Close()
	c.store, c.fs = store, durable.OS()
	p := c.Parties[0]
	s, err := shuffler.New(t.Context(), shuffler.Config{
		Store: store, FS: c.fs, Dir: filepath.Join(dir, "s", "data"), Engine: c.engine, Clock: c.Clock, Identity: p.ID,
		Keys: p.Keys, Tasks: []*task.Task{c.Task}, Client: c.Net.Client(),
	})
	must(t, err)
	c.s = s
	const secret, address, agent, cookie = "secret-w0rd", "203.0.113.77", "agent-4711", "cookie-0815"
	for n := range 5 {
		r := httptest.NewRequest(http.MethodPost, "/tasks/"+c.ID.String()+"/reports",
			bytes.NewReader(c.Report(t, c.Epoch(0), secret, int64(n))))
		r.RemoteAddr = address + ":999"
		r.Header.Set("Content-Type", shuffler.ReportType)
		r.Header.Set("User-Agent", agent)
		r.Header.Set("Cookie", cookie)
		r.Header.Set("X-Forwarded-For", address)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != 201 {
			t.Fatalf("answer %d", w.Code)
		}
	}
	look := func(when string) {
		must(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(name)
			for _, word := range []string{secret, address, agent, cookie} {
				if bytes.Contains(b, []byte(word)) {
					t.Errorf("%s: %s holds %q", when, name, word)
				}
			}
			return errors.Join(err)
		}))
	}
	look("open")
	c.closeEpoch(0)
	c.Net.Serve(c.Parties[1], nil)
	if err := s.Tick(t.Context()); err == nil {
		t.Fatal("handed over to nobody")
	}
	look("processed")
	must(t, c.startAnalyzer(t))
	c.Clock.Advance(time.Hour)
	c.finish(t)
	look("destroyed")
	if got := len(c.released(t)[secret]); got != 5 {
		t.Fatalf("%d records were released, want 5", got)
	}
	st := fmt.Sprintf("%+v", s.Status())
	if strings.Contains(st, address) || strings.Contains(st, secret) {
		t.Errorf("the status tells too much: %s", st)
	}
}

// Two shufflers: the first sees no crowd, the second applies the threshold.
func TestTwoShufflers(t *testing.T) { eachStage(t, 2000, testTwoShufflers) }

func testTwoShufflers(t *testing.T, use func(*chain)) {
	c := newChain2Of(t, nil, use)
	truth := map[string][]int64{}
	for n := range 4 {
		c.Post(t, c.Report(t, c.Epoch(0), "often", int64(n)))
		truth["often"] = append(truth["often"], int64(n))
	}
	c.Post(t, c.Report(t, c.Epoch(0), "rare", 9))
	c.closeEpoch(0)
	for range 3 {
		must(t, errors.Join(c.s.Tick(t.Context()), c.second.Tick(t.Context()), c.a.Tick(t.Context())))
	}
	equal(t, c.released(t), truth)
}

type chain2 struct {
	*chain
	second *shuffler.Shuffler
	store2 shuffler.Store
}

func newChain2With(t testing.TB, edit func(*task.Task)) *chain2 {
	t.Helper()
	return newChain2Of(t, edit, func(*chain) {})
}

// newChain2Of is newChain2With with something to do before the start.
func newChain2Of(t testing.TB, edit func(*task.Task), before func(*chain)) *chain2 {
	t.Helper()
	c := &chain2{chain: startChain(t, hoptest.New(t, 2, edit), before), store2: newModel()}
	p := c.Parties[1]
	s, err := shuffler.New(t.Context(), shuffler.Config{
		Store: c.store2, FS: durable.Mem(), Dir: "second", Engine: hoptest.NewEngine(), Clock: c.Clock,
		Rand: hoptest.Random(99), Identity: p.ID, Keys: p.Keys, Tasks: []*task.Task{c.Task}, Client: c.Net.Client(),
		Stage: c.stage, Memory: c.memory,
	})
	must(t, err)
	c.second = s
	c.Net.Serve(p, s.Handler())
	return c
}

// FuzzReport feeds the whole intake: it must answer, and never with a fault of
// the server.
func FuzzReport(f *testing.F) {
	c := newChain(f, nil)
	good := c.Report(f, c.Epoch(0), "word", 1)
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte{esa.Version})
	f.Fuzz(func(t *testing.T, body []byte) {
		if status := c.Post(t, body); status != 201 && status/100 != 4 {
			t.Errorf("answer %d", status)
		}
	})
}
