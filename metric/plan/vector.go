package plan

import (
	"fmt"

	"github.com/shoal-project/shoal/metric/kind"
)

type vector struct {
	kind.Vector
	integers
	zero
	rows
	added
	wholes
}

func (vector) form() Form { return Form{Type: "vector", Key: "max", Needs: []string{"length"}} }

func (vector) of(k kind.Kind) (Kind, bool)      { v, ok := k.(kind.Vector); return vector{Vector: v}, ok }
func (vector) Several() string                  { return cutEach }
func (v vector) Most() float64                  { return float64(v.Max) }
func (v vector) example(s Settings) float64     { return largest(vectorExample(s, v.Length)) }
func (v vector) Bars(wide float64, n int) []Bar { return v.bars(wide, n, float64(v.Max)) }

func (vector) read(s Settings) kind.Kind {
	return kind.Vector{Length: readLength(s), Max: readMax(s, "max", 0)}
}

func (v vector) Value() string {
	return fmt.Sprintf("%d whole numbers from 0 to %d each", v.Length, v.Max)
}

func (v vector) Tight() (key string, bound float64) { return "max", float64(v.Max) }

func (vector) Ordinary(largest float64) string { return fmt.Sprintf("exponential %.4g", largest/3) }
