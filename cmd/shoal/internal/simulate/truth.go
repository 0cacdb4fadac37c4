package simulate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
)

// A crowdTruth is what the simulation knows of one crowd.
type crowdTruth struct {
	reports int
	shown   map[string]map[string]int // field → value → reports that truly have it
	answers map[string]int            // field → reports with a value of it
}

// crowds counts the reports that devices made, by crowd label.
type crowds struct {
	t   *task.Task
	all map[string]*crowdTruth
	n   int
}

// add counts one report.
func (c *crowds) add(f encoder.Fragment) error {
	said, err := c.t.Decode(f.Payload) // crowds are made of what was randomised
	if err != nil {
		return err
	}
	plain, err := c.t.Decode(f.Plain)
	if err != nil {
		return err
	}
	name := crowdLabel(c.t, crowdColumns(c.t, said))
	in := c.all[name]
	if in == nil {
		in = &crowdTruth{shown: map[string]map[string]int{}, answers: map[string]int{}}
		c.all[name] = in
	}
	in.reports++
	c.n++
	for i, v := range plain {
		in.note(&c.t.Schema[i], c.t.Fragment, v)
	}
	return nil
}

// note counts the values that the table of values counts one by one.
func (in *crowdTruth) note(f *task.Field, rule task.Fragment, v task.Value) {
	has := func(value string) {
		if in.shown[f.Name] == nil {
			in.shown[f.Name] = map[string]int{}
		}
		in.shown[f.Name][value]++
	}
	switch x := v.(type) {
	case bool:
		in.answers[f.Name]++
		if x {
			has("true")
		}
	case string:
		if f.Kind == task.Enum {
			in.answers[f.Name]++
			has(x)
		}
	case uint64:
		in.answers[f.Name]++
		for i, value := range f.Values {
			if x>>i&1 == 1 {
				has(value)
			}
		}
	case task.SetChunk:
		for i := range int(rule.M) {
			if x.Bits>>i&1 == 1 {
				has(f.Values[int(x.Index)*int(rule.M)+i])
			}
		}
	}
}

// crowdFields returns the indexes of the fields that make a crowd.
func crowdFields(t *task.Task) []int {
	var fields []int
	for i := range t.Schema {
		if t.Crowd.Kind == task.Payload || t.Crowd.Kind == task.Attributes && slices.Contains(t.Crowd.Fields, uint8(i)) {
			fields = append(fields, i)
		}
	}
	return fields
}

// crowdColumns are the columns that name a record's crowd in released tables: one
// a field, but one a member of a set.
func crowdColumns(t *task.Task, rec task.Record) release.Row {
	var row release.Row
	for _, i := range crowdFields(t) {
		f := &t.Schema[i]
		if f.Kind != task.Set {
			row = append(row, column(rec[i]))
			continue
		}
		members := make(release.Row, len(f.Values))
		start, width, bits := 0, len(members), uint64(0)
		switch x := rec[i].(type) {
		case uint64:
			bits = x
		case task.SetChunk:
			start, width, bits = int(x.Index)*int(t.Fragment.M), int(t.Fragment.M), x.Bits
		default:
			width = 0
		}
		for j := range min(width, len(members)-start) {
			members[start+j] = bits>>j&1 == 1
		}
		row = append(row, members...)
	}
	return row
}

func column(v task.Value) any {
	list, ok := v.([]task.Value)
	if !ok {
		return v
	}
	out := make([]any, len(list))
	for i, x := range list {
		out[i] = x
	}
	return out
}

// crowdLabel names a crowd for people, from the columns of a released table.
func crowdLabel(t *task.Task, columns release.Row) string {
	var parts []string
	for _, i := range crowdFields(t) {
		f := &t.Schema[i]
		if f.Kind == task.Set {
			if text, ok := setLabel(f.Values, columns[:len(f.Values)]); ok {
				parts = append(parts, text)
			}
			columns = columns[len(f.Values):]
			continue
		}
		if columns[0] != nil {
			parts = append(parts, strings.Trim(fmt.Sprint(columns[0]), "[]"))
		}
		columns = columns[1:]
	}
	if len(crowdFields(t)) == 0 {
		return "all reports"
	}
	return strings.Join(parts, ", ")
}

func setLabel(values []string, members release.Row) (string, bool) {
	var in []string
	known := false
	for j, m := range members {
		known = known || m != nil
		if m == true {
			in = append(in, values[j])
		}
	}
	return "{" + strings.Join(in, " ") + "}", known
}

// sums adds up what people answer to an aggregate question, uncut.
type sums struct {
	words   plan.Kind
	rows    []float64
	said    int // people that had a value
	clipped int // of them, whose value went beyond the bounds
}

func newSums(a *task.Aggregation) (*sums, error) {
	words, err := plan.Of(a.Kind)
	if err != nil {
		return nil, err
	}
	return &sums{words: words, rows: make([]float64, a.Kind.Rows())}, nil
}

func (s *sums) add(v any) {
	s.said++
	s.words.Add(s.rows, v)
}

// truth returns the true value of a row of the result.
func (s *sums) truth(row int) float64 { return s.words.Truth(s.rows, s.said, row) }
