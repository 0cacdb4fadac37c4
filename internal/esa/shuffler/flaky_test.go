package shuffler_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	analyzertest "github.com/shoal-project/shoal/internal/esa/analyzer/storetest"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
)

var errFlaky = errors.New("flaky")

// A flaky store answers its nth change by an error, before or after it has
// made the change, and lives on.
type flaky struct {
	shuffler.Store
	n     int
	after bool
}

func (f *flaky) Apply(ctx context.Context, changes ...shuffler.Change) error {
	f.n--
	if f.n != 0 {
		return f.Store.Apply(ctx, changes...)
	}
	if f.after {
		f.Store.Apply(ctx, changes...)
	}
	return errFlaky
}

type flakyAnalyzer struct {
	analyzer.Store
	n     int
	after bool
}

func (f *flakyAnalyzer) change(do func() error) error {
	f.n--
	if f.n != 0 {
		return do()
	}
	if f.after {
		do()
	}
	return errFlaky
}

func (f *flakyAnalyzer) Accept(ctx context.Context, b analyzer.Batch) (fresh bool, err error) {
	err = f.change(func() error {
		fresh, err = f.Store.Accept(ctx, b)
		return err
	})
	return fresh, err
}

func (f *flakyAnalyzer) Advance(ctx context.Context, from analyzer.State, b analyzer.Batch) error {
	return f.change(func() error { return f.Store.Advance(ctx, from, b) })
}

// A store that answers by an error, having made the change or not, holds
// nothing up permanently, loses nothing and doubles nothing, without a restart.
func TestFlakyStores(t *testing.T) {
	world := hoptest.New(t, 1, func(t *task.Task) { t.Threshold.T, t.RetentionDays = 1, 1 })
	truth := map[string][]int64{}
	var reports [][]byte
	for n := range 4 {
		reports = append(reports, world.Report(t, world.Epoch(0), "word", int64(n)))
		truth["word"] = append(truth["word"], int64(n))
	}
	for n := range 8 {
		for _, after := range []bool{false, true} {
			for _, whose := range []string{"shuffler", "analyzer"} {
				t.Run(fmt.Sprint(whose, n, after), func(t *testing.T) {
					world.Clock.Set(hoptest.Begin)
					world.Net.Forget()
					c := &chain{
						World: world, engine: hoptest.NewEngine(), store: newModel(), fs: durable.Mem(),
						aStore: analyzertest.NewModel(), aFS: durable.Mem(),
					}
					if whose == "shuffler" {
						c.store = &flaky{c.store, n, after}
					} else {
						c.aStore = &flakyAnalyzer{c.aStore, n, after}
					}
					must(t, c.startShuffler(t))
					must(t, c.startAnalyzer(t))
					for _, report := range reports {
						if c.Post(t, report) != 201 && c.Post(t, report) != 201 {
							t.Fatal("a report was refused twice")
						}
					}
					c.closeEpoch(0)
					c.finish(t)
					equal(t, c.released(t), truth)
					c.Clock.Set(hoptest.Begin.AddDate(0, 0, 3))
					c.finish(t)
					if left := c.a.Status().Pending; len(left) != 0 {
						t.Errorf("pending permanently: %v", left)
					}
					for _, dir := range []string{"analyzer/received", "analyzer/tables"} {
						if entries, err := c.aFS.ReadDir(dir); err != nil || len(entries) != 0 {
							t.Errorf("%s holds %v, %v", dir, entries, err)
						}
					}
					for _, dir := range []string{"shuffler/arriving", "shuffler/shared"} {
						if entries, _ := c.fs.ReadDir(dir); len(entries) != 0 {
							t.Errorf("%s holds %v", dir, entries)
						}
					}
					if entries, _ := c.fs.ReadDir("shuffler"); len(entries) != 2 {
						t.Errorf("the shuffler keeps %v", entries)
					}
				})
			}
		}
	}
}
