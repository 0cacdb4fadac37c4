package plan

import (
	"fmt"
	"math"

	"github.com/shoal-project/shoal/metric/kind"
)

type l1 struct {
	kind.L1Gradient
	zero
	rows
	added
	reals
}

func (l1) form() Form {
	return Form{Type: "gradient", Key: "norm", Value: "l1", Needs: gradientNeeds(), May: gradientMay()}
}

func (l1) of(k kind.Kind) (Kind, bool)  { g, ok := k.(kind.L1Gradient); return l1{L1Gradient: g}, ok }
func (l1) Several() string              { return shrink }
func (g l1) example(s Settings) float64 { return total(vectorExample(s, g.Length)) }

func (l1) read(s Settings) kind.Kind {
	length, bound, bits := gradientSettings(s)
	return kind.L1Gradient{Length: length, Bound: bound, Bits: bits}
}

func (g l1) Value() string {
	return fmt.Sprintf("%d numbers whose absolute values add up to at most %g, in %d bits", g.Length, g.Bound, g.Bits)
}

func (g l1) Tight() (key string, bound float64) { return "bound", g.Bound }

// An element is the difference of two, so that the noise of both is in it.
func (g l1) Bars(wide float64, n int) []Bar { return g.bars(wide*math.Sqrt2, n, g.Bound) }

func (g l1) Quantisation() float64 {
	return g.Bound * (math.Exp2(-float64(g.Bits)) + math.Exp2(-40))
}

func (g l1) Ordinary(largest float64) string {
	return fmt.Sprintf("normal 0 %.4g", largest/2/float64(g.Length))
}
