package plan

import (
	"fmt"

	"github.com/shoal-project/shoal/metric/kind"
)

type histogram struct {
	kind.Histogram
	integers
	rows
	added
	loose
}

func (histogram) form() Form { return Form{Type: "histogram", Key: "buckets"} }
func (histogram) of(k kind.Kind) (Kind, bool) {
	h, ok := k.(kind.Histogram)
	return histogram{Histogram: h}, ok
}

func (histogram) read(s Settings) kind.Kind {
	return kind.Histogram{Bounds: s.Increasing("buckets", mostInner)}
}
func (histogram) example(s Settings) float64 { return numbered{}.example(s) }
func (histogram) Input() Input               { return Number }
func (histogram) Unit() string               { return "reports" }
func (histogram) Several() string            { return oneOf }
func (histogram) Nothing() string            { return ownRange }
func (histogram) Most() float64              { return 1 }
func (h histogram) Value() string {
	return fmt.Sprintf("in which of %d ranges a number lies", h.Rows())
}
func (h histogram) Ordinary(float64) string   { return humped(h.Bounds) }
func (h histogram) Add(rows []float64, v any) { rows[h.Range(v.(int64))]++ }

func (histogram) Bars(wide float64, n int) []Bar {
	return []Bar{{"the number of clients in each range", wide, sampling(float64(n), 1)}}
}
