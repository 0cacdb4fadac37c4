package analyzer

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/shoal-project/shoal/internal/durable"
)

// Tables gives read access to what an analyzer has released, also in a process
// that is no analyzer.
type Tables struct {
	store Store
	fs    durable.FS
	dir   string
}

// NewTables reads the catalogue in store and the tables below dir, an
// analyzer's Config.Dir.
func NewTables(store Store, fsys durable.FS, dir string) *Tables {
	return &Tables{store, fsys, dir}
}

// An Entry is a batch in the catalogue.
type Entry struct {
	Batch
	// Manifest is nil before the release. It stays when the tables expire.
	Manifest *Manifest
}

// Entries returns the whole catalogue, ordered by task and epoch.
func (t *Tables) Entries(ctx context.Context) ([]Entry, error) {
	all, err := t.store.Batches(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	entries := make([]Entry, len(all))
	for i, b := range all {
		entries[i].Batch = b
		if b.Manifest == nil {
			continue
		}
		if err := json.Unmarshal(b.Manifest, &entries[i].Manifest); err != nil {
			return nil, fmt.Errorf("reading the catalogue: manifest of epoch %d: %w", b.Epoch, err)
		}
	}
	return entries, nil
}

// Open opens the Parquet file of a table of a released batch. The caller closes
// it.
func (t *Tables) Open(e Entry, table string) (durable.File, error) {
	if e.State != Released {
		return nil, fmt.Errorf("opening table %s of epoch %d: the batch is %v", table, e.Epoch, e.State)
	}
	info, ok := e.Manifest.table(table)
	if !ok {
		return nil, fmt.Errorf("opening table %s of epoch %d: there is no such table", table, e.Epoch)
	}
	return t.fs.OpenFile(filepath.Join(tablesDir(t.dir, e.Batch), info.File), os.O_RDONLY, 0)
}

// Rows yields the rows of a table of a released batch; its columns are in the
// manifest.
func (t *Tables) Rows(e Entry, table string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		f, err := t.Open(e, table)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		info, _ := e.Manifest.table(table)
		for row, err := range readTable(f, info.Bytes, info.Columns) {
			if !yield(row, err) {
				return
			}
		}
	}
}
