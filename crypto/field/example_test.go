package field_test

import (
	"fmt"

	"github.com/shoal-project/shoal/crypto/field"
)

// The polynomial x^2 + 1 is given by its values at the four fourth roots of
// unity; its value at 10 follows from them.
func ExamplePolyEvalBatched() {
	f := field.Field64()
	roots, err := field.NewRoots(f, 4)
	if err != nil {
		panic(err)
	}
	values := make([]field.F64, 4)
	for i := range values {
		w := roots.Power(f, 4, i)
		values[i] = w.Mul(w).Add(field.NewF64(1))
	}
	y, err := field.PolyEvalBatched(f, [][]field.F64{values}, field.NewF64(10), roots)
	if err != nil {
		panic(err)
	}
	fmt.Println(y[0].Uint64())
	// Output: 101
}
