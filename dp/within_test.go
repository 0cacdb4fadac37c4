package dp

import (
	"math/big"
	"testing"
)

// TestWithin95Coverage computes, in integers, how often the interval of a crowd
// holds its size: of the released crowds of each size 95 % or more, and with an
// interval that is one report narrower at each end less than 95 % of large ones.
func TestWithin95Coverage(t *testing.T) {
	for _, r := range [][3]uint32{
		{20, 12, 2000}, {20, 10, 2000}, {100, 40, 4000}, {5, 4, 1000}, {1, 0, 1000}, {3, 2, 3000}, {20, 60, 12000}, {1, 5, 1}, {10, 30, 500},
	} {
		d := drop(t, r[0], r[1], r[2]).(*noisyDrop)
		lost := d.dropped()
		low := max(0, int64(r[1])+d.noise().low)
		first := uint64(r[0]) + uint64(low)
		for n := first; n < first+2*uint64(len(lost))+5; n++ {
			released, inside, narrow := new(big.Int), new(big.Int), new(big.Int)
			for i, p := range lost {
				dropped := uint64(low) + uint64(i)
				if dropped+uint64(r[0]) > n {
					break
				}
				released.Add(released, p)
				least, most := d.Within95(n - dropped)
				if least <= n && n <= most {
					inside.Add(inside, p)
				}
				if least < n && n < most {
					narrow.Add(narrow, p)
				}
			}
			if !reaches95(inside, released) {
				t.Errorf("%v: of the released crowds of %d, %.4f are in the interval", d, n, probability(inside)/probability(released))
			}
			if large := n > first+uint64(len(lost)); large && reaches95(narrow, released) && int64(r[1]) > 2*int64(r[2])/1000 {
				t.Errorf("%v: a narrower interval would hold a crowd of %d too", d, n)
			}
		}
	}
	for _, rule := range []Threshold{set(t, 20, 2000), naive(3)} {
		if least, most := rule.Within95(50); least != 50 || most != 50 {
			t.Errorf("%v: %d to %d, want the exact count", rule, least, most)
		}
	}
}

func reaches95(part, whole *big.Int) bool {
	return new(big.Int).Mul(part, big.NewInt(100)).Cmp(new(big.Int).Mul(whole, big.NewInt(95))) >= 0
}
