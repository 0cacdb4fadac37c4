package metric

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/task"
)

// Floors of what can be asked.
const (
	leastThreshold = 5   // clients that a released crowd holds, on the average of the noise
	leastBatch     = 100 // reports to hide among
	greatestFloor  = 1e-5
	mostLooseBits  = 16.0
	mostExact      = 16 // values that an Int without buckets may take outside the crowd
)

// check judges every metric. What depends on the parties is judged for hops.
func (f *File) check(r *reader, hops []task.Party, now time.Time) {
	defer func() { r.metric = "" }()
	for _, m := range f.Metrics {
		r.metric = m.Name
		m.checkDiscovery(r, f.simulated || f.rehearsal)
		m.checkRehearsal(r, f.rehearsal)
		if m.aggregate {
			m.checkAggregate(r, now)
			continue
		}
		before := len(r.problems)
		m.checkTime(r, now)
		m.checkCaps(r)
		m.checkOutside(r)
		m.checkCrowd(r, hops)
		if m.solve(r) {
			m.checkThreshold(r)
			m.checkQuorum(r)
		}
		if len(r.problems) == before {
			m.checkTask(r, hops)
		}
	}
}

func (m *Metric) checkTime(r *reader, now time.Time) {
	expires := time.Unix(m.task.Expires, 0).UTC()
	if !now.Before(expires) {
		r.failAt(m.at.place("expires"), "expires: the metric expired on %s; remove it, or decide again and set a later day", expires.Format(time.DateOnly))
	}
	if m.task.Expires-m.task.NotBefore < int64(m.task.EpochSeconds) {
		r.failAt(m.at.place("expires"), "expires: no whole epoch of %s lies between start and expiry", formatDuration(int64(m.task.EpochSeconds)))
	}
}

func (m *Metric) checkCaps(r *reader) {
	k := &m.task
	if k.PerCrowd > k.PerEpoch {
		r.failAt(m.at.place("per_crowd"), "per_crowd: %d is more than the %d of an epoch; lower it, or raise per_epoch", k.PerCrowd, k.PerEpoch)
	}
	if k.Crowd.Kind == task.Constant && k.PerCrowd != k.PerEpoch {
		r.failAt(m.at.place("per_crowd"), "per_crowd: all reports are one crowd, so that a client could send %d of its %d reports; set per_crowd and per_epoch to the same", k.PerCrowd, k.PerEpoch)
	}
	if least := max(leastBatch, k.Threshold.T); k.MinBatch < least {
		r.failAt(m.at.place("min_batch"), "min_batch: %d reports hide too little; want %d at least", k.MinBatch, least)
	}
}

// outside returns the indexes of the fields that no crowd covers.
func (m *Metric) outside() []int {
	var out []int
	for i := range m.task.Schema {
		if m.task.Crowd.Kind != task.Payload && !slices.Contains(m.task.Crowd.Fields, uint8(i)) {
			out = append(out, i)
		}
	}
	return out
}

// checkOutside holds rare data off the back of a big crowd.
func (m *Metric) checkOutside(r *reader) {
	if m.quorum {
		return // what is released, as many hold as the quorum asks; see checkQuorum
	}
	for _, i := range m.outside() {
		f := &m.task.Schema[i]
		switch {
		case isText(f):
			m.refuse(r, FreeText, m.fieldAt[i], "field %q is text outside the crowd and would be released as it is, however rare; make it an enum, or add it to the crowd", f.Name)
		case isExact(f):
			m.refuse(r, ExactNumbers, m.fieldAt[i], "field %q takes more than %d exact values outside the crowd, and rare ones would be released; give it buckets, or add it to the crowd", f.Name, mostExact)
		}
	}
	if bits := m.LooseBits(); bits > mostLooseBits {
		m.refuse(r, RareMixtures, m.at.place("record"), "a report can say %.1f bits outside the crowd, want at most %g: combinations that only one client has would be released; coarsen, fragment, or move fields into the crowd", bits, mostLooseBits)
	}
}

func (m *Metric) refuse(r *reader, risk Risk, at position, format string, args ...any) {
	if m.accepted[risk] != "" {
		return
	}
	r.failAt(at, "%s; or accept it: add \"%s: because ...\" to accept", fmt.Sprintf(format, args...), risk)
}

// isText reports whether the field takes values that no list bounds.
func isText(f *task.Field) bool {
	return f.Kind == task.String || f.Kind == task.List && f.Elem == task.String
}

func isExact(f *task.Field) bool {
	number := f.Kind == task.Int || f.Kind == task.List && f.Elem == task.Int
	return number && len(f.Buckets) == 0 && (f.Options() == 0 || f.Options() > mostExact)
}

// LooseBits returns the base-2 logarithm of how many different contents a
// report can have beside its crowd: a bound on the joint entropy of what the
// threshold does not protect, whatever the population. Fields whose text or
// exact numbers were accepted by name are not counted again. For a fragmented
// record it is the largest fragment that counts.
func (m *Metric) LooseBits() float64 {
	rule := &m.task.Fragment
	kept, apart := 0.0, 0.0
	for _, i := range m.outside() {
		f := &m.task.Schema[i]
		if isText(f) || isExact(f) {
			continue
		}
		whole := fieldBits(f, int(f.Max))
		switch {
		case rule.Kind == task.Whole || slices.Contains(rule.Keep, uint8(i)):
			kept += whole
		case rule.Kind == task.Fields:
			apart = max(apart, whole+math.Log2(float64(len(m.task.Schema)-len(rule.Keep))))
		case rule.Kind == task.Pairs:
			apart = 2 * optionBits(f)
		case rule.Kind == task.Tuples:
			apart = float64(rule.M) * optionBits(f)
		default:
			chunks := (len(f.Values) + int(rule.M) - 1) / int(max(1, rule.M))
			apart = float64(rule.M) + math.Log2(float64(chunks))
		}
	}
	return kept + apart
}

// fieldBits is the logarithm of the number of values of a field with at most n
// elements.
func fieldBits(f *task.Field, n int) float64 {
	if f.Kind != task.List {
		return optionBits(f)
	}
	b := optionBits(f)
	if b == 0 {
		return math.Log2(float64(n + 1))
	}
	if b*float64(n) > 1000 {
		return b * float64(n)
	}
	total := 0.0
	for k := range n + 1 {
		total += math.Exp2(b * float64(k))
	}
	return math.Log2(total)
}

func optionBits(f *task.Field) float64 {
	if f.Kind == task.Set {
		return float64(len(f.Values))
	}
	if o := f.Options(); o > 0 {
		return math.Log2(float64(o))
	}
	return 64
}

// checkCrowd refuses a crowd of which one party could confirm what it must not
// learn.
func (m *Metric) checkCrowd(r *reader, hops []task.Party) {
	if shufflers(hops) > 1 {
		return
	}
	var names []string
	for i, f := range m.task.Schema {
		inCrowd := m.task.Crowd.Kind == task.Payload || slices.Contains(m.task.Crowd.Fields, uint8(i))
		if inCrowd && m.sensitive[i] {
			names = append(names, fmt.Sprintf("%q", f.Name))
		}
	}
	if len(names) == 0 {
		return
	}
	m.refuse(r, GuessableCrowd, m.at.place("crowd"),
		"the crowd is made of the sensitive %s; a single shuffler sees the sender's address beside a hash of it, and can confirm what it guesses; use two shufflers, or another crowd", strings.Join(names, " and "))
}

// shufflers counts the shufflers of hops; one is assumed where none are known.
func shufflers(hops []task.Party) int {
	n := 0
	for _, p := range hops {
		if p.Role == task.Shuffler {
			n++
		}
	}
	return max(1, n)
}

// checkThreshold holds the threshold to its floor and the noise to its word.
func (m *Metric) checkThreshold(r *reader) {
	k := &m.task
	at := m.at.place("privacy")
	if k.Threshold.T < leastThreshold*k.PerCrowd {
		r.failAt(at, "privacy: threshold %d: a released crowd may stem from %d clients, want %d at least; set threshold: %d or more",
			k.Threshold.T, k.Threshold.T/k.PerCrowd, leastThreshold, leastThreshold*k.PerCrowd)
	}
	rule, err := Threshold(k.Threshold)
	if err != nil {
		r.failAt(at, "privacy: %v", err)
		return
	}
	if k.Threshold.Kind == task.Naive {
		return
	}
	if floor := rule.Reports(uint64(k.PerCrowd)).Floor(); floor > greatestFloor {
		r.failAt(at, "privacy: unsound: with %s a client's presence in a crowd shows with probability %s (the floor of delta), whatever epsilon is, want at most %g; %s",
			settingText(k.Threshold), dp.Figure(floor), float64(greatestFloor), m.alternative(Declared{Epsilon: math.Inf(1), Delta: 1e-6, Covers: PerCrowdScope}))
		return
	}
	if m.declared == nil {
		return
	}
	curve, err := curveOf(k.Threshold, capsOf(k).budget(m.declared.Covers))
	if err != nil {
		r.failAt(at, "privacy: %v", err)
		return
	}
	if delta := curve.Delta(m.declared.Epsilon); delta > m.declared.Delta {
		r.failAt(at, "privacy: unsound: %s gives delta %s at epsilon %g for %s, not the declared %g; %s",
			settingText(k.Threshold), dp.Figure(delta), m.declared.Epsilon, m.coverText(m.declared.Covers), m.declared.Delta, m.alternative(*m.declared))
	}
}

// alternative names a sound setting near the metric's own: a larger drop with
// the same sigma if that suffices, else what Solve finds.
func (m *Metric) alternative(d Declared) string {
	k := &m.task
	h := k.Threshold
	b := capsOf(k).budget(d.Covers)
	if h.Kind == task.NoisyDrop {
		for h.D++; h.D <= k.Threshold.D+20*h.SigmaMilli/1000+20; h.D++ {
			if truncation(h.D, h.SigmaMilli, b) > 1.1*d.Delta {
				continue
			}
			if !math.IsInf(d.Epsilon, 1) && gaussianDelta(d.Epsilon, h, b) > 1.1*d.Delta {
				break
			}
			if keeps(h, b, d) {
				return "use " + keysText(h) + ", which keeps it"
			}
		}
	}
	if math.IsInf(d.Epsilon, 1) {
		return "raise drop"
	}
	if h.Kind == task.NoisySet {
		return alternativeSet(h, b, d)
	}
	h, err := Solve(d, k.Threshold.T, k.PerEpoch, k.PerCrowd, k.Crowd.SaltEpochs)
	if err != nil {
		return err.Error()
	}
	return "use " + keysText(h) + ", which keeps it"
}

// alternativeSet is alternative for noise on the threshold. The threshold may
// have to rise with sigma: that a crowd of one report passes it must be rare.
func alternativeSet(h task.Threshold, b budget, d Declared) string {
	least := h.T
	for range 2 * perDrop {
		for h.SigmaMilli <= maxSigma && gaussianDelta(d.Epsilon, h, b) > d.Delta {
			h.SigmaMilli += sigmaStep
		}
		alone := func(t uint32) float64 {
			return float64(b.crowds) * normal((float64(b.perCrowd)+0.5-float64(t))/sigma(h))
		}
		for h.T = least; h.T < mostThreshold && alone(h.T) > d.Delta; {
			h.T++
		}
		if keeps(h, b, d) {
			return fmt.Sprintf("use threshold: %d, sigma: %g, noise: set, which keeps it", h.T, sigma(h))
		}
		h.SigmaMilli += sigmaStep
	}
	return "raise threshold and sigma"
}

func keeps(h task.Threshold, b budget, d Declared) bool {
	curve, err := curveOf(h, b)
	return err == nil && curve.Delta(d.Epsilon) <= d.Delta
}

// coverText describes what a declared epsilon covers.
func (m *Metric) coverText(s Scope) string {
	b := capsOf(&m.task).budget(s)
	if s == PerCrowdScope {
		return fmt.Sprintf("what one client sends to one crowd in %s (%s)", within(m.task.Crowd.SaltEpochs), plural(b.perCrowd, "report"))
	}
	return fmt.Sprintf("all that one client sends in %s (%s of %s each)", within(m.task.Crowd.SaltEpochs), plural(b.crowds, "crowd"), plural(b.perCrowd, "report"))
}

func plural(n uint64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// settingText names a threshold by its parameters.
func settingText(h task.Threshold) string {
	switch h.Kind {
	case task.Naive:
		return fmt.Sprintf("threshold %d without noise", h.T)
	case task.NoisySet:
		return fmt.Sprintf("threshold %d, sigma %g on the threshold", h.T, sigma(h))
	}
	return fmt.Sprintf("threshold %d, drop %d, sigma %g", h.T, h.D, sigma(h))
}

// keysText writes a threshold as the keys of the file.
func keysText(h task.Threshold) string {
	return fmt.Sprintf("threshold: %d, drop: %d, sigma: %g", h.T, h.D, sigma(h))
}

func sigma(h task.Threshold) float64 { return float64(h.SigmaMilli) / 1000 }

// checkTask compiles the metric, so that what package task refuses is a problem
// of the file.
func (m *Metric) checkTask(r *reader, hops []task.Party) {
	owner, stand := placeholder(m.task.Method)
	if len(hops) == 0 {
		hops = stand
	}
	_, err := m.compile(owner, hops)
	if err == nil {
		return
	}
	if inner := errors.Unwrap(err); inner != nil {
		err = inner // the outer one names the task
	}
	about, _, _ := strings.Cut(err.Error(), ":")
	if _, ok := m.at.places[about]; !ok {
		about = "record"
	}
	r.failAt(m.at.place(about), "%v", err)
}
