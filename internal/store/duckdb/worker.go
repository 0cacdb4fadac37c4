package duckdb

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// A request is what the worker reads: one JSON value.
type request struct {
	Load   []string // statements of ours that fill the database
	Text   string   // the statement of the user
	Limits Limits

	Background bool
}

// The worker answers with lines of JSON: a head, one array of values a row,
// and a tail. An error before the first row is a tail alone.
type (
	head struct {
		Columns []Column `json:"columns"`
	}
	tail struct {
		End     bool   `json:"end"`
		Cut     bool   `json:"cut,omitempty"`     // rows were left out
		Wrong   string `json:"wrong,omitempty"`   // what is wrong with the query
		Failed  string `json:"failed,omitempty"`  // what is wrong with us
		Timeout bool   `json:"timeout,omitempty"` // the time was over
	}
)

// grace is how much longer than the query the worker may live.
const grace = time.Second

// run starts a worker, hands it the request and reads the result.
func run(parent context.Context, worker []string, r request) (*Result, error) {
	in, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("starting a query: %w", err)
	}
	ctx, cancel := context.WithTimeout(parent, r.Limits.Time+grace)
	defer cancel()
	cmd := exec.CommandContext(ctx, worker[0], worker[1:]...)
	cmd.Env = []string{"MALLOC_ARENA_MAX=2", "GOTRACEBACK=none", "GOMAXPROCS=2"}
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(in)
	stderr := &headOf{left: 4 << 10}
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("starting the query's process: %w", err)
	}
	// The worker keeps its limit of bytes; the reader does not rely on it.
	result, err := readResult(io.LimitReader(out, r.Limits.Bytes+(8<<20)))
	if err != nil {
		cancel()
	}
	died := cmd.Wait()
	switch {
	case err == nil:
		return result, nil
	case errors.Is(err, errTimeout), ctx.Err() == context.DeadlineExceeded:
		return nil, &Error{fmt.Sprintf("the query took longer than %v and was stopped", r.Limits.Time)}
	case ctx.Err() != nil && parent.Err() != nil:
		return nil, fmt.Errorf("running the query: %w", parent.Err())
	case errors.Is(err, errTruncated):
		return nil, fmt.Errorf("the query's process ended early, most likely for lack of memory (%v; %s): "+
			"make the query smaller with WHERE, LIMIT or GROUP BY", died, firstLine(stderr.String()))
	}
	return nil, err
}

var (
	errTruncated = errors.New("the result is incomplete")
	errTimeout   = errors.New("timeout")
)

// readResult reads what a worker writes.
func readResult(r io.Reader) (*Result, error) {
	d := json.NewDecoder(bufio.NewReaderSize(r, 1<<16))
	d.UseNumber()
	var first struct {
		head
		tail
	}
	if err := d.Decode(&first); err != nil {
		return nil, errTruncated
	}
	if first.Columns == nil {
		return nil, first.tail.err()
	}
	result := &Result{Columns: unique(first.Columns)}
	for {
		var line json.RawMessage
		if err := d.Decode(&line); err != nil {
			return nil, errTruncated
		}
		if line[0] == '[' {
			row, err := result.parse(line)
			if err != nil {
				return nil, fmt.Errorf("reading the query's result: %w", err)
			}
			result.Rows = append(result.Rows, row)
			continue
		}
		var last tail
		if err := json.Unmarshal(line, &last); err != nil {
			return nil, errTruncated
		}
		result.Truncated = last.Cut
		result.settle()
		return result, last.err()
	}
}

func (t tail) err() error {
	switch {
	case t.Timeout:
		return errTimeout
	case t.Wrong != "":
		return &Error{t.Wrong}
	case t.Failed != "":
		return fmt.Errorf("running the query: %s", t.Failed)
	case !t.End:
		return errTruncated
	}
	return nil
}

// headOf keeps the first bytes of what is written to it.
type headOf struct {
	strings.Builder
	left int
}

func (h *headOf) Write(b []byte) (int, error) {
	keep := min(len(b), h.left)
	h.left -= keep
	h.Builder.Write(b[:keep])
	return len(b), nil
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if line == "" {
		return "it said nothing"
	}
	return line
}
