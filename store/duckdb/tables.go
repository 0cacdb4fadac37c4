package duckdb

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/esa/analyzer"
)

// A Table is something that a query can select from.
type Table struct {
	Metric  string
	Schema  string // the metric's name as SQL knows it
	Name    string
	Columns []analyzer.Column
	Rows    int64

	parts   []part          // the batches that have the table; none for batches
	batches []batchManifest // of the table batches
}

// Ref is how SQL names the table, quoted where it must be.
func (t Table) Ref() string { return identifier(t.Schema) + "." + t.Name }

type part struct {
	entry analyzer.Entry
	info  analyzer.Table
}

type batchManifest struct {
	state    analyzer.State
	manifest *analyzer.Manifest
}

// BatchesTable has one row a batch: when it was, under which rule it was
// released, and what became of its reports.
const BatchesTable = "batches"

var batchColumns = []analyzer.Column{
	{Name: "epoch", Type: analyzer.Timestamp},
	{Name: "epoch_end", Type: analyzer.Timestamp},
	{Name: "task", Type: analyzer.Text},
	{Name: "state", Type: analyzer.Text},
	{Name: "threshold", Type: analyzer.Text},
	{Name: "received", Type: analyzer.Integer},
	{Name: "duplicate", Type: analyzer.Integer},
	{Name: "invalid", Type: analyzer.Integer},
	{Name: "suppressed", Type: analyzer.Integer},
	{Name: "suppressed_crowds", Type: analyzer.Integer},
	{Name: "dropped", Type: analyzer.Integer},
	{Name: "released", Type: analyzer.Integer},
	{Name: "crowds", Type: analyzer.Integer},
}

// reserved are schemas that DuckDB has itself.
var reserved = []string{"main", "temp", "system", "memory", "information_schema", "pg_catalog"}

// catalogue makes tables of the released batches. Epochs of one metric stand
// together, also where its tasks differ.
func catalogue(entries []analyzer.Entry) []Table {
	byMetric := map[string][]analyzer.Entry{}
	var metrics []string
	for _, e := range entries {
		if e.Manifest == nil {
			continue
		}
		if _, ok := byMetric[e.Manifest.Metric]; !ok {
			metrics = append(metrics, e.Manifest.Metric)
		}
		byMetric[e.Manifest.Metric] = append(byMetric[e.Manifest.Metric], e)
	}
	slices.Sort(metrics)
	schemas := slices.Clone(reserved)
	var all []Table
	for _, metric := range metrics {
		schema := free(strings.ReplaceAll(metric, ".", "_"), schemas)
		schemas = append(schemas, schema)
		of := byMetric[metric]
		slices.SortStableFunc(of, func(a, b analyzer.Entry) int { return cmp.Compare(a.Manifest.Epoch, b.Manifest.Epoch) })
		for _, name := range []string{analyzer.CountsTable, analyzer.ValuesTable, analyzer.RecordsTable} {
			if t, ok := join(Table{Metric: metric, Schema: schema, Name: name}, of); ok {
				all = append(all, t)
			}
		}
		batches := Table{Metric: metric, Schema: schema, Name: BatchesTable, Columns: batchColumns, Rows: int64(len(of))}
		for _, e := range of {
			batches.batches = append(batches.batches, batchManifest{e.State, e.Manifest})
		}
		all = append(all, batches)
	}
	return all
}

// free returns a name that is not taken.
func free(name string, taken []string) string {
	out := name
	for n := 2; slices.Contains(taken, out); n++ {
		out = fmt.Sprintf("%s_%d", name, n)
	}
	return out
}

// join gathers the parts of a table, and all columns that any of them has. A
// column of which the tasks differ in the type is text.
func join(t Table, entries []analyzer.Entry) (Table, bool) {
	for _, e := range entries {
		i := slices.IndexFunc(e.Manifest.Tables, func(info analyzer.Table) bool { return info.Name == t.Name })
		if e.State != analyzer.Released || i < 0 {
			continue
		}
		info := e.Manifest.Tables[i]
		t.parts = append(t.parts, part{e, info})
		t.Rows += info.Rows
		for _, c := range info.Columns {
			j := slices.IndexFunc(t.Columns, func(have analyzer.Column) bool { return have.Name == c.Name })
			switch {
			case j < 0:
				t.Columns = append(t.Columns, c)
			case t.Columns[j].Type != c.Type || t.Columns[j].List != c.List:
				t.Columns[j].Type, t.Columns[j].List = analyzer.Text, false
			}
		}
	}
	return t, len(t.parts) > 0
}

// mentioned returns the tables that a query may need: of each schema whose name
// occurs in the text, those whose names occur too, or all; and everything if no
// schema occurs. A query that hides a name (by building it from parts) finds no
// such table, never an empty one.
func mentioned(all []Table, text string) []Table {
	text = strings.ToLower(text)
	in := func(name string) bool { return strings.Contains(text, strings.ToLower(name)) }
	if !slices.ContainsFunc(all, func(t Table) bool { return in(t.Schema) }) {
		return all
	}
	var some []Table
	for _, t := range all {
		byName := slices.ContainsFunc(all, func(o Table) bool { return o.Schema == t.Schema && in(o.Name) })
		if in(t.Schema) && (in(t.Name) || !byName) {
			some = append(some, t)
		}
	}
	return some
}

// plan returns what the worker does to load the tables.
func (d *Database) plan(tables []Table) (request, error) {
	var r request
	schemas := map[string]bool{}
	for _, t := range tables {
		if !schemas[t.Schema] {
			schemas[t.Schema] = true
			r.Load = append(r.Load, "CREATE SCHEMA "+identifier(t.Schema))
		}
		if t.Name == BatchesTable {
			r.Load = append(r.Load, loadBatches(t)...)
			continue
		}
		var files []string
		for _, p := range t.parts {
			path, err := d.path(p)
			if err != nil {
				return r, err
			}
			files = append(files, path)
		}
		r.Load = append(r.Load, loadFiles(t, files))
	}
	return r, nil
}

// path finds the file of a part.
func (d *Database) path(p part) (string, error) {
	f, err := d.tables.Open(p.entry, p.info.Name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	named, ok := f.(interface{ Name() string })
	if !ok {
		return "", fmt.Errorf("table %s of epoch %d is not a file of this machine", p.info.Name, p.entry.Epoch)
	}
	return filepath.Abs(named.Name())
}

func loadFiles(t Table, files []string) string {
	var columns, quoted []string
	for _, c := range t.Columns {
		columns = append(columns, fmt.Sprintf("CAST(%s AS %s) AS %[1]s", identifier(c.Name), sqlType(c)))
	}
	for _, f := range files {
		quoted = append(quoted, literal(escapeGlob(f)))
	}
	return fmt.Sprintf("CREATE TABLE %s AS SELECT %s FROM read_parquet([%s], union_by_name = true, hive_partitioning = false)",
		t.Ref(), strings.Join(columns, ", "), strings.Join(quoted, ", "))
}

func loadBatches(t Table) []string {
	var columns, rows []string
	for _, c := range t.Columns {
		columns = append(columns, identifier(c.Name)+" "+sqlType(c))
	}
	for _, b := range t.batches {
		rows = append(rows, batchRow(b))
	}
	return []string{
		fmt.Sprintf("CREATE TABLE %s (%s)", t.Ref(), strings.Join(columns, ", ")),
		fmt.Sprintf("INSERT INTO %s VALUES %s", t.Ref(), strings.Join(rows, ", ")),
	}
}

func batchRow(b batchManifest) string {
	m := b.manifest
	invalid := uint64(0)
	for _, by := range []map[string]uint64{m.Shuffler.Invalid, m.Analyzer.Invalid} {
		for _, n := range by {
			invalid += n
		}
	}
	s := m.Shuffler
	return fmt.Sprintf("(make_timestamp(%d), make_timestamp(%d), %s, %s, %s, %d, %d, %d, %d, %d, %d, %d, %d)",
		m.Start.UnixMicro(), m.End.UnixMicro(), literal(m.Task), literal(b.state.String()), literal(m.Parameters.Threshold),
		s.Received, s.Duplicate, invalid, s.SuppressedReports, s.SuppressedCrowds, s.Dropped, m.Analyzer.Records, m.Analyzer.Crowds)
}

// sqlType is DuckDB's type of a column.
func sqlType(c analyzer.Column) string {
	name := map[analyzer.ColumnType]string{
		analyzer.Integer: "BIGINT", analyzer.Boolean: "BOOLEAN", analyzer.Real: "DOUBLE", analyzer.Timestamp: "TIMESTAMP",
	}[c.Type]
	if name == "" {
		name = "VARCHAR"
	}
	if c.List {
		name += "[]"
	}
	return name
}

// identifier quotes a name for SQL if it needs quotes.
func identifier(name string) string {
	plain := name != "" && !slices.Contains(keywords, name)
	for i, c := range []byte(name) {
		if c != '_' && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			plain = false
		}
	}
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// literal quotes a string for SQL.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// escapeGlob keeps a file name from being read as a pattern.
func escapeGlob(path string) string {
	return strings.NewReplacer("*", "[*]", "?", "[?]", "[", "[[]").Replace(path)
}

// keywords are the words that SQL does not take as a name without quotes.
var keywords = strings.Fields(`all analyse analyze and any array as asc asymmetric both case cast check collate
	column constraint create default deferrable desc describe distinct do else end except false fetch for foreign
	from grant group having in initially intersect into lambda lateral leading limit not null offset on only or
	order pivot pivot_longer pivot_wider placing primary qualify references returning select show some summarize
	symmetric table then to trailing true union unique unpivot using variadic when where window with
	anti asof at authorization binary by collation concurrently cross freeze full generated glob ilike inner is
	isnull join left like map maps natural notnull outer overlaps positional right semi similar struct tablesample
	try_cast values verbose`)
