package vdaf

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
)

// TestParameters refuses what cannot work, and takes what is at the limit.
func TestParameters(t *testing.T) {
	type result struct {
		in  Instance
		err error
	}
	from := func(in Instance, err error) result { return result{in, err} }
	bad := map[string]result{
		"sum of nothing":        from(Sum(0)),
		"sum above the modulus": from(Sum(modulus64)),
		"empty vector":          from(SumVec(0, 1, 1)),
		"negative length":       from(SumVec(-1, 1, 0)),
		"vector of zeros":       from(SumVec(3, 0, 1)),
		"vector too long":       from(SumVec(1<<24, 3, 1<<12)),
		"negative chunk":        from(SumVec(3, 1, -1)),
		"chunk too long":        from(SumVec(3, 1, 1<<30)),
		"proof too long":        from(SumVec(1<<20, 1, 1)),
		"no bucket":             from(Histogram(0, 1)),
		"weight zero":           from(MultihotCountVec(3, 0, 1)),
		"weight above length":   from(MultihotCountVec(3, 4, 1)),
		"empty multihot":        from(MultihotCountVec(0, 0, 1)),
		"norm zero":             from(L1BoundSum(3, 0, 1)),
		"two proofs":            from(SumVecMultiproof(3, 1, 1, 2)),
		"too many proofs":       from(SumVecMultiproof(3, 1, 1, 256)),
		"multiproof modulus":    from(SumVecMultiproof(3, modulus64, 1, 3)),
		"one share":             from(Count(Shares(1))),
		"256 shares":            from(Count(Shares(256))),
		"gradient bound zero":   from(LInfGradient(3, 0, 8)),
		"gradient bound NaN":    from(LInfGradient(3, math.NaN(), 8)),
		"gradient bound Inf":    from(L1Gradient(3, math.Inf(1), 8)),
		"gradient no bits":      from(L1Gradient(3, 1, 0)),
		"gradient no elements":  from(L1Gradient(0, 1, 8)),
		"gradient 33 bits":      from(LInfGradient(3, 1, 33)),
	}
	for what, r := range bad {
		if r.err == nil {
			t.Errorf("%s is accepted", what)
		} else if !strings.HasPrefix(r.err.Error(), "vdaf: ") {
			t.Errorf("%s: error %q does not say where", what, r.err)
		}
	}
	good := map[string]result{
		"sum of 64 bits":    from(Sum(modulus64 - 1)),
		"one":               from(Sum(1)),
		"vector of 64 bits": from(SumVec(2, math.MaxUint64, 3)),
		"long chunk":        from(Histogram(2, 50)),
		"chunk one":         from(Histogram(5, 1)),
		"one bucket":        from(Histogram(1, 1)),
		"full weight":       from(MultihotCountVec(8, 8, 2)),
		"large norm":        from(L1BoundSum(2, math.MaxUint64, 0)),
		"255 shares":        from(Count(Shares(255))),
	}
	for what, r := range good {
		if r.err != nil {
			t.Errorf("%s: %v", what, r.err)
		}
	}
}

// TestMeasurementRange refuses measurements out of range, with the number and
// the limit in the error.
func TestMeasurementRange(t *testing.T) {
	sum, err := Sum(1337)
	if err != nil {
		t.Fatal(err)
	}
	hist, err := Histogram(4, 2)
	if err != nil {
		t.Fatal(err)
	}
	l1, err := L1BoundSum(3, 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	multi, err := MultihotCountVec(3, 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	grad, err := LInfGradient(2, 1, 8)
	if err != nil {
		t.Fatal(err)
	}
	grad1, err := L1Gradient(2, 1, 8)
	if err != nil {
		t.Fatal(err)
	}
	_, e1 := sum.Shard(source(1), nil, Nonce{}, 1338)
	_, e2 := hist.Shard(source(1), nil, Nonce{}, 4)
	_, e3 := hist.Shard(source(1), nil, Nonce{}, -1)
	_, e4 := l1.Shard(source(1), nil, Nonce{}, []uint64{4, 4, 4})
	_, e5 := l1.Shard(source(1), nil, Nonce{}, []uint64{math.MaxUint64, 2, 0})
	_, e6 := l1.Shard(source(1), nil, Nonce{}, []uint64{1})
	_, e7 := multi.Shard(source(1), nil, Nonce{}, []bool{true, true, false})
	_, e8 := multi.Shard(source(1), nil, Nonce{}, nil)
	_, e9 := grad.Shard(source(1), nil, Nonce{}, []float64{0, math.NaN()})
	_, e10 := grad1.Shard(source(1), nil, Nonce{}, []float64{0.6, -0.6})
	_, e11 := grad1.Shard(source(1), nil, Nonce{}, []float64{math.NaN(), 0})
	_, e12 := sum.Shard(bytes.NewReader(make([]byte, 10)), nil, Nonce{}, 1)
	_, e13 := sum.Shard(source(1), make([]byte, 65536), Nonce{}, 1)
	for i, err := range []error{e1, e2, e3, e4, e5, e6, e7, e8, e9, e10, e11, e12, e13} {
		if err == nil {
			t.Errorf("case %d is accepted", i+1)
		}
	}
}

// TestSharesOfOthers: shares of another shape or number are refused.
func TestSharesOfOthers(t *testing.T) {
	sum, err := Sum(10)
	if err != nil {
		t.Fatal(err)
	}
	hist, err := Histogram(4, 2)
	if err != nil {
		t.Fatal(err)
	}
	a, b := sum.NewAggregateShare(), hist.NewAggregateShare()
	_, e1 := sum.Unshard([][]byte{a.Bytes()}, 0)
	_, e2 := sum.Unshard([][]byte{a.Bytes(), b.Bytes()}, 0)
	_, e3 := sum.ParseAggregateShare(bytes.Repeat([]byte{0xff}, 8))
	_, e4 := sum.NewVerifier(&VerifyKey{}, nil, 2)
	v, err := sum.NewVerifier(&VerifyKey{}, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, e5 := v.Combine([][]byte{nil})
	_, e6 := v.Combine([][]byte{nil, nil})
	_, e7 := v.ParseVerifyState(make([]byte, 7))
	for i, err := range []error{a.Merge(b), b.Merge(a), a.Add(b.Bytes()), a.AddNoise(1, 1), a.AddNoise(-1, 1), e1, e2, e3, e4, e5, e6, e7} {
		if err == nil {
			t.Errorf("case %d is accepted", i)
		}
	}
}

// TestNoise: an aggregate with noise of both signs is read as signed integers.
func TestNoise(t *testing.T) {
	hist, err := Histogram(4, 2)
	if err != nil {
		t.Fatal(err)
	}
	count, err := Count()
	if err != nil {
		t.Fatal(err)
	}
	noise := []int64{5, -7, math.MinInt64 + 9, math.MaxInt64 - 9}
	a, b := hist.NewAggregateShare(), hist.NewAggregateShare()
	for i, n := range noise {
		if err := errors.Join(a.AddNoise(i, n), b.AddNoise(i, -9)); err != nil {
			t.Fatal(err)
		}
	}
	shares := [][]byte{a.Bytes(), b.Bytes()}
	got, err := hist.UnshardSigned(shares)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range noise {
		if got[i] != n-9 {
			t.Errorf("element %d is %d, want %d", i, got[i], n-9)
		}
	}
	if _, err := hist.Unshard(shares, 0); !errors.Is(err, ErrOverflow) {
		t.Errorf("a negative sum as uint64: error %v", err)
	}
	if err := errors.Join(a.AddNoise(2, -9), a.AddNoise(2, -9)); err != nil {
		t.Fatal(err)
	}
	if _, err := hist.UnshardSigned([][]byte{a.Bytes(), b.Bytes()}); !errors.Is(err, ErrOverflow) {
		t.Errorf("a sum below the smallest int64: error %v", err)
	}
	c := count.NewAggregateShare()
	if err := c.AddNoise(0, -3); err != nil {
		t.Fatal(err)
	}
	if got, err := count.UnshardSigned([][]byte{c.Bytes(), count.NewAggregateShare().Bytes()}); err != nil || got[0] != -3 {
		t.Errorf("Count with noise: %v, %v", got, err)
	}
	if p, _ := new(big.Int).SetString(fmt.Sprint(uint64(modulus64)), 10); !p.ProbablyPrime(20) {
		t.Error("modulus64 is not prime")
	}
}
