package plan

import (
	"fmt"

	"github.com/shoal-project/shoal/metric/kind"
)

type categories struct {
	kind.Categories
	integers
	rows
	added
	loose
}

func (categories) form() Form { return Form{Type: "histogram", Key: "categories"} }
func (categories) of(k kind.Kind) (Kind, bool) {
	c, ok := k.(kind.Categories)
	return categories{Categories: c}, ok
}
func (categories) Input() Input                { return Label }
func (categories) Unit() string                { return "reports" }
func (categories) Several() string             { return oneOf }
func (categories) Nothing() string             { return ownRange }
func (categories) Most() float64               { return 1 }
func (categories) Ordinary(float64) string     { return "zipf 1" }
func (c categories) Value() string             { return fmt.Sprintf("one of %d values", c.Rows()) }
func (c categories) Add(rows []float64, v any) { addWords(rows, c.Labels, v.(string)) }

func (categories) read(s Settings) kind.Kind {
	return kind.Categories{Labels: s.Distinct("categories", 2, mostLabels, longestLabel)}
}

func (c categories) example(s Settings) float64 {
	s.Among("example", c.Labels)
	return 0
}

func (categories) Bars(wide float64, n int) []Bar {
	return []Bar{{"the number of clients in each range", wide, sampling(float64(n), 1)}}
}
