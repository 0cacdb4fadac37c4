package analyzer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/esa/analyzer/storetest"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/metric/task"
)

// A herald reports which states are reached.
type herald chan analyzer.State

func (h herald) Batch(s analyzer.State, _ *analyzer.Manifest, _ *analyzer.OperatorCounts) { h <- s }
func (h herald) Took(time.Duration)                                                       {}

// Run releases what arrives while it sleeps, and ends when its context ends.
func TestRun(t *testing.T) {
	h := make(herald, 16)
	b := &bench{World: hoptest.New(t, 1, nil), store: storetest.NewModel(), fs: durable.Mem()}
	p := b.Parties[1]
	a, err := analyzer.New(t.Context(), analyzer.Config{
		Store: b.store, FS: b.fs, Dir: "data", Clock: b.Clock, Identity: p.ID.Public(), Keys: p.Keys,
		Tasks: []*task.Task{b.Task}, Metrics: h,
	})
	must(t, err)
	b.a = a
	ctx, cancel := context.WithCancel(t.Context())
	var ended error
	var wg sync.WaitGroup
	wg.Go(func() { ended = a.Run(ctx, func(err error) { t.Error(err) }) })
	id, file := b.batch(t, b.Epoch(0), b.Parties[0].ID, b.rows(t, b.Report(t, b.Epoch(0), "a", 1)))
	if code := b.put(id.String(), file); code != 201 {
		t.Fatalf("answer %d", code)
	}
	for _, want := range []analyzer.State{analyzer.Received, analyzer.Released} {
		if have := <-h; have != want {
			t.Fatalf("state %v, want %v", have, want)
		}
	}
	cancel()
	wg.Wait()
	if !errors.Is(ended, context.Canceled) {
		t.Errorf("Run returned %v", ended)
	}
}
