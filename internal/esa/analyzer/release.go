package analyzer

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
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
	return clock.Loop(ctx, a.config.Clock, a.wake, a.Tick, func(error) time.Time { return a.due() }, failed)
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
// go on are joined. Batches of which nothing is due cost nothing.
func (a *Analyzer) Tick(ctx context.Context) error {
	a.tickMu.Lock()
	defer a.tickMu.Unlock()
	all, err := a.dueBatches(ctx)
	if err != nil {
		return err
	}
	var errs []error
	if a.config.Issuer != nil {
		errs = append(errs, a.config.Issuer.Tick())
	}
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

// dueBatches returns the batches that wait for something, and those that have been
// kept long enough, by task and epoch.
func (a *Analyzer) dueBatches(ctx context.Context) ([]Batch, error) {
	now, sure := a.guard.Now()
	var all []Batch
	if sure {
		var err error
		if all, err = a.config.Store.Due(ctx, now.Unix()); err != nil {
			return nil, err
		}
	}
	known := map[esa.BatchID]bool{}
	for _, b := range all {
		known[b.ID] = true
	}
	a.mu.Lock()
	var ids []esa.BatchID
	for id, try := range a.pending {
		if !known[id] && !try.next.After(now) && a.aside[id] == nil {
			ids = append(ids, id)
		}
	}
	a.mu.Unlock()
	for _, id := range ids {
		b, err := a.config.Store.Batch(ctx, id)
		if err != nil {
			return nil, err
		}
		if b.State != None {
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(x, y Batch) int {
		return cmp.Or(bytes.Compare(x.Task[:], y.Task[:]), cmp.Compare(x.Epoch, y.Epoch), bytes.Compare(x.ID[:], y.ID[:]))
	})
	return all, nil
}

// MaxAttempts is how often the release of a batch is tried, by this process and
// those before, before the batch is set aside. Tries that ended because the disk
// was full, keys or the file were missing or the process was stopped do not count;
// one that ended the process does.
const MaxAttempts = 8

// errAside is returned if a batch was set aside.
var errAside = fmt.Errorf("set aside after %d tries; the batch is kept, see \"shoal serve --retry-batches\"", MaxAttempts)

// tryRelease releases a batch, unless it is too early to try again, or was tried
// too often.
func (a *Analyzer) tryRelease(ctx context.Context, h *hosted, b Batch) error {
	now := a.config.Clock.Now()
	a.mu.Lock()
	try := a.pending[b.ID]
	a.mu.Unlock()
	if try.next.After(now) {
		return nil
	}
	if b.Attempts >= MaxAttempts {
		return a.setAside(b, errors.New("its tries ended with the process"))
	}
	err := a.config.Store.Try(ctx, b.ID, b.Attempts+1)
	if err == nil {
		if err = a.release(ctx, h, b); err == nil {
			return nil
		}
		if passes(ctx, err) {
			err = errors.Join(err, a.config.Store.Try(context.WithoutCancel(ctx), b.ID, b.Attempts))
		} else if b.Attempts+1 >= MaxAttempts {
			return a.setAside(b, err)
		}
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

// setAside gives up on a batch until an operator decides.
func (a *Analyzer) setAside(b Batch, cause error) error {
	err := fmt.Errorf("%w: %w", errAside, cause)
	a.mu.Lock()
	defer a.mu.Unlock()
	try := a.pending[b.ID]
	a.pending[b.ID] = attempt{n: max(try.n, b.Attempts), err: err}
	a.aside[b.ID] = err
	a.config.Lost(loss.Loss{
		Cause: loss.Damaged, Place: placeOf(b.ID),
		Detail: fmt.Sprintf("a batch is set aside after %d tries (%v): remove the cause, then start once with \"shoal serve --retry-batches\"", MaxAttempts, cause),
	})
	return err
}

// passes reports whether a release failed for a cause outside the batch, which
// time or an operator removes.
func passes(ctx context.Context, err error) bool {
	return ctx.Err() != nil || durable.IsFull(err) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, errKeysGone) || errors.Is(err, errStore)
}

// errStore is returned if the catalogue could not be changed.
var errStore = errors.New("storing the release")

// errKeysGone means that keys are missing, not that a batch is bad.
var errKeysGone = errors.New("restore the analyzer's keys; the batch is kept until then")

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
	manifest, exact, err := a.writeTables(ctx, h, b, batch)
	if err != nil {
		return err
	}
	if err := keysGone(exact); err != nil {
		return err
	}
	b.State, b.Expires, b.Records = Released, expiry(manifest), int64(manifest.Analyzer.Records)
	if b.Manifest, err = json.Marshal(manifest); err != nil {
		return err
	}
	if err := a.config.Store.Advance(ctx, Received, b); err != nil {
		return fmt.Errorf("%w: %w", errStore, err)
	}
	a.config.Metrics.Batch(Released, manifest, &exact)
	a.config.Metrics.Took(a.config.Clock.Now().Sub(started))
	return a.finish(b)
}

// keysGone is an error if not one record of a batch was sealed to a key that is
// held: then it is the keys that are missing, and the batch, of which no other
// copy is left, must wait for them.
func keysGone(c OperatorCounts) error {
	if n := c.Invalid[esa.CauseUnknownKey.String()]; n == 0 || n < c.Received {
		return nil
	}
	return fmt.Errorf("no record is sealed to a key that is here: %w", errKeysGone)
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
func (a *Analyzer) writeTables(ctx context.Context, h *hosted, b Batch, batch *esa.Batch) (*Manifest, OperatorCounts, error) {
	dir := tablesDir(a.config.Dir, b)
	if err := a.config.FS.MkdirAll(dir, 0o700); err != nil {
		return nil, OperatorCounts{}, err
	}
	m := newManifest(h, b, batch.Header())
	l := newLayout(h.task, b.Epoch)
	var counts outcome
	counter, table, err := a.recordsTable(ctx, h, b, batch, l, &counts)
	if err != nil {
		return nil, counts.exact, fmt.Errorf("writing records: %w", err)
	}
	m.Tables = append(m.Tables, table)
	m.Analyzer = counts.published
	m.Analyzer.Crowds = uint64(len(counter.crowds))
	m.Parameters.ValuesShown = counter.sparse()
	for _, t := range []struct {
		name    string
		columns []Column
		rows    func(dp.Threshold, func(Row) error) error
	}{
		{CountsTable, counter.countsColumns(), counter.counts},
		{ValuesTable, counter.valuesColumns(), counter.values},
	} {
		table, err := release.Write(a.config.FS, dir, t.name, t.columns, func(w *release.Writer) error {
			return t.rows(h.threshold, w.Write)
		})
		if err != nil {
			return nil, counts.exact, fmt.Errorf("writing %s: %w", t.name, err)
		}
		m.Tables = append(m.Tables, table)
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, counts.exact, err
	}
	return m, counts.exact, durable.WriteFile(a.config.FS, filepath.Join(dir, release.ManifestFile), append(text, '\n'), 0o600)
}

// errAgain means that records were written that the tables must not have: of a crowd that
// has too few, or with detail that too few of their crowd have.
var errAgain = errors.New("a crowd has fewer records, or fewer with detail, than may be released")

// recordsTable writes the records and counts them. A crowd of which fewer records
// can be read than its rule releases reports is not published: the rule was
// applied to reports that are none of it. That happens only if somebody forges
// them; then the records are read a second time, without such crowds. Of crowds with fewer
// detailed records than the threshold the detail is not published: the records are read
// again, and those are reduced to their plain form.
func (a *Analyzer) recordsTable(ctx context.Context, h *hosted, b Batch, batch *esa.Batch, l *layout, counts *outcome) (*counter, Table, error) {
	dir := tablesDir(a.config.Dir, b)
	var small, plain map[string]bool
	for {
		counter := newCounter(l, a.config.Memory)
		counter.small, counter.plain = small, plain
		*counts = outcome{}
		table, err := release.Write(a.config.FS, dir, RecordsTable, l.columns, func(w *release.Writer) error {
			write := a.writeRecords
			switch {
			case h.task.Hardened():
				write = a.writeHardened
			case h.task.Protection.Blinded && h.task.HasSecond():
				write = a.writeBlindedPairs
			case h.task.Protection.Blinded:
				write = a.writeBlinded
			case h.task.Encoding.Kind == task.Quorum:
				return a.writeShared(ctx, h, b, batch, l, counter, w, counts)
			}
			if err := write(ctx, h, b, batch, l, counter, w, counts); err != nil {
				return err
			}
			if found := counter.below(h.threshold.Least()); len(found) > 0 && len(small) == 0 {
				small = found
				return errAgain
			}
			if found := counter.detailed(uint64(h.task.Threshold.T)); len(found) > 0 && len(plain) == 0 {
				plain = found
				return errAgain
			}
			return nil
		})
		if errors.Is(err, errAgain) {
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
		Parameters: parametersOf(h.task, h.threshold, h.total),
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
// records, in the order of the batch, which is random. A row that is not a record
// costs only itself.
func (a *Analyzer) writeRecords(ctx context.Context, h *hosted, _ Batch, batch *esa.Batch, l *layout, c *counter, w *release.Writer, counts *outcome) error {
	header := batch.Header()
	tag := header.TagsSize(h.task)
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
		counts.exact.Received++
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
		counts.published.Records++
		if err := w.Write(r.row); err != nil {
			return err
		}
	}
	counts.exact.Invalid = byCause(invalid)
	named(counts.exact.Invalid, WrongCrowd, wrongCrowd)
	named(counts.exact.Invalid, SmallCrowd, smallCrowd)
	return nil
}

// The causes in [OperatorCounts].Invalid of records that can be read and are not
// published.
const (
	WrongCrowd = "wrong_crowd" // counted by the shuffler under another crowd than its own, or than most of those it was counted with
	SmallCrowd = "small_crowd" // of a crowd with fewer such records than any that the rule releases
)

// named sets a count that is not zero.
func named(counts map[string]uint64, cause string, n uint64) {
	if n > 0 {
		counts[cause] = n
	}
}

// counted reports whether the shuffler has counted a report under the crowds that
// its record is in.
func (h *hosted) counted(e task.Epoch, o esa.Opened, record task.Record) bool {
	materials, err := esa.CrowdMaterials(h.task, o.Next, record)
	if err != nil || esa.CrowdTagOf(h.task, h.id, e, materials[0]) != o.Crowd {
		return false
	}
	return len(materials) == 1 || esa.CrowdTagOf(h.task, h.id, e, materials[1]) == o.Second.Crowd
}

// expire removes the tables of a batch that have been kept for the retention of the
// task. They are first marked as expired in the catalogue.
func (a *Analyzer) expire(ctx context.Context, b Batch) error {
	if now, sure := a.guard.Now(); b.Expires == 0 || !sure || now.Unix() < b.Expires {
		return nil
	}
	a.mu.Lock()
	a.pending[b.ID] = attempt{} // whatever the store answers, look again
	a.mu.Unlock()
	b.State = Expired
	if err := a.config.Store.Advance(ctx, Released, b); err != nil {
		return err
	}
	a.config.Metrics.Batch(Expired, nil, nil)
	return a.finish(b)
}

// expiry returns when the tables of a batch are to be removed, 0 for never.
func expiry(m *Manifest) int64 {
	if m.Parameters.RetentionDays == 0 {
		return 0
	}
	return m.End.Unix() + int64(m.Parameters.RetentionDays)*86400
}

// tablesDir is the place of a batch's tables.
func tablesDir(dir string, b Batch) string {
	return filepath.Join(dir, "tables", fmt.Sprintf("%x-%d", b.Task[:8], b.Epoch))
}
