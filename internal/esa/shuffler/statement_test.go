package shuffler_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	shufflertest "github.com/shoal-project/shoal/internal/esa/shuffler/storetest"
	"github.com/shoal-project/shoal/metric/task"
)

// small makes a batch of fewer than three reports too small.
func small(t *task.Task) { t.MinBatch, t.Threshold.T = 3, 1 }

// send posts n reports of the i-th epoch.
func (c *chain) send(t testing.TB, i, n int) {
	t.Helper()
	for k := range n {
		if status := c.Post(t, c.Report(t, c.Epoch(i), "word", int64(100*i+k))); status != 201 {
			t.Fatalf("epoch %d: report was answered %d", i, status)
		}
	}
}

// statedAt is when the i-th epoch is stated: a little after what [chain.closeEpoch] sets.
func (c *chain) statedAt(i int) time.Time { return c.Task.Closes(c.Epoch(i)).Add(11 * time.Minute) }

// rows returns what the analyst is shown of the epochs from the first to the i-th.
func (c *chain) rows(t testing.TB, i int) string {
	t.Helper()
	tables := c.a.Tables()
	entries, err := tables.Entries(t.Context())
	must(t, err)
	gaps, err := tables.Unreleased(t.Context(), c.Task, c.ID, analyzer.Span{Now: c.Clock.Now(), Grace: 48 * time.Hour, Most: 100})
	must(t, err)
	states := map[task.Epoch]string{}
	for _, e := range entries {
		states[e.Epoch] = e.State.String()
	}
	for _, u := range gaps {
		if was, twice := states[u.Epoch]; twice && was != "received" {
			t.Errorf("epoch %d is %s and %s", u.Epoch, was, u.State)
		}
		states[u.Epoch] = u.State
	}
	var all []string
	for k := range i + 1 {
		all = append(all, states[c.Epoch(k)])
	}
	return strings.Join(all, ", ")
}

func (c *chain) wantRows(t testing.TB, i int, want string) {
	t.Helper()
	if have := c.rows(t, i); have != want {
		t.Errorf("the epochs are %s, want %s", have, want)
	}
}

// TestStatement: an epoch with too few reports and one with none are "too few" once the
// shuffler has stated that it has lost nothing, and not before. On 0caf301 the analyst
// was shown nothing of them.
func TestStatement(t *testing.T) {
	c := newChain(t, small)
	for i, n := range []int{4, 1, 0, 4, 2} {
		c.Clock.Forward(c.Task.Start(c.Epoch(i)))
		c.send(t, i, n)
		c.closeEpoch(i)
		c.finish(t)
	}
	c.wantRows(t, 4, "released, too few, too few, released, waiting")
	c.Clock.Forward(c.statedAt(4))
	c.finish(t)
	c.wantRows(t, 4, "released, too few, too few, released, too few")
	if st := c.s.Status(); st.Unstated != 0 {
		t.Errorf("%d tasks are not stated", st.Unstated)
	}
}

// observed is what a next hop can see of a shuffler: which requests, when, and of
// statements the bytes. Those of batches are random.
func (c *chain) observed(t testing.TB) *[]string {
	t.Helper()
	var all []string
	next := c.a.Handler()
	c.Net.Serve(c.Parties[len(c.Parties)-1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		must(t, err)
		one := fmt.Sprintf("%v %s", c.Clock.Now(), r.URL.Path)
		if strings.HasSuffix(r.URL.Path, "/statement") {
			one += fmt.Sprintf(" %x", sha256.Sum256(body))
		}
		all = append(all, one)
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	}))
	return &all
}

// TestStatementShowsNoBatch: whether a batch that is too small has two reports, one, or
// does not exist cannot be seen by the next hop: not from what is stated, nor from when;
// also if a log is damaged, with reports of it or without. Ed25519 signatures are a
// function of what is signed, so that bytes can be compared.
func TestStatementShowsNoBatch(t *testing.T) {
	for name, damage := range map[string]bool{"all is well": false, "a log is damaged": true} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, n := range []int{0, 1, 2} {
				c := newChain(t, small)
				other := c.With(t, func(t *task.Task) { t.Metric = "others" })
				serve := func() {
					p := c.Parties[0]
					s, err := shuffler.New(t.Context(), shuffler.Config{
						Store: c.store, FS: c.fs, Dir: "both", Engine: c.engine, Clock: c.Clock, Rand: hoptest.Random(7),
						Identity: p.ID, Keys: p.Keys, Tasks: []*task.Task{c.Task, other.Task}, Client: c.Net.Client(), Workers: 1,
					})
					must(t, err)
					c.s = s
					c.Net.Serve(p, s.Handler())
				}
				serve()
				seen := c.observed(t)
				for i := range 4 {
					c.Clock.Forward(c.Task.Start(c.Epoch(i)))
					if status := other.Post(t, other.Report(t, c.Epoch(i), "word", 1)); status != 201 {
						t.Fatal(status)
					}
					if i == 0 {
						c.send(t, i, 4)
					}
					if i == 1 {
						c.send(t, i, n)
					}
					if i == 1 && damage {
						must(t, c.s.Close())
						halveFirst(t, c.fs, "both/shared")
						serve()
					}
					for c.Clock.Now().Before(c.statedAt(i)) {
						c.Clock.Advance(time.Minute)
						must(t, c.s.Tick(t.Context()))
					}
				}
				if len(*seen) < 4 {
					t.Fatalf("the next hop sees %q", *seen)
				}
				if n == 0 {
					want = *seen
				} else if have, want := strings.Join(*seen, "\n"), strings.Join(want, "\n"); have != want {
					t.Errorf("with %d reports the next hop sees\n%s\nand without\n%s", n, have, want)
				}
				if rows := c.rows(t, 3); damage != strings.Contains(rows, "missing") {
					t.Errorf("the epochs are %s", rows)
				}
			}
		})
	}
}

// halveFirst cuts the first file below a folder in half.
func halveFirst(t testing.TB, fsys durable.FS, dir string) {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		if e.IsDir() {
			halveFirst(t, fsys, name)
			return
		}
		b, err := durable.ReadFile(fsys, name)
		must(t, err)
		must(t, durable.WriteFile(fsys, name, b[:len(b)/2], 0o600))
		return
	}
	t.Fatalf("%s is empty", dir)
}

// TestLossIsStated: what the shuffler has lost is stated, once, of the epochs that had
// begun and were not stated; what comes before and after is complete.
func TestLossIsStated(t *testing.T) {
	c := newChain(t, small)
	for i, n := range []int{4, 1, 4, 2, 1, 0} {
		c.Clock.Forward(c.Task.Start(c.Epoch(i)))
		c.send(t, i, n)
		if i == 2 || i == 3 { // of epoch 2 the other reports are enough to be handed over
			must(t, c.s.Close())
			entries, err := c.fs.ReadDir("shuffler/shared")
			must(t, err)
			for _, e := range entries {
				if i == 3 {
					must(t, durable.RemoveAll(c.fs, filepath.Join("shuffler/shared", e.Name())))
				}
			}
			must(t, c.startShuffler(t))
		}
		c.Clock.Forward(c.statedAt(i))
		c.finish(t)
	}
	want := "released, too few, released, missing, too few, too few"
	c.wantRows(t, 5, want)
	must(t, c.s.Close())
	must(t, c.startShuffler(t)) // the loss is not found again in other epochs
	c.Clock.Forward(c.statedAt(6))
	c.finish(t)
	c.wantRows(t, 6, want+", too few")
}

// TestBatchThatWaits: an epoch whose batch waits at the shuffler is not stated, and one
// whose batch file is damaged is lost, until it comes after all.
func TestBatchThatWaits(t *testing.T) {
	c := newChain(t, small)
	next := c.a.Handler()
	refuse := true
	c.Net.Serve(c.Parties[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuse && strings.Contains(r.URL.Path, "/batches/") {
			http.Error(w, "not this one", http.StatusBadRequest)
			return
		}
		next.ServeHTTP(w, r)
	}))
	tick := func() {
		for range 3 {
			_ = errors.Join(c.s.Tick(t.Context()), c.a.Tick(t.Context())) // the batch is refused
			c.Clock.Advance(10 * time.Minute)
		}
	}
	c.send(t, 0, 4)
	c.closeEpoch(0)
	refuse = false
	tick()
	refuse = true
	c.Clock.Forward(c.Task.Start(c.Epoch(1)))
	c.send(t, 1, 4)
	c.closeEpoch(1)
	tick()
	c.Clock.Forward(c.statedAt(2))
	tick()
	c.wantRows(t, 2, "released, waiting, too few")
	out := fmt.Sprintf("shuffler/%x-%d/handover.batch", c.ID[:8], c.Epoch(1))
	whole, err := durable.ReadFile(c.fs, out)
	must(t, err)
	must(t, durable.WriteFile(c.fs, out, whole[:len(whole)-1], 0o600))
	tick()
	c.wantRows(t, 2, "released, missing, too few")
	must(t, durable.WriteFile(c.fs, out, whole, 0o600))
	refuse = false
	tick()
	c.wantRows(t, 2, "released, released, too few")
}

// TestUndecidedBatch: while a batch cannot be decided about nothing later is stated; after
// a day the others are.
func TestUndecidedBatch(t *testing.T) {
	c := newChain(t, small)
	c.send(t, 0, 4)
	c.Clock.Forward(c.statedAt(0))
	c.finish(t)
	c.Clock.Forward(c.Task.Start(c.Epoch(1)))
	c.send(t, 1, 4)
	must(t, c.s.Close())
	broken := &brokenEngine{Engine: c.engine.(*hoptest.Engine)}
	c.engine = broken
	must(t, c.startShuffler(t))
	until := func(i int) {
		for c.Clock.Now().Before(c.statedAt(i)) {
			c.Clock.Advance(30 * time.Minute)
			_ = c.s.Tick(t.Context()) // the engine fails
		}
	}
	until(5)
	c.wantRows(t, 5, "released, waiting, waiting, waiting, waiting, waiting")
	until(27)
	if rows := c.rows(t, 27); !strings.HasPrefix(rows, "released, missing, missing") || !strings.HasSuffix(rows, ", too few") {
		t.Errorf("after a day the epochs are %s", rows)
	}
	broken.works = true
	c.Clock.Advance(time.Hour)
	c.finish(t)
	if rows := c.rows(t, 1); rows != "released, released" {
		t.Errorf("when the batch has come the epochs are %s", rows)
	}
}

// A brokenEngine makes no datasets.
type brokenEngine struct {
	*hoptest.Engine
	works bool
}

func (b *brokenEngine) CreateSorted(ctx context.Context, name string, columns []engine.Column, by []string) (engine.Writer, error) {
	if !b.works {
		return nil, errors.New("the engine is broken")
	}
	return b.Engine.CreateSorted(ctx, name, columns, by)
}

// TestStoreWithoutHistory: of the past of a store that another version has written, or
// that replaces one, nothing is stated; of a new one all is.
func TestStoreWithoutHistory(t *testing.T) {
	for name, since := range map[string]bool{"of another version": false, "restored": true} {
		t.Run(name, func(t *testing.T) {
			c := newChain(t, small)
			c.send(t, 0, 4)
			c.closeEpoch(0)
			c.finish(t)
			c.Clock.Forward(c.Task.Start(c.Epoch(2)))
			must(t, c.s.Close())
			var later time.Time
			if since {
				later = c.Clock.Now()
			} else {
				old := shufflertest.NewModel()
				all, err := c.store.Batches(t.Context())
				must(t, err)
				for _, change := range shufflertest.Way(all[0].Task, all[0].Epoch) {
					must(t, old.Apply(t.Context(), change))
				}
				must(t, old.Keep(t.Context(), shuffler.History{Since: -1})) // as the migration leaves it
				c.store = old
			}
			c.since = later
			must(t, c.startShuffler(t))
			c.Clock.Forward(c.statedAt(4))
			c.finish(t)
			c.wantRows(t, 4, "released, waiting, waiting, too few, too few")
			c.Clock.Advance(48 * time.Hour)
			if rows := c.rows(t, 4); rows != "released, missing, missing, too few, too few" {
				t.Errorf("after the grace the epochs are %s", rows)
			}
		})
	}
}

// TestNextHopWithoutStatements: a next hop of a version that takes no statements, or does
// not serve the task yet, is no failure; it gets all that it has missed later.
func TestNextHopWithoutStatements(t *testing.T) {
	for _, status := range []int{http.StatusNotFound, http.StatusMethodNotAllowed} {
		c := newChain(t, small)
		next := c.a.Handler()
		old := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/statement") {
				http.Error(w, "no such page", status)
				return
			}
			next.ServeHTTP(w, r)
		})
		c.Net.Serve(c.Parties[1], old)
		c.send(t, 0, 4)
		for i := range 3 {
			c.Clock.Forward(c.statedAt(i))
			must(t, errors.Join(c.s.Tick(t.Context()), c.a.Tick(t.Context())))
		}
		if st := c.s.Status(); st.Unstated != 1 {
			t.Errorf("%d: %d tasks are not stated, want 1", status, st.Unstated)
		}
		c.wantRows(t, 2, "released, waiting, waiting")
		c.Net.Serve(c.Parties[1], next)
		c.Clock.Forward(c.statedAt(3))
		c.finish(t)
		c.wantRows(t, 3, "released, too few, too few, too few")
		if st := c.s.Status(); st.Unstated != 0 {
			t.Errorf("%d: %d tasks are not stated", status, st.Unstated)
		}
	}
}
