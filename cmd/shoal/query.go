package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/shoal-project/shoal/internal/console"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/internal/store/duckdb"
)

// queryCmd answers SQL over released tables.
type queryCmd struct {
	configFlag
	SQL     string        `arg:"" optional:"" name:"sql" help:"The query; - reads it from standard input."`
	Tables  bool          `help:"List the tables and their columns."`
	CSV     bool          `name:"csv" xor:"format" help:"Write CSV."`
	JSON    bool          `name:"json" xor:"format" help:"Write JSON."`
	Parquet string        `xor:"format" placeholder:"FILE" help:"Write a Parquet file."`
	Rows    int           `default:"0" placeholder:"N" help:"Write at most N rows (a million, or a thousand in a table)."`
	Timeout time.Duration `default:"30s" help:"Stop the query after this time (${default})."`
	Memory  int64         `default:"1024" placeholder:"MIB" help:"How much memory the query may take (${default})."`

	Worker bool `hidden:"" help:"Answer one request of another shoal."`
}

// Help is printed by "shoal query --help".
func (*queryCmd) Help() string {
	return `Only released tables can be read, and nothing can be changed. Each metric is a
schema with the tables counts, values, records and batches, or results and batches
if it is answered by aggregates.

Examples:
  shoal query --tables
  shoal query "SELECT * FROM api_use.counts ORDER BY count DESC LIMIT 10"
  shoal query --csv "FROM api_use.values WHERE value = 'network'" > network.csv
  shoal query --parquet joined.parquet - < join.sql`
}

// Run answers the query, or lists the tables.
func (c *queryCmd) Run(e *env) error {
	if c.Worker {
		return duckdb.Work(os.Stdin, e.stdout)
	}
	if !c.Tables && c.SQL == "" {
		return setup(errors.New("querying: no query given; run \"shoal query --tables\" to see what there is"))
	}
	config, err := c.load()
	if err != nil {
		return err
	}
	tables, done, err := server.OpenEpochs(e.ctx, config, e.clock.Now())
	if err != nil {
		return setup(err)
	}
	defer done()
	worker, err := queryWorker()
	if err != nil {
		return err
	}
	db, err := duckdb.New(tables, duckdb.Options{Worker: worker, Limits: duckdb.Limits{Memory: c.Memory << 20, Time: c.Timeout}})
	if err != nil {
		return err
	}
	if c.Tables {
		return c.list(e, db)
	}
	return c.answer(e, db)
}

// queryWorker is this program as the process that a query runs in.
func queryWorker() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	return []string{self, "query", "--worker"}, nil
}

// A growing catalogue is one, and those that come later.
type growing struct {
	own  release.Catalogue
	more func() []release.Catalogue
}

var _ release.Selector = growing{}

func (g growing) all() release.Catalogue {
	return release.Join(append([]release.Catalogue{g.own}, g.more()...)...)
}

// Released implements [release.Catalogue].
func (g growing) Released(ctx context.Context) ([]release.Batch, error) { return g.all().Released(ctx) }

// Of implements [release.Selector].
func (g growing) Of(ctx context.Context, q release.Query) ([]release.Batch, error) {
	return release.OfMetric(ctx, g.all(), q.Metric)
}

// Metrics implements [release.Selector].
func (g growing) Metrics(ctx context.Context) ([]string, error) { return release.Metrics(ctx, g.all()) }

// consoleQuery answers the queries of a console: one at a time, and smaller
// ones than the command line, for they run beside a server. more are tables that other
// servers have released.
func consoleQuery(s *server.Server, more func() []release.Catalogue) (console.Querier, error) {
	own := s.Epochs()
	if own == nil {
		return nil, nil
	}
	tables := growing{own, more}
	worker, err := queryWorker()
	if err != nil {
		return nil, err
	}
	return duckdb.New(tables, duckdb.Options{Worker: worker, Background: true, Limits: duckdb.Limits{
		Memory: 512 << 20, Threads: 1, Time: 10 * time.Second, Rows: 100_000, Bytes: 16 << 20,
	}})
}

func (c *queryCmd) list(e *env, db *duckdb.Database) error {
	tables, err := db.Tables(e.ctx)
	if err != nil {
		return err
	}
	if len(tables) == 0 {
		fmt.Fprintln(e.stdout, "Nothing has been released yet.")
		return nil
	}
	for i, t := range tables {
		if i > 0 {
			fmt.Fprintln(e.stdout)
		}
		fmt.Fprintf(e.stdout, "%s: %d rows\n", t.Ref(), t.Rows)
		w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
		for _, column := range t.Columns {
			kind := string(column.Type)
			if column.List {
				kind = "list of " + kind
			}
			fmt.Fprintf(w, "  %s\t%s\n", column.Name, kind)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func (c *queryCmd) answer(e *env, db *duckdb.Database) error {
	text, err := c.text()
	if err != nil {
		return setup(err)
	}
	format, rows := c.format(), c.Rows
	if rows <= 0 && format == duckdb.Text {
		rows = 1000
	}
	result, err := db.Query(e.ctx, text, rows)
	if _, mine := errors.AsType[*duckdb.Error](err); mine || errors.Is(err, duckdb.ErrNotBuilt) {
		return setup(err)
	}
	if err != nil {
		return err
	}
	if c.Parquet != "" {
		err = writeWhole(e.ctx, c.Parquet, result)
	} else {
		err = result.Write(e.stdout, format)
	}
	if err == nil && result.Truncated {
		fmt.Fprintf(e.stderr, "shoal: the first %d rows only; --rows, or a LIMIT or WHERE in the query, choose others\n", len(result.Rows))
	}
	if err == nil && len(result.Damaged) > 0 {
		err = fmt.Errorf("querying: the answer is without %w", &release.Partial{Damaged: result.Damaged})
	}
	return err
}

func (c *queryCmd) text() (string, error) {
	if c.SQL != "-" {
		return c.SQL, nil
	}
	b, err := io.ReadAll(io.LimitReader(os.Stdin, duckdb.MaxQuery+1))
	if err != nil {
		return "", fmt.Errorf("reading the query: %w", err)
	}
	return strings.TrimSpace(string(bytes.TrimPrefix(b, []byte("\ufeff")))), nil
}

func (c *queryCmd) format() duckdb.Format {
	switch {
	case c.CSV:
		return release.CSV
	case c.JSON:
		return release.JSON
	case c.Parquet != "":
		return release.Parquet
	}
	return duckdb.Text
}

// writeWhole writes a file that is there whole or not at all.
func writeWhole(ctx context.Context, path string, r *duckdb.Result) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return setup(fmt.Errorf("writing the result: %w", err))
	}
	err = errors.Join(r.Write(f, release.Parquet), f.Close(), ctx.Err())
	if err == nil {
		err = durable.OS().Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return nil
}
