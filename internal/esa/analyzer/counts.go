package analyzer

import (
	"cmp"
	"errors"
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
	key    string // the record of the crowd's fields alone, encoded
	count  uint64
	detail uint64  // of count, those with detail
	fields []tally // of the fields of [counter.tallied]
}

// crowdBytes is about what a crowd takes beside its key and its tallies.
const crowdBytes = 160

// valuesRows is the number of rows from which the values table leaves out what no
// report shows.
const valuesRows = 1 << 20

// errMemory is returned if a batch has more crowds and values than fit.
var errMemory = errors.New("its crowds and their values need more memory than there is for them: raise batches.memory")

// A counter counts the records of a batch. It holds one entry a crowd and one a
// value that some report of it shows; the threshold has bounded the crowds by the
// records over T.
type counter struct {
	layout  *layout
	tallied []int            // indexes of the fields that the values table is about
	index   []map[string]int // of the values of each
	crowds  map[string]*crowd
	small   map[string]bool // crowds that are not published
	plain   map[string]bool // crowds that are published in plain form, without detail
	hidden  uint64          // reports of the one crowd that are no records, for a quorum did not come together
	memory  int64           // bytes that are left
}

// newCounter returns a counter that may take about the given bytes of memory.
func newCounter(l *layout, memory int64) *counter {
	c := &counter{layout: l, crowds: map[string]*crowd{}, memory: memory}
	for i, f := range l.task.Schema {
		if !l.task.HasSecond() && !slices.Contains(l.crowd, i) && (f.Kind == task.Set || f.Kind == task.Bool || f.Kind == task.Enum) {
			c.tallied = append(c.tallied, i)
			index := make(map[string]int, len(f.Values))
			for k, v := range f.Values {
				index[v] = k
			}
			c.index = append(c.index, index)
		}
	}
	return c
}

// optionsOf are the values of a field that are counted one by one.
func optionsOf(f task.Field) []string {
	if f.Kind == task.Bool {
		return []string{"true"}
	}
	return f.Values
}

// add counts n equal records, unless their crowd is not published. If its detail is not,
// that is taken out of the record and its row.
func (c *counter) add(rec task.Record, row Row, n uint64) (bool, error) {
	key, err := c.layout.crowdOf(rec)
	if err != nil || c.small[string(key)] {
		return false, err
	}
	if c.plain[string(key)] {
		c.layout.reduce(rec, row)
	}
	in := c.crowds[string(key)]
	if in == nil {
		in = &crowd{key: string(key), fields: make([]tally, len(c.tallied))}
		c.crowds[in.key] = in
		c.memory -= crowdBytes + int64(len(key))
	}
	in.count += n
	if c.layout.task.Detailed(rec) {
		in.detail += n
	}
	for j, i := range c.tallied {
		c.memory -= in.fields[j].add(c.layout.task.Schema[i], c.index[j], row[c.layout.first[i]:][:c.layout.width(i)], n)
	}
	if c.memory < 0 {
		return false, errMemory
	}
	return true, nil
}

// below returns the crowds of fewer than least records. With a second crowd there are such
// crowds, of whose records the other crowds are suppressed.
func (c *counter) below(least uint64) map[string]bool {
	found := map[string]bool{}
	if c.layout.task.HasSecond() {
		return found
	}
	for key, in := range c.crowds {
		if in.count < least {
			found[key] = true
		}
	}
	return found
}

// detailed returns the crowds of which some records have detail, and fewer than least.
func (c *counter) detailed(least uint64) map[string]bool {
	found := map[string]bool{}
	for key, in := range c.crowds {
		if in.detail > 0 && in.detail < least {
			found[key] = true
		}
	}
	return found
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

// countsColumns are the columns of the counts table.
func (c *counter) countsColumns() []Column {
	return withColumns(c.layout.crowdColumns(), append([]Column{{Name: "count", Type: Integer}}, estimateColumns...))
}

// counts yields the rows of the counts table, until yield fails.
func (c *counter) counts(t dp.Threshold, yield func(Row) error) error {
	for _, in := range c.sorted() {
		values, err := c.layout.crowdValues(in.key)
		if err != nil {
			return err
		}
		row := append(values, int64(in.count))
		if c.layout.task.HasSecond() {
			// What the threshold has dropped follows from two crowds, of which the table
			// names neither: nothing is estimated.
			row = append(row, make([]any, len(estimateColumns))...)
		} else {
			row = append(row, crowdSize(in.count+c.hidden, t).values()...)
		}
		if err := yield(row); err != nil {
			return err
		}
	}
	return nil
}

// valuesColumns are the columns of the values table.
func (c *counter) valuesColumns() []Column {
	return withColumns(c.layout.crowdColumns(), append([]Column{
		{Name: "field", Type: Text},
		{Name: "value", Type: Text},
		{Name: "reports", Type: Integer},
		{Name: "observed", Type: Integer},
	}, estimateColumns...))
}

// sparse reports whether the values table leaves out what no report shows.
func (c *counter) sparse() bool {
	options := 0
	for _, i := range c.tallied {
		options += len(optionsOf(c.layout.task.Schema[i]))
	}
	return len(c.crowds)*options > valuesRows
}

// values yields the rows of the values table, until yield fails: for each crowd and
// each value that a report can show, how many of the released reports show it and
// how many of the crowd truly had it before the threshold dropped some.
func (c *counter) values(t dp.Threshold, yield func(Row) error) error {
	sparse := c.sparse()
	for _, in := range c.sorted() {
		crowd, err := c.layout.crowdValues(in.key)
		if err != nil {
			return err
		}
		for j, i := range c.tallied {
			f := c.layout.task.Schema[i]
			s := sample{released: in.count + c.hidden}
			s.p1, s.p0 = randomised(f)
			for k, value := range optionsOf(f) {
				s.answers, s.shown = in.fields[j].answers(k), in.fields[j].shown.get(k)
				if sparse && s.shown == 0 {
					continue
				}
				row := append(slices.Clone(crowd), f.Name, value, int64(s.answers), int64(s.shown))
				if err := yield(append(row, s.having(t).values()...)); err != nil {
					return err
				}
			}
		}
	}
	return nil
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
