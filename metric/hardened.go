package metric

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"

	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/metric/task"
)

// hardening is what a metric says about its quorum.
type hardening struct {
	said        bool // it says something
	off         bool
	because     string
	evaluations uint32 // 0: the usual
}

// mostEvaluations bounds the evaluation requests of a client and epoch: each is 64
// guesses, and with more its presentation would not fit the relay's message size.
const mostEvaluations = 4

// hardening reads how a quorum is hardened, or why not.
func (r *reader) hardening(m *Metric, n ast.Node) {
	t := r.table(n, "quorum", "hardened", "because", "evaluations")
	if t == nil {
		return
	}
	h := &m.hardening
	h.said = true
	if v := t.values["hardened"]; v != nil {
		if b, ok := v.(*ast.BoolNode); ok {
			h.off = !b.Value
		} else {
			word, _ := r.oneOf(v, "hardened", "yes", "no")
			h.off = word == "no"
		}
	}
	if v := t.values["because"]; v != nil {
		h.because, _ = r.text(v, "because", leastReason, 1000)
	}
	if v := t.values["evaluations"]; v != nil {
		x, _ := r.integer(v, "evaluations", 1, mostEvaluations)
		h.evaluations = uint32(x)
	}
	switch {
	case h.off && t.values["because"] == nil:
		r.failAt(t.place("hardened"), "quorum: hardened: no lets shuffler and analyzer confirm what they guess; add because: with the reason, of %d characters at least; people will read it in the plan", leastReason)
	case !h.off && t.values["because"] != nil:
		r.failAt(t.place("because"), "quorum: because: gives the reason for hardened: no; remove it, or write that")
	case h.off && h.evaluations != 0:
		r.failAt(t.place("evaluations"), "quorum: evaluations: has no meaning with hardened: no; remove one")
	}
}

// hardens reports whether the metric's quorum derives from a randomness party.
func (m *Metric) hardens(b beside) bool {
	return m.quorum && !m.hardening.off && b.randomness.Role != 0
}

// evaluations returns how many requests a client makes an epoch: room for its
// records, and one more, since what comes after the last request waits for the next
// epoch.
func (m *Metric) evaluations() uint32 {
	if m.hardening.evaluations != 0 {
		return m.hardening.evaluations
	}
	room := (m.task.PerEpoch + voprf.MaxBatch - 1) / voprf.MaxBatch
	return min(room+1, mostEvaluations)
}

// checkHardening refuses what a hardened quorum cannot give, and one that is asked for
// without a party that could.
func (m *Metric) checkHardening(r *reader, b beside) {
	k := &m.task
	if m.hardening.said && !m.hardening.off && b.randomness.Role == 0 {
		r.failAt(m.at.place("quorum"), "quorum: the file names no party that evaluates its values; add randomness: with url and identity to parties, or write quorum: {hardened: no, because: ...}")
	}
	if !m.hardens(b) {
		return
	}
	if k.Crowd.Kind == task.Constant {
		r.failAt(m.at.place("crowd"), "crowd: constant has no value that a hardened quorum could be of; write crowd: payload, or a list of fields")
	}
	if m.credential == credentialNone {
		r.failAt(m.at.place("credential"), "credential: none, but a hardened quorum counts clients by their credentials; remove it")
	}
	if k.PerCrowd > 1 {
		r.failAt(m.at.place("per_crowd"), "per_crowd: %d, but a client has one share of each value of a hardened quorum; set per_crowd: 1", k.PerCrowd)
	}
	if most := m.evaluations() * voprf.MaxBatch; k.PerEpoch > most {
		r.failAt(m.at.place("per_epoch"), "per_epoch: %d, but a client has at most %d values of a hardened quorum evaluated in an epoch; lower it, or shorten the epoch", k.PerEpoch, most)
	}
}

// Warnings lists what the file should say in another way than it does, one line each.
func (f *File) Warnings() []string {
	var all []string
	for _, m := range f.Metrics {
		if m.quorum && !m.hardening.said && f.Randomness.Role == 0 {
			all = append(all, fmt.Sprintf("%s:%d: metric %s: encoding: quorum without a randomness party is deprecated: shuffler and analyzer can confirm what they guess; name the party under parties, or write quorum: {hardened: no, because: ...}",
				f.Path, max(1, m.at.place("encoding").line), m.Name))
		}
	}
	return all
}
