package plan

import (
	"fmt"

	"github.com/shoal-project/shoal/metric/kind"
)

type bounded struct {
	kind.Bounded
	integers
	zero
	rows
	added
	wholes
}

func (bounded) form() Form { return Form{Type: "vector", Key: "total", Needs: []string{"length"}} }
func (bounded) of(k kind.Kind) (Kind, bool) {
	b, ok := k.(kind.Bounded)
	return bounded{Bounded: b}, ok
}
func (bounded) Several() string                  { return shrink }
func (b bounded) Most() float64                  { return float64(b.Max) }
func (b bounded) example(s Settings) float64     { return total(vectorExample(s, b.Length)) }
func (b bounded) Bars(wide float64, n int) []Bar { return b.bars(wide, n, float64(b.Max)) }

func (bounded) read(s Settings) kind.Kind {
	return kind.Bounded{Length: readLength(s), Max: readMax(s, "total", 0)}
}

func (b bounded) Value() string {
	return fmt.Sprintf("%d whole numbers from 0 that add up to at most %d", b.Length, b.Max)
}

func (b bounded) Tight() (key string, bound float64) { return "total", float64(b.Max) }

func (b bounded) Ordinary(largest float64) string {
	return fmt.Sprintf("exponential %.4g", largest/2/float64(b.Length))
}
