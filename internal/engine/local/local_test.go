package local_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/internal/engine"
	"github.com/shoal-project/shoal/internal/engine/enginetest"
	"github.com/shoal-project/shoal/internal/engine/local"
)

// TestConformance runs the suite in plenty of memory, and in so little that
// every step spills and merges in several passes.
func TestConformance(t *testing.T) {
	for name, o := range map[string]local.Options{
		"plenty": {},
		"spill":  {MemoryBytes: local.MinMemory},
		"single": {MemoryBytes: local.MinMemory, Workers: 1},
		"many":   {MemoryBytes: 1 << 20, Workers: 7},
		"memory": {FS: durable.Mem(), MemoryBytes: local.MinMemory, Workers: 3},
	} {
		t.Run(name, func(t *testing.T) {
			enginetest.Run(t, func(t *testing.T) engine.Engine {
				dir := filepath.Join(t.TempDir(), "engine")
				return newEngine(t, dir, o)
			})
		})
	}
}

// newEngine returns an engine that is closed at the end of the test, and checks
// that then nothing is left.
func newEngine(t testing.TB, dir string, o local.Options) *local.Engine {
	t.Helper()
	e, err := local.New(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	fsys := o.FS
	if fsys == nil {
		fsys = durable.OS()
	}
	t.Cleanup(func() {
		noSpill(t, fsys, dir)
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if _, err := fsys.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the directory is left behind: %v", err)
		}
	})
	return e
}

func noSpill(t testing.TB, fsys durable.FS, dir string) {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".spill") {
			t.Errorf("temporary file %s is left behind", entry.Name())
		}
	}
}

func count(t testing.TB, fsys durable.FS, dir string) int {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestFaults lets the disk fill up at each call of each step in turn: the step
// fails, leaves nothing behind, and succeeds when there is space.
func TestFaults(t *testing.T) {
	disk := crashfs.New(1)
	e := newEngine(t, "engine", local.Options{FS: disk, MemoryBytes: local.MinMemory, Workers: 2})
	columns := []engine.Column{{Name: "key", Width: 16}, {Name: "rest", Width: 100}}
	in := enginetest.Table{Columns: columns}
	keys := enginetest.Table{Columns: columns[:1]}
	for i := range 2000 {
		row := make([]byte, 116)
		row[0], row[1], row[2] = byte(i*37), byte(i), byte(i>>8)
		in.Rows = append(in.Rows, row)
		keys.Rows = append(keys.Rows, row[:16])
	}
	ctx := t.Context()
	if err := errors.Join(enginetest.Put(ctx, e, "in", in), enginetest.Put(ctx, e, "keys", keys)); err != nil {
		t.Fatal(err)
	}
	before := count(t, disk, "engine")
	for name, step := range map[string]func() error{
		"CountByKey":   func() error { return e.CountByKey(ctx, "in", "key", "out") },
		"SemiJoin":     func() error { return e.SemiJoin(ctx, "in", "key", "keys", "out") },
		"SortBy":       func() error { return e.SortBy(ctx, "in", []string{"rest"}, "out") },
		"Create":       func() error { return enginetest.Put(ctx, e, "out", in) },
		"CreateSorted": func() error { return enginetest.PutSorted(ctx, e, "out", in, []string{"rest"}) },
		"SortSorted": func() error {
			defer e.Remove(ctx, "written")
			if err := enginetest.PutSorted(ctx, e, "written", in, nil); err != nil {
				return err
			}
			return e.SortBy(ctx, "written", []string{"rest"}, "out")
		},
	} {
		t.Run(name, func(t *testing.T) {
			failures := 0
			for n := 1; ; n += 1 + n/16 {
				calls := 0
				disk.FailWith(func(op, _ string) error {
					if op == "create" || op == "write" {
						if calls++; calls >= n {
							return syscall.ENOSPC
						}
					}
					return nil
				})
				err := step()
				disk.FailWith(nil)
				if err == nil {
					break
				}
				failures++
				if !durable.IsFull(err) {
					t.Fatal(err)
				}
				if count(t, disk, "engine") != before {
					t.Fatalf("failure of call %d leaves files behind", n)
				}
			}
			if failures < 2 {
				t.Errorf("%d failures: the test is too weak", failures)
			}
			if err := e.Remove(ctx, "out"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// countdown is a context that ends after it has been asked some times.
type countdown struct {
	context.Context //nolint:containedctx // it is one
	left            chan struct{}
	done            context.CancelFunc
}

func (c countdown) Err() error {
	select {
	case <-c.left:
	default:
		c.done()
	}
	return c.Context.Err()
}

// TestCancelInside ends the context at many points within the steps.
func TestCancelInside(t *testing.T) {
	fsys := durable.Mem()
	e := newEngine(t, "engine", local.Options{FS: fsys, MemoryBytes: local.MinMemory, Workers: 2})
	columns := []engine.Column{{Name: "key", Width: 16}, {Name: "rest", Width: 100}}
	in := enginetest.Table{Columns: columns}
	for i := range 3000 {
		row := make([]byte, 116)
		row[0], row[1], row[2] = byte(i*37), byte(i), byte(i>>8)
		in.Rows = append(in.Rows, row)
	}
	if err := enginetest.Put(t.Context(), e, "in", in); err != nil {
		t.Fatal(err)
	}
	before := count(t, fsys, "engine")
	for name, step := range map[string]func(ctx context.Context) error{
		"CountByKey": func(ctx context.Context) error { return e.CountByKey(ctx, "in", "key", "out") },
		"SemiJoin":   func(ctx context.Context) error { return e.SemiJoin(ctx, "in", "key", "in", "out") },
		"SortBy":     func(ctx context.Context) error { return e.SortBy(ctx, "in", []string{"rest"}, "out") },
		"CreateSorted": func(ctx context.Context) error {
			return enginetest.PutSorted(ctx, e, "out", in, []string{"rest"})
		},
	} {
		cancelled := 0
		for n := 1; ; n += 1 + n/16 {
			inner, cancel := context.WithCancel(t.Context())
			left := make(chan struct{}, n)
			for range n {
				left <- struct{}{}
			}
			err := step(countdown{inner, left, cancel})
			cancel()
			if err == nil {
				break
			}
			cancelled++
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("%s: %v", name, err)
			}
			if count(t, fsys, "engine") != before {
				t.Fatalf("%s, cancelled at look %d, leaves files behind", name, n)
			}
		}
		if cancelled < 3 {
			t.Errorf("%s: cancelled %d times: the test is too weak", name, cancelled)
		}
		if err := e.Remove(t.Context(), "out"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSweep(t *testing.T) {
	fsys := durable.Mem()
	if err := fsys.MkdirAll("engine", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"engine/000001.rows", "engine/000002.spill"} {
		if err := durable.WriteFile(fsys, name, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	newEngine(t, "engine", local.Options{FS: fsys})
	if n := count(t, fsys, "engine"); n != 0 {
		t.Errorf("%d old files are left", n)
	}
}

func TestClosed(t *testing.T) {
	e, err := local.New("engine", local.Options{FS: durable.Mem()})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	_, createErr := e.Create(ctx, "a", []engine.Column{{Name: "a", Width: 1}})
	for _, err := range []error{createErr, e.SortBy(ctx, "a", nil, "b"), e.Remove(ctx, "a")} {
		if !errors.Is(err, local.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestMemoryTooSmall(t *testing.T) {
	if _, err := local.New("engine", local.Options{FS: durable.Mem(), MemoryBytes: 1000}); err == nil {
		t.Error("1000 bytes of memory accepted")
	}
	e := newEngine(t, "engine", local.Options{FS: durable.Mem(), MemoryBytes: local.MinMemory})
	wide := enginetest.Table{Columns: []engine.Column{{Name: "a", Width: 5000}}, Rows: [][]byte{make([]byte, 5000)}}
	if err := enginetest.Put(t.Context(), e, "wide", wide); err != nil {
		t.Fatal(err)
	}
	if err := e.SortBy(t.Context(), "wide", nil, "out"); err == nil {
		t.Error("rows of 5000 bytes sorted in 64 KiB")
	}
}
