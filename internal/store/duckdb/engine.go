//go:build duckdb && cgo

package duckdb

import (
	"bufio"
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"

	engine "github.com/duckdb/duckdb-go/v2"
)

// Built reports whether the engine is in this program.
const Built = true

// Work answers one request of a [Database] in another process, read from in, on
// out. It takes away from the process whatever the request does not need, for
// good: nothing else may go on in it.
func Work(in io.Reader, out io.Writer) error {
	var r request
	if err := json.NewDecoder(in).Decode(&r); err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	w := &answer{out: bufio.NewWriterSize(out, 1<<16), left: r.Limits.Bytes}
	err := confine(r)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), r.Limits.Time)
		defer cancel()
		err = w.serve(ctx, r)
		w.last.Timeout = ctx.Err() != nil && err != nil
	}
	if wrong, ok := errors.AsType[*Error](err); ok {
		w.last.Wrong = wrong.Text
	} else if err != nil {
		w.last.Failed = err.Error()
	}
	w.last.End = true
	return errors.Join(w.put(w.last), w.out.Flush())
}

// serve opens a database, fills it, locks it, and only then looks at the user's
// text.
func (w *answer) serve(ctx context.Context, r request) error {
	connector, err := engine.NewConnector(settings(r.Limits), nil)
	if err != nil {
		return err
	}
	defer connector.Close()
	opened, err := connector.Connect(ctx)
	if err != nil {
		return err
	}
	defer opened.Close()
	conn, ok := opened.(*engine.Conn)
	if !ok {
		return errors.New("the driver has changed: connection of an unknown type")
	}
	for _, text := range append(r.Load, lock...) {
		if _, err := conn.ExecContext(ctx, text, nil); err != nil {
			if memory(err) {
				return &Error{fmt.Sprintf("the tables that the query names do not fit in %d MiB; name fewer", r.Limits.Memory>>20)}
			}
			return fmt.Errorf("loading: %w", err)
		}
	}
	if err := seal(); err != nil {
		return err
	}
	stmt, err := prepare(conn, r.Text)
	if err != nil {
		return err
	}
	defer stmt.Close()
	rows, err := stmt.QueryContext(ctx, nil)
	if err != nil {
		return explain(err)
	}
	defer rows.Close()
	return w.rows(ctx, rows, r.Limits.Rows)
}

// settings are the limits of the engine, from its first moment on.
func settings(l Limits) string {
	v := url.Values{
		"memory_limit":                 {strconv.FormatInt(l.Memory>>10, 10) + "KiB"},
		"threads":                      {strconv.Itoa(l.Threads)},
		"temp_directory":               {""},
		"max_temp_directory_size":      {"0KiB"},
		"autoinstall_known_extensions": {"false"},
		"autoload_known_extensions":    {"false"},
		"allow_community_extensions":   {"false"},
		"allow_unsigned_extensions":    {"false"},
		"allow_persistent_secrets":     {"false"},
	}
	return "?" + v.Encode()
}

// lock ends the access to everything outside of the database, permanently.
var lock = []string{
	"SET TimeZone = 'UTC'",
	"SET disabled_filesystems = 'LocalFileSystem'",
	"SET enable_external_access = false",
	"SET lock_configuration = true",
}

// prepare accepts one statement that only reads. Package duckdb-go runs all but
// the last statement of a text on its own when asked through a context, so the
// text goes through the call that refuses more than one.
func prepare(conn *engine.Conn, text string) (*engine.Stmt, error) {
	prepared, err := conn.Prepare(text)
	if err != nil {
		return nil, explain(err)
	}
	stmt, ok := prepared.(*engine.Stmt)
	if !ok {
		return nil, errors.New("the driver has changed: statement of an unknown type")
	}
	kind, err := stmt.StatementType()
	switch {
	case err != nil:
	case stmt.NumInput() > 0:
		err = &Error{"the query has parameters (? or $1): write the values in their place"}
	case kind != engine.STATEMENT_TYPE_SELECT && kind != engine.STATEMENT_TYPE_EXPLAIN:
		err = &Error{"only queries that read are answered: SELECT, WITH, FROM, VALUES, SHOW, DESCRIBE, SUMMARIZE, EXPLAIN"}
	default:
		return stmt, nil
	}
	return nil, errors.Join(err, stmt.Close())
}

// rows writes the result, up to the limits.
func (w *answer) rows(ctx context.Context, rows driver.Rows, most int) error {
	columns, read, err := readers(rows)
	if err != nil {
		return err
	}
	if err := w.put(head{columns}); err != nil {
		return err
	}
	values := make([]driver.Value, len(columns))
	line := make([]any, len(columns))
	for n := 0; ; n++ {
		err := rows.Next(values)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return explain(err)
		}
		if n == most {
			w.last.Cut = true
			return nil
		}
		for i, v := range values {
			line[i] = nil
			if v != nil {
				line[i] = read[i](v)
			}
		}
		if err := w.put(line); err != nil {
			return err
		}
		if w.left < 0 {
			w.last.Cut = true
			return nil
		}
	}
}

// answer is the way back to the caller.
type answer struct {
	out  *bufio.Writer
	left int64 // bytes that rows may still take
	last tail
}

// put writes one line, unless it is a row too long for what is left.
func (w *answer) put(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	_, isTail := v.(tail)
	if w.left -= int64(len(b)) + 1; w.left < 0 && !isTail {
		return nil
	}
	w.out.Write(b)
	return w.out.WriteByte('\n')
}
