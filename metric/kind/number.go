package kind

import (
	"encoding/binary"
	"io"
	"math"
	"reflect"
)

// integer reads a number of any type; a float is rounded down and must not be
// beyond int64.
func integer(v any) (int64, bool) {
	r := reflect.ValueOf(v)
	switch {
	case !r.IsValid():
		return 0, false
	case r.CanInt():
		return r.Int(), true
	case r.CanUint():
		return int64(min(r.Uint(), math.MaxInt64)), true
	case r.CanFloat():
		x := math.Floor(r.Float())
		if math.IsNaN(x) {
			return 0, false
		}
		return int64(max(math.MinInt64, min(x, math.MaxInt64-1024))), true
	}
	return 0, false
}

// rounded reads a number as integer does, but rounds a float up with the
// probability of its fraction, in units of 2^-53, so that it is unbiased.
func rounded(v any, rand io.Reader) (int64, bool, error) {
	n, ok := integer(v)
	r := reflect.ValueOf(v)
	if !ok || !r.CanFloat() || math.IsInf(r.Float(), 0) || math.Abs(r.Float()) >= 1<<53 {
		return n, ok, nil
	}
	fraction := r.Float() - math.Floor(r.Float())
	if fraction == 0 {
		return n, true, nil
	}
	u, err := below(rand, 1<<53)
	if err != nil {
		return 0, false, err
	}
	if float64(u) < fraction*(1<<53) {
		n++
	}
	return n, true, nil
}

// elements calls f with each element of a slice or array until it fails.
func elements(v any, f func(reflect.Value) bool) bool {
	r := reflect.ValueOf(v)
	if !r.IsValid() || r.Kind() != reflect.Slice && r.Kind() != reflect.Array {
		return false
	}
	for i := range r.Len() {
		if !f(r.Index(i)) {
			return false
		}
	}
	return true
}

// integers reads a slice of integers that are not negative.
func integers(v any) ([]uint64, bool) {
	var out []uint64
	ok := elements(v, func(e reflect.Value) bool {
		switch {
		case e.CanInt() && e.Int() >= 0:
			out = append(out, uint64(e.Int()))
		case e.CanUint():
			out = append(out, e.Uint())
		default:
			return false
		}
		return true
	})
	return out, ok
}

// realsOf reads a slice of numbers.
func realsOf(v any) ([]float64, bool) {
	var out []float64
	ok := elements(v, func(e reflect.Value) bool {
		switch {
		case e.CanFloat():
			out = append(out, e.Float())
		case e.CanInt():
			out = append(out, float64(e.Int()))
		case e.CanUint():
			out = append(out, float64(e.Uint()))
		default:
			return false
		}
		return true
	})
	return out, ok
}

// below returns a uniform number of [0, n), n >= 1.
func below(rand io.Reader, n uint64) (uint64, error) {
	limit := math.MaxUint64 - (math.MaxUint64%n+1)%n
	for {
		var b [8]byte
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return 0, err
		}
		if x := binary.BigEndian.Uint64(b[:]); x <= limit {
			return x % n, nil
		}
	}
}

func saturate(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
