package metric

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/aggregate"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/vdaf"
)

// aggregateKeys are those of metrics of the method aggregate alone.
func aggregateKeys() []string {
	return []string{
		"type", "max", "total", "length", "buckets", "categories", "labels", "bound", "bits", "norm",
		"noise", "presence", "variant",
	}
}

// typeKeys are the keys that a type uses: those that it needs, and those that it
// may have.
func typeKeys(word string) (needs, may []string) {
	switch word {
	case "count":
		return nil, []string{"max"}
	case "sum", "mean":
		return []string{"max"}, nil
	case "histogram":
		return nil, []string{"buckets", "categories"}
	case "vector":
		return []string{"length"}, []string{"max", "total"}
	case "multihot":
		return []string{"labels", "max"}, nil
	}
	return []string{"length", "bound"}, []string{"bits", "norm"}
}

// Limits of an aggregate metric.
const (
	mostInteger  = 1 << 40 // of a maximum: sums of 2^22 such values have an int64
	mostReport   = 1<<20 - 1<<12
	mostLoose    = 100 // times the largest number of the example
	leastEpsilon = 0.001
	mostEpsilon  = 20
)

// aggregation reads what an aggregate metric adds up.
func (r *reader) aggregation(m *Metric) {
	t, a := m.at, &m.task.Aggregation
	r.minBatch(m)
	a.Variant = "dap-18"
	if v := t.values["variant"]; v != nil {
		if word, ok := r.oneOf(v, "variant", task.Variants()...); ok {
			a.Variant = word
		}
	}
	if v := t.values["presence"]; v != nil {
		if word, _ := r.oneOf(v, "presence", "hidden", "revealed"); word == "revealed" {
			a.Presence = task.Revealed
		}
	}
	before := len(r.problems)
	if v := t.values["type"]; v == nil || !r.aggregateType(m, v) || len(r.problems) > before {
		return
	}
	made, err := aggregate.WithChunk(*a)
	if err != nil {
		r.failAt(t.place("type"), "type: %v", err)
		return
	}
	*a = made
	if v := t.values["example"]; v != nil {
		r.aggregateExample(m, v)
	}
	if v := t.values["noise"]; v != nil {
		r.noise(m, v)
	}
}

func (r *reader) aggregateType(m *Metric, n ast.Node) bool {
	t, a := m.at, &m.task.Aggregation
	word, ok := r.oneOf(n, "type", "count", "sum", "mean", "histogram", "vector", "multihot", "gradient")
	if !ok {
		return false
	}
	needs, may := typeKeys(word)
	for _, key := range []string{"max", "total", "length", "buckets", "categories", "labels", "bound", "bits", "norm"} {
		if t.values[key] != nil && !slices.Contains(needs, key) && !slices.Contains(may, key) {
			r.failAt(t.places[key], "%s: has no meaning for type: %s; remove it", key, word)
		}
	}
	if !r.need(t, "metric", needs...) {
		return false
	}
	if word == "histogram" && !r.either(t, word, "buckets", "categories") || word == "vector" && !r.either(t, word, "max", "total") {
		return false
	}
	kinds := map[string]task.AggregateKind{
		"count": task.Count, "sum": task.Sum, "mean": task.Mean, "histogram": task.Histogram,
		"vector": task.Vector, "multihot": task.Multihot, "gradient": task.LInfGradient,
	}
	a.Kind = kinds[word]
	switch word {
	case "count":
		a.Max = uint64(r.integerOr(m, "max", 1, 1, mostInteger))
	case "sum", "mean":
		a.Max = uint64(r.integerOr(m, "max", 0, 1, mostInteger))
	case "histogram":
		r.histogram(m)
	case "vector":
		a.Length = uint32(r.integerOr(m, "length", 0, 1, 1<<20))
		a.Max = uint64(r.integerOr(m, "max", 0, 1, mostInteger))
		if t.values["total"] != nil {
			a.Kind, a.Max = task.Bounded, uint64(r.integerOr(m, "total", 0, 1, mostInteger))
		}
	case "multihot":
		a.Labels = r.labels(t.values["labels"], "labels", 1)
		a.Max = uint64(r.integerOr(m, "max", 1, 1, int64(max(1, len(a.Labels)))))
	case "gradient":
		r.gradient(m)
	}
	return true
}

// either wants one of two keys.
func (r *reader) either(t *table, word, a, b string) bool {
	if (t.values[a] == nil) != (t.values[b] == nil) {
		return true
	}
	r.failAt(t.place("type"), "type: %s has either %s or %s", word, a, b)
	return false
}

func (r *reader) histogram(m *Metric) {
	a := &m.task.Aggregation
	if v := m.at.values["categories"]; v != nil {
		a.Kind, a.Labels = task.Categories, r.labels(v, "categories", 2)
		return
	}
	v := m.at.values["buckets"]
	nodes, ok := r.sequence(v, "buckets")
	if !ok {
		return
	}
	if len(nodes) < 1 || len(nodes) > 4096 {
		r.fail(v, "buckets: %d bounds, want 1 to 4096", len(nodes))
		return
	}
	for i, x := range nodes {
		b, ok := r.integer(x, "buckets", math.MinInt64, math.MaxInt64)
		if !ok {
			return
		}
		if i > 0 && b <= a.Bounds[i-1] {
			r.fail(x, "buckets: %d does not come after %d; write the bounds in order", b, a.Bounds[i-1])
			return
		}
		a.Bounds = append(a.Bounds, b)
	}
}

func (r *reader) labels(n ast.Node, what string, least int) []string {
	words, ok := r.words(n, what)
	if !ok {
		return nil
	}
	if len(words) < least || len(words) > 1<<15 {
		r.fail(n, "%s: %d of them, want %d to %d", what, len(words), least, 1<<15)
	}
	seen := map[string]bool{}
	for _, w := range words {
		if seen[w] {
			r.fail(n, "%s: %q stands twice", what, w)
		}
		if len(w) > 128 {
			r.fail(n, "%s: one of %d bytes, want at most 128", what, len(w))
		}
		seen[w] = true
	}
	return words
}

func (r *reader) gradient(m *Metric) {
	t, a := m.at, &m.task.Aggregation
	a.Length = uint32(r.integerOr(m, "length", 0, 1, 1<<20))
	a.Bits = uint8(r.integerOr(m, "bits", 16, 1, 32))
	a.Bound, _ = r.number(t.values["bound"], "bound", 1e-30, 1e30)
	if v := t.values["norm"]; v != nil {
		if word, _ := r.oneOf(v, "norm", "linf", "l1"); word == "l1" {
			a.Kind = task.L1Gradient
		}
	}
}

// aggregateExample reads what an ordinary client records in an epoch.
func (r *reader) aggregateExample(m *Metric, n ast.Node) {
	a := &m.task.Aggregation
	switch a.Kind {
	case task.Categories, task.Multihot:
		words, _ := r.words(n, "example")
		for _, w := range words {
			if !slices.Contains(a.Labels, w) {
				r.fail(n, "example: %q is not one of the values", w)
			}
		}
	case task.Vector, task.Bounded, task.LInfGradient, task.L1Gradient:
		nodes, ok := r.sequence(n, "example")
		if ok && len(nodes) > int(a.Length) {
			r.fail(n, "example: %d elements, want at most %d; those left out are 0", len(nodes), a.Length)
		}
		sum := 0.0
		for _, x := range nodes {
			v, _ := r.number(x, "example", -1e30, 1e30)
			sum += math.Abs(v)
			m.ordinary = max(m.ordinary, math.Abs(v))
		}
		if a.Kind == task.Bounded || a.Kind == task.L1Gradient {
			m.ordinary = sum
		}
	default:
		v, _ := r.number(n, "example", -1e18, 1e18)
		m.ordinary = math.Abs(v)
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
	q, err := aggregate.New(&m.task.Aggregation)
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
func (m *Metric) checkAggregate(r *reader, now time.Time) {
	before := len(r.problems)
	m.checkTime(r, now)
	k, a := &m.task, &m.task.Aggregation
	if k.MinBatch < leastBatch {
		r.failAt(m.at.place("min_batch"), "min_batch: %d reports hide too little; want %d at least", k.MinBatch, leastBatch)
	}
	if uint64(k.MaxDelay) > task.MaxLateEpochs*uint64(k.EpochSeconds) {
		r.failAt(m.at.place("max_delay"), "max_delay: more than %d epochs of %s; shorten it, or lengthen the epoch", task.MaxLateEpochs, formatDuration(int64(k.EpochSeconds)))
	}
	m.checkBound(r)
	q, err := aggregate.New(a)
	if err != nil {
		r.failAt(m.at.place("type"), "type: %v", err)
		return
	}
	if n := aggregate.ReportSize(q.Instance()); n > mostReport {
		r.failAt(m.at.place("type"), "type: a report would have %d bytes, want at most %d: use fewer elements, or a lower maximum; each costs its bits times 16 bytes", n, mostReport)
	}
	if len(r.problems) == before {
		m.checkTask(r, nil)
	}
}

// checkBound holds the bound of a number close to what is ordinary: noise is as
// wide as the bound, and a client that lies can send as much.
func (m *Metric) checkBound(r *reader) {
	a := &m.task.Aggregation
	key, bound := "max", float64(a.Max)
	switch a.Kind {
	case task.Sum, task.Mean, task.Vector:
	case task.Count:
		if a.Max == 1 {
			return
		}
	case task.Bounded:
		key = "total"
	case task.LInfGradient, task.L1Gradient:
		key, bound = "bound", a.Bound
	default:
		return
	}
	switch {
	case m.ordinary == 0:
		r.failAt(m.at.place(key), "%s: nothing says whether it is tight; add example: with what an ordinary client says in an epoch", key)
	case m.ordinary > bound:
		r.failAt(m.at.place("example"), "example: %.10g is above %s: %.10g, and would be cut to it; raise the one or lower the other", m.ordinary, key, bound)
	case bound > mostLoose*m.ordinary && m.accepted[LooseBound] == "":
		r.failAt(m.at.place(key), "%s: %.10g is %.0f times the %.10g of the example: noise is as wide as the bound, and one client that lies counts for as many; lower it, or accept it: add %q to accept",
			key, bound, bound/m.ordinary, m.ordinary, fmt.Sprintf("%s: because ...", LooseBound))
	}
}
