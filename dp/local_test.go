package dp

import (
	"math"
	"testing"
)

func TestLocalEpsilon(t *testing.T) {
	for _, c := range []struct {
		name             string
		got, want, digit float64
	}{
		{"binary answer, one in ten flipped", LocalEpsilonFlip(0.1), 2.197, 1e-3},
		{"one in ten replaced among 200", LocalEpsilonKRR(0.1, 200), 7.50, 1e-2},
		{"one in ten replaced among 2000", LocalEpsilonKRR(0.1, 2000), 9.80, 1e-2},
		{"one in ten replaced among 18000", LocalEpsilonKRR(0.1, 18000), 12.0, 1e-1},
		{"bit flip of 1e-4", LocalEpsilonFlip(1e-4), 9.21, 1e-2},
		{"four of them", 4 * LocalEpsilonFlip(1e-4), 36.8, 1e-1},
		{"fair coin", LocalEpsilonFlip(0.5), 0, 1e-12},
		{"more flips than not", LocalEpsilonFlip(0.9), 2.197, 1e-3},
		{"always replaced", LocalEpsilonKRR(1, 7), 0, 1e-12},
		{"one value only", LocalEpsilonKRR(0, 1), 0, 1e-12},
		{"half replaced among two", LocalEpsilonKRR(0.5, 2), math.Log(3), 1e-9},
	} {
		if !within(c.got, c.want, c.digit) {
			t.Errorf("%s: epsilon %.6g, want %.4g", c.name, c.got, c.want)
		}
	}
	for name, got := range map[string]float64{
		"never flipped":            LocalEpsilonFlip(0),
		"always flipped":           LocalEpsilonFlip(1),
		"flip not a number":        LocalEpsilonFlip(math.NaN()),
		"flip below 0":             LocalEpsilonFlip(-0.1),
		"never replaced":           LocalEpsilonKRR(0, 5),
		"replacement not a number": LocalEpsilonKRR(math.NaN(), 5),
		"replacement above 1":      LocalEpsilonKRR(1.5, 5),
	} {
		if !math.IsInf(got, 1) {
			t.Errorf("%s: epsilon %g, want infinity", name, got)
		}
	}
}
