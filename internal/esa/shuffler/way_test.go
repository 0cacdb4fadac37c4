package shuffler_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	analyzertest "github.com/shoal-project/shoal/internal/esa/analyzer/storetest"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	shufflertest "github.com/shoal-project/shoal/internal/esa/shuffler/storetest"
	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/metric/task"
)

// A chain is a world whose shuffler and analyzer run.
type chain struct {
	lost  func(loss.Loss) // may be nil
	since time.Time       // when data was restored
	*hoptest.World
	engine  engine.Engine
	store   shuffler.Store
	fs      durable.FS
	seeds   uint64 // the next process's randomness
	s       *shuffler.Shuffler
	aStore  analyzer.Store
	aFS     durable.FS
	a       *analyzer.Analyzer
	metrics recorder
	exact   exactCounts
	issuer  *credential.Issuer // may be nil
	more    []*task.Task       // beside that of the world
	stage   shuffler.Stage
	memory  int64 // of the stage; 0 for the default
}

// newChain starts a chain of one shuffler and an analyzer on perfect disks.
func newChain(t testing.TB, edit func(*task.Task)) *chain {
	t.Helper()
	return newChainOf(t, 1, edit)
}

func newModel() shuffler.Store { return shufflertest.NewModel() }

// newChainOf starts the first shuffler of several, and the analyzer.
func newChainOf(t testing.TB, shufflers int, edit func(*task.Task)) *chain {
	t.Helper()
	return startChain(t, hoptest.New(t, shufflers, edit), func(*chain) {})
}

// newChainWith is newChain with something to do before the start.
func newChainWith(t testing.TB, edit func(*task.Task), before func(*chain)) *chain {
	t.Helper()
	return startChain(t, hoptest.New(t, 1, edit), before)
}

func startChain(t testing.TB, w *hoptest.World, before func(*chain)) *chain {
	t.Helper()
	c := &chain{
		World: w, engine: hoptest.NewEngine(), store: newModel(), fs: durable.Mem(),
		aStore: analyzertest.NewModel(), aFS: durable.Mem(),
	}
	before(c)
	must(t, c.startShuffler(t))
	must(t, c.startAnalyzer(t))
	return c
}

// eachStage runs a test with each stage: with the oblivious one in memory, and in
// storage with so few bytes of memory.
func eachStage(t *testing.T, memory int64, f func(t *testing.T, use func(*chain))) {
	t.Helper()
	for name, use := range map[string]func(*chain){
		"plain":     func(*chain) {},
		"oblivious": func(c *chain) { c.stage = shuffler.Oblivious },
		"stored":    func(c *chain) { c.stage, c.memory = shuffler.Oblivious, memory },
	} {
		t.Run(name, func(t *testing.T) { f(t, use) })
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (c *chain) startShuffler(t testing.TB) error {
	p := c.Parties[0]
	c.seeds++
	if c.issuer != nil {
		c.issuer = c.startIssuer(t, c.more...)
	}
	s, err := shuffler.New(t.Context(), shuffler.Config{
		Store: c.store, FS: c.fs, Dir: "shuffler", Engine: c.engine, Clock: c.Clock, Rand: hoptest.Random(c.seeds),
		Identity: p.ID, Keys: p.Keys, Tasks: append([]*task.Task{c.Task}, c.more...), Client: c.Net.Client(), MaxReports: 1 << 20, Workers: 2,
		Metrics: &c.metrics, Lost: c.lost, Since: c.since, Issuer: c.issuer, Stage: c.stage, Memory: c.memory,
	})
	if err != nil {
		return err
	}
	c.s = s
	c.Net.Serve(p, s.Handler())
	return nil
}

func (c *chain) startAnalyzer(t testing.TB) error {
	p := c.Parties[len(c.Parties)-1]
	a, err := analyzer.New(t.Context(), analyzer.Config{
		Store: c.aStore, FS: c.aFS, Dir: "analyzer", Clock: c.Clock, Engine: hoptest.NewEngine(),
		Identity: p.ID.Public(), Keys: p.Keys, Tasks: append([]*task.Task{c.Task}, c.more...), Workers: 2, Metrics: &c.exact,
	})
	if err != nil {
		return err
	}
	c.a = a
	c.Net.Serve(p, a.Handler())
	return nil
}

// closeEpoch moves the clock to where the batch of the i-th epoch closes.
func (c *chain) closeEpoch(i int) { c.Clock.Forward(c.Task.Closes(c.Epoch(i))) }

// finish lets everything happen that is due, until nothing fails any more.
func (c *chain) finish(t testing.TB) {
	t.Helper()
	var err error
	for range 20 {
		if err = errors.Join(c.s.Tick(t.Context()), c.a.Tick(t.Context())); err == nil {
			return
		}
		c.Clock.Advance(10 * time.Minute) // past any pause
	}
	t.Fatal(err)
}

// released returns the numbers that have been released, by word.
func (c *chain) released(t testing.TB) map[string][]int64 {
	t.Helper()
	all := map[string][]int64{}
	tables := c.a.Tables()
	entries, err := tables.Entries(t.Context())
	must(t, err)
	for _, e := range entries {
		if e.State != analyzer.Released {
			t.Fatalf("batch is %v", e.State)
		}
		for row, err := range tables.Rows(e, analyzer.RecordsTable) {
			must(t, err)
			word := row[1].(string)
			all[word] = append(all[word], row[2].(int64))
		}
	}
	return all
}

func (c *chain) states(t testing.TB) []shuffler.State {
	t.Helper()
	all, err := c.store.Batches(t.Context())
	must(t, err)
	var states []shuffler.State
	for _, b := range all {
		states = append(states, b.State)
	}
	return states
}

// equal compares what was released with what was sent, whatever the order.
func equal(t rapid.TB, have, want map[string][]int64) {
	t.Helper()
	for _, m := range []map[string][]int64{have, want} {
		for word := range m {
			slices.Sort(m[word])
		}
	}
	if !maps.EqualFunc(have, want, slices.Equal) {
		t.Fatalf("released %v, want %v", have, want)
	}
}

// With a naive threshold and no noise, crowds of at least T are released
// exactly, and there is no row of a smaller one (property over random inputs
// with duplicates).
func TestExactRelease(t *testing.T) {
	pool := hoptest.New(t, 1, nil)
	const words, most = 6, 12
	reports := map[string][][]byte{} // sealing is slow: the same reports serve all trials
	for w := range words {
		for n := range most {
			word := fmt.Sprint("word", w)
			reports[word] = append(reports[word], pool.Report(t, pool.Epoch(0), word, int64(100*w+n)))
		}
	}
	const least = 3
	rapid.Check(t, func(r *rapid.T) {
		c := newChain(t, nil)
		truth := map[string][]int64{}
		var sent [][]byte
		for w := range words {
			word := fmt.Sprint("word", w)
			size := rapid.IntRange(0, most).Draw(r, word)
			for n := range size {
				sent = append(sent, reports[word][n])
				if size >= least {
					truth[word] = append(truth[word], int64(100*w+n))
				}
			}
		}
		for range rapid.IntRange(0, 5).Draw(r, "duplicates") {
			if len(sent) > 0 {
				sent = append(sent, rapid.SampledFrom(sent).Draw(r, "duplicate"))
			}
		}
		for _, report := range rapid.Permutation(sent).Draw(r, "order") {
			if status := c.Post(t, report); status != 201 {
				r.Fatalf("report was answered %d", status)
			}
		}
		c.closeEpoch(0)
		c.finish(t)
		equal(r, c.released(t), truth)
	})
}

func TestCountsAddUp(t *testing.T) {
	c := newChain(t, func(t *task.Task) { t.MinBatch = 5 })
	send := func(word string, n int64) []byte {
		report := c.Report(t, c.Epoch(0), word, n)
		if status := c.Post(t, report); status != 201 {
			t.Fatalf("report was answered %d", status)
		}
		return report
	}
	for n := range 5 {
		send("often", int64(n))
	}
	twice := send("rare", 7)
	send("rare", 8)
	for range 3 {
		c.Post(t, twice)
	}
	broken := c.Report(t, c.Epoch(0), "often", 9)
	broken[len(broken)-1] ^= 1
	if status := c.Post(t, broken); status != 201 { // looks like a report; costs only itself later
		t.Fatalf("broken report was answered %d", status)
	}
	bad := c.SealTagged(t, c.Epoch(0), c.Tag(t, c.Epoch(0), task.Record{"often", int64(0)}), []byte{0xff, 0xff, 0xff}) // no payload of the schema
	c.Post(t, bad)
	c.closeEpoch(0)
	c.finish(t)
	equal(t, c.released(t), map[string][]int64{"often": {0, 1, 2, 3, 4}})
	entries, err := c.a.Tables().Entries(t.Context())
	must(t, err)
	m := entries[0].Manifest
	if want := (analyzer.ShufflerCounts{}); m.Shuffler != want {
		t.Errorf("the shuffler tells %+v, want %+v", m.Shuffler, want)
	}
	want := esa.Counts{Received: 12, Duplicate: 3, SuppressedCrowds: 1, SuppressedReports: 2, Released: 6}
	want.Invalid[esa.CauseDecrypt] = 1
	if all, err := c.store.Batches(t.Context()); err != nil || all[0].Counts != want {
		t.Errorf("the shuffler counts %+v (%v), want %+v", all[0].Counts, err, want)
	}
	if exact := c.exact.of[m.Batch]; exact.Received != 6 || m.Analyzer.Records != 5 || exact.Invalid["schema"] != 1 || m.Analyzer.Crowds != 1 {
		t.Errorf("the analyzer counts %+v, %+v", m.Analyzer, exact)
	}
	if states := c.states(t); !slices.Equal(states, []shuffler.State{shuffler.Destroyed}) {
		t.Errorf("batches are %v", states)
	}
}

// The same close record gives the same bytes: what is put at the analyzer never
// varies, although its answers get lost and the shuffler starts again.
func TestRepetitionIsByteEqual(t *testing.T) { eachStage(t, 10_000, testRepetition) }

func testRepetition(t *testing.T, use func(*chain)) {
	c := newChainWith(t, func(t *task.Task) { t.Threshold = task.Threshold{Kind: task.NoisyDrop, T: 3, D: 4, SigmaMilli: 2000} }, use)
	for n := range 60 {
		c.Post(t, c.Report(t, c.Epoch(0), fmt.Sprint("word", n%2), int64(n)))
	}
	c.closeEpoch(0)
	lost := 0
	c.Net.Lose = func(r *http.Request) bool {
		lost++
		return r.Method == http.MethodPut && lost <= 3
	}
	for range 4 {
		c.s.Tick(t.Context())
		must(t, c.s.Close())
		must(t, c.startShuffler(t))
	}
	c.finish(t)
	if v := c.Net.Variants(); v != 1 {
		t.Errorf("%d different batches were handed over", v)
	}
	if got := len(c.released(t)); got != 2 {
		t.Errorf("%d crowds were released, want 2", got)
	}
}

func TestPeerDownWaits(t *testing.T) {
	c := newChain(t, nil)
	for n := range 4 {
		c.Post(t, c.Report(t, c.Epoch(0), "word", int64(n)))
	}
	c.closeEpoch(0)
	c.Net.Serve(c.Parties[1], nil)
	for range 5 {
		if err := c.s.Tick(t.Context()); err == nil {
			t.Fatal("the hand-over worked without a peer")
		}
		c.Clock.Advance(time.Hour)
	}
	st := c.s.Status()
	if len(st.Batches) != 1 || st.Batches[0].State != shuffler.Processed || st.Batches[0].Attempts != 5 || st.Batches[0].Err == nil {
		t.Fatalf("status %+v, want one processed batch with five failures", st)
	}
	if err := c.s.Tick(t.Context()); err == nil {
		t.Fatal("the hand-over worked without a peer")
	}
	if err := c.s.Tick(t.Context()); err != nil {
		t.Fatalf("a pause was not kept: %v", err)
	}
	must(t, c.startAnalyzer(t))
	c.Clock.Advance(time.Hour)
	c.finish(t)
	equal(t, c.released(t), map[string][]int64{"word": {0, 1, 2, 3}})
}

// TestBusyPeer: a next hop that asks for another try is left alone until the pause is
// over. One that refuses a batch is offered the others.
func TestBusyPeer(t *testing.T) {
	for status, want := range map[int]int{400: 2, 407: 1, 408: 1, 413: 2, 425: 1, 429: 1, 500: 1, 503: 1} {
		c := newChain(t, nil)
		c.Net.Serve(c.Parties[1], nil)
		for epoch := range 2 {
			c.Clock.Forward(c.Task.Start(c.Epoch(epoch)))
			for n := range 4 {
				c.Post(t, c.Report(t, c.Epoch(epoch), "word", int64(n)))
			}
			c.closeEpoch(epoch)
			if err := c.s.Tick(t.Context()); err == nil {
				t.Fatal("the hand-over worked without a peer")
			}
		}
		offered := 0
		c.Net.Serve(c.Parties[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/batches/") {
				offered++
			}
			w.WriteHeader(status)
		}))
		c.Clock.Advance(10 * time.Hour)
		if err := c.s.Tick(t.Context()); err == nil || offered != want {
			t.Errorf("HTTP %d: %d batches were offered, want %d (%v)", status, offered, want, err)
		}
	}
}

// A redirect is another route: it must not be taken.
func TestRedirectIsNotFollowed(t *testing.T) {
	c := newChain(t, nil)
	for n := range 4 {
		c.Post(t, c.Report(t, c.Epoch(0), "word", int64(n)))
	}
	elsewhere := 0
	c.Net.Serve(&hoptest.Party{Party: task.Party{URL: "http://127.0.0.1:9"}}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	c.Net.Serve(c.Parties[1], http.RedirectHandler("http://127.0.0.1:9/", http.StatusTemporaryRedirect))
	c.closeEpoch(0)
	if err := c.s.Tick(t.Context()); err == nil || elsewhere != 0 {
		t.Errorf("error %v, %d requests elsewhere; want an error and none", err, elsewhere)
	}
}

func TestUndersizedIsDestroyed(t *testing.T) { eachStage(t, 2500, testUndersized) }

func testUndersized(t *testing.T, use func(*chain)) {
	c := newChainWith(t, func(t *task.Task) { t.MinBatch = 10 }, use)
	for n := range 9 {
		c.Post(t, c.Report(t, c.Epoch(0), "word", int64(n)))
	}
	again := c.Report(t, c.Epoch(0), "word", 8)
	broken := slices.Clone(again)
	broken[len(broken)-1] ^= 1
	c.Post(t, broken) // ten reports, nine of them valid
	c.closeEpoch(0)
	c.finish(t)
	if states := c.states(t); !slices.Equal(states, []shuffler.State{shuffler.Destroyed}) || len(c.released(t)) != 0 {
		t.Errorf("batches are %v with %v released, want one destroyed and nothing released", states, c.released(t))
	}
	entries, err := c.fs.ReadDir("shuffler")
	must(t, err)
	if len(entries) != 2 || entries[0].Name() != "arriving" || entries[1].Name() != "shared" {
		t.Errorf("files are left: %v", entries)
	}
	if logs, err := c.fs.ReadDir("shuffler/shared"); err != nil || len(logs) != 0 {
		t.Errorf("logs are left: %v, %v", logs, err)
	}
}

// Reports below the minimum join the next epoch's batch within a salt window,
// and are destroyed at its end.
func TestCarryOver(t *testing.T) { eachStage(t, 1900, testCarryOver) }

func testCarryOver(t *testing.T, use func(*chain)) {
	c := newChainWith(t, func(t *task.Task) { t.MinBatch, t.Crowd.SaltEpochs = 6, 3 }, use)
	first := 0
	for uint64(c.Epoch(first))%3 != 0 {
		first++
	}
	c.Clock.Forward(c.Task.Start(c.Epoch(first)))
	sizes := []int{2, 0, 4, 5, 0, 0} // two windows of three epochs: 6 and 5 reports
	n := int64(0)
	for i, size := range sizes {
		for range size {
			if status := c.Post(t, c.Report(t, c.Epoch(first+i), "word", n)); status != 201 {
				t.Fatalf("report was answered %d", status)
			}
			n++
		}
		c.Clock.Forward(c.Task.Start(c.Epoch(first + i + 1)))
		c.finish(t)
	}
	c.closeEpoch(first + len(sizes))
	c.finish(t)
	equal(t, c.released(t), map[string][]int64{"word": {0, 1, 2, 3, 4, 5}})
	for i, s := range c.states(t) {
		if s != shuffler.Destroyed {
			t.Errorf("batch %d is %v, want it destroyed", i, s)
		}
	}
}
