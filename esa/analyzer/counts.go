package analyzer

import (
	"cmp"
	"slices"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/task"
)

// randomised returns p1 and p0 of a field's randomised response.
func randomised(f task.Field) (float64, float64) {
	flip := float64(f.Flip) / 1e6
	if f.Kind == task.Enum {
		other := flip / float64(len(f.Values))
		return 1 - flip + other, other
	}
	return 1 - flip, flip
}

// A crowd is what is counted about one crowd.
type crowd struct {
	key    string
	values Row // of the crowd columns
	count  uint64
	fields []tally // of the fields of [counter.tallied]
}

// A tally counts the answers of one field: how many there are for each member
// of a set or value of an enum, and how many show it.
type tally struct{ answers, shown []uint64 }

// A counter counts the records of a batch. It holds one entry a crowd; the
// threshold has bounded their number by the records over T.
type counter struct {
	layout  *layout
	tallied []int // indexes of the fields that the values table is about
	crowds  map[string]*crowd
	small   map[string]bool // crowds that are not published
	hidden  uint64          // reports of the one crowd that are no records, for a quorum did not come together
}

func newCounter(l *layout) *counter {
	c := &counter{layout: l, crowds: map[string]*crowd{}}
	for i, f := range l.task.Schema {
		if !slices.Contains(l.crowd, i) && (f.Kind == task.Set || f.Kind == task.Bool || f.Kind == task.Enum) {
			c.tallied = append(c.tallied, i)
		}
	}
	return c
}

// options are the values of a field that are counted one by one.
func options(f task.Field) []string {
	if f.Kind == task.Bool {
		return []string{"true"}
	}
	return f.Values
}

// add counts n equal records, unless their crowd is not published.
func (c *counter) add(rec task.Record, row Row, n uint64) (bool, error) {
	key, values, err := c.layout.crowdOf(rec, row)
	if err != nil || c.small[key] {
		return false, err
	}
	in := c.crowds[key]
	if in == nil {
		in = &crowd{key: key, values: values, fields: make([]tally, len(c.tallied))}
		for j, i := range c.tallied {
			n := len(options(c.layout.task.Schema[i]))
			in.fields[j] = tally{make([]uint64, n), make([]uint64, n)}
		}
		c.crowds[key] = in
	}
	in.count += n
	for j, i := range c.tallied {
		in.fields[j].add(c.layout.task.Schema[i], row[c.layout.first[i]:][:c.layout.width(i)], n)
	}
	return true, nil
}

// below returns the crowds of fewer than least records.
func (c *counter) below(least uint64) map[string]bool {
	found := map[string]bool{}
	for key, in := range c.crowds {
		if in.count < least {
			found[key] = true
		}
	}
	return found
}

// add counts n equal answers, given as the columns of their field.
func (t *tally) add(f task.Field, columns Row, n uint64) {
	for i := range t.answers {
		switch v := columns[min(i, len(columns)-1)].(type) {
		case bool:
			t.answers[i] += n
			if v {
				t.shown[i] += n
			}
		case string:
			t.answers[i] += n
			if v == f.Values[i] {
				t.shown[i] += n
			}
		}
	}
}

// sorted returns the crowds, the largest first.
func (c *counter) sorted() []*crowd {
	all := make([]*crowd, 0, len(c.crowds))
	for _, in := range c.crowds {
		all = append(all, in)
	}
	slices.SortFunc(all, func(a, b *crowd) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.key, b.key))
	})
	return all
}

// countsTable returns columns and rows of the counts table.
func (c *counter) countsTable(t dp.Threshold) ([]Column, []Row) {
	columns := withColumns(c.layout.crowdColumns(), append([]Column{{Name: "count", Type: Integer}}, estimateColumns...))
	var rows []Row
	for _, in := range c.sorted() {
		row := append(slices.Clone(in.values), int64(in.count))
		rows = append(rows, append(row, crowdSize(in.count+c.hidden, t).values()...))
	}
	return columns, rows
}

// valuesTable returns columns and rows of the values table: for each crowd and
// each value that a report can show, how many of the released reports show it
// and how many of the crowd truly had it before the threshold dropped some.
func (c *counter) valuesTable(t dp.Threshold) ([]Column, []Row) {
	columns := withColumns(c.layout.crowdColumns(), append([]Column{
		{Name: "field", Type: Text},
		{Name: "value", Type: Text},
		{Name: "reports", Type: Integer},
		{Name: "observed", Type: Integer},
	}, estimateColumns...))
	var rows []Row
	for _, in := range c.sorted() {
		for j, i := range c.tallied {
			f := c.layout.task.Schema[i]
			s := sample{released: in.count + c.hidden}
			s.p1, s.p0 = randomised(f)
			for k, value := range options(f) {
				s.answers, s.shown = in.fields[j].answers[k], in.fields[j].shown[k]
				row := append(slices.Clone(in.values), f.Name, value, int64(s.answers), int64(s.shown))
				rows = append(rows, append(row, s.having(t).values()...))
			}
		}
	}
	return columns, rows
}

// withColumns joins columns and gives those of the second part names that are
// not taken.
func withColumns(first, second []Column) []Column {
	l := &layout{columns: slices.Clone(first)}
	for _, c := range second {
		l.add(c)
	}
	return l.columns
}
