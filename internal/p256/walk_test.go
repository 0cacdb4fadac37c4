package p256

import (
	"math/rand/v2"
	"testing"
)

// Walks that run side by side, any number of them and of any length, set what each sets alone.
func TestRun(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	scalar := func() *Scalar {
		var s Scalar
		for i := range s[1:] { // below the order
			s[i+1] = byte(rng.Uint32())
		}
		for range rng.IntN(4) { // short ones, and those that end in zeros
			s[rng.IntN(32)] = 0
			clear(s[:rng.IntN(32)])
		}
		return &s
	}
	point := func() *Point { return new(Point).Mult(Generator(), &Scalar{31: byte(1 + rng.IntN(200))}) }
	offset := NewOffset(&Scalar{5: 7, 31: 9})
	for range 60 {
		var walks []*Walk
		var have, want []*Point
		add := func(w func(to, other *Point) *Walk) {
			var alone, otherAlone, beside, otherBeside Point
			Run(w(&alone, &otherAlone))
			walks = append(walks, w(&beside, &otherBeside))
			want, have = append(want, &alone, &otherAlone), append(have, &beside, &otherBeside)
		}
		for range rng.IntN(5) {
			tables, _ := NewTables(WidthSecret, point(), point())
			a, b, n := scalar(), scalar(), 1+rng.IntN(2)
			var p [1]Affine
			Normalize(p[:], []Point{*point()})
			switch rng.IntN(3) {
			case 0:
				add(func(to, _ *Point) *Walk { return SumWalk(to, []Term{{&tables[0], a}, {&tables[1], b}}[:n]) })
			case 1:
				add(func(to, other *Point) *Walk { return PairWalk(to, other, &p[0], a, b) })
			default:
				add(func(to, _ *Point) *Walk { return offset.MultWalk(to, &tables[0], &tables[1], a, b) })
			}
		}
		Run(walks...)
		for i := range want {
			if !have[i].Equal(want[i]) {
				t.Fatalf("result %d of %d differs", i, len(want))
			}
		}
	}
}

// The assembly for two points is that for one, twice.
func TestDoublePair(t *testing.T) {
	if !useADX {
		t.Skip("the processor lacks ADX")
	}
	var p, q, p1, q1 Point
	p.Set(Generator())
	q.Double(&p, 3)
	for n := 1; n < 6; n++ {
		doubleADX(&p1, &p, n)
		doubleGeneric(&q1, &q, n)
		doublePairADX(&p, &q, n)
		if p != p1 || q != q1 {
			t.Fatalf("%d doublings differ", n)
		}
		p.Add(&p, &q)
	}
	doublePairADX(&Point{}, &q, 2) // the identity stays
}
