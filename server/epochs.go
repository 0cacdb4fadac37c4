package server

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/shoal-project/shoal/esa/analyzer"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/release"
)

// mostEpochs is for how many epochs of a task, the newest, there is a row although
// nothing was released.
const mostEpochs = 1000

// Unreleased returns the newest epochs of a task, at most so many, of which this
// organisation, as an analyzer, has released nothing, and what is known of them.
func (s *Server) Unreleased(ctx context.Context, t Task, most int) ([]analyzer.Unreleased, error) {
	if t.Role() != task.Analyzer || s.Tables() == nil {
		return nil, nil
	}
	return s.Tables().Unreleased(ctx, t.Task, t.ID, s.o.Clock.Now(), s.config.Keys.Grace.D(), most)
}

// epochs is a catalogue with a row for each epoch, also where nothing was released.
// Such a row has no tables.
type epochs struct {
	release.Catalogue
	tables *analyzer.Tables
	tasks  func() []Task // as an analyzer
	now    func() time.Time
	grace  time.Duration
}

var _ release.Selector = (*epochs)(nil)

// Released implements [release.Catalogue].
func (c *epochs) Released(ctx context.Context) ([]release.Batch, error) {
	all, err := c.Catalogue.Released(ctx)
	if err != nil {
		return nil, err
	}
	return c.with(ctx, all, func(Task) bool { return true })
}

// Of implements [release.Selector].
func (c *epochs) Of(ctx context.Context, q release.Query) ([]release.Batch, error) {
	all, err := release.OfMetric(ctx, c.Catalogue, q.Metric)
	if err != nil {
		return nil, err
	}
	return c.with(ctx, all, func(t Task) bool { return t.Task.Metric == q.Metric })
}

// Metrics implements [release.Selector].
func (c *epochs) Metrics(ctx context.Context) ([]string, error) {
	all, err := release.Metrics(ctx, c.Catalogue)
	if err != nil {
		return nil, err
	}
	for _, t := range c.tasks() {
		all = append(all, t.Task.Metric)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// with adds the rows of tasks.
func (c *epochs) with(ctx context.Context, all []release.Batch, of func(Task) bool) ([]release.Batch, error) {
	for _, t := range c.tasks() {
		if !of(t) {
			continue
		}
		gaps, err := c.tables.Unreleased(ctx, t.Task, t.ID, c.now(), c.grace, mostEpochs)
		if err != nil {
			return nil, err
		}
		for _, u := range gaps {
			all = append(all, analyzer.UnreleasedBatch(t.Task, t.ID, u))
		}
	}
	return all, nil
}

// Epochs returns what the organisation has released, with a row for each epoch of
// which nothing was; nil if it is neither analyzer nor collector. It is for the table
// of batches: exports want what was released.
func (s *Server) Epochs() release.Catalogue {
	released := s.Released()
	if released == nil || s.Tables() == nil {
		return released
	}
	return &epochs{
		Catalogue: released, tables: s.Tables(), now: s.o.Clock.Now, grace: s.config.Keys.Grace.D(),
		tasks: func() []Task { return s.tasksWith(AnalyzerRole) },
	}
}

// OpenEpochs is OpenTables with a row for each epoch of which nothing was released at
// the time now. Without the organisation's keys its tasks are not known, and there are
// no such rows.
func OpenEpochs(ctx context.Context, c Config, now time.Time) (release.Catalogue, func() error, error) {
	released, done, err := OpenTables(ctx, c)
	if err != nil || !c.Has(AnalyzerRole) {
		return released, done, err
	}
	r, err := readRegistry(c, now)
	if err != nil {
		return released, done, nil //nolint:nilerr // what was released can be read all the same
	}
	tables, shut, err := openTablesOf(ctx, c, AnalyzerRole)
	if err != nil {
		return nil, nil, errors.Join(err, done())
	}
	var tasks []Task
	for _, t := range r.tasks {
		if t.Role() == task.Analyzer {
			tasks = append(tasks, t)
		}
	}
	all := &epochs{
		Catalogue: released, tables: tables.(*analyzer.Tables), grace: c.Keys.Grace.D(),
		tasks: func() []Task { return tasks }, now: func() time.Time { return now },
	}
	return all, func() error { return errors.Join(shut(), done()) }, nil
}

// withUnreleased adds the epochs of a page of which nothing was released to the entries
// of a task.
func (s *Server) withUnreleased(t Task, p page, entries []analyzer.Entry, views []batchView) []batchView {
	at := make(map[uint64]int, len(views))
	for i, v := range views {
		at[v.Epoch] = i
	}
	for _, u := range s.Tables().Gaps(t.Task, s.o.Clock.Now(), s.config.Keys.Grace.D(), entries, p.before, p.most) {
		i, known := at[uint64(u.Epoch)]
		if !known {
			views = append(views, batchView{Epoch: uint64(u.Epoch), Start: t.Task.Start(u.Epoch), End: t.Task.Start(u.Epoch + 1), State: u.State})
			continue
		}
		if u.State == analyzer.EpochMissing { // one that was received stays so until it is released
			views[i].State = u.State
		}
	}
	slices.SortStableFunc(views, func(a, b batchView) int { return cmp.Compare(a.Epoch, b.Epoch) })
	return views
}
