package cost

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/shoal-project/shoal/dp"
)

// A Figure is a number that may be without bound, which JSON has no word for:
// it is null there.
type Figure float64

// MarshalJSON writes the number, or null without bound.
func (f Figure) MarshalJSON() ([]byte, error) {
	if math.IsInf(float64(f), 0) || math.IsNaN(float64(f)) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// String writes the number rounded up, or "none".
func (f Figure) String() string { return dp.Figure(float64(f)) }

// A Guarantee is (epsilon, delta) differential privacy.
type Guarantee struct {
	Epsilon Figure `json:"epsilon"`
	Delta   Figure `json:"delta"`
}

// String states the guarantee.
func (g Guarantee) String() string {
	if math.IsInf(float64(g.Epsilon), 1) {
		return "no epsilon holds"
	}
	return fmt.Sprintf("epsilon %v, delta %v", g.Epsilon, g.Delta)
}
