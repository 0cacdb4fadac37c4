package vdaf

import (
	"math"
	"testing"
)

// TestSensitivity compares with the largest difference over all pairs of valid
// measurements: vectors of integers up to a maximum that the instance accepts.
func TestSensitivity(t *testing.T) {
	vectors := func(length int, top uint64) [][]uint64 {
		all := [][]uint64{{}}
		for range length {
			var next [][]uint64
			for _, v := range all {
				for x := uint64(0); x <= top; x++ {
					next = append(next, append(v[:len(v):len(v)], x))
				}
			}
			all = next
		}
		return all
	}
	within := func(all [][]uint64, limit uint64) [][]uint64 {
		var kept [][]uint64
		for _, v := range all {
			if _, err := l1Norm(v, limit); err == nil {
				kept = append(kept, v)
			}
		}
		return kept
	}
	hot := func(n int) [][]uint64 {
		var all [][]uint64
		for i := range n {
			v := make([]uint64, n)
			v[i] = 1
			all = append(all, v)
		}
		return all
	}
	make1 := func(in Instance, err error) Instance {
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	of := func(p interface{ Sizes() Sizes }, err error) Instance { return make1(p.(Instance), err) }
	tests := []struct {
		in    Instance
		valid [][]uint64
	}{
		{of(Count()), vectors(1, 1)},
		{of(Sum(7)), vectors(1, 7)},
		{of(SumVec(3, 5, 0)), vectors(3, 5)},
		{of(SumVecMultiproof(3, 5, 0, 3)), vectors(3, 5)},
		{of(LInfGradient(2, 1.5, 2)), vectors(2, 3)},
		{of(Histogram(1, 0)), hot(1)},
		{of(Histogram(2, 0)), hot(2)},
		{of(Histogram(9, 0)), hot(9)},
		{of(MultihotCountVec(5, 1, 0)), within(vectors(5, 1), 1)},
		{of(MultihotCountVec(5, 2, 0)), within(vectors(5, 1), 2)},
		{of(MultihotCountVec(5, 4, 0)), within(vectors(5, 1), 4)},
		{of(MultihotCountVec(5, 5, 0)), within(vectors(5, 1), 5)},
		{of(L1BoundSum(1, 6, 0)), within(vectors(1, 6), 6)},
		{of(L1BoundSum(3, 6, 0)), within(vectors(3, 6), 6)},
		{of(L1Gradient(1, 2, 2)), within(vectors(2, 4), 4)},
	}
	for _, tt := range tests {
		var l1 uint64
		var square float64
		for _, a := range tt.valid {
			for _, b := range tt.valid {
				var sum uint64
				var sq float64
				for i := range a {
					d := max(a[i], b[i]) - min(a[i], b[i])
					sum += d
					sq += float64(d * d)
				}
				l1, square = max(l1, sum), max(square, sq)
			}
		}
		got1, got2, ok := Sensitivity(tt.in)
		if !ok || got1 != l1 {
			t.Errorf("%s: L1 %d, %v, want %d", tt.in.Name(), got1, ok, l1)
		}
		if want := math.Sqrt(square); got2 < want || got2 > want*(1+1e-12) {
			t.Errorf("%s: L2 %v, want %v", tt.in.Name(), got2, want)
		}
	}
	huge := make1(SumVec(3, 1<<63, 0))
	if l1, l2, ok := Sensitivity(huge); !ok || l1 != math.MaxUint64 || l2 < math.Sqrt(3)*(1<<63) {
		t.Errorf("beyond 64 bits: %d, %v, %v", l1, l2, ok)
	}
}
