package metric

import (
	"crypto/ed25519"
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/shoal-project/shoal/metric/task"
)

// parties reads the parties that handle reports: of one method or of both.
func (r *reader) parties(f *File, n ast.Node) {
	crowd, aggregate := []string{"shufflers", "analyzer"}, []string{"leader", "helper", "collector"}
	t := r.table(n, "parties", append(append(crowd, aggregate...), "relay", "randomness")...)
	if t == nil {
		return
	}
	has := func(k string) bool { return t.values[k] != nil }
	if slices.ContainsFunc(aggregate, has) {
		f.Aggregators = r.aggregators(t)
	}
	if slices.ContainsFunc(crowd, has) || len(f.Aggregators) == 0 {
		f.Hops = r.hops(t)
	}
	if has("relay") {
		f.Relay = r.party(t.values["relay"], task.Relay)
	}
	if has("randomness") {
		f.Randomness = r.party(t.values["randomness"], task.Randomness)
	}
}

func (r *reader) hops(t *table) []task.Party {
	if !r.need(t, "parties", "shufflers", "analyzer") {
		return nil
	}
	shufflers, _ := r.sequence(t.values["shufflers"], "shufflers")
	var hops []task.Party
	for _, s := range shufflers {
		hops = append(hops, r.party(s, task.Shuffler))
	}
	if len(hops) == 0 {
		r.failAt(t.places["shufflers"], "shufflers: want one at least")
	}
	hops = append(hops, r.party(t.values["analyzer"], task.Analyzer))
	if !r.different(t, hops) {
		return nil
	}
	return hops
}

func (r *reader) aggregators(t *table) []task.Party {
	if !r.need(t, "parties", "leader", "helper", "collector") {
		return nil
	}
	parties := []task.Party{
		r.party(t.values["leader"], task.Leader), r.party(t.values["helper"], task.Helper), r.party(t.values["collector"], task.Collector),
	}
	if !r.different(t, parties) {
		return nil
	}
	return parties
}

// different refuses parties that are one.
func (r *reader) different(t *table, parties []task.Party) bool {
	for i, p := range parties {
		same := func(o task.Party) bool {
			// A collector may be one of the two organisations: it has an identity of its own.
			return p.Role != task.Collector && o.URL == p.URL || p.Identity.Equal(o.Identity)
		}
		if len(p.Identity) > 0 && slices.ContainsFunc(parties[:i], same) {
			r.failAt(t.at, "parties: two have the same URL or identity; they must be different organisations, or the one sees everything")
			return false
		}
	}
	return true
}

func (r *reader) party(n ast.Node, role task.Role) task.Party {
	p := task.Party{Role: role}
	t := r.table(n, role.String(), "url", "identity")
	needs := []string{"url", "identity"}
	if role == task.Collector { // need not be reachable
		needs = needs[1:]
	}
	if t == nil || !r.need(t, role.String(), needs...) {
		return p
	}
	if t.values["url"] == nil {
	} else if s, ok := r.text(t.values["url"], "url", 1, 1024); ok {
		if err := task.ValidURL(s); err != nil {
			r.fail(t.values["url"], "%v", err)
		}
		p.URL = s
	}
	if s, ok := r.text(t.values["identity"], "identity", 1, 1024); ok {
		key, err := task.ParsePublic(s)
		if err != nil {
			r.fail(t.values["identity"], "%v; `shoal init` prints it", err)
		}
		p.Identity = key
	}
	return p
}

// placeholder returns parties and an owner for use where none are known,
// so that everything else of a task can be validated.
func placeholder(method task.Method) (ed25519.PublicKey, []task.Party) {
	key := func(b byte) ed25519.PublicKey {
		k := make(ed25519.PublicKey, ed25519.PublicKeySize)
		k[0] = b
		return k
	}
	if method == task.Aggregate {
		return key(1), []task.Party{
			{Role: task.Leader, URL: "https://leader.invalid", Identity: key(2)},
			{Role: task.Helper, URL: "https://helper.invalid", Identity: key(3)},
			{Role: task.Collector, URL: "https://collector.invalid", Identity: key(4)},
		}
	}
	return key(1), []task.Party{
		{Role: task.Shuffler, URL: "https://shuffler.invalid", Identity: key(2)},
		{Role: task.Analyzer, URL: "https://analyzer.invalid", Identity: key(3)},
	}
}
