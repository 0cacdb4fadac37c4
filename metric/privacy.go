package metric

import (
	"github.com/goccy/go-yaml/ast"

	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/task"
)

func privacyKeys() []string {
	return []string{"epsilon", "delta", "covers", "threshold", "drop", "sigma", "noise"}
}

// usualThreshold is T where a metric states epsilon and delta alone (Prochlo
// paper, section 5).
const usualThreshold = 20

// maxTotalEpsilon is the greatest epsilon that can be declared.
const maxTotalEpsilon = 20

// The greatest parameters that can be stated; they bound the work of a plan.
const (
	mostThreshold = 100_000
	mostSigma     = 200
)

// privacy reads either what is promised, from which the threshold is solved,
// or the threshold itself, or both, and then the one must keep the other.
func (r *reader) privacy(m *Metric, n ast.Node) {
	t := r.table(n, "privacy", privacyKeys()...)
	if t == nil {
		return
	}
	before := len(r.problems)
	r.declaredOf(m, t)
	has := func(key string) bool { return t.values[key] != nil }
	h := &m.task.Threshold
	h.T = usualThreshold
	if has("threshold") {
		x, _ := r.integer(t.values["threshold"], "threshold", 1, mostThreshold)
		h.T = uint32(x)
	}
	if has("drop") {
		x, _ := r.integer(t.values["drop"], "drop", 1, mostThreshold)
		h.D = uint32(x)
	}
	if has("sigma") {
		x, _ := r.number(t.values["sigma"], "sigma", 0.001, mostSigma)
		h.SigmaMilli = uint32(x*1000 + 0.5)
	}
	noise := ""
	if has("noise") {
		noise, _ = r.oneOf(t.values["noise"], "noise", "drop", "set", "none")
	}
	if len(r.problems) > before {
		return
	}
	switch {
	case noise == "none":
		h.Kind = task.Naive
		r.refuseKeys(t, "noise: none", "drop", "sigma", "epsilon", "delta", "covers")
		r.need(t, "privacy", "threshold")
	case noise == "set":
		h.Kind = task.NoisySet
		r.refuseKeys(t, "noise: set", "drop")
		r.need(t, "privacy", "threshold", "sigma")
	case has("drop") || has("sigma"):
		h.Kind = task.NoisyDrop
		if !has("drop") {
			r.failAt(t.at, "privacy: sigma without drop: add drop, or write noise: set if exact counts may be released")
		}
		r.need(t, "privacy", "threshold")
		if !has("sigma") {
			r.failAt(t.at, "privacy: drop without sigma: add sigma")
		}
	case m.declared != nil:
		h.Kind = task.NoisyDrop // drop and sigma are solved when the file is checked
	case has("threshold"):
		r.failAt(t.at, "privacy: a threshold without noise gives no differential privacy; add drop and sigma, or epsilon and delta, or write noise: none")
	default:
		r.failAt(t.at, "privacy: write epsilon and delta, or threshold, drop and sigma")
	}
}

func (r *reader) declaredOf(m *Metric, t *table) {
	e, d, c := t.values["epsilon"], t.values["delta"], t.values["covers"]
	if e == nil && d == nil {
		if c != nil {
			r.failAt(t.places["covers"], "privacy: covers needs epsilon and delta")
		}
		return
	}
	if !r.need(t, "privacy", "epsilon", "delta") {
		return
	}
	x := &cost.Declared{Covers: cost.PerEpoch}
	var ok1, ok2 bool
	x.Epsilon, ok1 = r.number(e, "epsilon", 0.01, maxTotalEpsilon)
	x.Delta, ok2 = r.number(d, "delta", 1e-18, 1e-5)
	if c != nil {
		word, _ := r.oneOf(c, "covers", string(cost.PerEpoch), string(cost.PerCrowd))
		x.Covers = cost.Scope(word)
	}
	if ok1 && ok2 {
		m.declared = x
	}
}

func (r *reader) refuseKeys(t *table, with string, keys ...string) {
	for _, k := range keys {
		if t.values[k] != nil {
			r.failAt(t.places[k], "privacy: %s has no meaning with %s; remove one of them", k, with)
		}
	}
}

// solve chooses the threshold that keeps the promise, where none is stated.
func (m *Metric) solve(r *reader) bool {
	if m.task.Threshold.SigmaMilli != 0 || m.task.Threshold.Kind == task.Naive {
		return true
	}
	h, err := cost.Solve(*m.declared, m.task.Threshold.T, m.task.PerEpoch, m.task.PerCrowd, m.task.Crowd.SaltEpochs)
	if err != nil {
		r.failAt(m.at.place("privacy"), "privacy: %v", err)
		return false
	}
	m.task.Threshold = h
	return true
}
