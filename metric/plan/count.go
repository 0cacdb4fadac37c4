package plan

import (
	"fmt"

	"github.com/shoal-project/shoal/metric/kind"
)

type count struct {
	kind.Count
	integers
	zero
	added
	numbered
}

func (count) form() Form                  { return Form{Type: "count", May: []string{"max"}} }
func (count) of(k kind.Kind) (Kind, bool) { c, ok := k.(kind.Count); return count{Count: c}, ok }
func (count) read(s Settings) kind.Kind   { return kind.Count{Max: readMax(s, "max", 1)} }
func (count) Title() string               { return "Count" }
func (count) Unit() string                { return "counted" }
func (c count) Most() float64             { return float64(c.Max) }

func (c count) Value() string {
	if c.Max == 1 {
		return "yes or no: whether it happened in the epoch"
	}
	return fmt.Sprintf("how often it happened in the epoch, up to %d", c.Max)
}

func (c count) Input() Input {
	if c.Max == 1 {
		return Event
	}
	return Amount
}

func (c count) Several() string {
	if c.Max == 1 {
		return "once is as good as often"
	}
	return addUp
}

func (c count) Bars(wide float64, n int) []Bar {
	if c.Max == 1 {
		return []Bar{{"the number of clients that say yes", wide, sampling(float64(n), 1)}}
	}
	return each("the count", "the count for one client", wide, n, float64(c.Max))
}

func (c count) Tight() (key string, bound float64) {
	if c.Max == 1 {
		return "", 0
	}
	return "max", float64(c.Max)
}

func (c count) Ordinary(largest float64) string {
	if c.Max == 1 {
		return "chance 0.3"
	}
	return fmt.Sprintf("normal %.6g %.4g", largest, largest/3)
}
