// Package duckdb answers SQL over released tables.
//
//	db, err := duckdb.New(tables, duckdb.Options{Worker: []string{self, "query", "--worker"}})
//	result, err := db.Query(ctx, "SELECT program, count FROM api_use.counts", 100)
//	err = result.Write(os.Stdout, duckdb.Text)
//
// Each metric is a schema, named after the metric with dots as underscores. Its
// tables are those that were released (of the crowd route counts, values and
// records, see package analyzer; of the aggregate route results), the
// rows of all released epochs together, and batches: one row a batch, with what
// became of its reports.
//
// The engine is DuckDB. It is C++, so it is only in programs built with the tag
// duckdb and cgo; [Built] reports whether this one is. Without it everything here
// works but [Database.Query], which returns [ErrNotBuilt].
//
// # Security properties
//
// The text of a query is hostile by assumption. Each query runs in a process of
// its own, the worker, on a database in memory that dies with it: nothing that
// one query does can be seen by the next. The worker
//
//   - reads the released tables that the query names, and only then switches
//     off access to files, network and extensions and locks the configuration;
//   - accepts one statement, which must be a SELECT or an EXPLAIN (SHOW,
//     DESCRIBE and SUMMARIZE are SELECTs to DuckDB);
//   - has an empty environment, and on Linux the kernel's word for it: before it
//     looks at the user's text it gives up, by resource limits and by a filter
//     of system calls, writing to files, opening anything, sockets and programs;
//   - ends after a time, and above an amount of memory: DuckDB's own limit
//     first, and on Linux a limit of its address space, which also catches what
//     DuckDB does not count.
//
// The caller's process parses only the worker's rows, up to a number of bytes.
//
// BUG(shoal): outside Linux only DuckDB's own limit bounds the memory, and only
// DuckDB's own switches keep files from being read and written.
package duckdb
