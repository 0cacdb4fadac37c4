package vdaf

import (
	"crypto/rand"
	"math"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/field"
)

// BenchmarkTiming is the statistical test of Reparaz, Balasch and Verbauwhede,
// "Dude, is my code constant time?": it times one operation on a fixed and on
// random secrets, in random order, and reports Welch's t. An absolute value that
// stays above 4.5 as the number of runs grows means that time depends on the
// secret. It is a benchmark and no test, because a busy machine disturbs it. Run it
// with -benchtime 100000x.
func BenchmarkTiming(b *testing.B) {
	hist, err := Histogram(64, 8)
	if err != nil {
		b.Fatal(err)
	}
	sum, err := Sum(1<<32 - 1)
	if err != nil {
		b.Fatal(err)
	}
	f64, f128 := field.Field64(), field.Field128()
	var s64 field.F64
	var s128 field.F128
	for name, f := range map[string]func(secret uint64){
		"F64.Mul":  func(s uint64) { s64 = f64.Mul(field.NewF64(s), s64) },
		"F64.Add":  func(s uint64) { s64 = f64.Add(field.NewF64(s), field.NewF64(^s)) },
		"F64.Inv":  func(s uint64) { s64 = f64.Inv(field.NewF64(s)) },
		"F128.Mul": func(s uint64) { s128 = f128.Mul(field.NewF128(s, s), s128) },
		"F128.Sub": func(s uint64) { s128 = f128.Sub(field.NewF128(s, s), field.NewF128(^s, s)) },
		"F128.Inv": func(s uint64) { s128 = f128.Inv(field.NewF128(s, s)) },
		"Histogram.encode": func(s uint64) {
			var dst [64]uint8
			if err := hist.encode(dst[:], int(s%64)); err != nil {
				b.Fatal(err)
			}
		},
		"Sum.encode": func(s uint64) {
			var dst [32]uint8
			if err := sum.encode(dst[:], s>>32); err != nil {
				b.Fatal(err)
			}
		},
		"Sum.Shard": func(s uint64) {
			if _, err := sum.Shard(source(1), nil, Nonce{}, s>>32); err != nil {
				b.Fatal(err)
			}
		},
	} {
		b.Run(name, func(b *testing.B) { b.ReportMetric(welch(b, f), "t") })
	}
}

// welch times f on zero and on random secrets. Runs that took more than twice
// the median so far were interrupted and do not count.
func welch(b *testing.B, f func(secret uint64)) float64 {
	b.Helper()
	const calls = 16 // in one timing, for the clock is coarse
	var n, mean, m2 [2]float64
	median := 0.0
	for b.Loop() {
		var r [9]byte
		if _, err := rand.Read(r[:]); err != nil {
			b.Fatal(err)
		}
		class := int(r[8] & 1)
		secret := uint64(0)
		for _, x := range r[:8] {
			secret = secret<<8 | uint64(x)
		}
		secret *= uint64(class)
		start := time.Now()
		for range calls {
			f(secret)
		}
		d := float64(time.Since(start).Nanoseconds())
		if median == 0 {
			median = d
		}
		if d < median {
			median -= median / 256
		} else {
			median += median / 256
		}
		if d > 2*median {
			continue
		}
		n[class]++
		delta := d - mean[class]
		mean[class] += delta / n[class]
		m2[class] += delta * (d - mean[class])
	}
	if n[0] < 2 || n[1] < 2 {
		return 0
	}
	v := m2[0]/(n[0]-1)/n[0] + m2[1]/(n[1]-1)/n[1]
	return (mean[0] - mean[1]) / math.Sqrt(v)
}
