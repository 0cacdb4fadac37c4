package p256

// This file runs computations side by side. A doubling is a chain of products that wait
// for each other: a processor does those of two points in little more than the time of one.

// A Walk is a computation that has yet to run. What it sets is set when [Run] returns; until
// then what it was given must not change.
type Walk struct {
	point *Point     // that is doubled
	next  func() int // does what is due, and returns how many doublings come then; 0 at the end
}

// Run runs walks, of which two at a time share the processor's units. What they set must be
// independent. Which doublings are done together follows from the lengths of the walks and the
// public scalars among them, so that a walk in constant time stays so.
func Run(walks ...*Walk) {
	var active [2]*Walk
	var left [2]int // doublings to do
	for {
		for i := range active {
			for active[i] == nil && len(walks) > 0 {
				active[i], walks = walks[0], walks[1:]
				left[i] = active[i].next()
				if left[i] == 0 {
					active[i] = nil
				}
			}
		}
		a, b := active[0], active[1]
		switch {
		case a == nil && b == nil:
			return
		case a == nil || b == nil:
			i := 0
			if a == nil {
				i = 1
			}
			active[i].point.Double(active[i].point, left[i])
			left[i] = 0
		default:
			n := min(left[0], left[1])
			doublePair(a.point, b.point, n)
			left[0], left[1] = left[0]-n, left[1]-n
		}
		for i, w := range active {
			if w == nil || left[i] > 0 {
				continue
			}
			if left[i] = w.next(); left[i] == 0 {
				active[i] = nil
			}
		}
	}
}

// doublePair sets p to 2^n * p and q to 2^n * q, n at least 1.
func doublePair(p, q *Point, n int) {
	if useADX {
		doublePairADX(p, q, n)
		return
	}
	doubleGeneric(p, p, n)
	doubleGeneric(q, q, n)
}

// SumWalk is [SumVarTime] as a walk.
func SumWalk(sum *Point, terms []Term) *Walk {
	all := make([]digits, len(terms))
	for i, t := range terms {
		slide(&all[i], t.Scalar, t.Table.width)
	}
	places := placesOf(all)
	*sum = Point{}
	var negated Affine
	next := func() int {
		if len(places) == 0 {
			return 0
		}
		at := places[len(places)-1]
		places = places[:len(places)-1]
		for j := range terms {
			switch d := int(all[j][at]); {
			case d > 0:
				sum.AddAffine(sum, &terms[j].Table.odd[d/2])
			case d < 0:
				sum.AddAffine(sum, negated.Negate(&terms[j].Table.odd[-d/2]))
			}
		}
		if len(places) == 0 {
			return at
		}
		return at - places[len(places)-1]
	}
	return &Walk{sum, next}
}

// placesOf returns the places at which one of the scalars has a digit, the lowest first.
func placesOf(all []digits) []int {
	places := make([]int, 0, len(all)*len(digits{})/4)
	for at := range len(digits{}) {
		for j := range all {
			if all[j][at] != 0 {
				places = append(places, at)
				break
			}
		}
	}
	return places
}

// PairWalk is [PairVarTime] as a walk.
func PairWalk(left, right *Point, p *Affine, a, b *Scalar) *Walk {
	w := new(pairWalk)
	slide(&w.recoded[0], a, pairWidth)
	slide(&w.recoded[1], b, pairWidth)
	w.power.Set(p)
	places := placesOf(w.recoded[:])
	at, first := 0, true
	next := func() int {
		for {
			if !first {
				w.add(at)
				places = places[1:]
			}
			if len(places) == 0 {
				weighOdd(left, w.buckets[0][:])
				weighOdd(right, w.buckets[1][:])
				return 0
			}
			first = false
			from := at
			if at = places[0]; at > from {
				return at - from
			}
		}
	}
	return &Walk{&w.power, next}
}

type pairWalk struct {
	recoded [2]digits
	buckets [2][1 << (pairWidth - 2)]Point
	power   Point
}

// add adds the power to the buckets of its digits.
func (w *pairWalk) add(at int) {
	var negated Point
	for j := range w.recoded {
		d := int(w.recoded[j][at])
		from := &w.power
		switch {
		case d == 0:
			continue
		case d < 0:
			d, from = -d, negated.Negate(&w.power)
		}
		if bucket := &w.buckets[j][d/2]; bucket.IsIdentity() {
			*bucket = *from
		} else {
			bucket.Add(bucket, from)
		}
	}
}

// MultWalk is [Offset.Mult] as a walk. It runs in constant time, beside whatever else.
func (o *Offset) MultWalk(p *Point, q, r *Table, a, b *Scalar) *Walk {
	tables := [2]*Table{q, r}
	digits := [2]recoded{recode(a), recode(b)}
	var t Affine
	p.Set(&o.before)
	for j := range tables {
		t = tables[j].odd[0]
		t.negateIf(digits[j].top)
		p.AddAffine(p, &t)
	}
	i := ctDigits
	next := func() int {
		if i < ctDigits {
			for j := range tables {
				pick(&t, (*[ctEntries]Affine)(tables[j].odd[:ctEntries]), digits[j].index[i], digits[j].minus[i])
				p.AddAffine(p, &t)
			}
		}
		if i--; i < 0 {
			p.AddAffine(p, &o.after)
			return 0
		}
		return ctWidth
	}
	return &Walk{p, next}
}
