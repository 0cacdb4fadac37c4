// Package local is the batch engine for one machine: datasets are files of
// rows, and each step runs in memory that is bounded by configuration,
// spilling to the disk what does not fit.
//
//	e, err := local.New("work/batch", local.Options{MemoryBytes: 512 << 20})
//	defer e.Close()
//
// SortBy sorts runs as large as the memory and merges them. CreateSorted distributes
// rows to ranges of the order while they are written, and its Reader sorts one range
// after the other. CountByKey counts
// in a hash table and spills it, sorted, whenever it is full, so that a few
// hot keys cost no disk and many distinct ones a sort. SemiJoin holds the list
// of keys in a hash set, or, where that does not fit, sorts both sides and
// merges. Hash functions are seeded at random, so that chosen keys do not
// collide. Equal input gives equal output rows; the order of SemiJoin's is
// unspecified.
//
// Limits: one step runs at a time, on several cores; others wait for it. Writers and
// Readers, those that sort included, go on beside it. The
// temporary files of a step take as much space as its input, and as much again
// for each further merge pass that very small memory makes necessary.
package local

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
)

// MinMemory is the least MemoryBytes that can be asked for.
const MinMemory = 64 << 10

// ErrClosed is returned if the engine has been closed.
var ErrClosed = errors.New("engine is closed")

// Options configure an engine. The zero value has good defaults.
type Options struct {
	// FS holds the files; nothing is synced. Default the machine's.
	FS durable.FS
	// MemoryBytes bounds the memory of the steps, at least MinMemory and 16
	// times the widest row. Each open Writer or Reader has a buffer of 64 KiB
	// (or of one row, if that is larger) besides, a Writer of CreateSorted up to an
	// eighth of this, and the Reader of what it wrote up to a quarter. Default
	// 256 MiB.
	MemoryBytes int64
	// Workers is the number of goroutines of a step. Default the number of
	// CPUs that Go may use.
	Workers int
}

// Engine implements engine.Engine.
type Engine struct {
	fs      durable.FS
	dir     string
	memory  int64
	workers int
	seed    maphash.Seed

	sem  chan struct{} // holds one token while a step runs
	slab []byte        // memory of the steps; belongs to the one that runs

	mu       sync.Mutex // guards all below
	datasets map[string]*dataset
	files    int // number of files made so far
	closed   bool
}

var _ engine.Engine = (*Engine)(nil)

// dataset is a file of rows. It is immutable once it is in Engine.datasets with
// ready set; before, the name is only taken.
type dataset struct {
	columns []engine.Column
	width   int
	rows    int64
	path    string
	ready   bool

	buckets []bucket // of a dataset that a Reader sorts; nil where the file is the rows
	layout  layout   // of the rows in the buckets
}

const (
	rowsSuffix  = ".rows"
	spillSuffix = ".spill"
)

// New returns an engine whose files are in the directory dir. It makes dir if
// it is missing, and removes what an engine that crashed there has left: no two
// engines may use one directory.
func New(dir string, o Options) (*Engine, error) {
	if o.FS == nil {
		o.FS = durable.OS()
	}
	if o.MemoryBytes == 0 {
		o.MemoryBytes = 256 << 20
	}
	if o.MemoryBytes < MinMemory {
		return nil, fmt.Errorf("engine %s: MemoryBytes %d: want at least %d", dir, o.MemoryBytes, MinMemory)
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if err := o.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	e := &Engine{
		fs: o.FS, dir: dir, memory: o.MemoryBytes, workers: o.Workers, seed: maphash.MakeSeed(),
		sem: make(chan struct{}, 1), datasets: map[string]*dataset{},
	}
	if err := e.sweep(); err != nil {
		return nil, fmt.Errorf("engine: removing old files: %w", err)
	}
	return e, nil
}

// sweep removes the files of engines from the directory.
func (e *Engine) sweep() error {
	entries, err := e.fs.ReadDir(e.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), rowsSuffix) || strings.HasSuffix(entry.Name(), spillSuffix) {
			errs = append(errs, e.fs.Remove(filepath.Join(e.dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}

// Close waits for a step that runs, removes all datasets, and the directory if
// nothing else is in it. Writers and Readers must not be used afterwards.
func (e *Engine) Close() error {
	e.sem <- struct{}{}
	defer func() { <-e.sem }()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	e.slab = nil
	e.datasets = nil
	if err := e.sweep(); err != nil {
		return fmt.Errorf("closing engine: %w", err)
	}
	_ = e.fs.Remove(e.dir) // fails if it holds files of others
	return nil
}

// take reserves a name and returns an empty file for its rows.
func (e *Engine) take(name string, columns []engine.Column) (*dataset, durable.File, error) {
	if err := engine.CheckName(name); err != nil {
		return nil, nil, err
	}
	if err := engine.CheckColumns(columns); err != nil {
		return nil, nil, fmt.Errorf("dataset %q: %w", name, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, nil, ErrClosed
	}
	if e.datasets[name] != nil {
		return nil, nil, fmt.Errorf("dataset %q: %w", name, engine.ErrExists)
	}
	path := e.newPath(rowsSuffix)
	f, err := e.fs.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("dataset %q: %w", name, err)
	}
	d := &dataset{columns: columns, width: engine.RowWidth(columns), path: path}
	e.datasets[name] = d
	return d, f, nil
}

// newPath is called with e.mu held. Files have numbers, not the names of
// datasets: some file systems do not distinguish upper and lower case.
func (e *Engine) newPath(suffix string) string {
	e.files++
	return filepath.Join(e.dir, fmt.Sprintf("%06d%s", e.files, suffix))
}

// publish makes a dataset that take reserved visible.
func (e *Engine) publish(d *dataset, rows int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d.rows, d.ready = rows, true
}

// drop frees the name and the file of a dataset that take reserved.
func (e *Engine) drop(name string, d *dataset) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.datasets[name] == d {
		delete(e.datasets, name)
	}
	return e.removeFile(d.path)
}

func (e *Engine) removeFile(path string) error {
	err := e.fs.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (e *Engine) lookup(name string) (*dataset, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, ErrClosed
	}
	d := e.datasets[name]
	if d == nil || !d.ready {
		return nil, fmt.Errorf("dataset %q: %w", name, engine.ErrNotFound)
	}
	return d, nil
}

// Remove removes datasets.
func (e *Engine) Remove(ctx context.Context, names ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return ErrClosed
	}
	var errs []error
	for _, name := range names {
		d := e.datasets[name]
		if d == nil || !d.ready {
			continue
		}
		delete(e.datasets, name)
		errs = append(errs, e.removeFile(d.path))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("removing datasets: %w", err)
	}
	return nil
}
