package secretshare

import (
	"math/rand/v2"
	"testing"
)

// horner is how polynomials were evaluated before.
func (r *Recoverer) horner(p *[lanes]point, y *[lanes]element) {
	x0, x1, x2, x3 := p[0].x, p[1].x, p[2].x, p[3].x
	var y0, y1, y2, y3 element
	for i := len(r.poly) - 1; i >= 0; i-- {
		a := r.poly[i]
		y0 = y0.mul(x0).add(a)
		y1 = y1.mul(x1).add(a)
		y2 = y2.mul(x2).add(a)
		y3 = y3.mul(x3).add(a)
	}
	*y = [lanes]element{y0, y1, y2, y3}
}

func polynomial(n int) *Recoverer {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	r := &Recoverer{}
	for i := range n {
		e := reduce(random.Uint64(), random.Uint64()&topMask)
		switch i % 7 {
		case 3:
			e = element{^uint64(0), topMask} // p
		case 5:
			e = element{^uint64(0) - 1, topMask}
		}
		r.poly = append(r.poly, e)
	}
	return r
}

// TestAt compares values of polynomials of all shapes with those by Horner's rule.
func TestAt(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{0, 1, 2, 31, 32, 33, 63, 64, 65, 100, 1000, 1025} {
		r := polynomial(n)
		for range 20 {
			var p [lanes]point
			for k := range p {
				p[k].x = reduce(random.Uint64(), random.Uint64()&topMask)
			}
			p[1].x = element{^uint64(0) - 1, topMask} // -1
			p[2].x = element{}
			if random.IntN(2) == 0 {
				p[3].x = element{^uint64(0), topMask}
			}
			var got, want [lanes]element
			r.at(&p, &got)
			r.horner(&p, &want)
			for k := range got {
				if !got[k].equal(want[k]) {
					t.Fatalf("degree %d at %x: %x, want %x", n-1, p[k].x, got[k], want[k])
				}
			}
		}
	}
}

// TestProducts compares the sums of this processor with those in Go.
func TestProducts(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 31, 32, 100, 1024} {
		a, b := polynomial(n).poly, polynomial(n+1).poly
		for _, b := range [][]element{a, b[:n], b[1:]} {
			var got, want [9]uint64
			addProducts(&got, a, b)
			productsGeneric(&want, a, b)
			if got != want {
				t.Errorf("%d elements: %x, want %x", n, got, want)
			}
		}
	}
}

func BenchmarkAt(b *testing.B) {
	r := polynomial(1000)
	p := [lanes]point{{x: element{1, 2}}, {x: element{3, 4}}, {x: element{5, 6}}, {x: element{7, 8}}}
	var y [lanes]element
	b.Run("sums", func(b *testing.B) {
		for b.Loop() {
			r.at(&p, &y)
		}
	})
	b.Run("horner", func(b *testing.B) {
		for b.Loop() {
			r.horner(&p, &y)
		}
	})
}
