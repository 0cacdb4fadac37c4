package linkability

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// near is how close to a report something else is that it may have to do with.
const near = 10 * time.Minute

// A reading is a view prepared for questions about pairs of its reports.
type reading struct {
	events  []Event // of reports alone, in the order of observation
	names   []string
	numbers []string
	common  map[string]map[uint64]int // how many events have a token, by name and value
	prints  map[uint32]int            // how many have a fingerprint
}

// read prepares a view.
func read(v View) *reading {
	all := slices.Clone(v.Events)
	for i := range all {
		all[i].index = i
	}
	slices.SortStableFunc(all, func(a, b Event) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Order, b.Order)) })
	r := &reading{common: map[string]map[uint64]int{}, prints: map[uint32]int{}}
	last := map[string]Event{}
	for i, e := range all {
		if e.Kind != KindReport {
			last[e.Kind] = e
			continue
		}
		r.events = append(r.events, withNeighbours(e, last, i))
	}
	r.count()
	return r
}

// withNeighbours adds what was observed shortly before: whose it was, as far as that can
// be observed, and how long before.
func withNeighbours(e Event, last map[string]Event, place int) Event {
	e.Numbers = append(slices.Clone(e.Numbers), Number{"place", float64(place)})
	e.Tokens = append(slices.Clone(e.Tokens), e.Contents...)
	if e.At.IsZero() {
		return e
	}
	for kind, before := range last {
		gap := e.At.Sub(before.At)
		if gap > near {
			continue
		}
		e.Numbers = append(e.Numbers, Number{"after " + kind, gap.Seconds()})
		for _, t := range append(before.Tokens, before.Contents...) {
			e.Tokens = append(e.Tokens, Token{kind + ": " + t.Name, t.Value})
		}
	}
	return e
}

func (r *reading) count() {
	numbers := map[string]bool{}
	for _, e := range r.events {
		for _, n := range e.Numbers {
			numbers[n.Name] = true
		}
		for _, t := range e.Tokens {
			if r.common[t.Name] == nil {
				r.common[t.Name] = map[uint64]int{}
			}
			r.common[t.Name][t.Value]++
		}
		for _, p := range e.Prints {
			r.prints[p]++
		}
	}
	for name, values := range r.common {
		if len(values) > 1 { // what all have alike says nothing
			r.names = append(r.names, name)
		}
	}
	for name := range numbers {
		r.numbers = append(r.numbers, name)
	}
	slices.Sort(r.names)
	slices.Sort(r.numbers)
}

// A pair are two reports of a reading, by their indices there.
type pair struct{ a, b int }

// columns returns the names of the features.
func (r *reading) columns() []string {
	names := []string{
		"time between", "time of day", "time in epoch", "second of minute", "fraction of second",
		"connection", "connections between", "equal bytes", "rarest equal bytes",
	}
	for _, n := range r.numbers {
		names = append(names, "difference of "+n)
	}
	for _, n := range r.names {
		names = append(names, "equal "+n)
	}
	return names
}

// matrix returns the features of pairs.
func (r *reading) matrix(pairs []pair) Matrix {
	m := Matrix{Rows: len(pairs), Columns: make([][]float32, len(r.columns()))}
	for f := range m.Columns {
		m.Columns[f] = make([]float32, len(pairs))
	}
	for i, p := range pairs {
		a, b := &r.events[p.a], &r.events[p.b]
		f := 0
		add := func(v float64) {
			m.Columns[f][i] = float32(v)
			f++
		}
		r.times(a, b, add)
		if a.Conn != 0 && a.Conn == b.Conn {
			add(1)
		} else {
			add(0)
		}
		add(math.Abs(float64(a.Conn) - float64(b.Conn)))
		shared, rarest := r.sharedPrints(a.Prints, b.Prints)
		add(float64(shared))
		add(rarest)
		for _, name := range r.numbers {
			add(numberDifference(a, b, name))
		}
		for _, name := range r.names {
			add(r.equal(a, b, name))
		}
	}
	return m
}

const secondsOfDay = 24 * 60 * 60

func (r *reading) times(a, b *Event, add func(float64)) {
	if a.At.IsZero() || b.At.IsZero() {
		for range 5 {
			add(0)
		}
		return
	}
	seconds := func(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
	x, y := seconds(a.At), seconds(b.At)
	add(math.Abs(x - y))
	add(around(x-y, secondsOfDay))
	if a.Begins.IsZero() || b.Begins.IsZero() {
		add(-1)
	} else {
		add(math.Abs(x - seconds(a.Begins) - (y - seconds(b.Begins))))
	}
	add(around(x-y, 60))
	add(around(x-y, 1))
}

// around returns the distance of two places on a circle.
func around(d, length float64) float64 {
	d = math.Abs(math.Mod(d, length))
	return min(d, length-d)
}

// sharedPrints returns how many fingerprints two messages share that a tenth of all have
// at most, and how rare the rarest is.
func (r *reading) sharedPrints(a, b []uint32) (n int, rarest float64) {
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		default:
			if have := r.prints[a[i]]; isRare(have, len(r.events)) {
				n++
				rarest = max(rarest, math.Log(float64(len(r.events))/float64(have)))
			}
			i++
			j++
		}
	}
	return n, rarest
}

func number(e *Event, name string) (float64, bool) {
	for _, n := range e.Numbers {
		if n.Name == name {
			return n.Value, true
		}
	}
	return 0, false
}

// numberDifference returns how far two numbers are apart, -1 if one is missing.
func numberDifference(a, b *Event, name string) float64 {
	x, hasX := number(a, name)
	y, hasY := number(b, name)
	if !hasX || !hasY {
		return -1
	}
	return math.Abs(x - y)
}

func token(e *Event, name string) (uint64, bool) {
	for _, t := range e.Tokens {
		if t.Name == name {
			return t.Value, true
		}
	}
	return 0, false
}

// equal returns how rare a value is that both have, -1 if they differ, 0 if one is
// missing.
func (r *reading) equal(a, b *Event, name string) float64 {
	x, hasX := token(a, name)
	y, hasY := token(b, name)
	switch {
	case !hasX || !hasY:
		return 0
	case x != y:
		return -1
	}
	return 0.1 + math.Log(float64(len(r.events))/float64(r.common[name][x]))
}
