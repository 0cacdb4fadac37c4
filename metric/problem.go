package metric

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A Problem is one thing that is wrong with a file, and what to do about it.
type Problem struct {
	File   string
	Line   int    // from 1
	Column int    // from 1
	Metric string // empty if the problem is not in a metric
	Text   string
}

// Error returns file:line:column and the text.
func (p Problem) Error() string {
	if p.Metric == "" {
		return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
	}
	return fmt.Sprintf("%s:%d:%d: metric %s: %s", p.File, p.Line, p.Column, p.Metric, p.Text)
}

// Problems is the error that [Load], [Parse] and [File.Check] return: all
// problems of a file, in its order.
type Problems []Problem

// Error returns the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// err returns the problems sorted, or nil if there are none.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ps)
}
