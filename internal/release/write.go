package release

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"path/filepath"
	"slices"

	"github.com/shoal-project/shoal/internal/durable"
)

// A Table is one released file.
type Table struct {
	Name    string   `json:"name"`
	File    string   `json:"file"` // relative to the manifest
	SHA256  string   `json:"sha256"`
	Bytes   int64    `json:"bytes"`
	Rows    int64    `json:"rows"`
	Columns []Column `json:"columns"`
}

// ManifestFile is the name of the JSON file that describes the tables beside it.
const ManifestFile = "manifest.json"

// Find returns the table of that name, or false.
func Find(tables []Table, name string) (Table, bool) {
	if i := slices.IndexFunc(tables, func(t Table) bool { return t.Name == name }); i >= 0 {
		return tables[i], true
	}
	return Table{}, false
}

// Write writes one table into dir, whole and durably or not at all, and
// describes it. fill writes the rows.
func Write(fsys durable.FS, dir, name string, columns []Column, fill func(*Writer) error) (Table, error) {
	t := Table{Name: name, File: name + ".parquet", Columns: columns}
	digest, size := sha256.New(), &counting{}
	err := durable.Create(fsys, filepath.Join(dir, t.File), func(file io.Writer) error {
		w := NewWriter(io.MultiWriter(file, digest, size), name, columns)
		if err := fill(w); err != nil {
			return err
		}
		t.Rows = w.rows
		return w.Close()
	})
	t.SHA256, t.Bytes = hex.EncodeToString(digest.Sum(nil)), size.n
	return t, err
}

type counting struct{ n int64 }

func (c *counting) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
