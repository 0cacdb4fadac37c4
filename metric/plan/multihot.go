package plan

import (
	"fmt"

	"github.com/shoal-project/shoal/metric/kind"
)

type multihot struct {
	kind.Multihot
	integers
	rows
	added
	loose
}

func (multihot) form() Form { return Form{Type: "multihot", Needs: []string{"labels", "max"}} }
func (multihot) of(k kind.Kind) (Kind, bool) {
	m, ok := k.(kind.Multihot)
	return multihot{Multihot: m}, ok
}
func (multihot) Input() Input                { return Labels }
func (multihot) Unit() string                { return "reports" }
func (multihot) Several() string             { return "all of them, the first ones if they are too many" }
func (multihot) Nothing() string             { return "none of the values" }
func (m multihot) Most() float64             { return float64(m.Max) }
func (m multihot) Value() string             { return fmt.Sprintf("up to %d of %d values", m.Max, m.Rows()) }
func (m multihot) Add(rows []float64, v any) { addWords(rows, m.Labels, v.([]string)...) }

func (multihot) read(s Settings) kind.Kind {
	labels := s.Distinct("labels", 1, mostLabels, longestLabel)
	return kind.Multihot{Labels: labels, Max: uint64(s.Integer("max", 1, 1, int64(max(1, len(labels)))))}
}

func (m multihot) example(s Settings) float64 {
	s.Among("example", m.Labels)
	return 0
}

func (multihot) Bars(wide float64, n int) []Bar {
	return []Bar{{"the number of clients with each value", wide, sampling(float64(n), 1)}}
}

func (m multihot) Ordinary(float64) string {
	return fmt.Sprintf("each %.2g", min(0.3, float64(m.Max)/float64(m.Rows())/2))
}
