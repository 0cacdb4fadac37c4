package dp

import "math/big"

// Within95 implements [Threshold]: nothing is dropped.
func (naive) Within95(kept uint64) (least, most uint64) { return kept, kept }

// Within95 implements [Threshold]: nothing is dropped of a crowd that goes on.
func (*noisySet) Within95(kept uint64) (least, most uint64) { return kept, kept }

// Within95 inverts a test of every size: of a crowd of n reports at most n-T are
// dropped if it is released, and a number dropped is believed if it is among those
// closest to D that have 95 % of what is left.
func (d *noisyDrop) Within95(kept uint64) (least, most uint64) {
	if kept < uint64(d.t) { // never released: all that could have been dropped
		return kept, kept + uint64(max(0, int64(d.drop)+d.noise().high()))
	}
	radius := d.radius()
	low := max(0, int64(d.drop)+d.noise().low)
	first, last := int64(-1), low
	for x := low; x <= int64(d.drop)+d.noise().high(); x++ {
		possible := min(kept-uint64(d.t)+uint64(x-low), uint64(len(radius)-1)) // of a crowd of kept+x
		if max(x-int64(d.drop), int64(d.drop)-x) > radius[possible] {
			continue
		}
		if first < 0 {
			first = x
		}
		last = x
	}
	return kept + uint64(max(0, first)), kept + uint64(last)
}

// newRadius returns, for each number from the least that is ever dropped on, how
// far from D the closest 95 % of the drops up to it lie.
func (d *noisyDrop) newRadius() []int64 {
	z := d.noise()
	low := max(0, int64(d.drop)+z.low)
	all := make([]int64, int64(d.drop)+z.high()-low+1)
	var m int64
	for i := range all {
		top := low + int64(i)
		total := z.atMost(top - int64(d.drop))
		inside := func(m int64) *big.Int { // 2^128 P(|drop - D| <= m, drop <= top)
			p := z.atMost(min(top-int64(d.drop), m))
			if int64(d.drop)-m > 0 { // all that is below 0 counts as 0
				p.Sub(p, z.atMost(-m-1))
			}
			return p
		}
		enough := func(m int64) bool {
			p := inside(m)
			return p.Mul(p, big.NewInt(100)).Cmp(new(big.Int).Mul(total, big.NewInt(95))) >= 0
		}
		if i == 0 {
			m = max(top-int64(d.drop), int64(d.drop)-top)
		}
		for m > 0 && enough(m-1) {
			m--
		}
		for !enough(m) {
			m++
		}
		all[i] = m
	}
	return all
}
