package simulate

import (
	"fmt"

	"github.com/shoal-project/shoal/metric/task"
)

// What people answer unless it is given follows from the question's example where
// it has one: invented, but of the right size.

// parts is how many reports one record makes, at most.
func parts(t *task.Task) int {
	switch t.Fragment.Kind {
	case task.Fields:
		return max(1, len(t.Schema)-len(t.Fragment.Keep))
	case task.Pairs, task.Tuples, task.Bits:
		return int(t.PerEpoch)
	}
	return 1
}

// ordinaryRecords is how many records a person makes: as many as the caps leave
// room for, but no more than 10.
func ordinaryRecords(t *task.Task) int { return min(10, max(1, int(t.PerEpoch)/parts(t))) }

// ordinaryField is the distribution of a field.
func ordinaryField(f *task.Field, example any) string {
	kind, prefix := f.Kind, ""
	if kind == task.List {
		kind = f.Elem
		prefix = fmt.Sprintf("1 to %d of ", min(5, f.Max))
	}
	switch kind {
	case task.String:
		return prefix + "zipf 30 1"
	case task.Enum:
		return prefix + "zipf 1"
	case task.Bool:
		return "chance 0.3"
	case task.Set:
		return "each 0.3"
	}
	if x, ok := example.(int64); ok && x > f.Low && x <= 1<<50 {
		return prefix + fmt.Sprintf("normal %d %.4g", x, float64(max(x, -x))/2)
	}
	return prefix + "uniform"
}
