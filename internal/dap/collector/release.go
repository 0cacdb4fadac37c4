package collector

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// release opens the answer of an ask, writes its table and enters it into the
// catalogue. It may be repeated at any point: the same answer gives the same
// bytes.
func (c *Collector) release(ctx context.Context, q *Question, a Ask) error {
	req, err := q.query(a)
	if err != nil {
		return err
	}
	var resp dap.CollectionJobResp
	if err := q.Task.Codec().Decode(&resp, a.Response); err != nil {
		return err
	}
	leader, err := c.key(resp.LeaderShare.ConfigID)
	if err != nil {
		return err
	}
	helper, err := c.key(resp.HelperShare.ConfigID)
	if err != nil {
		return err
	}
	items, err := q.open(leader, helper, &req, &resp)
	if err != nil {
		return err
	}
	c.noteKeys(q.Task.ID(), leader.ID(), helper.ID())
	m, err := q.manifest(a, &resp)
	if err != nil {
		return err
	}
	dir := tablesDir(c.config.Dir, a)
	if err := c.config.FS.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	table, err := release.Write(c.config.FS, dir, ResultsTable, resultColumns, func(w *release.Writer) error {
		for _, it := range items {
			if err := w.Write(it.row(m.Start.UnixMilli(), m.Reports)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing results: %w", err)
	}
	m.Tables = []release.Table{table}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := durable.WriteFile(c.config.FS, filepath.Join(dir, release.ManifestFile), append(text, '\n'), 0o600); err != nil {
		return err
	}
	next := a
	next.State, next.Response = Released, nil
	if next.Manifest, err = json.Marshal(m); err != nil {
		return err
	}
	_, _, err = c.store(ctx, a, next, 0)
	return err
}

// key finds the key that shares are sealed to.
func (c *Collector) key(id dap.HpkeConfigID) (*dapkey.PrivateKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.config.Keys {
		if k.ID() == id {
			return k, nil
		}
	}
	return nil, fmt.Errorf("the shares are sealed to HPKE key %d, which is not here: restore the collector's keys; the answer is kept until then", id)
}

// noteKeys remembers to which keys the latest answer of a task was sealed.
func (c *Collector) noteKeys(id dap.TaskID, leader, helper dap.HpkeConfigID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sealed[id] = [2]dap.HpkeConfigID{leader, helper}
}

// A KeyUse is what may still need keys of a collector for one question.
type KeyUse struct {
	Task   dap.TaskID
	Oldest time.Time // when the oldest ask was made whose answer is not opened; zero without one
	Known  bool      // an answer was opened since the start
	// Leader and Helper are the keys to which its shares were sealed: those that the two
	// knew then.
	Leader, Helper dap.HpkeConfigID
}

// KeyUse returns what may still need keys: each question that is served, and each that
// has asks whose answers are not opened.
func (c *Collector) KeyUse(ctx context.Context) ([]KeyUse, error) {
	open, err := c.config.Store.Open(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	uses := map[dap.TaskID]*KeyUse{}
	use := func(id dap.TaskID) *KeyUse {
		if uses[id] == nil {
			sealed, known := c.sealed[id]
			uses[id] = &KeyUse{Task: id, Known: known, Leader: sealed[0], Helper: sealed[1]}
		}
		return uses[id]
	}
	for id := range c.questions {
		use(id)
	}
	for _, a := range open {
		u, made := use(a.Task), time.Unix(a.Created, 0)
		if u.Oldest.IsZero() || made.Before(u.Oldest) {
			u.Oldest = made
		}
	}
	all := make([]KeyUse, 0, len(uses))
	for _, u := range uses {
		all = append(all, *u)
	}
	return all, nil
}

func (q *Question) manifest(a Ask, resp *dap.CollectionJobResp) (*Manifest, error) {
	id, err := q.id()
	if err != nil {
		return nil, err
	}
	start, end := q.span(a)
	if start.IsZero() {
		start, end = q.times(resp.Interval)
	}
	config, noise := q.Task.Config(), q.Task.Noise()
	m := &Manifest{
		Version: 1, Route: "aggregate", Task: id.String(), DAPTask: a.Task.String(), Metric: q.metric(), Rehearsal: task.IsRehearsal(q.metric()),
		Epoch: a.Number, Start: start, End: end, Batch: a.ID.String(), Digest: answerDigest(a.Response),
		Reports: resp.ReportCount, Missing: a.Missing,
		Parameters: Parameters{
			Variant: q.Task.Variant().String(), VDAF: q.Task.Instance().Name(), Kind: "sums", MinBatch: config.MinBatchSize,
			Noise: noise.String(), Deviation: math.Sqrt(noise.Variance(2)),
		},
	}
	if t := q.Shoal; t != nil {
		m.Question, m.Owner = t.Question, t.OwnedBy
		m.Parameters.Kind, m.Parameters.Presence = t.Aggregation.Kind.String(), t.Aggregation.Presence.String()
		m.Parameters.EpochSeconds, m.Parameters.RetentionDays = t.EpochSeconds, t.RetentionDays
	}
	return m, nil
}

// answerDigest is the digest of a leader's answer in manifests.
func answerDigest(response []byte) string {
	digest := sha256.Sum256(response)
	return hex.EncodeToString(digest[:])
}

// expire removes the tables that have been kept as long as their tasks allow, also of
// questions that are not served any more. The catalogue is updated first; a crash may
// have come between the catalogue and the files.
func (c *Collector) expire(ctx context.Context) error {
	now := c.config.Clock.Now()
	due, err := c.config.Store.Due(ctx, now.Unix())
	if err != nil {
		return err
	}
	undated, err := c.config.Store.Undated(ctx)
	if err != nil {
		return err
	}
	for _, a := range undated {
		if c.overdue(a, now) {
			due = append(due, a)
		}
	}
	var errs []error
	for _, a := range due {
		next := a
		next.State = Expired
		if _, _, err := c.store(ctx, a, next, 0); err != nil {
			errs = append(errs, failedAsk(a, err))
			continue
		}
		c.leftovers = append(c.leftovers, next)
	}
	if !c.recovered {
		err := c.recover(ctx)
		c.recovered = err == nil
		errs = append(errs, err)
	}
	c.leftovers = slices.DeleteFunc(c.leftovers, func(a Ask) bool {
		err := durable.RemoveAll(c.config.FS, tablesDir(c.config.Dir, a))
		if err != nil {
			errs = append(errs, failedAsk(a, err))
		}
		return err == nil
	})
	return errors.Join(errs...)
}

// overdue reports whether an ask whose manifest could not be read was kept as long as
// its task allows: no epoch ends later than the task.
func (c *Collector) overdue(a Ask, now time.Time) bool {
	q := c.question(a.Task)
	return q != nil && q.Shoal != nil && q.Shoal.RetentionDays > 0 &&
		!now.Before(time.Unix(q.Shoal.Expires, 0).AddDate(0, 0, int(q.Shoal.RetentionDays)))
}

// recover finds the tables of expired batches that a crash has left.
func (c *Collector) recover(ctx context.Context) error {
	kept, err := c.config.FS.ReadDir(filepath.Join(c.config.Dir, "tables"))
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(kept))
	for _, e := range kept {
		there[e.Name()] = true
	}
	expired, err := c.config.Store.Expired(ctx)
	for _, a := range expired {
		if there[filepath.Base(tablesDir(c.config.Dir, a))] {
			c.leftovers = append(c.leftovers, a)
		}
	}
	return err
}

// tablesDir is the place of a batch's table.
func tablesDir(dir string, a Ask) string {
	return filepath.Join(dir, "tables", fmt.Sprintf("%x-%x", a.Task[:8], a.ID[:8]))
}

// Tables gives read access to what a collector has released, also in a process
// that is no collector. It is a [release.Catalogue].
type Tables struct {
	store Store
	fs    durable.FS
	dir   string
}

var _ release.Stamper = (*Tables)(nil)

// NewTables reads the catalogue in store and the tables below dir, a collector's
// Config.Dir.
func NewTables(store Store, fsys durable.FS, dir string) *Tables { return &Tables{store, fsys, dir} }

// Tables returns what the collector has released.
func (c *Collector) Tables() *Tables { return NewTables(c.config.Store, c.config.FS, c.config.Dir) }

// An Entry is a released batch.
type Entry struct {
	Ask
	Manifest *Manifest
	// Damaged is the reason why the stored manifest cannot be read. Manifest then has
	// only what is known otherwise: the DAP task, the epoch, and of other batches of
	// the task its ID, metric and times. It has no table.
	Damaged error
}

// Status is the state in words: that of the ask, or "damaged".
func (e Entry) Status() string {
	if e.Damaged != nil {
		return "damaged"
	}
	return e.State.String()
}

// Entries returns what has been released, ordered by task and number, also what
// has expired since.
func (t *Tables) Entries(ctx context.Context) ([]Entry, error) {
	return entriesOf(t.store.Asks(ctx))
}

// Newest returns the last released batches of a task whose numbers are below before,
// at most so many, ordered by number. It reads no others.
func (t *Tables) Newest(ctx context.Context, id dap.TaskID, before uint64, most int) ([]Entry, error) {
	return entriesOf(t.store.Released(ctx, id, before, most))
}

// Summaries returns what has been released of each task, ordered by task.
func (t *Tables) Summaries(ctx context.Context) ([]Summary, error) { return t.store.Summaries(ctx) }

func entriesOf(asks []Ask, err error) ([]Entry, error) {
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	var entries []Entry
	for _, a := range asks {
		if len(a.Manifest) == 0 {
			continue
		}
		e := Entry{Ask: a}
		if err := json.Unmarshal(a.Manifest, &e.Manifest); err != nil || e.Manifest == nil {
			e.Manifest = nil
			e.Damaged = fmt.Errorf("the manifest in the catalogue cannot be read: %w", cmp.Or(err, errNoManifest))
		} else if _, err := task.ParseID(e.Manifest.Task); err != nil {
			e.Manifest, e.Damaged = nil, fmt.Errorf("the manifest in the catalogue cannot be read: %w", err)
		}
		entries = append(entries, e)
	}
	standIn(entries)
	return entries, nil
}

var errNoManifest = errors.New("it is null")

// standIn gives the entries whose manifest cannot be read the values of others of
// the same task.
func standIn(entries []Entry) {
	whole := map[dap.TaskID]*Manifest{}
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
		e.Manifest = &Manifest{Task: task.ID{}.String(), DAPTask: e.Task.String(), Epoch: e.Number, Parameters: Parameters{Noise: "unknown"}}
		if m := whole[e.Task]; m != nil {
			shift := time.Duration(int64(e.Number)-int64(m.Epoch)) * m.End.Sub(m.Start)
			e.Manifest.Task, e.Manifest.Metric, e.Manifest.Question, e.Manifest.Owner = m.Task, m.Metric, m.Question, m.Owner
			e.Manifest.Start, e.Manifest.End = m.Start.Add(shift), m.End.Add(shift)
		}
	}
}

// batchColumns are the columns of an aggregate in a row of the table of batches.
var batchColumns = []release.Column{
	{Name: "epoch", Type: release.Timestamp},
	{Name: "epoch_end", Type: release.Timestamp},
	{Name: "task", Type: release.Text},
	{Name: "state", Type: release.Text},
	{Name: "reports", Type: release.Integer},
	{Name: "noise", Type: release.Text},
	{Name: "noise_stddev", Type: release.Real},
}

// Released implements [release.Catalogue].
func (t *Tables) Released(ctx context.Context) ([]release.Batch, error) {
	return t.batches(t.Entries(ctx))
}

// Of implements [release.Selector]: it reads the batches of the metric.
func (t *Tables) Of(ctx context.Context, q release.Query) ([]release.Batch, error) {
	return t.batches(entriesOf(t.store.Named(ctx, q.Metric)))
}

// Stamps implements [release.Stamper].
func (t *Tables) Stamps(ctx context.Context) (map[string]string, error) { return t.store.Stamps(ctx) }

// Metrics implements [release.Selector].
func (t *Tables) Metrics(ctx context.Context) ([]string, error) { return t.store.Metrics(ctx) }

func (t *Tables) batches(entries []Entry, err error) ([]release.Batch, error) {
	if err != nil {
		return nil, err
	}
	var all []release.Batch
	for _, e := range entries {
		b, err := t.Batch(e)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// Batch returns what a catalogue contains about a released batch.
func (t *Tables) Batch(e Entry) (release.Batch, error) {
	m := e.Manifest
	id, err := task.ParseID(m.Task)
	if err != nil {
		return release.Batch{}, fmt.Errorf("reading the catalogue: batch %v: %w", e.ID, err)
	}
	if e.Damaged != nil {
		row := make(release.Row, len(batchColumns))
		row[2], row[3] = m.Task, e.Status()
		if !m.Start.IsZero() {
			row[0], row[1] = m.Start.UnixMilli(), m.End.UnixMilli()
		}
		return release.Batch{
			Task: id, Metric: m.Metric, Epoch: task.Epoch(m.Epoch), Start: m.Start, End: m.End, Kept: e.State == Released,
			Note: e.Status(), Damaged: e.Damaged, Columns: batchColumns, Row: row,
			Open: func(string) (durable.File, error) { return nil, e.Damaged },
		}, nil
	}
	return release.Batch{
		Task: id, Metric: m.Metric, Epoch: task.Epoch(m.Epoch), Start: m.Start, End: m.End, Kept: e.State == Released,
		Note: fmt.Sprintf("%d reports, noise: %s", m.Reports, m.Parameters.Noise), Tables: m.Tables,
		Columns: batchColumns,
		Row: release.Row{
			m.Start.UnixMilli(), m.End.UnixMilli(), m.Task, e.State.String(), int64(min(m.Reports, math.MaxInt64)),
			m.Parameters.Noise, m.Parameters.Deviation,
		},
		Open: func(table string) (durable.File, error) { return t.open(e, table) },
	}, nil
}

// open opens the Parquet file of a table.
func (t *Tables) open(e Entry, table string) (durable.File, error) {
	info, ok := release.Find(e.Manifest.Tables, table)
	if !ok || e.State != Released {
		return nil, fmt.Errorf("opening table %s of epoch %d: there is no such table", table, e.Number)
	}
	return t.fs.OpenFile(filepath.Join(tablesDir(t.dir, e.Ask), info.File), os.O_RDONLY, 0)
}
