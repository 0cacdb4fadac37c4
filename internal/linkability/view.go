package linkability

import (
	"cmp"
	"math/rand/v2" //nolint:depguard // a trial draws from a seed and keeps no secret
	"slices"
	"time"
)

// An Event is what a view has of one message, or of one report in a released batch.
type Event struct {
	// What the attacker does not know.

	Person int
	Report uint64 // which report it carries, 0 for none

	// The contents, equal in the ideal view.

	Kind     string // "report", or what else was exchanged
	Route    string
	Epoch    int64
	Begins   time.Time // the epoch; zero: not known
	Contents []Token

	// All else, redrawn in the ideal view.

	At      time.Time // zero: not observed
	Order   int       // among events of one time
	Conn    uint64    // which connection, 0: not observed
	Numbers []Number
	Tokens  []Token
	Prints  []uint32 // sorted fingerprints of the message's bytes

	index int // in the view that is read
}

// KindReport is the kind of events of reports. Of what is fetched, other kinds are the names.
const KindReport = "report"

// A Number is an observed quantity: a size, a difference of clocks.
type Number struct {
	Name  string
	Value float64
}

// A Token is an observed value of which only equality means something.
type Token struct {
	Name  string
	Value uint64
}

// A View is what a party observes, in any order.
type View struct {
	Name   string
	Events []Event
}

// Ideal returns the view of a deployment that reveals contents only: every other
// observation is exchanged with those of other events of the same kind, route and epoch,
// each by itself.
func (v View) Ideal(r *rand.Rand) View {
	out := View{Name: v.Name, Events: slices.Clone(v.Events)}
	for _, group := range v.groups() {
		exchange := func(take func(to *Event, from *Event)) {
			for i, from := range r.Perm(len(group)) {
				take(&out.Events[group[i]], &v.Events[group[from]])
			}
		}
		exchange(func(to, from *Event) { to.At, to.Order = from.At, from.Order })
		exchange(func(to, from *Event) { to.Conn = from.Conn })
		exchange(func(to, from *Event) { to.Numbers = from.Numbers })
		exchange(func(to, from *Event) { to.Tokens = from.Tokens })
		exchange(func(to, from *Event) { to.Prints = from.Prints })
	}
	return out
}

// Shuffled returns the view with people exchanged: nothing can be found in it.
func (v View) Shuffled(r *rand.Rand) View {
	out := View{Name: v.Name, Events: slices.Clone(v.Events)}
	for _, group := range v.groups() {
		for i, from := range r.Perm(len(group)) {
			out.Events[group[i]].Person = v.Events[group[from]].Person
		}
	}
	return out
}

// groups returns the events of each kind, route and epoch, by their indices, in a
// fixed order.
func (v View) groups() [][]int {
	order := make([]int, len(v.Events))
	for i := range order {
		order[i] = i
	}
	compare := func(a, b int) int {
		x, y := &v.Events[a], &v.Events[b]
		return cmp.Or(cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.Route, y.Route), cmp.Compare(x.Epoch, y.Epoch))
	}
	slices.SortStableFunc(order, compare)
	var groups [][]int
	for i, at := range order {
		if i == 0 || compare(order[i-1], at) != 0 {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], at)
	}
	return groups
}
