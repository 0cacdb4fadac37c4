package linkability_test

import (
	"slices"

	"github.com/shoal-project/shoal/internal/linkability"
)

// views returns what each party, and the listed parties together, observed.
func (r *recorder) views() []linkability.View {
	named := func(name string, events []linkability.Event) linkability.View {
		return linkability.View{Name: name, Events: events}
	}
	crowd, sums, all := r.atGateway("crowd", "credential"), r.atGateway("aggregate"), r.atGateway("crowd", "credential", "aggregate")
	views := []linkability.View{
		named("network", r.onTheWire()),
		named("relay", r.atRelay()),
		named("gateway and shuffler", crowd),
		named("gateway and leader", sums),
		named("gateway, shuffler and leader", all),
		named("analyzer", flat(r.batches)),
		named("helper", flat(r.jobs)),
		named("shuffler with analyzer", joined(crowd, flat(r.batches))),
		named("leader with helper", joined(sums, flat(r.jobs))),
		named("relay with shuffler and leader", joined(r.atRelay(), all)),
		named("network with analyzer", slices.Concat(ofRoute(r.onTheWire(), "crowd", "credential"), flat(r.batches))),
		named("all but the relay", joined(all, slices.Concat(flat(r.batches), flat(r.jobs)))),
	}
	return slices.DeleteFunc(views, func(v linkability.View) bool { return !hasReports(v) })
}

func hasReports(v linkability.View) bool {
	return slices.ContainsFunc(v.Events, func(e linkability.Event) bool { return e.Kind == linkability.KindReport })
}

// flat returns the events of reports that are known: others have not reached their party.
func flat(events []*linkability.Event) []linkability.Event {
	var out []linkability.Event
	for _, e := range events {
		if e.Kind != linkability.KindReport || e.Report != 0 && e.Person >= 0 {
			out = append(out, *e)
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

// atGateway is what the gateway and the roles behind it have of the routes.
func (r *recorder) atGateway(routes ...string) []linkability.Event {
	var out []linkability.Event
	for _, l := range r.letters {
		first := *l.events[0]
		if !slices.Contains(routes, first.Route) || l.person < 0 {
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
	return append(out, flat(r.issued)...)
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
