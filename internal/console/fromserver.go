package console

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric/task"
)

// FromServer returns what an analyzer's and a collector's server has released, as a
// source.
func FromServer(s *server.Server) Source {
	return &serverSource{
		server: s, read: map[esa.BatchID]content{}, privacy: map[task.ID]Privacy{}, sums: map[resultKey][]release.Row{},
	}
}

type serverSource struct {
	server *server.Server

	mu      sync.Mutex                  // guards the caches
	read    map[esa.BatchID]content     // of the newest batch of each task: released tables do not change
	privacy map[task.ID]Privacy         // computing epsilon takes a moment
	sums    map[resultKey][]release.Row // of aggregate questions
}

// content is what a page shows of one batch's tables.
type content struct {
	task   task.ID
	charts []Chart
	table  Table
}

// Organisation implements [Source].
func (s *serverSource) Organisation() Organisation {
	c := s.server.Config()
	o := Organisation{Name: c.Organisation, URL: c.URL}
	for _, r := range c.Roles {
		o.Roles = append(o.Roles, r.String())
	}
	return o
}

// served returns the tasks that this organisation analyzes or collects, newest
// first.
func (s *serverSource) served() []server.Task {
	tasks := slices.DeleteFunc(s.server.Tasks(), func(t server.Task) bool {
		return t.Role() != task.Analyzer && t.Role() != task.Collector
	})
	slices.Reverse(tasks)
	return tasks
}

// Questions implements [Source].
func (s *serverSource) Questions(ctx context.Context) ([]Question, error) {
	released, err := s.released(ctx)
	if err != nil {
		return nil, err
	}
	sums, err := s.summedUp(ctx)
	if err != nil {
		return nil, err
	}
	var all []Question
	for _, t := range s.served() {
		if t.Role() == task.Collector {
			q, err := s.aggregateQuestion(t, sums)
			if err != nil {
				return nil, err
			}
			all = append(all, q)
			continue
		}
		all = append(all, s.question(t, released[t.ID]))
	}
	return all, nil
}

// released sums up what has been released of each task.
func (s *serverSource) released(ctx context.Context) (map[task.ID]analyzer.Summary, error) {
	tables := s.server.Tables()
	if tables == nil {
		return nil, nil
	}
	all, err := tables.Summaries(ctx)
	byTask := make(map[task.ID]analyzer.Summary, len(all))
	for _, one := range all {
		byTask[one.Task] = one
	}
	return byTask, err
}

func (s *serverSource) question(t server.Task, released analyzer.Summary) Question {
	q := Question{
		ID: t.ID, Metric: t.Task.Metric, Question: t.Task.Question, Owner: t.Task.OwnedBy,
		Expires: time.Unix(t.Task.Expires, 0).UTC(), Next: next(t.Task, s.server.Clock().Now()),
		Batches: released.Batches, Released: released.Records,
	}
	if released.Batches > 0 {
		q.Latest = t.Task.Start(released.Latest + 1)
	}
	return q
}

// next returns when the next batch closes, or zero if no more will.
func next(t *task.Task, now time.Time) time.Time {
	e := t.EpochAt(now.Add(-t.Grace()))
	e = max(e, t.EpochAt(time.Unix(t.NotBefore, 0)))
	if !t.Covers(e) {
		return time.Time{}
	}
	return t.Closes(e)
}

// maxBatches is how many batches a page shows, the newest.
const maxBatches = 500

// Answer implements [Source].
func (s *serverSource) Answer(ctx context.Context, id task.ID) (Answer, error) {
	t, ok := s.find(id)
	if !ok {
		return Answer{}, ErrNotFound
	}
	if t.Role() == task.Collector {
		return s.aggregateAnswer(ctx, t)
	}
	released, err := s.released(ctx)
	if err != nil {
		return Answer{}, err
	}
	entries, err := s.server.Tables().Newest(ctx, id, maxBatches)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{
		Question: s.question(t, released[id]), Consent: t.Task.Consent,
		EpochLength: time.Duration(t.Task.EpochSeconds) * time.Second, MinBatch: int64(t.Task.MinBatch),
		Privacy: s.privacyOf(t),
		Flipped: slices.ContainsFunc(t.Task.Schema, func(f task.Field) bool { return f.Flip > 0 }),
	}
	for _, e := range slices.Backward(entries) {
		b := batch(t.Task, e)
		if len(a.Batches) < maxChecked && s.isDamaged(t, e) {
			b.State = "damaged"
		}
		a.Batches = append(a.Batches, b)
	}
	if err := s.unreleased(ctx, t, &a); err != nil {
		return Answer{}, err
	}
	c, err := s.newest(t, entries)
	if err != nil {
		return Answer{}, err
	}
	a.Charts, a.Table = c.charts, c.table
	return a, nil
}

// unreleased adds the epochs of which nothing was released, without figures, to the
// batches of a page.
func (s *serverSource) unreleased(ctx context.Context, t server.Task, a *Answer) error {
	gaps, err := s.server.Unreleased(ctx, t, maxBatches)
	if err != nil {
		return err
	}
	for _, u := range gaps {
		b := Batch{Start: t.Task.Start(u.Epoch), End: t.Task.Start(u.Epoch + 1), State: u.State}
		at := slices.IndexFunc(a.Batches, func(have Batch) bool { return have.Start.Equal(b.Start) })
		switch {
		case at < 0:
			a.Batches = append(a.Batches, b)
		case u.State == analyzer.EpochMissing:
			a.Batches[at].State = u.State
		}
	}
	slices.SortStableFunc(a.Batches, func(x, y Batch) int { return y.Start.Compare(x.Start) })
	a.Batches = a.Batches[:min(len(a.Batches), maxBatches)]
	return nil
}

func (s *serverSource) find(id task.ID) (server.Task, bool) {
	for _, role := range []task.Role{task.Analyzer, task.Collector} {
		if t, ok := s.server.Find(id, role); ok {
			return t, true
		}
	}
	return server.Task{}, false
}

// batch describes what became of the reports of a batch.
func batch(t *task.Task, e analyzer.Entry) Batch {
	b := Batch{Start: t.Start(e.Epoch), End: t.Start(e.Epoch + 1), State: e.Status()}
	m := e.Manifest
	if m == nil {
		return b
	}
	if total, low, high, told := m.Total(); told {
		b.Told, b.Reports, b.Low, b.High = true, int64(total), int64(low), int64(high)
	}
	b.Released, b.ReleasedCrowds = int64(m.Analyzer.Records), int64(m.Analyzer.Crowds)
	return b
}

// newest reads the tables of a task's newest batch that still has them.
func (s *serverSource) newest(t server.Task, entries []analyzer.Entry) (content, error) {
	for _, e := range slices.Backward(entries) {
		if e.Task != t.ID || e.State != analyzer.Released || e.Manifest.Analyzer.Records == 0 {
			continue
		}
		if s.isDamaged(t, e) {
			continue // its row shows it
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if c, ok := s.read[e.ID]; ok {
			return c, nil
		}
		c, err := readContent(t.Task, s.server.Tables(), e)
		if err != nil {
			return content{}, fmt.Errorf("reading the tables of %q, epoch %d: %w", t.Task.Metric, e.Epoch, err)
		}
		c.task = t.ID
		maps.DeleteFunc(s.read, func(_ esa.BatchID, old content) bool { return old.task == t.ID })
		s.read[e.ID] = c
		return c, nil
	}
	return content{}, nil
}

// maxChecked is of how many batches, the newest, a page looks whether their files are
// whole; "shoal fsck" looks at all.
const maxChecked = 100

// isDamaged reports whether a file of a batch is not what was released. It reads each
// file once.
func (s *serverSource) isDamaged(t server.Task, e analyzer.Entry) bool {
	if e.State != analyzer.Released {
		return false
	}
	b := s.server.Tables().Batch(e)
	if b.Damaged != nil {
		_ = s.server.CheckTable(t, b, release.Table{Name: "manifest"}) // which reports it
		return true
	}
	for _, table := range b.Tables {
		if table.Name != analyzer.RecordsTable && s.server.CheckTable(t, b, table) != nil {
			return true
		}
	}
	return false
}

func readContent(t *task.Task, tables *analyzer.Tables, e analyzer.Entry) (content, error) {
	var c content
	for _, info := range e.Manifest.Tables {
		switch {
		case info.Name == analyzer.CountsTable && info.Rows > 0:
			chart, table, err := crowds(tables, e, info)
			if err != nil {
				return c, err
			}
			c.table = table
			if t.Crowd.Kind != task.Constant {
				c.charts = append(c.charts, chart)
			}
		case info.Name == analyzer.ValuesTable && info.Rows > 0:
			charts, err := values(t, tables, e, info)
			if err != nil {
				return c, err
			}
			c.charts = append(charts, c.charts...)
		}
	}
	for i := range c.charts {
		c.charts[i].Title += ", " + period(e.Manifest.Start, e.Manifest.End)
	}
	return c, nil
}

// Export implements [Source]. It writes the sizes of crowds; the other tables
// are to be had from the management API and the command line.
func (s *serverSource) Export(ctx context.Context, w io.Writer, id task.ID, f Format) error {
	t, ok := s.find(id)
	if !ok {
		return ErrNotFound
	}
	if t.Role() == task.Collector {
		tables, q, err := s.exportAggregates(ctx, t)
		if err != nil {
			return err
		}
		return release.Export(ctx, tables, w, release.Format(f), q)
	}
	q := release.Query{Metric: t.Task.Metric, Task: &id, Table: analyzer.CountsTable}
	tables := s.server.Tables()
	found, err := release.Select(ctx, tables, q)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return ErrNotFound
	}
	return tables.Export(ctx, w, release.Format(f), q)
}
