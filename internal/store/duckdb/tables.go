package duckdb

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/task"
)

// A Table is something that a query can select from.
type Table struct {
	Metric  string
	Schema  string // the metric's name as SQL knows it
	Name    string
	Columns []release.Column // the last two are of [release.SeriesColumns]
	Rows    int64

	versions map[task.ID]int64
	parts    []part          // the batches that have the table; none for batches
	unread   []release.Batch // whose manifests cannot be read
	rows     []release.Row   // of the table batches
}

// Ref is how SQL names the table, quoted where it must be.
func (t Table) Ref() string { return identifier(t.Schema) + "." + t.Name }

type part struct {
	batch release.Batch
	info  release.Table
}

// BatchesTable has one row a batch: when it was, under which rule it was
// released, and what became of its reports.
const BatchesTable = "batches"

// reserved are schemas that DuckDB has itself.
var reserved = []string{"main", "temp", "system", "memory", "information_schema", "pg_catalog"}

// schemasOf returns the name by which SQL knows each metric, of all that there are.
func schemasOf(metrics []string) map[string]string {
	schemas, taken := make(map[string]string, len(metrics)), map[string]bool{}
	for _, name := range reserved {
		taken[name] = true
	}
	for _, metric := range metrics {
		schemas[metric] = free(strings.ReplaceAll(metric, ".", "_"), taken)
		taken[schemas[metric]] = true
	}
	return schemas
}

// catalogue makes tables of the released batches of metrics that have schemas. Epochs
// of one metric are in one table, also where its tasks differ.
func catalogue(released []release.Batch, schemas map[string]string) []Table {
	byMetric := map[string][]release.Batch{}
	var metrics []string
	for _, b := range released {
		if b.Metric == "" { // its manifest cannot be read, and no other gives its metric
			continue
		}
		if _, ok := byMetric[b.Metric]; !ok {
			metrics = append(metrics, b.Metric)
		}
		byMetric[b.Metric] = append(byMetric[b.Metric], b)
	}
	slices.Sort(metrics)
	versions := release.Versions(released)
	var all []Table
	for _, metric := range metrics {
		schema, of := schemas[metric], byMetric[metric]
		if schema == "" { // released since the metrics were listed
			continue
		}
		slices.SortStableFunc(of, func(a, b release.Batch) int { return cmp.Compare(a.Epoch, b.Epoch) })
		for _, name := range tableNames(of) {
			if t, ok := join(Table{Metric: metric, Schema: schema, Name: name, versions: versions}, of); ok {
				all = append(all, t)
			}
		}
		all = append(all, batchesOf(metric, schema, of, versions))
	}
	return all
}

// tableNames lists the tables that any of the batches has, the details last.
func tableNames(batches []release.Batch) []string {
	var names []string
	for _, b := range batches {
		for _, t := range b.Tables {
			if !slices.Contains(names, t.Name) {
				names = append(names, t.Name)
			}
		}
	}
	if i := slices.Index(names, recordsTable); i >= 0 {
		names = append(slices.Delete(names, i, i+1), recordsTable)
	}
	return names
}

// recordsTable is the largest of the crowd route's tables, see package release.
const recordsTable = "records"

// batchesOf makes the table of the batches of a metric. Its columns are those
// that any of the batches has.
func batchesOf(metric, schema string, batches []release.Batch, versions map[task.ID]int64) Table {
	t := Table{Metric: metric, Schema: schema, Name: BatchesTable, Rows: int64(len(batches))}
	for _, b := range batches {
		t.add(b.Columns)
	}
	t.add([]release.Column{versionColumn})
	for _, b := range batches {
		row := make(release.Row, len(t.Columns))
		for i, c := range b.Columns {
			j := slices.IndexFunc(t.Columns, func(have release.Column) bool { return have.Name == c.Name })
			row[j] = b.Row[i]
		}
		row[slices.IndexFunc(t.Columns, func(c release.Column) bool { return c.Name == versionColumn.Name })] = versions[b.Task]
		t.rows = append(t.rows, row)
	}
	return t
}

// versionColumn is the version of the question in the table of batches, which has
// the task itself.
var versionColumn = release.Column{Name: "version", Type: release.Integer}

// free returns a name that is not taken.
func free(name string, taken map[string]bool) string {
	out := name
	for n := 2; taken[out]; n++ {
		out = fmt.Sprintf("%s_%d", name, n)
	}
	return out
}

// join gathers the parts of a table, and all columns that any of them has.
func join(t Table, batches []release.Batch) (Table, bool) {
	for _, b := range batches {
		if b.Kept && b.Damaged != nil {
			t.unread = append(t.unread, b)
		}
		info, ok := release.Find(b.Tables, t.Name)
		if !b.Kept || !ok {
			continue
		}
		t.parts = append(t.parts, part{b, info})
		t.Rows += info.Rows
		t.add(info.Columns)
	}
	t.Columns = append(t.Columns, release.SeriesColumns(t.Columns)...)
	return t, len(t.parts) > 0
}

// add adds the columns that the table does not have yet. A column of which tasks
// differ in the type is text.
func (t *Table) add(columns []release.Column) {
	for _, c := range columns {
		j := slices.IndexFunc(t.Columns, func(have release.Column) bool { return have.Name == c.Name })
		switch {
		case j < 0:
			t.Columns = append(t.Columns, c)
		case t.Columns[j].Type != c.Type || t.Columns[j].List != c.List:
			t.Columns[j].Type, t.Columns[j].List = release.Text, false
		}
	}
}

// mentioned returns the tables that a query may need: of each schema whose name
// occurs in the text, those whose names occur too, or all; and everything if no
// schema occurs. A query that hides a name (by building it from parts) finds no
// such table, never an empty one.
func mentioned(all []Table, text string) []Table {
	text = strings.ToLower(text)
	in := func(name string) bool { return mentions(text, name) }
	if !slices.ContainsFunc(all, func(t Table) bool { return in(t.Schema) }) {
		return all
	}
	byName := map[string]bool{} // schemas of which a table is named
	for _, t := range all {
		byName[t.Schema] = byName[t.Schema] || in(t.Name)
	}
	var some []Table
	for _, t := range all {
		if in(t.Schema) && (in(t.Name) || !byName[t.Schema]) {
			some = append(some, t)
		}
	}
	return some
}

// mentions reports whether a name occurs in a text in lower case.
func mentions(text, name string) bool { return strings.Contains(text, strings.ToLower(name)) }

// leaveOut takes the files out of the tables that are not what was released. A table
// without files stays, empty.
func (d *Database) leaveOut(tables []Table) (damaged []*release.Damage) {
	for i := range tables {
		t := &tables[i]
		for _, b := range t.unread {
			damaged = append(damaged, d.check.Check(b, release.Table{Name: t.Name}))
		}
		t.parts = slices.DeleteFunc(slices.Clone(t.parts), func(p part) bool {
			bad := d.check.Check(p.batch, p.info)
			if bad != nil {
				damaged = append(damaged, bad)
			}
			return bad != nil
		})
	}
	return damaged
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
		if len(t.parts) == 0 {
			r.Load = append(r.Load, createTable(t))
			continue
		}
		load, err := d.loadFiles(t)
		if err != nil {
			return r, err
		}
		r.Load = append(r.Load, load)
	}
	return r, nil
}

// path finds the file of a part.
func (d *Database) path(p part) (string, error) {
	f, err := p.batch.Open(p.info.Name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	named, ok := f.(interface{ Name() string })
	if !ok {
		return "", fmt.Errorf("table %s of epoch %d is not a file of this machine", p.info.Name, p.batch.Epoch)
	}
	return filepath.Abs(named.Name())
}

// loadFiles reads the files of one task after those of another, with a NULL for what
// only others have.
func (d *Database) loadFiles(t Table) (string, error) {
	var tasks []task.ID
	files, has := map[task.ID][]string{}, map[task.ID]map[string]bool{}
	for _, p := range t.parts {
		id := p.batch.Task
		if has[id] == nil {
			tasks, has[id] = append(tasks, id), map[string]bool{}
		}
		path, err := d.path(p)
		if err != nil {
			return "", err
		}
		files[id] = append(files[id], literal(escapeGlob(path)))
		for _, c := range p.info.Columns {
			has[id][c.Name] = true
		}
	}
	own := len(t.Columns) - 2
	var selects []string
	for _, id := range tasks {
		var columns []string
		for _, c := range t.Columns[:own] {
			from := "NULL"
			if has[id][c.Name] {
				from = identifier(c.Name)
			}
			columns = append(columns, fmt.Sprintf("CAST(%s AS %s) AS %s", from, sqlType(c), identifier(c.Name)))
		}
		columns = append(columns,
			fmt.Sprintf("%s AS %s", literal(id.String()), identifier(t.Columns[own].Name)),
			fmt.Sprintf("CAST(%d AS BIGINT) AS %s", t.versions[id], identifier(t.Columns[own+1].Name)))
		selects = append(selects, fmt.Sprintf("SELECT %s FROM read_parquet([%s], union_by_name = true, hive_partitioning = false)",
			strings.Join(columns, ", "), strings.Join(files[id], ", ")))
	}
	return "CREATE TABLE " + t.Ref() + " AS " + strings.Join(selects, " UNION ALL "), nil
}

// createTable makes an empty table.
func createTable(t Table) string {
	var columns []string
	for _, c := range t.Columns {
		columns = append(columns, identifier(c.Name)+" "+sqlType(c))
	}
	return fmt.Sprintf("CREATE TABLE %s (%s)", t.Ref(), strings.Join(columns, ", "))
}

func loadBatches(t Table) []string {
	var rows []string
	for _, row := range t.rows {
		rows = append(rows, sqlRow(t.Columns, row))
	}
	return []string{
		createTable(t),
		fmt.Sprintf("INSERT INTO %s VALUES %s", t.Ref(), strings.Join(rows, ", ")),
	}
}

// sqlRow writes a row as SQL.
func sqlRow(columns []release.Column, row release.Row) string {
	values := make([]string, len(row))
	for i, v := range row {
		switch x := v.(type) {
		case nil:
			values[i] = "NULL"
		case int64:
			values[i] = strconv.FormatInt(x, 10)
			if columns[i].Type == release.Timestamp {
				values[i] = fmt.Sprintf("make_timestamp(%d)", x*1000)
			}
		case float64:
			values[i] = literal(strconv.FormatFloat(x, 'g', -1, 64)) // also what is no number
		case string:
			values[i] = literal(x)
		default:
			values[i] = literal(fmt.Sprint(x))
		}
	}
	return "(" + strings.Join(values, ", ") + ")"
}

// sqlType is DuckDB's type of a column.
func sqlType(c release.Column) string {
	name := map[release.ColumnType]string{
		release.Integer: "BIGINT", release.Boolean: "BOOLEAN", release.Real: "DOUBLE", release.Timestamp: "TIMESTAMP",
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
