package plan

import (
	"fmt"
	"math"

	"github.com/shoal-project/shoal/metric/kind"
)

type linf struct {
	kind.LInfGradient
	zero
	rows
	added
	reals
}

func (linf) form() Form { return Form{Type: "gradient", Needs: gradientNeeds(), May: gradientMay()} }

func (linf) of(k kind.Kind) (Kind, bool) {
	g, ok := k.(kind.LInfGradient)
	return linf{LInfGradient: g}, ok
}
func (linf) Several() string                  { return cutEach }
func (g linf) example(s Settings) float64     { return largest(vectorExample(s, g.Length)) }
func (g linf) Quantisation() float64          { return g.Bound / (math.Exp2(float64(g.Bits)) - 1) }
func (g linf) Bars(wide float64, n int) []Bar { return g.bars(wide, n, g.Bound) }

func (linf) read(s Settings) kind.Kind {
	length, bound, bits := gradientSettings(s)
	return kind.LInfGradient{Length: length, Bound: bound, Bits: bits}
}

func (g linf) Value() string {
	return fmt.Sprintf("%d numbers from -%g to %g each, in %d bits", g.Length, g.Bound, g.Bound, g.Bits)
}

func (g linf) Tight() (key string, bound float64) { return "bound", g.Bound }

func (linf) Ordinary(largest float64) string { return fmt.Sprintf("normal 0 %.4g", largest/3) }
