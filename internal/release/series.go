package release

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/metric/task"
)

// Versions numbers the tasks of each metric, from 1 on, by the first epoch of which
// something was ever released. A question that is asked again in other words or with
// other rules is another task, and its numbers are not one series with those of the
// task before.
func Versions(all []Batch) map[task.ID]int64 {
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b Batch) int {
		return cmp.Or(a.Start.Compare(b.Start), slices.Compare(a.Task[:], b.Task[:]))
	})
	versions, last := map[task.ID]int64{}, map[string]int64{}
	for _, b := range sorted {
		if versions[b.Task] == 0 {
			last[b.Metric]++
			versions[b.Task] = last[b.Metric]
		}
	}
	return versions
}

// SeriesColumns are the columns that give for a row in an export or in SQL which task
// it is of, and which version of the question that is: task and version, or names
// like them that none of columns has.
func SeriesColumns(columns []Column) []Column {
	out := []Column{{Name: "task", Type: Text}, {Name: "version", Type: Integer}}
	for i := range out {
		name := out[i].Name
		taken := func(c Column) bool { return c.Name == out[i].Name }
		for n := 2; slices.ContainsFunc(columns, taken); n++ {
			out[i].Name = fmt.Sprintf("%s_%d", name, n)
		}
	}
	return out
}
