package field

import "math/bits"

func (field64) Interpolate(v []F64, r *Roots[F64]) {
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

func (field64) Evaluate(v []F64, r *Roots[F64]) {
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

// Odd does the last two layers of Interpolate, the twist and the first two layers
// of Evaluate on four elements at a time.
func (f field64) Odd(v []F64, r *Roots[F64]) {
	if len(v) < 4 {
		f.Interpolate(v, r)
		f.MulVec(v, r.twists(len(v)))
		f.Evaluate(v, r)
		return
	}
	for m := len(v) / 2; m >= 4; m /= 2 {
		tw := r.inverse[m : 2*m]
		for s := 0; s < len(v); s += 2 * m {
			a, b, tw := v[s:s+m], v[s+m:][:m], tw[:m]
			for j := range a {
				x, y := a[j], b[j]
				a[j] = x.Add(y)
				b[j] = x.Sub(y).Mul(tw[j])
			}
		}
	}
	twist := r.twists(len(v))
	up, down := r.inverse[3], r.forward[3]
	for s := 0; s < len(v); s += 4 {
		q, t := (*[4]F64)(v[s:]), (*[4]F64)(twist[s:])
		a, b := q[0].Add(q[2]), q[1].Add(q[3])
		c, d := q[0].Sub(q[2]), q[1].Sub(q[3]).Mul(up)
		a, b = a.Add(b).Mul(t[0]), a.Sub(b).Mul(t[1])
		c, d = c.Add(d).Mul(t[2]), c.Sub(d).Mul(t[3])
		a, b = a.Add(b), a.Sub(b)
		c, d = c.Add(d), c.Sub(d).Mul(down)
		q[0], q[2] = a.Add(c), a.Sub(c)
		q[1], q[3] = b.Add(d), b.Sub(d)
	}
	for m := 4; m < len(v); m *= 2 {
		tw := r.forward[m : 2*m]
		for s := 0; s < len(v); s += 2 * m {
			a, b, tw := v[s:s+m], v[s+m:][:m], tw[:m]
			for j := range a {
				x, y := a[j], b[j].Mul(tw[j])
				a[j] = x.Add(y)
				b[j] = x.Sub(y)
			}
		}
	}
}

func (field64) OddRows(v []F64, used int, r *Roots[F64]) {
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
func (field64) Lagrange(dst []F64, t F64, r *Roots[F64]) {
	log := bits.TrailingZeros(uint(len(dst)))
	var powers [33]F64 // t^(2^j)
	powers[0] = t
	for j := 1; j < log; j++ {
		powers[j] = powers[j-1].Mul(powers[j-1])
	}
	dst[0] = r.size[log]
	for m, j := 1, log-1; m < len(dst); m, j = 2*m, j-1 {
		tw := r.inverse[m : 2*m]
		a, b := dst[:m], dst[m:2*m]
		b = b[:len(a)]
		for i := range a {
			x := a[i]
			y := x.Mul(powers[j]).Mul(tw[i])
			a[i] = x.Add(y)
			b[i] = x.Sub(y)
		}
	}
}
