package shuffler_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	analyzertest "github.com/shoal-project/shoal/internal/esa/analyzer/storetest"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/metric/task"
)

// TestLostOwnLog: an open batch has a log of its own once a log that it shared was
// distributed for another batch. What is gone of that is reported with its number of
// reports, by New or, if it went while the process ran, when the batch closes.
func TestLostOwnLog(t *testing.T) {
	const epochs, lost = 60, 16 // all from the 16th epoch on share its log
	folder := func(c *chain) string { return fmt.Sprintf("shuffler/%x-%d", c.ID[:8], c.Epoch(lost)) }
	file := func(c *chain) string {
		entries, err := c.fs.ReadDir(filepath.Join(folder(c), "reports"))
		must(t, err)
		for _, e := range entries {
			if filepath.Ext(e.Name()) == ".seg" {
				return filepath.Join(folder(c), "reports", e.Name())
			}
		}
		t.Fatal("the batch has no log of its own")
		return ""
	}
	for _, c := range []struct {
		name    string
		damage  func(*chain) error
		running bool
		cause   loss.Cause
		reports int64
	}{
		{"a file", func(c *chain) error { return c.fs.Remove(file(c)) }, false, loss.Damaged, 2},
		{"all of it", func(c *chain) error { return durable.RemoveAll(c.fs, filepath.Dir(file(c))) }, false, loss.Missing, 0},
		{"the folder", func(c *chain) error { return durable.RemoveAll(c.fs, filepath.Dir(filepath.Dir(file(c)))) }, false, loss.Missing, 0},
		{"a file while it runs", func(c *chain) error { return c.fs.Remove(file(c)) }, true, loss.Damaged, 2},
		{"the folder while it runs", func(c *chain) error { return durable.RemoveAll(c.fs, filepath.Dir(filepath.Dir(file(c)))) }, true, loss.Missing, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var found []loss.Loss
			w := &chain{
				World:  hoptest.New(t, 1, func(t *task.Task) { t.Threshold.T, t.EpochSeconds, t.MaxDelay = 1, 600, 7*86400 }),
				engine: hoptest.NewEngine(), store: newModel(), fs: durable.Mem(), aStore: analyzertest.NewModel(), aFS: durable.Mem(),
				lost: func(l loss.Loss) { found = append(found, l) },
			}
			must(t, errors.Join(w.startShuffler(t), w.startAnalyzer(t)))
			w.Clock.Forward(w.Task.Start(w.Epoch(epochs)))
			for n := range 2 * epochs {
				if code := w.Post(t, w.Report(t, w.Epoch(n%epochs), "word", int64(n))); code != 201 {
					t.Fatal(code)
				}
			}
			w.closeEpoch(lost - 1)
			w.finish(t)
			if len(found) > 0 {
				t.Fatalf("before the damage: %+v", found)
			}
			must(t, w.s.Close())
			if c.running {
				must(t, w.startShuffler(t))
			}
			must(t, c.damage(w))
			if c.running {
				w.closeEpoch(lost)
				w.finish(t)
			} else {
				must(t, w.startShuffler(t))
			}
			if len(found) != 1 || found[0].Cause != c.cause || found[0].Reports != c.reports {
				t.Errorf("reported %+v, want one loss: %s of %d reports", found, c.cause, c.reports)
			}
			w.closeEpoch(epochs)
			w.finish(t)
			got := 0
			for _, numbers := range w.released(t) {
				got += len(numbers)
			}
			if got != 2*epochs-2 {
				t.Errorf("%d reports were released, want all others: %d", got, 2*epochs-2)
			}
			must(t, w.s.Close())
			found = nil
			must(t, w.startShuffler(t))
			if len(found) > 0 {
				t.Errorf("after all has closed: %+v", found)
			}
		})
	}
}
