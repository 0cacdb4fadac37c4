package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
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
	return s.Tables().Unreleased(ctx, t.Task, t.ID, s.span(most))
}

// span is of the newest epochs.
func (s *Server) span(most int) analyzer.Span {
	return analyzer.Span{Now: s.o.Clock.Now(), Grace: s.config.Keys.Grace.D(), Since: s.restored, Before: math.MaxInt64, Most: most}
}

// epochs is a catalogue with a row for each epoch, also where nothing was released.
// Such a row has no tables.
type epochs struct {
	release.Catalogue
	tables *analyzer.Tables     // nil if the organisation is no analyzer
	sums   *collector.Tables    // nil if it is no collector
	tasks  func() []Task        // as an analyzer or a collector
	span   func() analyzer.Span // the newest epochs
}

var _ release.Stamper = (*epochs)(nil)

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

// Stamps implements [release.Stamper]: an epoch that has closed has a row, which changes
// with what is stated and when the grace is over.
func (c *epochs) Stamps(ctx context.Context) (map[string]string, error) {
	all, err := release.Stamps(ctx, c.Catalogue)
	if err != nil || all == nil {
		return nil, err
	}
	var stated map[task.ID]int64
	if c.tables != nil {
		if stated, err = c.tables.StatedChanges(ctx); err != nil {
			return nil, err
		}
	}
	span := c.span()
	for _, t := range c.tasks() {
		late := t.Task.Grace()
		open, graced := t.Task.EpochAt(span.Now.Add(-late)), t.Task.EpochAt(span.Now.Add(-late-span.Grace))
		all[t.Task.Metric] += fmt.Sprint(" ", open, graced, stated[t.ID])
	}
	return all, nil
}

// with adds the rows of tasks.
func (c *epochs) with(ctx context.Context, all []release.Batch, of func(Task) bool) ([]release.Batch, error) {
	for _, t := range c.tasks() {
		if !of(t) {
			continue
		}
		gaps, err := c.gaps(ctx, t)
		if err != nil {
			return nil, err
		}
		all = append(all, gaps...)
	}
	return all, nil
}

// gaps returns the rows of a task.
func (c *epochs) gaps(ctx context.Context, t Task) (all []release.Batch, err error) {
	if t.Role() == task.Collector {
		return c.asked(ctx, t)
	}
	gaps, err := c.tables.Unreleased(ctx, t.Task, t.ID, c.span())
	for _, u := range gaps {
		all = append(all, analyzer.UnreleasedBatch(t.Task, t.ID, u))
	}
	return all, err
}

// asked returns the rows of a task of the aggregate route: what the leader was asked
// for and is not released.
func (c *epochs) asked(ctx context.Context, t Task) (all []release.Batch, err error) {
	made, err := taskconfig.New(t.Task, t.ID)
	if err != nil {
		return nil, err
	}
	asks, err := c.sums.Unreleased(ctx, made.ID(), mostEpochs)
	q := &collector.Question{Task: made, Shoal: t.Task}
	for _, a := range asks {
		start, end := q.Span(a)
		closed := end.Add(t.Task.Grace())
		all = append(all, collector.UnreleasedBatch(t.Task, t.ID, a, start, end, a.Epoch(closed, c.span().Now)))
	}
	return all, err
}

// rowsOf are the tasks of which an organisation that is analyzer or collector, or
// both, has rows.
func (c *epochs) rowsOf(all []Task) []Task {
	return slices.DeleteFunc(slices.Clone(all), func(t Task) bool {
		return (t.Role() != task.Analyzer || c.tables == nil) && (t.Role() != task.Collector || c.sums == nil)
	})
}

// Epochs returns what the organisation has released, with a row for each epoch of
// which nothing was; nil if it is neither analyzer nor collector. It is for the table
// of batches: exports want what was released.
func (s *Server) Epochs() release.Catalogue {
	released := s.Released()
	if released == nil {
		return nil
	}
	c := &epochs{Catalogue: released, tables: s.Tables(), sums: s.Aggregates(), span: func() analyzer.Span { return s.span(mostEpochs) }}
	c.tasks = func() []Task { return c.rowsOf(s.Tasks()) }
	return c
}

// OpenEpochs is OpenTables with a row for each epoch of which nothing was released at
// the time now. Without the organisation's keys its tasks are not known, and there are
// no such rows.
func OpenEpochs(ctx context.Context, c Config, now time.Time) (release.Catalogue, func() error, error) {
	released, done, err := OpenTables(ctx, c)
	if err != nil {
		return released, done, err
	}
	r, err := readRegistry(c, now)
	if err != nil {
		return released, done, nil //nolint:nilerr // what was released can be read all the same
	}
	restored, err := readRestored(c)
	if err != nil {
		return nil, nil, errors.Join(err, done())
	}
	span := analyzer.Span{Now: now, Grace: c.Keys.Grace.D(), Since: restored, Before: math.MaxInt64, Most: mostEpochs}
	all := &epochs{Catalogue: released, span: func() analyzer.Span { return span }}
	closers := []func() error{done}
	shut := func() error {
		var errs []error
		for _, c := range closers {
			errs = append(errs, c())
		}
		return errors.Join(errs...)
	}
	for _, role := range c.Roles {
		tables, end, err := openTablesOf(ctx, c, role)
		if err != nil {
			return nil, nil, errors.Join(err, shut())
		}
		switch tables := tables.(type) {
		case *analyzer.Tables:
			all.tables, closers = tables, append(closers, end)
		case *collector.Tables:
			all.sums, closers = tables, append(closers, end)
		}
	}
	all.tasks = func() []Task { return all.rowsOf(r.tasks) }
	return all, shut, nil
}

// withUnreleased adds the epochs of a page of which nothing was released to the entries
// of a task.
func (s *Server) withUnreleased(t Task, p page, entries []analyzer.Entry, stated esa.Coverage, views []batchView) []batchView {
	at := make(map[uint64]int, len(views))
	for i, v := range views {
		at[v.Epoch] = i
	}
	span := s.span(p.most)
	span.Before = p.before
	for _, u := range s.Tables().Gaps(t.Task, span, entries, stated) {
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
