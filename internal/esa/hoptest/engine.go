package hoptest

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"slices"
	"sync"

	"github.com/shoal-project/shoal/internal/engine"
)

// An Engine is an [engine.Engine] in memory, as simple as can be.
type Engine struct {
	mu   sync.Mutex
	sets map[string]*dataset
}

// A dataset is rows with columns.
type dataset struct {
	columns []engine.Column
	rows    [][]byte
}

// NewEngine returns an engine without datasets.
func NewEngine() *Engine { return &Engine{sets: map[string]*dataset{}} }

// Names returns the names of all datasets.
func (e *Engine) Names() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var names []string
	for name := range e.sets {
		names = append(names, name)
	}
	return names
}

func (e *Engine) get(name string) (*dataset, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d := e.sets[name]; d != nil {
		return d, nil
	}
	return nil, engine.ErrNotFound
}

func (e *Engine) put(name string, d *dataset) error {
	if err := engine.CheckName(name); err != nil {
		return err
	}
	if err := engine.CheckColumns(d.columns); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sets[name] != nil {
		return engine.ErrExists
	}
	e.sets[name] = d
	return nil
}

type writer struct {
	engine *Engine
	name   string
	set    *dataset
	by     []string // sorted so, if sorted
	sorted bool
	done   bool
}

// Create implements [engine.Engine].
func (e *Engine) Create(_ context.Context, name string, columns []engine.Column) (engine.Writer, error) {
	if _, err := e.get(name); err == nil {
		return nil, engine.ErrExists
	}
	return &writer{engine: e, name: name, set: &dataset{columns: slices.Clone(columns)}}, nil
}

// CreateSorted implements [engine.Engine].
func (e *Engine) CreateSorted(ctx context.Context, name string, columns []engine.Column, by []string) (engine.Writer, error) {
	w, err := e.Create(ctx, name, columns)
	if err != nil {
		return nil, err
	}
	w.(*writer).by, w.(*writer).sorted = by, true
	return w, nil
}

func (w *writer) Write(rows []byte) error {
	for row := range slices.Chunk(rows, engine.RowWidth(w.set.columns)) {
		if len(row) != engine.RowWidth(w.set.columns) {
			return io.ErrShortWrite
		}
		w.set.rows = append(w.set.rows, bytes.Clone(row))
	}
	return nil
}

func (w *writer) Close() error {
	if w.done {
		return nil
	}
	w.done = true
	if w.sorted {
		w.set = w.set.sortBy(w.by)
	}
	return w.engine.put(w.name, w.set)
}

func (w *writer) Abort() { w.done = true }

type reader struct {
	set *dataset
	at  int
}

// Open implements [engine.Engine].
func (e *Engine) Open(_ context.Context, name string) (engine.Reader, error) {
	d, err := e.get(name)
	return &reader{set: d}, err
}

func (r *reader) Columns() []engine.Column { return r.set.columns }
func (r *reader) Rows() int64              { return int64(len(r.set.rows)) }
func (r *reader) Close() error             { return nil }
func (r *reader) Next() ([]byte, error) {
	if r.at == len(r.set.rows) {
		return nil, io.EOF
	}
	r.at++
	return r.set.rows[r.at-1], nil
}

func (d *dataset) column(name string) (func(row []byte) string, int, error) {
	at, width, err := engine.Find(d.columns, name)
	return func(row []byte) string { return string(row[at : at+width]) }, width, err
}

// CountByKey implements [engine.Engine].
func (e *Engine) CountByKey(_ context.Context, in, key, out string) error {
	d, err := e.get(in)
	if err != nil {
		return err
	}
	of, width, err := d.column(key)
	if err != nil {
		return err
	}
	counts := map[string]uint64{}
	for _, row := range d.rows {
		counts[of(row)]++
	}
	result := &dataset{columns: []engine.Column{{Name: key, Width: width}, {Name: engine.CountColumn, Width: 8}}}
	for k, n := range counts {
		result.rows = append(result.rows, binary.BigEndian.AppendUint64([]byte(k), n))
	}
	slices.SortFunc(result.rows, bytes.Compare)
	return e.put(out, result)
}

// SemiJoin implements [engine.Engine]. It returns the rows backwards, which it
// may.
func (e *Engine) SemiJoin(_ context.Context, in, col, keys, out string) error {
	d, err := e.get(in)
	if err != nil {
		return err
	}
	k, err := e.get(keys)
	if err != nil {
		return err
	}
	of, width, err := d.column(col)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, row := range k.rows {
		wanted[string(row[:width])] = true
	}
	result := &dataset{columns: d.columns}
	for _, row := range slices.Backward(d.rows) {
		if wanted[of(row)] {
			result.rows = append(result.rows, row)
		}
	}
	return e.put(out, result)
}

// SortBy implements [engine.Engine].
func (e *Engine) SortBy(_ context.Context, in string, columns []string, out string) error {
	d, err := e.get(in)
	if err != nil {
		return err
	}
	return e.put(out, d.sortBy(columns))
}

func (d *dataset) sortBy(columns []string) *dataset {
	result := &dataset{columns: d.columns, rows: slices.Clone(d.rows)}
	key := func(row []byte) string {
		var k string
		for _, name := range columns {
			of, _, _ := d.column(name)
			k += of(row)
		}
		return k + string(row)
	}
	slices.SortFunc(result.rows, func(a, b []byte) int { return bytes.Compare([]byte(key(a)), []byte(key(b))) })
	return result
}

// A scratch is bytes in memory.
type scratch struct {
	mu    sync.Mutex
	bytes []byte
}

// Scratch implements [engine.Scratcher].
func (e *Engine) Scratch(_ context.Context, name string) (engine.Scratch, error) {
	return new(scratch), e.put(name, &dataset{columns: []engine.Column{{Name: "byte", Width: 1}}})
}

func (s *scratch) WriteAt(b []byte, at int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if end := int(at) + len(b); end > len(s.bytes) {
		s.bytes = append(s.bytes, make([]byte, end-len(s.bytes))...)
	}
	return copy(s.bytes[at:], b), nil
}

func (s *scratch) ReadAt(b []byte, at int64) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(at)+len(b) > len(s.bytes) {
		return 0, io.ErrUnexpectedEOF
	}
	return copy(b, s.bytes[at:]), nil
}

func (s *scratch) Close() error { return nil }

// Remove implements [engine.Engine].
func (e *Engine) Remove(_ context.Context, names ...string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, name := range names {
		delete(e.sets, name)
	}
	return nil
}
