package vdaf

import (
	"errors"
	"fmt"
	"math"
)

// LInfGradient adds up vectors of dim real numbers, each from -bound to bound,
// quantised to 2^bits levels: [SumVec] over integers, with floats in and out.
// bits is 1 to 32.
//
// Rounding is to the nearest level, so an element of the aggregate of n vectors
// is off by at most n*bound/(2^bits-1), and by as much as the noise that the
// aggregators add.
func LInfGradient(dim int, bound float64, bits int, opts ...Option) (*Prio3[[]float64, []float64], error) {
	if err := checkGradient(bound, bits); err != nil {
		return nil, err
	}
	top := float64(uint64(1)<<bits - 1)
	p, err := SumVec(dim, uint64(1)<<bits-1, 0, opts...)
	if err != nil {
		return nil, err
	}
	step := 2 * bound / top
	return &Prio3[[]float64, []float64]{
		Instance: p.Instance,
		encode: func(dst []uint8, v []float64) error {
			q := make([]uint64, len(v))
			for i, x := range v {
				if !(math.Abs(x) <= bound) {
					return fmt.Errorf("element %d is %v, not in the range -%v to %v", i, x, bound, bound)
				}
				q[i] = uint64(min(max(math.Round((x+bound)/step), 0), top))
			}
			return p.encode(dst, q)
		},
		result: func(sums []sum, count uint64) ([]float64, error) {
			q, err := signed(sums)
			if err != nil {
				return nil, err
			}
			out := make([]float64, len(q))
			for i, n := range q {
				out[i] = float64(n)*step - float64(count)*bound
			}
			return out, nil
		},
	}, nil
}

// L1Gradient adds up vectors of dim real numbers whose absolute values add up to
// at most bound, in units of bound/2^bits: [L1BoundSum] over the positive and
// the negative parts, with floats in and out. bits is 1 to 32. The proof holds
// every client to the bound, so one client moves the aggregate by no more than
// bound in all.
//
// Rounding is towards zero, so an element of the aggregate of n vectors is off
// by less than n*bound*(2^-bits + 2^-40), and by as much as the noise that the
// aggregators add. A report has 2*dim+1 integers of bits+1 bits: see Sizes.
func L1Gradient(dim int, bound float64, bits int, opts ...Option) (*Prio3[[]float64, []float64], error) {
	if err := checkGradient(bound, bits); err != nil {
		return nil, err
	}
	if dim < 1 || dim > maxElements {
		return nil, fmt.Errorf("vdaf: gradient of %d elements, want 1 to %d", dim, maxElements)
	}
	limit := uint64(1) << bits
	p, err := L1BoundSum(2*dim, limit, 0, opts...)
	if err != nil {
		return nil, err
	}
	step := bound / float64(limit)
	// A little less than 1, so that rounding errors do not carry a vector of
	// norm bound over the limit.
	const shrink = 1 - 1.0/(1<<40)
	return &Prio3[[]float64, []float64]{
		Instance: p.Instance,
		encode: func(dst []uint8, v []float64) error {
			if len(v) != dim {
				return fmt.Errorf("gradient of %d elements, want %d", len(v), dim)
			}
			q := make([]uint64, 2*dim)
			norm := 0.0
			for i, x := range v {
				norm += math.Abs(x)
				n := uint64(math.Abs(x) / step * shrink)
				if x > 0 {
					q[i] = n
				} else {
					q[dim+i] = n
				}
			}
			if !(norm <= bound) {
				return fmt.Errorf("gradient of L1 norm %v, at most %v is possible", norm, bound)
			}
			return p.encode(dst, q)
		},
		result: func(sums []sum, _ uint64) ([]float64, error) {
			q, err := signed(sums)
			if err != nil {
				return nil, err
			}
			out := make([]float64, dim)
			for i := range out {
				out[i] = float64(q[i]-q[dim+i]) * step
			}
			return out, nil
		},
	}, nil
}

func checkGradient(bound float64, bits int) error {
	if !(bound > 0) || math.IsInf(bound, 1) {
		return errors.New("vdaf: the bound of a gradient is not a positive number")
	}
	if bits < 1 || bits > 32 {
		return fmt.Errorf("vdaf: gradient of %d bits, want 1 to 32", bits)
	}
	return nil
}
