package field

import "math/bits"

func (field128) Interpolate(v []F128, r *Roots[F128]) {
	for m := len(v) / 2; m >= 1; m /= 2 {
		tw := r.inverse[m : 2*m]
		for s := 0; s < len(v); s += 2 * m {
			a, b := v[s:s+m], v[s+m:s+2*m]
			b = b[:len(a)]
			for j := range a {
				x, y := a[j], b[j]
				a[j] = x.Add(y)
				b[j] = x.Sub(y).Mul(tw[j])
			}
		}
	}
}

func (field128) Evaluate(v []F128, r *Roots[F128]) {
	for m := 1; m < len(v); m *= 2 {
		tw := r.forward[m : 2*m]
		for s := 0; s < len(v); s += 2 * m {
			a, b := v[s:s+m], v[s+m:s+2*m]
			b = b[:len(a)]
			for j := range a {
				x, y := a[j], b[j].Mul(tw[j])
				a[j] = x.Add(y)
				b[j] = x.Sub(y)
			}
		}
	}
}

func (f field128) Odd(v []F128, r *Roots[F128]) {
	f.Interpolate(v, r)
	f.MulVec(v, r.twists(len(v)))
	f.Evaluate(v, r)
}

func (f field128) OddRows(v []F128, used int, r *Roots[F128]) {
	if f.vector {
		oddVector(v, r)
		return
	}
	n := len(v) / Rows
	for m := n / 2; m >= 1; m /= 2 {
		for i := 0; i < n; i++ {
			if i&m != 0 {
				continue
			}
			w := r.inverse[m+i&(m-1)]
			a, b := v[i*Rows:][:used], v[(i+m)*Rows:][:used]
			for e := range a {
				x, y := a[e], b[e]
				a[e] = x.Add(y)
				b[e] = x.Sub(y).Mul(w)
			}
		}
	}
	for i, w := range r.twists(n) {
		for e := range used {
			v[i*Rows+e] = v[i*Rows+e].Mul(w)
		}
	}
	for m := 1; m < n; m *= 2 {
		for i := 0; i < n; i++ {
			if i&m != 0 {
				continue
			}
			w := r.forward[m+i&(m-1)]
			a, b := v[i*Rows:][:used], v[(i+m)*Rows:][:used]
			for e := range a {
				x, y := a[e], b[e].Mul(w)
				a[e] = x.Add(y)
				b[e] = x.Sub(y)
			}
		}
	}
}

// Lagrange uses that the i-th polynomial is (1 + x + ... + x^(n-1))/n at
// x = t/root^i, which is the product of the 1 + x^(2^j), divided by n. The
// factor for j has n/2^j values over all i, and they come in pairs 1+y, 1-y.
func (f field128) Lagrange(dst []F128, t F128, r *Roots[F128]) {
	log := bits.TrailingZeros(uint(len(dst)))
	var powers [33]F128 // t^(2^j)
	powers[0] = t
	for j := 1; j < log; j++ {
		powers[j] = powers[j-1].Mul(powers[j-1])
	}
	dst[0] = r.size[log]
	for m, j := 1, log-1; m < len(dst); m, j = 2*m, j-1 {
		tw := r.inverse[m : 2*m]
		a, b := dst[:m], dst[m:2*m]
		if f.vector && m >= blockLen {
			c := powers[j].Mul(radix312)
			lagrangeIFMA(&a[0], &b[0], &tw[0], &c, m/blockLen)
			continue
		}
		b = b[:len(a)]
		for i := range a {
			x := a[i]
			y := x.Mul(powers[j]).Mul(tw[i])
			a[i] = x.Add(y)
			b[i] = x.Sub(y)
		}
	}
}
