package analyzer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// What a released table is made of is the same on every route.
type (
	// A Table is [release.Table].
	Table = release.Table
	// A Column is [release.Column].
	Column = release.Column
	// A ColumnType is [release.ColumnType].
	ColumnType = release.ColumnType
	// A Row is [release.Row].
	Row = release.Row
)

// The column types, see [release.ColumnType].
const (
	Text      = release.Text
	Integer   = release.Integer
	Boolean   = release.Boolean
	Real      = release.Real
	Timestamp = release.Timestamp
)

// Tables gives read access to what an analyzer has released, also in a process
// that is no analyzer. It is a [release.Catalogue].
type Tables struct {
	store Store
	fs    durable.FS
	dir   string
}

var _ release.Stamper = (*Tables)(nil)

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
	// Damaged is why the stored manifest cannot be read. Manifest then has only what
	// is known otherwise: the task, the epoch, and of other batches of the task metric
	// and times. It has no tables.
	Damaged error
}

// Status is the state in words: that of the batch, or "damaged".
func (e Entry) Status() string {
	if e.Damaged != nil {
		return "damaged"
	}
	return e.State.String()
}

// Entries returns the whole catalogue, ordered by task and epoch.
func (t *Tables) Entries(ctx context.Context) ([]Entry, error) {
	return entriesOf(t.store.Batches(ctx))
}

// Newest returns the last entries of a task, at most so many, ordered by epoch. It
// reads no others.
func (t *Tables) Newest(ctx context.Context, id task.ID, most int) ([]Entry, error) {
	return t.Before(ctx, id, math.MaxInt64, most)
}

// Before is Newest of the entries whose epochs are below one.
func (t *Tables) Before(ctx context.Context, id task.ID, epoch task.Epoch, most int) ([]Entry, error) {
	return entriesOf(t.store.Of(ctx, id, epoch, most))
}

// Summaries returns what has been released of each task, ordered by task.
func (t *Tables) Summaries(ctx context.Context) ([]Summary, error) { return t.store.Summaries(ctx) }

func entriesOf(all []Batch, err error) ([]Entry, error) {
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	entries := make([]Entry, len(all))
	for i, b := range all {
		entries[i].Batch = b
		if b.Manifest == nil {
			continue
		}
		if err := json.Unmarshal(b.Manifest, &entries[i].Manifest); err != nil || entries[i].Manifest == nil {
			entries[i].Manifest = nil
			entries[i].Damaged = fmt.Errorf("the manifest in the catalogue cannot be read: %w", cmp.Or(err, errNoManifest))
		}
	}
	standIn(entries)
	return entries, nil
}

var errNoManifest = errors.New("it is null")

// standIn gives the entries whose manifest cannot be read the values of others of
// the same task.
func standIn(entries []Entry) {
	whole := map[task.ID]*Manifest{}
	for _, e := range entries {
		if e.Damaged == nil && whole[e.Task] == nil {
			whole[e.Task] = e.Manifest
		}
	}
	for i := range entries {
		e := &entries[i]
		if e.Damaged == nil {
			continue
		}
		e.Manifest = &Manifest{Task: e.Task.String(), Epoch: uint64(e.Epoch)}
		if m := whole[e.Task]; m != nil {
			shift := time.Duration(int64(e.Epoch)-int64(m.Epoch)) * m.End.Sub(m.Start)
			e.Manifest.Metric, e.Manifest.Question, e.Manifest.Owner = m.Metric, m.Question, m.Owner
			e.Manifest.Start, e.Manifest.End = m.Start.Add(shift), m.End.Add(shift)
		}
	}
}

// Open opens the Parquet file of a table of a released batch. The caller closes
// it.
func (t *Tables) Open(e Entry, table string) (durable.File, error) {
	if e.State != Released {
		return nil, fmt.Errorf("opening table %s of epoch %d: the batch is %v", table, e.Epoch, e.State)
	}
	info, ok := release.Find(e.Manifest.Tables, table)
	if !ok {
		return nil, fmt.Errorf("opening table %s of epoch %d: there is no such table", table, e.Epoch)
	}
	return t.fs.OpenFile(filepath.Join(tablesDir(t.dir, e.Batch), info.File), os.O_RDONLY, 0)
}

// Rows yields the rows of a table of a released batch; its columns are in the
// manifest.
func (t *Tables) Rows(e Entry, table string) iter.Seq2[Row, error] {
	if e.Manifest == nil {
		return func(yield func(Row, error) bool) {
			_, err := t.Open(e, table)
			yield(nil, err)
		}
	}
	return t.released(e).Rows(table)
}

// Batch describes a released batch as a catalogue does.
func (t *Tables) Batch(e Entry) release.Batch { return t.released(e) }

// Released implements [release.Catalogue].
func (t *Tables) Released(ctx context.Context) ([]release.Batch, error) {
	entries, err := t.Entries(ctx)
	return t.releasedOf(entries), err
}

// Of implements [release.Selector]: it reads the entries of the metric.
func (t *Tables) Of(ctx context.Context, q release.Query) ([]release.Batch, error) {
	entries, err := entriesOf(t.store.Named(ctx, q.Metric))
	return t.releasedOf(entries), err
}

// Stamps implements [release.Stamper].
func (t *Tables) Stamps(ctx context.Context) (map[string]string, error) { return t.store.Stamps(ctx) }

// Metrics implements [release.Selector].
func (t *Tables) Metrics(ctx context.Context) ([]string, error) {
	names, err := t.store.Metrics(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	return names, nil
}

func (t *Tables) releasedOf(entries []Entry) []release.Batch {
	var all []release.Batch
	for _, e := range entries {
		if e.Manifest != nil {
			all = append(all, t.released(e))
		}
	}
	return all
}

// Export is [release.Export] of these tables.
func (t *Tables) Export(ctx context.Context, w io.Writer, f release.Format, q release.Query) error {
	return release.Export(ctx, t, w, f, q)
}

// batchColumns are the columns of the table of batches for a batch of the
// crowd route.
var batchColumns = []Column{
	{Name: "epoch", Type: Timestamp},
	{Name: "epoch_end", Type: Timestamp},
	{Name: "task", Type: Text},
	{Name: "state", Type: Text},
	{Name: "format", Type: Integer}, // see [ManifestVersion]
	{Name: "threshold", Type: Text},
	{Name: "reports", Type: Integer}, // with noise; NULL where none is disclosed
	{Name: "reports_low", Type: Integer},
	{Name: "reports_high", Type: Integer},
	{Name: "released", Type: Integer},
	{Name: "crowds", Type: Integer},
}

// released describes a batch by what all routes have in common.
func (t *Tables) released(e Entry) release.Batch {
	m := e.Manifest
	b := release.Batch{
		Task: e.Task, Metric: m.Metric, Epoch: e.Epoch, Start: m.Start, End: m.End, Kept: e.State == Released,
		Note:    fmt.Sprintf("%d reports in %d crowds", m.Analyzer.Records, m.Analyzer.Crowds),
		Tables:  m.Tables,
		Columns: batchColumns,
		Open:    func(table string) (durable.File, error) { return t.Open(e, table) },
	}
	millis := func(at time.Time) any { return at.UnixMilli() }
	if e.Damaged != nil {
		b.Damaged, b.Note = e.Damaged, e.Status()
		b.Row = make(Row, len(batchColumns))
		b.Row[2], b.Row[3] = m.Task, e.Status()
		if !m.Start.IsZero() {
			b.Row[0], b.Row[1] = millis(m.Start), millis(m.End)
		}
		return b
	}
	count := func(n uint64) any { return int64(n) }
	b.Row = Row{
		millis(m.Start), millis(m.End), m.Task, e.State.String(), int64(m.Version), m.Parameters.Threshold,
		nil, nil, nil, count(m.Analyzer.Records), count(m.Analyzer.Crowds),
	}
	if total, low, high, told := m.Total(); told {
		b.Row[6], b.Row[7], b.Row[8] = count(total), count(low), count(high)
	}
	return b
}
