// Package enginetest is the conformance suite of engine.Engine: every engine
// must pass it, and then gives the same rows as every other.
//
//	func TestConformance(t *testing.T) {
//		enginetest.Run(t, func(t *testing.T) engine.Engine { return newEngine(t) })
//	}
package enginetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/internal/engine"
)

// A Table is a dataset in memory.
type Table struct {
	Columns []engine.Column
	Rows    [][]byte
}

// Put writes a dataset, some rows at a time.
func Put(ctx context.Context, e engine.Engine, name string, t Table) error {
	return put(t, func() (engine.Writer, error) { return e.Create(ctx, name, t.Columns) })
}

// PutSorted writes a dataset that the engine sorts by columns.
func PutSorted(ctx context.Context, e engine.Engine, name string, t Table, by []string) error {
	return put(t, func() (engine.Writer, error) { return e.CreateSorted(ctx, name, t.Columns, by) })
}

func put(t Table, create func() (engine.Writer, error)) error {
	w, err := create()
	if err != nil {
		return err
	}
	defer w.Abort()
	for chunk := range slices.Chunk(t.Rows, 7) {
		if err := w.Write(bytes.Join(chunk, nil)); err != nil {
			return err
		}
	}
	return w.Close()
}

// Get reads a dataset.
func Get(ctx context.Context, e engine.Engine, name string) (Table, error) {
	r, err := e.Open(ctx, name)
	if err != nil {
		return Table{}, err
	}
	defer r.Close()
	t := Table{Columns: r.Columns()}
	for {
		row, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Table{}, err
		}
		t.Rows = append(t.Rows, bytes.Clone(row))
	}
	if int64(len(t.Rows)) != r.Rows() {
		return Table{}, errors.New("Rows does not tell the number of rows")
	}
	return t, nil
}

// Run runs the suite. open is called for each test and returns an engine
// without datasets; it arranges for its end by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) engine.Engine) {
	tests := []struct {
		name string
		test func(t *testing.T, e engine.Engine)
	}{
		{"Datasets", testDatasets},
		{"Names", testNames},
		{"Abort", testAbort},
		{"Example", testExample},
		{"Empty", testEmpty},
		{"WrongUse", testWrongUse},
		{"Cancel", testCancel},
		{"Concurrent", testConcurrent},
		{"Random", testRandom},
		{"Skewed", testSkewed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}
