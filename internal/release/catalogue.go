package release

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/metric/task"
)

// A Catalogue lists what one role has released. It is safe for concurrent use.
type Catalogue interface {
	// Released returns every batch that has ever been released, ordered by task
	// and epoch, also those whose tables have expired since.
	Released(ctx context.Context) ([]Batch, error)
}

// A Selector is a Catalogue that need not read all of itself for a question.
type Selector interface {
	Catalogue
	// Of returns at least the batches of a query's metric, of all its tasks and epochs,
	// in the order of Released.
	Of(ctx context.Context, q Query) ([]Batch, error)
	// Metrics returns the metrics of all batches, ordered.
	Metrics(ctx context.Context) ([]string, error)
}

// A Stamper is a Selector that knows cheaply whether something has changed.
type Stamper interface {
	Selector
	// Stamps returns a text for each metric, which is another one once batches of the
	// metric have been added or have expired.
	Stamps(ctx context.Context) (map[string]string, error)
}

// Stamps returns those of a catalogue, nil if it has none.
func Stamps(ctx context.Context, c Catalogue) (map[string]string, error) {
	if s, ok := c.(Stamper); ok {
		return s.Stamps(ctx)
	}
	return nil, nil
}

// OfMetric returns the batches of a metric.
func OfMetric(ctx context.Context, c Catalogue, metric string) ([]Batch, error) {
	all, err := of(ctx, c, Query{Metric: metric})
	return slices.DeleteFunc(slices.Clone(all), func(b Batch) bool { return b.Metric != metric }), err
}

// Metrics returns the metrics of a catalogue, ordered.
func Metrics(ctx context.Context, c Catalogue) ([]string, error) {
	if s, ok := c.(Selector); ok {
		return s.Metrics(ctx)
	}
	all, err := c.Released(ctx)
	names := map[string]bool{}
	for _, b := range all {
		names[b.Metric] = true
	}
	return slices.Sorted(maps.Keys(names)), err
}

// of asks a catalogue for at least what a query asks for.
func of(ctx context.Context, c Catalogue, q Query) ([]Batch, error) {
	if s, ok := c.(Selector); ok {
		return s.Of(ctx, q)
	}
	return c.Released(ctx)
}

// A Batch is one released batch, as all routes have it.
type Batch struct {
	Task       task.ID
	Metric     string
	Epoch      task.Epoch
	Start, End time.Time
	Kept       bool   // the tables are there; otherwise they have expired
	Note       string // what is in it, in a few words
	// Damaged is why the manifest of the batch cannot be read. Then nothing else is
	// known than the task, the epoch and, as far as other batches of the task have
	// them, metric and times.
	Damaged error
	Tables  []Table

	// Columns and Row are the row of this batch in a table of batches: what
	// became of its reports, and under which rule.
	Columns []Column
	Row     Row

	// Open opens the Parquet file of a table. The caller closes it.
	Open func(table string) (durable.File, error)
}

// Rows yields the rows of a table; its columns are in Tables.
func (b Batch) Rows(table string) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		info, ok := Find(b.Tables, table)
		if !ok {
			yield(nil, fmt.Errorf("opening table %s of epoch %d: there is no such table", table, b.Epoch))
			return
		}
		f, err := b.Open(table)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close()
		for row, err := range Read(f, info.Bytes, info.Columns) {
			if !yield(row, err) {
				return
			}
		}
	}
}

// Join makes one catalogue of several, in their order. Nil ones are left out.
func Join(all ...Catalogue) Catalogue {
	var j joined
	for _, c := range all {
		if c != nil {
			j = append(j, c)
		}
	}
	return j
}

type joined []Catalogue

// Released implements [Catalogue].
func (j joined) Released(ctx context.Context) ([]Batch, error) {
	var all []Batch
	for _, c := range j {
		some, err := c.Released(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// Of implements [Selector].
func (j joined) Of(ctx context.Context, q Query) ([]Batch, error) {
	var all []Batch
	for _, c := range j {
		some, err := of(ctx, c, q)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// Stamps implements [Stamper].
func (j joined) Stamps(ctx context.Context) (map[string]string, error) {
	all := map[string]string{}
	for i, c := range j {
		some, err := Stamps(ctx, c)
		if err != nil || some == nil {
			return nil, err
		}
		for metric, stamp := range some {
			all[metric] += fmt.Sprint(i, " ", stamp, " ")
		}
	}
	return all, nil
}

// Metrics implements [Selector].
func (j joined) Metrics(ctx context.Context) ([]string, error) {
	var all []string
	for _, c := range j {
		some, err := Metrics(ctx, c)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
