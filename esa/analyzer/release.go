package analyzer

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/shoal-project/shoal/esa"
	"github.com/shoal-project/shoal/esa/internal/hop"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/release"
)

const (
	firstPause = time.Second
	longPause  = 5 * time.Minute
	maxSleep   = time.Minute // Run looks at least so often, for tables that expire
)

// Run does what is due, whenever it is due, until ctx is done, and returns
// ctx's error. Failures do not end it; they are in [Analyzer.Status] and
// passed to failed, if that is not nil.
func (a *Analyzer) Run(ctx context.Context, failed func(error)) error {
	for {
		if err := a.Tick(ctx); err != nil && failed != nil && ctx.Err() == nil {
			failed(err)
		}
		wait, cancel := context.WithCancel(ctx)
		go func() {
			select {
			case <-a.wake:
			case <-wait.Done():
			}
			cancel()
		}()
		a.config.Clock.Until(wait, a.due()) // woken, due or done: look again
		cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// due returns when there may be something to do.
func (a *Analyzer) due() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.config.Clock.Now()
	due := now.Add(maxSleep)
	for _, try := range a.pending {
		at := now.Add(firstPause)
		if try.next.After(at) {
			at = try.next
		}
		if at.Before(due) {
			due = at
		}
	}
	return due
}

// Tick does everything that is due now: it releases what has been received and
// removes what has been kept long enough. The errors of batches that could not
// go on are joined.
func (a *Analyzer) Tick(ctx context.Context) error {
	a.tickMu.Lock()
	defer a.tickMu.Unlock()
	all, err := a.config.Store.Batches(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, b := range all {
		h := a.tasks[b.Task]
		switch {
		case b.State == Received && h == nil:
			continue // it waits for its task to be served again
		case b.State == Received:
			err = a.tryRelease(ctx, h, b)
		case b.State == Released:
			err = errors.Join(a.finish(b), a.expire(ctx, b))
		case b.State == Expired:
			err = a.finish(b)
		default:
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("batch of task %v, epoch %d, %v: %w", b.Task, b.Epoch, b.State, err))
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// tryRelease releases a batch, unless it is too early to try again.
func (a *Analyzer) tryRelease(ctx context.Context, h *hosted, b Batch) error {
	now := a.config.Clock.Now()
	a.mu.Lock()
	try := a.pending[b.ID]
	a.mu.Unlock()
	if try.next.After(now) {
		return nil
	}
	err := a.release(ctx, h, b)
	if err == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	pause := longPause
	if try.n < 9 {
		pause = min(firstPause<<try.n, longPause)
	}
	a.pending[b.ID] = attempt{n: try.n + 1, next: now.Add(pause), err: err}
	return err
}

// release writes the tables of a batch and enters them into the catalogue. It
// may be repeated at any point: the same batch gives the same bytes.
func (a *Analyzer) release(ctx context.Context, h *hosted, b Batch) error {
	started := a.config.Clock.Now()
	f, err := a.config.FS.OpenFile(a.file(b.ID), os.O_RDONLY, 0)
	if err != nil {
		return a.unreadable(b, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	batch, err := esa.OpenBatch(f, info.Size(), h.task, h.id, h.hop()-1)
	if err == nil && batch.Digest() != b.Digest {
		err = errors.New("it is another batch than was accepted")
	}
	if err != nil {
		return a.unreadable(b, err)
	}
	manifest, err := a.writeTables(ctx, h, b, batch)
	if err != nil {
		return err
	}
	if err := keysGone(manifest.Analyzer); err != nil {
		return err
	}
	b.State = Released
	if b.Manifest, err = json.Marshal(manifest); err != nil {
		return err
	}
	if err := a.config.Store.Advance(ctx, Received, b); err != nil {
		return err
	}
	a.config.Metrics.Batch(Released, manifest)
	a.config.Metrics.Took(a.config.Clock.Now().Sub(started))
	return a.finish(b)
}

// keysGone is an error if not one record of a batch was sealed to a key that is
// held: then it is the keys that are missing, and the batch, of which no other
// copy is left, must wait for them.
func keysGone(c AnalyzerCounts) error {
	if n := c.Invalid[esa.CauseUnknownKey.String()]; n == 0 || n < c.Received {
		return nil
	}
	return fmt.Errorf("none of the %d records is sealed to a key that is here: restore the analyzer's keys; the batch is kept until then", c.Received)
}

// finish removes what the catalogue no longer speaks for: the file of a batch
// that has been released, the tables of one that has expired.
func (a *Analyzer) finish(b Batch) error {
	a.mu.Lock()
	_, unfinished := a.pending[b.ID]
	a.mu.Unlock()
	if !unfinished {
		return nil
	}
	err := a.config.FS.Remove(a.file(b.ID))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = a.config.FS.SyncDir(a.received())
	}
	if b.State == Expired && err == nil {
		err = durable.RemoveAll(a.config.FS, tablesDir(a.config.Dir, b))
	}
	if err != nil {
		return fmt.Errorf("removing files: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.pending, b.ID)
	return nil
}

// writeTables writes all tables of a batch, then the manifest.
func (a *Analyzer) writeTables(ctx context.Context, h *hosted, b Batch, batch *esa.Batch) (*Manifest, error) {
	dir := tablesDir(a.config.Dir, b)
	if err := a.config.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	m := newManifest(h, b, batch.Header())
	l := newLayout(h.task, b.Epoch)
	counter, table, err := a.recordsTable(ctx, h, b, batch, l, &m.Analyzer)
	if err != nil {
		return nil, fmt.Errorf("writing records: %w", err)
	}
	m.Tables = append(m.Tables, table)
	m.Analyzer.Crowds = uint64(len(counter.crowds))
	for _, name := range []string{CountsTable, ValuesTable} {
		columns, rows := counter.countsTable(h.threshold)
		if name == ValuesTable {
			columns, rows = counter.valuesTable(h.threshold)
		}
		table, err := release.Write(a.config.FS, dir, name, columns, func(w *release.Writer) error {
			for _, row := range rows {
				if err := w.Write(row); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", name, err)
		}
		m.Tables = append(m.Tables, table)
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	return m, durable.WriteFile(a.config.FS, filepath.Join(dir, release.ManifestFile), append(text, '\n'), 0o600)
}

// errSmallCrowd says that records of a crowd were written that has too few.
var errSmallCrowd = errors.New("a crowd has fewer records than any that its rule releases")

// recordsTable writes the records and counts them. A crowd of which fewer records
// can be read than its rule releases reports is not published: the rule was
// applied to reports that are none of it. That happens only if somebody forges
// them; then the records are read a second time, without such crowds.
func (a *Analyzer) recordsTable(ctx context.Context, h *hosted, b Batch, batch *esa.Batch, l *layout, counts *AnalyzerCounts) (*counter, Table, error) {
	dir := tablesDir(a.config.Dir, b)
	small := map[string]bool{}
	for {
		counter := newCounter(l)
		counter.small = small
		*counts = AnalyzerCounts{}
		table, err := release.Write(a.config.FS, dir, RecordsTable, l.columns, func(w *release.Writer) error {
			if h.task.Encoding.Kind == task.Quorum {
				return a.writeShared(ctx, h, b, batch, l, counter, w, counts)
			}
			if err := a.writeRecords(ctx, h, batch, l, counter, w, counts); err != nil {
				return err
			}
			if found := counter.below(h.threshold.Least()); len(found) > 0 && len(small) == 0 {
				small = found
				return errSmallCrowd
			}
			return nil
		})
		if errors.Is(err, errSmallCrowd) {
			continue
		}
		return counter, table, err
	}
}

func newManifest(h *hosted, b Batch, header esa.BatchHeader) *Manifest {
	return &Manifest{
		Version: ManifestVersion, Task: h.id.String(), Metric: h.task.Metric, Question: h.task.Question, Owner: h.task.OwnedBy,
		Rehearsal: task.IsRehearsal(h.task.Metric),
		Epoch:     uint64(b.Epoch), Start: h.task.Start(b.Epoch), End: h.task.Start(b.Epoch + 1),
		Batch: b.ID.String(), Digest: hex.EncodeToString(b.Digest[:]),
		Parameters: parametersOf(h.task, h.threshold.String(), h.total),
		Shuffler:   shufflerCounts(header, h.total),
	}
}

// A decoded is what became of one row of a batch.
type decoded struct {
	cause     esa.Cause
	elsewhere bool // counted under another crowd
	record    task.Record
	row       Row
}

// writeRecords opens the rows of a batch in parallel and writes those that are
// records, in the order of the batch, which is random. A row that is none costs
// only itself.
func (a *Analyzer) writeRecords(ctx context.Context, h *hosted, batch *esa.Batch, l *layout, c *counter, w *release.Writer, counts *AnalyzerCounts) error {
	header := batch.Header()
	tag := header.TagSize()
	open := hop.Tagged(hop.OpenMany(h.opener.Load(), h.task, header.Epoch), tag)
	results := hop.Opened(batch.Rows(), a.config.Workers, open, func(o esa.Opened) decoded {
		if o.Cause != 0 {
			return decoded{cause: o.Cause}
		}
		record, err := h.task.Decode(o.Next)
		if err != nil {
			return decoded{cause: esa.CauseSchema}
		}
		if tag > 0 && !h.counted(header.Epoch, o, record) {
			return decoded{elsewhere: true}
		}
		return decoded{record: record, row: l.row(record)}
	})
	var wrongCrowd, smallCrowd uint64
	var invalid [esa.NumCauses + 1]uint64
	for r, err := range results {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		counts.Received++
		if r.cause != 0 {
			invalid[r.cause]++
			continue
		}
		if r.elsewhere {
			wrongCrowd++
			continue
		}
		kept, err := c.add(r.record, r.row, 1)
		if err != nil {
			return err
		}
		if !kept {
			smallCrowd++
			continue
		}
		counts.Records++
		if err := w.Write(r.row); err != nil {
			return err
		}
	}
	counts.Invalid = byCause(invalid)
	named(counts.Invalid, WrongCrowd, wrongCrowd)
	named(counts.Invalid, SmallCrowd, smallCrowd)
	return nil
}

// The causes in [AnalyzerCounts].Invalid of records that can be read and are not
// published.
const (
	WrongCrowd = "wrong_crowd" // counted by the shuffler under another crowd than its own
	SmallCrowd = "small_crowd" // of a crowd with fewer such records than any that the rule releases
)

// named sets a count that is not zero.
func named(counts map[string]uint64, cause string, n uint64) {
	if n > 0 {
		counts[cause] = n
	}
}

// counted reports whether the shuffler has counted a report under the crowd that
// its record is in.
func (h *hosted) counted(e task.Epoch, o esa.Opened, record task.Record) bool {
	material, err := esa.CrowdMaterial(h.task, o.Next, record)
	return err == nil && esa.CrowdTagOf(h.task, h.id, e, material) == o.Crowd
}

// expire removes the tables of a batch that have been kept as long as the task
// says. The catalogue says so first.
func (a *Analyzer) expire(ctx context.Context, b Batch) error {
	var m Manifest
	if err := json.Unmarshal(b.Manifest, &m); err != nil {
		return fmt.Errorf("reading the manifest: %w", err)
	}
	if m.Parameters.RetentionDays == 0 {
		return nil
	}
	kept := time.Duration(m.Parameters.RetentionDays) * 24 * time.Hour
	if now, sure := a.guard.Now(); !sure || now.Before(m.End.Add(kept)) {
		return nil
	}
	a.mu.Lock()
	a.pending[b.ID] = attempt{} // whatever the store answers, look again
	a.mu.Unlock()
	b.State = Expired
	if err := a.config.Store.Advance(ctx, Released, b); err != nil {
		return err
	}
	a.config.Metrics.Batch(Expired, nil)
	return a.finish(b)
}

// tablesDir is the place of a batch's tables.
func tablesDir(dir string, b Batch) string {
	return filepath.Join(dir, "tables", fmt.Sprintf("%x-%d", b.Task[:8], b.Epoch))
}
