package plan

import (
	"fmt"

	"github.com/shoal-project/shoal/metric/kind"
)

type sum struct {
	kind.Sum
	integers
	zero
	added
	numbered
}

func (sum) form() Form                  { return Form{Type: "sum", Needs: []string{"max"}} }
func (sum) of(k kind.Kind) (Kind, bool) { s, ok := k.(kind.Sum); return sum{Sum: s}, ok }
func (sum) read(s Settings) kind.Kind   { return kind.Sum{Max: readMax(s, "max", 0)} }
func (sum) Input() Input                { return Amount }
func (sum) Title() string               { return "Sum" }
func (sum) Unit() string                { return "in all" }
func (sum) Several() string             { return addUp }
func (s sum) Most() float64             { return float64(s.Max) }
func (s sum) Value() string             { return fmt.Sprintf("a whole number from 0 to %d", s.Max) }

func (s sum) Tight() (key string, bound float64) { return "max", float64(s.Max) }

func (s sum) Bars(wide float64, n int) []Bar {
	return each("the sum", "the sum for one client", wide, n, float64(s.Max))
}

func (sum) Ordinary(largest float64) string {
	return fmt.Sprintf("normal %.10g %.4g", largest, largest/3)
}
