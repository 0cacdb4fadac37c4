package encoder

import (
	"math"
	"slices"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/task"
)

// A LocalEpsilon is what randomised response alone guarantees, against all
// parties together and without any crowd: between any two records of the
// schema. +Inf means no guarantee, as for a value that is sent unchanged.
type LocalEpsilon struct {
	Record   float64 // all fragments of one record together
	Fragment float64 // any one fragment
	Fields   []FieldEpsilon
}

// A FieldEpsilon is the local epsilon of one field.
type FieldEpsilon struct {
	Name  string
	Unit  float64 // one bit of a Set, one element of a List, else the value
	Whole float64 // the whole field; +Inf for a List, whose length is not hidden
}

// LocalEpsilon returns the local epsilon of the task's records. Of a bit that is
// flipped it is [dp.LocalEpsilonFlip], of a replaced value
// [dp.LocalEpsilonKRR]. Parts that are randomised independently add up.
// Coarsening is not counted.
func (e *Encoder) LocalEpsilon() LocalEpsilon {
	var out LocalEpsilon
	rule := &e.task.Fragment
	kept, apart := 0.0, 0.0
	for i := range e.task.Schema {
		f := &e.task.Schema[i]
		x := FieldEpsilon{Name: f.Name, Unit: unitEpsilon(f)}
		x.Whole = wholeEpsilon(f, x.Unit)
		out.Fields = append(out.Fields, x)
		out.Record += x.Whole
		switch {
		case rule.Kind == task.Whole || slices.Contains(rule.Keep, uint8(i)):
			kept += x.Whole
		case rule.Kind == task.Fields:
			apart = max(apart, x.Whole)
		case rule.Kind == task.Pairs:
			apart = 2 * x.Unit
		default:
			apart = float64(rule.M) * x.Unit
		}
	}
	out.Fragment = kept + apart
	return out
}

// unitEpsilon returns the local epsilon of one bit or value.
func unitEpsilon(f *task.Field) float64 {
	p := float64(f.Flip) / million
	switch {
	case f.Options() == 1: // there is nothing to disclose
		return 0
	case p == 0:
		return math.Inf(1)
	case f.Kind == task.Bool || f.Kind == task.Set:
		return dp.LocalEpsilonFlip(p)
	}
	return dp.LocalEpsilonKRR(p, f.Options())
}

func wholeEpsilon(f *task.Field, unit float64) float64 {
	switch f.Kind {
	case task.List:
		return math.Inf(1)
	case task.Set:
		return float64(len(f.Values)) * unit
	}
	return unit
}
