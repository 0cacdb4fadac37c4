package linkability_test

import (
	"slices"

	"github.com/shoal-project/shoal/internal/linkability"
)

// A vantage is what one party, or several, observe. Views are large, so each is made when
// it is its turn.
type vantage struct {
	name string
	make func() []linkability.Event
}

func (v vantage) view() linkability.View { return linkability.View{Name: v.name, Events: v.make()} }

// crowdNames are the routes to the first shuffler, sumNames those to the leader.
func crowdNames() []string { return []string{crowdName, credentialName, blindedName, hardenedName} }
func sumNames() []string   { return []string{sumName, countedName} }

// vantages returns what each party observed, and what those parties would have together
// that promise not to collude. Those without reports are left out.
func (r *recorder) vantages() []vantage {
	r.recover()
	shuffler := func() []linkability.Event { return r.atGateway("first", crowdNames()...) }
	leader := func() []linkability.Event { return r.atGateway("first", sumNames()...) }
	first := func() []linkability.Event { return r.atGateway("first", append(crowdNames(), sumNames()...)...) }
	randomness := func() []linkability.Event { return r.atGateway("third", evaluationName) }
	second := func() []linkability.Event { return flat(r.handed, r.issued["third"]) }
	analyzer := func() []linkability.Event { return flat(r.batches, r.issued["second"]) }
	helper := func() []linkability.Event { return flat(r.jobs, r.issued["second"]) }
	with := func(a, b func() []linkability.Event) func() []linkability.Event {
		return func() []linkability.Event { return joined(a(), b()) }
	}
	// What has no bytes in common is side by side: which are of one report is not known.
	beside := func(a, b func() []linkability.Event, routes ...string) func() []linkability.Event {
		return func() []linkability.Event { return slices.Concat(ofRoute(a(), routes...), b()) }
	}
	all := []vantage{
		{"network", r.onTheWire},
		{"relay", r.atRelay},
		{"gateway and shuffler 1", shuffler},
		{"gateway and leader", leader},
		{"gateway, shuffler 1 and leader", first},
		{"gateway and shuffler 2", second},
		{"gateway and randomness", randomness},
		{"gateway, shuffler 2 and randomness", func() []linkability.Event {
			return slices.Concat(randomness(), flat(r.handed))
		}},
		{"gateway and analyzer", analyzer},
		{"gateway and helper", helper},
		{"gateway, analyzer and helper", func() []linkability.Event { return flat(r.batches, r.jobs, r.issued["second"]) }},
		{"shuffler 1 with shuffler 2", with(shuffler, second)},
		{"shuffler 1 with analyzer", with(shuffler, analyzer)},
		{"shuffler 2 with analyzer", with(second, analyzer)},
		{"shuffler 1 with randomness", beside(shuffler, randomness, crowdNames()...)},
		{"randomness with analyzer", beside(randomness, analyzer, evaluationName)},
		{"leader with helper", with(leader, helper)},
		{"relay with shuffler 1 and leader", with(r.atRelay, first)},
		{"relay with randomness", with(r.atRelay, randomness)},
		{"relay with analyzer", beside(r.atRelay, analyzer, crowdNames()...)},
		{"relay with helper", beside(r.atRelay, helper, sumNames()...)},
		{"network with analyzer", beside(r.onTheWire, analyzer, crowdNames()...)},
		{"all but the relay", func() []linkability.Event {
			return slices.Concat(joined(joined(first(), flat(r.handed)), flat(r.batches, r.jobs)), randomness(), flat(r.issued["second"]))
		}},
	}
	return slices.DeleteFunc(all, func(v vantage) bool { return !hasReports(v.make()) })
}

const evaluationName = "evaluation"

func hasReports(all []linkability.Event) bool {
	return slices.ContainsFunc(all, func(e linkability.Event) bool { return e.Kind == linkability.KindReport })
}

// flat returns the events of reports that are known: others have not reached their party.
func flat(some ...[]*linkability.Event) []linkability.Event {
	var out []linkability.Event
	for _, events := range some {
		for _, e := range events {
			if e.Kind != linkability.KindReport || e.Report != 0 && e.Person >= 0 {
				out = append(out, *e)
			}
		}
	}
	return out
}

// atRelay is what the relay has: its clients' requests, and to which connection to a
// gateway each went.
func (r *recorder) atRelay() []linkability.Event {
	var out []linkability.Event
	for i, e := range r.client {
		seen := *e
		if e.Kind == linkability.KindReport && e.Report == 0 { // it was not forwarded
			seen.Report, seen.Route = 1<<32+uint64(i), "refused" //nolint:gosec // not negative
		}
		if link := r.links[e]; link != 0 {
			seen.Tokens = append(slices.Clone(e.Tokens), linkability.Token{Name: "upstream connection", Value: link})
		}
		out = append(out, seen)
	}
	return out
}

// onTheWire is what an observer of all links has: with TLS no bytes, but lengths.
func (r *recorder) onTheWire() []linkability.Event {
	out := r.atRelay()
	for i := range out {
		e := &out[i]
		e.Prints, e.Contents = nil, nil
		e.Tokens = slices.DeleteFunc(slices.Clone(e.Tokens), func(t linkability.Token) bool { return t.Name != "upstream connection" })
		e.Numbers = slices.DeleteFunc(slices.Clone(e.Numbers), func(n linkability.Number) bool {
			return n.Name != "bytes of request" && n.Name != "bytes of answer" && n.Name != "number on connection"
		})
	}
	return out
}

// atGateway is what the gateway of an organisation and the roles behind it have of the
// routes.
func (r *recorder) atGateway(org string, routes ...string) []linkability.Event {
	var out []linkability.Event
	for _, l := range r.letters {
		first := *l.events[0]
		if l.org != org || !slices.Contains(routes, first.Route) || l.person < 0 {
			continue
		}
		last := l.events[len(l.events)-1]
		first.Numbers = append(slices.Clone(first.Numbers),
			linkability.Number{Name: "attempts", Value: float64(len(l.events))},
			linkability.Number{Name: "seconds of attempts", Value: last.At.Sub(first.At).Seconds()},
		)
		for _, again := range l.events[1:] {
			first.Tokens = append(first.Tokens, linkability.Token{Name: "retry's connection", Value: again.Conn})
			for _, n := range again.Numbers {
				first.Numbers = append(first.Numbers, linkability.Number{Name: "retry's " + n.Name, Value: n.Value})
			}
			break
		}
		out = append(out, first)
	}
	return append(out, flat(r.issued[org])...)
}

// ofRoute returns the events of routes, and all that are of no report.
func ofRoute(events []linkability.Event, routes ...string) []linkability.Event {
	return slices.DeleteFunc(slices.Clone(events), func(e linkability.Event) bool {
		return e.Kind == linkability.KindReport && !slices.Contains(routes, e.Route)
	})
}

// joined adds to each event what others know of the same report, which they recognise by
// bytes that both have.
func joined(events, others []linkability.Event) []linkability.Event {
	known := map[uint64]*linkability.Event{}
	for i := range others {
		if others[i].Kind == linkability.KindReport {
			known[others[i].Report] = &others[i]
		}
	}
	out := slices.Clone(events)
	for i := range out {
		other := known[out[i].Report]
		if out[i].Kind != linkability.KindReport || other == nil {
			continue
		}
		e := &out[i]
		e.Contents = append(slices.Clone(e.Contents), other.Contents...)
		e.Tokens = slices.Clone(e.Tokens)
		for _, t := range other.Tokens {
			e.Tokens = append(e.Tokens, linkability.Token{Name: "theirs: " + t.Name, Value: t.Value})
		}
		e.Numbers = slices.Clone(e.Numbers)
		for _, n := range other.Numbers {
			e.Numbers = append(e.Numbers, linkability.Number{Name: "theirs: " + n.Name, Value: n.Value})
		}
		e.Prints = append(slices.Clone(e.Prints), other.Prints...)
		slices.Sort(e.Prints)
		e.Prints = slices.Compact(e.Prints)
	}
	return out
}
