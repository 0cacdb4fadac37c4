package plan

import (
	"fmt"
	"math"

	"github.com/shoal-project/shoal/metric/kind"
)

type mean struct {
	kind.Mean
	integers
	numbered
}

func (mean) form() Form                  { return Form{Type: "mean", Needs: []string{"max"}} }
func (mean) of(k kind.Kind) (Kind, bool) { m, ok := k.(kind.Mean); return mean{Mean: m}, ok }
func (mean) read(s Settings) kind.Kind   { return kind.Mean{Max: readMax(s, "max", 0)} }
func (mean) Input() Input                { return Natural }
func (mean) Title() string               { return "Mean" }
func (mean) Unit() string                { return "on average" }
func (mean) Several() string             { return "their mean, so that each client weighs the same" }
func (mean) Nothing() string             { return "zero, with no weight" }
func (mean) Most() float64               { return 0 }

func (m mean) Value() string {
	return fmt.Sprintf("a whole number from 0 to %d, and whether there is one", m.Max)
}

func (m mean) Tight() (key string, bound float64) { return "max", float64(m.Max) }

func (m mean) Bars(wide float64, n int) []Bar {
	top := float64(m.Max)
	bar := func(share float64) Bar { // as in kind.Measure.Result, for a mean in the middle of the range
		c := float64(n) * share
		return Bar{
			fmt.Sprintf("the mean, if %g %% have a value", share*100),
			wide / c * math.Hypot(1, 0.5), 1.96 * top / 2 / math.Sqrt(c),
		}
	}
	return []Bar{bar(1), bar(0.1), {"the number of clients that have a value", wide / top, sampling(float64(n), 1)}}
}

func (mean) Ordinary(largest float64) string {
	return fmt.Sprintf("normal %.10g %.4g", largest, largest/3)
}

// Truth divides by the number of clients that have a value.
func (mean) Truth(rows []float64, values, row int) float64 {
	if values == 0 {
		return math.NaN()
	}
	return rows[row] / float64(values)
}
