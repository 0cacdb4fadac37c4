//go:build duckdb && cgo

package duckdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestHostile: the author of a query wants what is not released: files of the
// machine, other hosts, other processes, settings that open a way to them, or a
// trace that a later query sees. Each text is refused, nothing is written, and
// the next query is answered as before.
func TestHostile(t *testing.T) {
	f := newFixture(t)
	d := f.open(Limits{Time: 20 * time.Second})
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret.csv")
	f.must(os.WriteFile(secret, []byte("name,pin\nnobody,4711\n"), 0o600))
	released := filepath.Join(f.dir, "tables", "0100000000000000-0", "counts.parquet")
	before := listing(t, dir, f.dir)
	fill := strings.NewReplacer("SECRET", secret, "DIR", dir, "RELEASED", released)
	for _, query := range []string{
		"SELECT * FROM read_csv('SECRET')",
		"SELECT * FROM read_csv_auto('SECRET')",
		"SELECT * FROM sniff_csv('SECRET')",
		"SELECT * FROM 'SECRET'",
		"SELECT * FROM \"SECRET\"",
		"FROM 'SECRET'",
		"SELECT * FROM read_text('SECRET')",
		"SELECT * FROM read_blob('SECRET')",
		"SELECT * FROM read_json('SECRET')",
		"SELECT * FROM read_ndjson_objects('SECRET')",
		"SELECT * FROM parquet_scan('RELEASED')",
		"SELECT * FROM read_parquet('RELEASED')",
		"SELECT * FROM parquet_metadata('RELEASED')",
		"SELECT * FROM glob('DIR/*')",
		"SELECT * FROM glob('/etc/*')",
		"SELECT * FROM read_text('/proc/self/environ')",
		"SELECT * FROM read_text('/dev/fd/0')",
		"SELECT * FROM read_csv('/dev/stdin')",
		"SELECT * FROM query('SELECT * FROM read_text(''SECRET'')')",
		"SELECT * FROM query_table('SECRET')",
		"WITH x AS (SELECT * FROM read_text('SECRET')) SELECT * FROM x",
		"SELECT (SELECT content FROM read_text('SECRET'))",
		"DESCRIBE SELECT * FROM read_csv('SECRET')",
		"SUMMARIZE SELECT * FROM read_csv('SECRET')",
		"EXPLAIN ANALYZE SELECT * FROM read_csv('SECRET')",
		"EXPLAIN ANALYZE COPY (SELECT 1) TO 'DIR/out.csv'",
		"COPY (SELECT 1) TO 'DIR/out.csv'",
		"COPY api_use.counts TO 'DIR/out.parquet' (FORMAT parquet)",
		"COPY api_use.counts TO 'RELEASED' (FORMAT parquet)",
		"COPY api_use.counts FROM 'SECRET'",
		"COPY (SELECT 1) TO '/dev/stdout'",
		"COPY (SELECT 1) TO '/dev/fd/1'",
		"EXPORT DATABASE 'DIR/db'",
		"IMPORT DATABASE 'DIR/db'",
		"ATTACH 'DIR/x.duckdb'",
		"ATTACH ':memory:' AS other",
		"ATTACH '' AS pg (TYPE postgres)",
		"DETACH memory",
		"USE words_seen",
		"CHECKPOINT",
		"VACUUM",
		"INSTALL httpfs",
		"INSTALL httpfs FROM 'http://127.0.0.1:9/'",
		"LOAD httpfs",
		"LOAD 'DIR/x.duckdb_extension'",
		"UPDATE EXTENSIONS",
		"SELECT * FROM read_csv('http://127.0.0.1:9/x.csv')",
		"SELECT * FROM 'https://127.0.0.1:9/x.parquet'",
		"SELECT * FROM read_parquet('s3://bucket/x.parquet')",
		"CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
		"CREATE PERSISTENT SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
		"SET enable_external_access = true",
		"SET GLOBAL enable_external_access = true",
		"SET lock_configuration = false",
		"RESET lock_configuration",
		"RESET memory_limit",
		"SET memory_limit = '100GB'",
		"SET threads = 64",
		"SET temp_directory = 'DIR'",
		"SET allowed_directories = ['/']",
		"SET log_query_path = 'DIR/log'",
		"SET VARIABLE x = 1",
		"PRAGMA enable_external_access = true",
		"PRAGMA memory_limit = '100GB'",
		"PRAGMA profiling_output = 'DIR/profile.json'",
		"PRAGMA enable_profiling = 'json'",
		"CALL enable_logging(storage = 'file', storage_path = 'DIR')",
		"CALL pragma_version()",
		"SELECT * FROM enable_logging(storage = 'file', storage_path = 'DIR')",
		"SELECT getenv('HOME')",
		"SELECT nextval('x')",
		"CREATE TABLE t AS SELECT 1",
		"CREATE TABLE api_use.counts AS SELECT 1",
		"CREATE VIEW api_use.v AS SELECT 1",
		"CREATE MACRO f() AS 1",
		"CREATE TEMP TABLE t (i INT)",
		"CREATE FUNCTION f(x) AS x",
		"INSERT INTO api_use.counts (program) VALUES ('x')",
		"UPDATE api_use.counts SET count = 0",
		"DELETE FROM api_use.counts",
		"TRUNCATE api_use.counts",
		"DROP TABLE api_use.counts",
		"DROP SCHEMA api_use CASCADE",
		"ALTER TABLE api_use.counts ADD COLUMN x INT",
		"MERGE INTO api_use.counts USING api_use.counts AS o ON true WHEN MATCHED THEN DELETE",
		"WITH x AS (DELETE FROM api_use.counts RETURNING *) SELECT * FROM x",
		"BEGIN",
		"COMMIT",
		"ROLLBACK",
		"PREPARE p AS SELECT 1",
		"EXECUTE p",
		"DEALLOCATE p",
		"SELECT 1; COPY (SELECT 1) TO 'DIR/out.csv'",
		"COPY (SELECT 1) TO 'DIR/out.csv'; SELECT 1",
		"CREATE TABLE t (i INT); SELECT * FROM t",
		"SET lock_configuration = false; SELECT 1",
		";;COPY (SELECT 1) TO 'DIR/out.csv';;",
		"PIVOT api_use.counts ON program USING sum(count); COPY (SELECT 1) TO 'DIR/out.csv'",
	} {
		query = fill.Replace(query)
		r, err := d.Query(t.Context(), query, 0)
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("%s: result %v, error %v; want a refusal", query, r, err)
		}
		if err != nil && strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: the error shows the file: %v", query, err)
		}
	}
	if after := listing(t, dir, f.dir); !slices.Equal(before, after) {
		t.Errorf("files before:\n%v\nand after:\n%v", before, after)
	}
	if got := text(t, d, "SELECT sum(count) AS n FROM api_use.counts"); got != "n\n261\n" {
		t.Errorf("after the hostile queries the sum is %s", got)
	}
}

// listing names every file below some folders, with size and time.
func listing(t *testing.T, dirs ...string) []string {
	t.Helper()
	var all []string
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			all = append(all, fmt.Sprint(path, " ", info.Size(), " ", info.ModTime()))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestHarmless: what looks like a way out and only shows how it is closed.
func TestHarmless(t *testing.T) {
	d := newFixture(t).open(Limits{})
	for query, want := range map[string]string{
		"SELECT current_setting('enable_external_access') AS x":                                          "x\nfalse\n",
		"SELECT current_setting('lock_configuration') AS x":                                              "x\ntrue\n",
		"SELECT current_setting('temp_directory') AS x":                                                  "x\n\n",
		"SELECT count(*) AS n FROM duckdb_secrets()":                                                     "n\n0\n",
		"SELECT count(*) AS n FROM duckdb_settings() WHERE value LIKE '%/root%' OR value LIKE '%/home%'": "n\n0\n",
	} {
		if got := text(t, d, query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}

// TestBombs: a query wants all memory or all time. It is stopped, and this
// process goes on.
func TestBombs(t *testing.T) {
	f := newFixture(t)
	d := f.open(Limits{Memory: 128 << 20, Time: time.Second, Bytes: 1 << 20})
	for _, query := range []string{
		"SELECT count(*) FROM range(10000000000) a, range(10000000000) b",
		"SELECT a.range, b.range FROM range(100000000) a, range(100000000) b",
		"SELECT * FROM range(100000000000)",
		"SELECT list(range) FROM range(10000000000)",
		"SELECT range FROM range(10000000000) ORDER BY hash(range)",
		"SELECT string_agg(range::VARCHAR, ',') FROM range(10000000000)",
		"SELECT length(repeat('x', 100000000000))",
		"SELECT repeat('x', 1000000000) || range FROM range(1000)",
		"SELECT sum(length(repeat(range::VARCHAR, 100000000))) FROM range(100000)",
		"SELECT list_sort(range(10000000000))",
		"SELECT lpad('x', 2000000000, 'y') FROM range(100)",
		"SELECT [x for x in range(1000000000) if x % 2 = 0]",
		"SELECT printf('%2000000000d', range) FROM range(64)",
		"WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
		"WITH RECURSIVE r AS (SELECT 'x' AS s UNION ALL SELECT s || s FROM r) SELECT max(length(s)) FROM r",
		"SELECT " + strings.Repeat("(", 10000) + "1" + strings.Repeat(")", 10000),
		"SELECT 1" + strings.Repeat(" + 1", 8000),
		"SELECT " + strings.Repeat("[", 9000) + "1" + strings.Repeat("]", 9000),
		"SELECT * FROM " + strings.Repeat("(SELECT * FROM ", 2000) + "range(3)" + strings.Repeat(")", 2000),
	} {
		r, err := d.Query(t.Context(), query, 0)
		if err == nil {
			t.Errorf("%.60s: %d rows, truncated %t; want it stopped", query, len(r.Rows), r.Truncated)
			continue
		}
		t.Logf("%.60s: %.110s", query, strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if got := text(t, d, "SELECT sum(count) AS n FROM api_use.counts"); got != "n\n261\n" {
		t.Errorf("after the bombs the sum is %s", got)
	}
}

// TestResultBombs: a small query with a large result is cut, not refused.
func TestResultBombs(t *testing.T) {
	d := newFixture(t).open(Limits{Memory: 256 << 20, Bytes: 1 << 20, Rows: 1000})
	for _, query := range []string{"FROM range(1000000)", "SELECT repeat('x', 10000) FROM range(1000)", "SELECT range(100000) FROM range(20)"} {
		r, err := d.Query(t.Context(), query, 0)
		if err != nil || !r.Truncated {
			t.Errorf("%s: %v, %v; want a cut result", query, r, err)
		}
	}
}
