package dp

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

func TestFigureRoundsUp(t *testing.T) {
	for x, want := range map[float64]string{
		0:                "0",
		1:                "1",
		2.25:             "2.25",
		2.2535:           "2.254",
		2.25400001:       "2.255",
		8.2318:           "8.232",
		11.2651:          "11.27",
		11.271:           "11.28",
		1e-6:             "1e-06",
		1.0000001e-6:     "1.001e-06",
		4.4619e-9:        "4.462e-09",
		0.1:              "0.1",
		9.9991:           "10",
		99999.5:          "100000",
		12345:            "12350",
		7200:             "7200",
		1 + 1e-14:        "1", // what Noise.Guarantee adds for its arithmetic
		30 * (1 + 2e-14): "30",
		math.Inf(1):      "none",
	} {
		if got := Figure(x); got != want {
			t.Errorf("Figure(%v) = %s, want %s", x, got, want)
		}
	}
}

func TestFigureIsNeverBelow(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		x := math.Exp(60*r.Float64() - 40)
		text := Figure(x)
		v, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("Figure(%v) = %q", x, text)
		}
		exact := new(big.Rat).SetFloat64(x * (1 - slack))
		if v.Cmp(exact) < 0 {
			t.Fatalf("Figure(%v) = %s, which is below it", x, text)
		}
		if f, _ := v.Float64(); f > x*(1+1.001e-3) {
			t.Fatalf("Figure(%v) = %s, which is more than a digit above it", x, text)
		}
	}
}
