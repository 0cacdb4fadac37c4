package shuffler

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/shoal-project/shoal/dp"
)

func keyOf(o order, report []byte) (k sortKey) {
	o.keyOf(k[:], report)
	return k
}

// permutation returns the order of n reports after sorting, by the first
// key or by the final one.
func permutation(t testing.TB, seed dp.Seed, reports [][]byte, final bool) string {
	t.Helper()
	o, err := newOrder(seed)
	if err != nil {
		t.Fatal(err)
	}
	keys := make([]sortKey, len(reports))
	index := make([]int, len(reports))
	for i, report := range reports {
		keys[i] = keyOf(o, report)
		if final {
			first := keys[i]
			o.finalKey(keys[i][:], first[:])
		}
		index[i] = i
	}
	slices.SortFunc(index, func(a, b int) int { return bytes.Compare(keys[a][:], keys[b][:]) })
	return fmt.Sprint(index)
}

func seedOf(i uint64) dp.Seed {
	var seed dp.Seed
	binary.BigEndian.PutUint64(seed[:], i)
	return seed
}

// Every order of 4 and of 5 reports is equally likely: chi-square over all
// orders, for both keys, and for the pair of both orders of 3 reports, which
// shows that the second reveals nothing about the first. The bounds are the
// 1 - 10^-6 quantiles; the seeds are fixed, so that the test is not random.
func TestPermutationIsUniform(t *testing.T) {
	var reports [][]byte
	for i := range 5 {
		reports = append(reports, fmt.Appendf(nil, "report %d", i))
	}
	for _, test := range []struct {
		name   string
		orders int
		bound  float64 // for orders-1 degrees of freedom
		draw   func(seed dp.Seed) string
	}{
		{"4, within", 24, 67.3, func(s dp.Seed) string { return permutation(t, s, reports[:4], false) }},
		{"4, final", 24, 67.3, func(s dp.Seed) string { return permutation(t, s, reports[:4], true) }},
		{"5, within", 120, 203.3, func(s dp.Seed) string { return permutation(t, s, reports, false) }},
		{"5, final", 120, 203.3, func(s dp.Seed) string { return permutation(t, s, reports, true) }},
		{"3, both", 36, 86.4, func(s dp.Seed) string {
			return permutation(t, s, reports[:3], false) + permutation(t, s, reports[:3], true)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			const draws = 24000
			counts := map[string]int{}
			for i := range uint64(draws) {
				counts[test.draw(seedOf(i))]++
			}
			expected := float64(draws) / float64(test.orders)
			chi := expected * float64(test.orders-len(counts)) // orders that never came
			for _, n := range counts {
				chi += (float64(n) - expected) * (float64(n) - expected) / expected
			}
			t.Logf("chi-square %.1f, bound %.1f", chi, test.bound)
			if chi > test.bound {
				t.Errorf("chi-square %.1f over %d orders, want at most %.1f", chi, test.orders, test.bound)
			}
		})
	}
}

func TestOrderIsAFunctionOfTheSeed(t *testing.T) {
	a, b := seedOf(1), seedOf(2)
	oa, _ := newOrder(a)
	again, _ := newOrder(a)
	ob, _ := newOrder(b)
	if keyOf(oa, []byte("x")) != keyOf(again, []byte("x")) {
		t.Error("equal seeds give different keys")
	}
	if keyOf(oa, []byte("x")) == keyOf(ob, []byte("x")) {
		t.Error("different seeds give equal keys")
	}
	if keyOf(oa, []byte("x")) == keyOf(oa, []byte("y")) {
		t.Error("different reports have equal keys")
	}
}
