package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric/task"
)

// exportCmd writes released tables.
type exportCmd struct {
	configFlag
	Metric  string `arg:"" optional:"" help:"The metric; without one, what can be exported is listed."`
	CSV     bool   `name:"csv" xor:"format" help:"Write CSV (the default)."`
	Parquet bool   `xor:"format" help:"Write Parquet."`
	JSON    bool   `name:"json" xor:"format" help:"Write JSON."`
	Table   string `default:"" enum:",counts,values,records,results" help:"Of crowds counts (their sizes), values (how many answers show what) or records (the answers); of aggregates results. The default is counts or results."`
	Epoch   *int64 `help:"Only of this epoch."`
	Task    string `placeholder:"ID" help:"Only of this task, where tasks of one metric differ."`
	Output  string `short:"o" default:"-" placeholder:"FILE" help:"Where to write; - for standard output."`
}

// Run exports, or lists what there is.
func (c *exportCmd) Run(e *env) error {
	config, err := c.load()
	if err != nil {
		return err
	}
	tables, done, err := server.OpenTables(e.ctx, config)
	if err != nil {
		return setup(err)
	}
	defer done()
	if c.Metric == "" {
		return listTables(e, tables)
	}
	query, err := c.query()
	if err != nil {
		return setup(err)
	}
	found, err := release.Select(e.ctx, tables, query)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("exporting: nothing has been released for %q; run \"shoal export\" alone to see what has", c.Metric)
	}
	if query.Table == "" {
		query.Table = analyzer.CountsTable
		if _, ok := release.Find(found[0].Tables, query.Table); !ok {
			query.Table = found[0].Tables[0].Name
		}
	}
	return c.write(e.ctx, e.stdout, tables, query)
}

func (c *exportCmd) query() (release.Query, error) {
	q := release.Query{Metric: c.Metric, Table: c.Table}
	if c.Task != "" {
		id, err := task.ParseID(c.Task)
		if err != nil {
			return q, err
		}
		q.Task = &id
	}
	if c.Epoch != nil {
		if *c.Epoch < 0 {
			return q, errors.New("--epoch: want a number from 0")
		}
		epoch := task.Epoch(*c.Epoch)
		q.Epoch = &epoch
	}
	return q, nil
}

func (c *exportCmd) format() release.Format {
	switch {
	case c.Parquet:
		return release.Parquet
	case c.JSON:
		return release.JSON
	}
	return release.CSV
}

// write exports to standard output, or to a file that is there whole or not at
// all.
func (c *exportCmd) write(ctx context.Context, stdout io.Writer, tables release.Catalogue, q release.Query) error {
	if c.Output == "-" {
		return export(ctx, stdout, tables, c.format(), q)
	}
	tmp := c.Output + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return setup(fmt.Errorf("exporting: %w", err))
	}
	err = export(ctx, f, tables, c.format(), q)
	partial, _ := errors.AsType[*release.Partial](err)
	if partial != nil { // the other epochs are whole
		err = nil
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = durable.OS().Rename(tmp, c.Output)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	if partial != nil {
		return fmt.Errorf("exporting %q: %w", q.Metric, partial)
	}
	return nil
}

func export(ctx context.Context, w io.Writer, tables release.Catalogue, f release.Format, q release.Query) error {
	b := bufio.NewWriter(w)
	err := release.Export(ctx, tables, b, f, q)
	if _, partial := errors.AsType[*release.Partial](err); err != nil && !partial {
		return err
	}
	return errors.Join(b.Flush(), err)
}

// listTables lists what can be exported.
func listTables(e *env, tables release.Catalogue) error {
	batches, err := tables.Released(e.ctx)
	if err != nil {
		return err
	}
	batches = slices.DeleteFunc(batches, func(b release.Batch) bool { return !b.Kept })
	if len(batches) == 0 {
		fmt.Fprintln(e.stdout, "Nothing has been released yet.")
		return nil
	}
	for _, b := range batches {
		if task.IsRehearsal(b.Metric) {
			b.Note += " (" + task.RehearsalNote + ")"
		}
		fmt.Fprintf(e.stdout, "%s: epoch %d (%s), %s\n", b.Metric, b.Epoch, b.Start.UTC().Format("2006-01-02 15:04"), b.Note)
	}
	return nil
}
