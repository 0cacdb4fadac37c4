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

func (f field64) Odd(v []F64, r *Roots[F64]) {
	f.Interpolate(v, r)
	f.MulVec(v, r.twists(len(v)))
	f.Evaluate(v, r)
}

func (f field64) OddRows(v []F64, used int, r *Roots[F64]) {
	column := make([]F64, len(v)/Rows)
	for j := range used {
		for i := range column {
			column[i] = v[i*Rows+j]
		}
		f.Odd(column, r)
		for i, x := range column {
			v[i*Rows+j] = x
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
