package metric

import (
	"fmt"
	"math/big"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/printable"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

// aggregateKeys are those of metrics of the method aggregate alone.
func aggregateKeys() []string {
	return append(append([]string{"type"}, plan.Keys()...), "noise", "presence", "variant")
}

// Limits of an aggregate metric.
const (
	mostReport   = 1<<20 - 1<<12
	mostLoose    = 100 // times the largest number of the example
	leastEpsilon = 0.001
	mostEpsilon  = 20
)

// foreignVariant is the variant that only another implementation needs.
const foreignVariant = "janus"

// aggregation reads what an aggregate metric adds up.
func (r *reader) aggregation(m *Metric) {
	t, a := m.at, &m.task.Aggregation
	r.minBatch(m)
	a.Variant = "dap-18"
	if v := t.values["variant"]; v != nil {
		if word, ok := r.oneOf(v, "variant", task.Variants()...); ok {
			a.Variant = word
		}
		if a.Variant == foreignVariant && m.credential == credentialRequired {
			r.failAt(t.place("variant"), "variant: %s is that of aggregators of another implementation, which cannot verify the presentations that credential: required asks for and would refuse every report; remove one of the two", foreignVariant)
		}
	}
	if v := t.values["presence"]; v != nil {
		if word, _ := r.oneOf(v, "presence", "hidden", "revealed"); word == "revealed" {
			a.Presence = kind.Revealed
		}
	}
	before := len(r.problems)
	if t.values["type"] == nil {
		return
	}
	keys := settings{r, t}
	k, ok := plan.Read(keys)
	if !ok || len(r.problems) > before {
		return
	}
	a.Kind = k
	made, err := task.WithChunk(*a)
	if err != nil {
		r.failAt(t.place("type"), "type: %v", err)
		return
	}
	*a = made
	if t.values["example"] != nil {
		if m.ordinary, err = plan.ReadExample(a.Kind, keys); err != nil {
			r.failAt(t.place("example"), "example: %v", err)
		}
	}
	if v := t.values["noise"]; v != nil {
		r.noise(m, v)
	}
}

// noise reads what leader and helper each add to their share.
func (r *reader) noise(m *Metric, n ast.Node) {
	if s, ok := plainText(n); ok && s == "none" {
		return
	}
	if s, ok := plainText(n); ok {
		r.fail(n, "noise: %q; want none, {epsilon: ...} or {sigma: ...}", s)
		return
	}
	t := r.table(n, "noise", "epsilon", "sigma")
	if t == nil {
		return
	}
	if (t.values["epsilon"] == nil) == (t.values["sigma"] == nil) {
		r.failAt(t.at, "noise: want either epsilon, for discrete Laplace noise, or sigma, for discrete Gaussian")
		return
	}
	q, err := m.task.Aggregation.Measure()
	if err != nil {
		r.failAt(t.at, "noise: %v", err)
		return
	}
	l1, _, _ := vdaf.Sensitivity(q.Instance())
	var made dp.Noise
	if v := t.values["epsilon"]; v != nil {
		num, den, ok := r.fraction(v, "noise: epsilon", "would need noise without bound, which leaves no answer", leastEpsilon, mostEpsilon)
		if !ok {
			return
		}
		made, err = dp.NewLaplaceNoise(num, den, l1)
	} else {
		num, den, ok := r.fraction(t.values["sigma"], "noise: sigma", "is no noise", leastEpsilon, 1e9)
		if !ok {
			return
		}
		made, err = dp.NewGaussianNoise(num, den)
	}
	if err != nil {
		r.failAt(t.at, "noise: %v", err)
		return
	}
	m.task.Aggregation.Noise = made
}

// fraction reads a decimal number exactly.
func (r *reader) fraction(n ast.Node, what, ifZero string, low, high float64) (num, den uint32, ok bool) {
	if v, isNumber := new(big.Rat).SetString(tokenText(n)); isNumber && v.Sign() <= 0 {
		r.fail(n, "%s: %s %s; want a number from %g to %g, or noise: none", what, describe(n), ifZero, low, high)
		return 0, 0, false
	}
	if _, ok := r.number(n, what, low, high); !ok {
		return 0, 0, false
	}
	v, ok := new(big.Rat).SetString(tokenText(n))
	if !ok || v.Num().BitLen() > 32 || v.Denom().BitLen() > 32 {
		r.fail(n, "%s: %s has too many digits; round it to six", what, describe(n))
		return 0, 0, false
	}
	return uint32(v.Num().Uint64()), uint32(v.Denom().Uint64()), true
}

// checkAggregate judges an aggregate metric.
func (m *Metric) checkAggregate(r *reader, b beside, now time.Time) {
	before := len(r.problems)
	m.checkTime(r, now)
	k, a := &m.task, &m.task.Aggregation
	if k.MinBatch < leastBatch {
		r.failAt(m.at.place("min_batch"), "min_batch: %d reports hide too little; want %d at least", k.MinBatch, leastBatch)
	}
	if uint64(k.MaxDelay) > task.MaxLateEpochs*uint64(k.EpochSeconds) {
		r.failAt(m.at.place("max_delay"), "max_delay: more than %d epochs of %s; shorten it, or lengthen the epoch", task.MaxLateEpochs, printable.Duration(int64(k.EpochSeconds)))
	}
	m.checkBound(r)
	q, err := a.Measure()
	if err != nil {
		r.failAt(m.at.place("type"), "type: %v", err)
		return
	}
	if n := kind.ReportSize(q.Instance()); n > mostReport {
		r.failAt(m.at.place("type"), "type: a report would have %d bytes, want at most %d: use fewer elements, or a lower maximum; each costs its bits times 16 bytes", n, mostReport)
	}
	if len(r.problems) == before {
		m.checkTask(r, nil, b)
	}
}

// checkBound holds the bound of a number close to what is ordinary: noise is as
// wide as the bound, and a client that lies can report as much.
func (m *Metric) checkBound(r *reader) {
	words, err := plan.Of(m.task.Aggregation.Kind)
	if err != nil {
		return // a problem of the key type
	}
	key, bound := words.Tight()
	switch {
	case key == "":
	case m.ordinary == 0:
		r.failAt(m.at.place(key), "%s: nothing says whether it is tight; add example: with what an ordinary client says in an epoch", key)
	case m.ordinary > bound:
		r.failAt(m.at.place("example"), "example: %.10g is above %s: %.10g, and would be cut to it; raise the one or lower the other", m.ordinary, key, bound)
	case bound > mostLoose*m.ordinary && m.accepted[LooseBound] == "":
		r.failAt(m.at.place(key), "%s: %.10g is %.0f times the %.10g of the example: noise is as wide as the bound, and one client that lies counts for as many; lower it, or accept it: add %q to accept",
			key, bound, bound/m.ordinary, m.ordinary, fmt.Sprintf("%s: because ...", LooseBound))
	}
}
