package duckdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/release"
)

// ErrNotBuilt is what a query returns in a program without the engine.
var ErrNotBuilt = errors.New("this shoal was built without SQL: " +
	"install a C++ toolchain (on Debian and Ubuntu: apt install g++) and build it with \"make build\", " +
	"or with CGO_ENABLED=1 go build -tags duckdb ./cmd/shoal")

// An Error is what is wrong with a query, in DuckDB's words, often with the
// line and a mark below the place.
type Error struct{ Text string }

func (e *Error) Error() string { return e.Text }

// A Limits bounds one query. Zero fields get the defaults named.
type Limits struct {
	Memory  int64         // bytes; 1 GiB
	Threads int           // 2, or the number of cores if that is smaller
	Time    time.Duration // with loading the tables; 30 s
	Rows    int           // of the result; 1,000,000
	Bytes   int64         // of the result on its way out of the worker; 64 MiB
}

func (l Limits) withDefaults() Limits {
	if l.Memory <= 0 {
		l.Memory = 1 << 30
	}
	if l.Threads <= 0 {
		l.Threads = min(2, runtime.NumCPU())
	}
	if l.Time <= 0 {
		l.Time = 30 * time.Second
	}
	if l.Rows <= 0 {
		l.Rows = 1_000_000
	}
	if l.Bytes <= 0 {
		l.Bytes = 64 << 20
	}
	return l
}

// MaxQuery is the greatest length of a query's text in bytes.
const MaxQuery = 32 << 10

// Options are the settings of a [Database].
type Options struct {
	// Worker is the program, with its arguments, that a query runs in. It must
	// call [Work] with its standard input and output.
	Worker []string
	Limits Limits
	// Parallel is how many queries may run at once; others wait. 0 means 1.
	Parallel int
	// Background gives way to other programs, on Linux: for queries beside a
	// server.
	Background bool
}

// A Database answers queries. Its methods may be called by many goroutines at
// once.
type Database struct {
	tables release.Catalogue
	check  release.Checker
	o      Options
	turns  chan struct{}

	listing sync.Mutex // guards listed
	listed  map[string]list
}

// New returns a database of what tables holds now and at the time of each
// query. The tables must lie in files of the operating system.
func New(tables release.Catalogue, o Options) (*Database, error) {
	if len(o.Worker) == 0 {
		return nil, errors.New("opening a query database: no worker given")
	}
	o.Limits = o.Limits.withDefaults()
	return &Database{tables: tables, o: o, turns: make(chan struct{}, max(1, o.Parallel))}, nil
}

// Ready returns nil if queries can be answered, otherwise [ErrNotBuilt].
func (d *Database) Ready() error {
	if !Built {
		return ErrNotBuilt
	}
	return nil
}

// Tables returns what can be queried, ordered by schema. It needs no engine. Of metrics
// of which nothing has changed since the last call it reads no batch.
func (d *Database) Tables(ctx context.Context) ([]Table, error) {
	stamps, err := release.Stamps(ctx, d.tables)
	if err != nil {
		return nil, err
	}
	if stamps == nil {
		return d.find(ctx, "")
	}
	metrics := slices.Sorted(maps.Keys(stamps))
	schemas := schemasOf(metrics)
	d.listing.Lock()
	defer d.listing.Unlock()
	listed := make(map[string]list, len(metrics))
	var all []Table
	for _, metric := range metrics {
		have, ok := d.listed[metric]
		if !ok || have.stamp != stamps[metric] {
			if have, err = d.list(ctx, metric, stamps[metric]); err != nil {
				return nil, err
			}
		}
		listed[metric] = have
		for _, t := range have.tables {
			t.Schema = schemas[metric]
			all = append(all, t)
		}
	}
	d.listed = listed
	return all, nil
}

// A list is the tables of a metric, without what is in them.
type list struct {
	stamp  string
	tables []Table
}

func (d *Database) list(ctx context.Context, metric, stamp string) (list, error) {
	batches, err := release.OfMetric(ctx, d.tables, metric)
	if err != nil {
		return list{}, err
	}
	tables := catalogue(batches, map[string]string{metric: metric})
	for i := range tables {
		tables[i].parts, tables[i].rows, tables[i].versions = nil, nil, nil
	}
	return list{stamp, tables}, nil
}

// find returns the tables that a text may need, see [mentioned]; of "" all. Batches of
// metrics that the text does not mention are not read.
func (d *Database) find(ctx context.Context, text string) ([]Table, error) {
	metrics, err := release.Metrics(ctx, d.tables)
	if err != nil {
		return nil, err
	}
	schemas := schemasOf(metrics)
	lower := strings.ToLower(text)
	wanted := slices.DeleteFunc(slices.Clone(metrics), func(m string) bool { return !mentions(lower, schemas[m]) })
	if len(wanted) == 0 { // it may list tables, or build a name from parts
		batches, err := d.tables.Released(ctx)
		return catalogue(batches, schemas), err
	}
	var batches []release.Batch
	for _, metric := range wanted {
		some, err := release.OfMetric(ctx, d.tables, metric)
		if err != nil {
			return nil, err
		}
		batches = append(batches, some...)
	}
	return mentioned(catalogue(batches, schemas), text), nil
}

// Query runs one statement and returns up to rows of its rows (0: as many as
// the limits allow). An error that the author of the text can correct is an
// [*Error].
func (d *Database) Query(ctx context.Context, text string, rows int) (*Result, error) {
	switch {
	case !Built:
		return nil, ErrNotBuilt
	case strings.TrimSpace(text) == "":
		return nil, &Error{"the query is empty"}
	case len(text) > MaxQuery:
		return nil, &Error{fmt.Sprintf("the query has %d bytes, at most %d are read", len(text), MaxQuery)}
	}
	limits := d.o.Limits
	if rows > 0 {
		limits.Rows = min(rows, limits.Rows)
	}
	select {
	case d.turns <- struct{}{}:
		defer func() { <-d.turns }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another query to end: %w", ctx.Err())
	}
	needed, err := d.find(ctx, text)
	if err != nil {
		return nil, err
	}
	damaged := d.leaveOut(needed)
	load, err := d.plan(needed)
	if err != nil {
		return nil, fmt.Errorf("finding the released tables: %w", err)
	}
	load.Text, load.Limits, load.Background = text, limits, d.o.Background
	result, err := run(ctx, d.o.Worker, load)
	if err == nil {
		result.Damaged = damaged
	}
	return result, err
}
