package metric

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/printable"
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
)

// Floors of what can be asked.
const (
	leastThreshold = 5   // clients that a released crowd holds, on the average of the noise
	leastBatch     = 100 // reports to hide among
	greatestFloor  = 1e-5
	mostLooseBits  = 16.0
)

// check judges every metric. What depends on the parties is judged for hops and those beside them.
func (f *File) check(r *reader, hops []task.Party, b beside, now time.Time) {
	defer func() { r.metric = "" }()
	for _, m := range f.Metrics {
		r.metric = m.Name
		m.checkDiscovery(r, b, f.simulated || f.rehearsal)
		m.checkRehearsal(r, f.rehearsal)
		if m.aggregate {
			m.checkAggregate(r, b, now)
			continue
		}
		before := len(r.problems)
		m.checkTime(r, now)
		m.checkCaps(r)
		m.checkOutside(r, b)
		m.checkCrowd(r, hops, b)
		if m.solve(r) {
			m.checkThreshold(r)
			m.checkQuorum(r, b)
		}
		if len(r.problems) == before {
			m.checkTask(r, hops, b)
		}
	}
}

func (m *Metric) checkTime(r *reader, now time.Time) {
	expires := time.Unix(m.task.Expires, 0).UTC()
	if !now.Before(expires) {
		r.failAt(m.at.place("expires"), "expires: the metric expired on %s; remove it, or decide again and set a later day", expires.Format(time.DateOnly))
	}
	if m.task.Expires-m.task.NotBefore < int64(m.task.EpochSeconds) {
		r.failAt(m.at.place("expires"), "expires: no whole epoch of %s lies between start and expiry", printable.Duration(int64(m.task.EpochSeconds)))
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

// checkOutside holds rare data off the back of a big crowd.
func (m *Metric) checkOutside(r *reader, b beside) {
	if m.quorum && !m.hardens(b) {
		return // what is released, as many hold as the quorum asks; see checkQuorum
	}
	for _, i := range plan.Outside(&m.task) {
		f := &m.task.Schema[i]
		switch {
		case plan.IsText(f):
			m.refuse(r, FreeText, m.fieldAt[i], "field %q is text outside the crowd and would be released as it is, however rare; make it an enum, or add it to the crowd", f.Name)
		case plan.IsExact(f):
			m.refuse(r, ExactNumbers, m.fieldAt[i], "field %q takes more than %d exact values outside the crowd, and rare ones would be released; give it buckets, or add it to the crowd", f.Name, plan.MostExact)
		}
	}
	if bits := plan.LooseBits(&m.task); bits > mostLooseBits {
		m.refuse(r, RareMixtures, m.at.place("record"), "a report can say %.1f bits outside the crowd, want at most %g: combinations that only one client has would be released; coarsen, fragment, or move fields into the crowd", bits, mostLooseBits)
	}
}

func (m *Metric) refuse(r *reader, risk Risk, at position, format string, args ...any) {
	if m.accepted[risk] != "" {
		return
	}
	r.failAt(at, "%s; or accept it: add \"%s: because ...\" to accept", fmt.Sprintf(format, args...), risk)
}

// checkCrowd refuses a crowd of which one party could confirm what it must not
// learn.
func (m *Metric) checkCrowd(r *reader, hops []task.Party, b beside) {
	if task.Shufflers(hops) > 1 || b.relay.Role != 0 || m.hardens(b) {
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
		"the crowd is made of the sensitive %s; a single shuffler sees the sender's address beside a hash of it, and can confirm what it guesses; use a relay, two shufflers, or another crowd", strings.Join(names, " and "))
}

// checkThreshold holds the threshold to its floor and the noise to its word.
func (m *Metric) checkThreshold(r *reader) {
	k := &m.task
	at := m.at.place("privacy")
	if k.Threshold.T < leastThreshold*k.PerCrowd {
		r.failAt(at, "privacy: threshold %d: a released crowd may stem from %d clients, want %d at least; set threshold: %d or more",
			k.Threshold.T, k.Threshold.T/k.PerCrowd, leastThreshold, leastThreshold*k.PerCrowd)
	}
	if k.HasSecond() && m.declared != nil {
		r.failAt(at, "privacy: no epsilon is proven where each report is counted in two crowds; instead of epsilon and delta write threshold, drop and sigma")
		return
	}
	rule, err := k.Threshold.Rule()
	if err != nil {
		r.failAt(at, "privacy: %v", err)
		return
	}
	if k.Threshold.Kind == task.Naive {
		return
	}
	if floor := rule.Reports(uint64(k.PerCrowd)).Floor(); floor > greatestFloor {
		r.failAt(at, "privacy: unsound: with %v a client's presence in a crowd shows with probability %s (the floor of delta), whatever epsilon is, want at most %g; %s",
			k.Threshold, dp.Figure(floor), float64(greatestFloor), m.alternative(cost.Declared{Epsilon: math.Inf(1), Delta: 1e-6, Covers: cost.PerCrowd}))
		return
	}
	if m.declared == nil {
		return
	}
	curve, err := cost.CurveOf(k, m.declared.Covers)
	if err != nil {
		r.failAt(at, "privacy: %v", err)
		return
	}
	if delta := curve.Delta(m.declared.Epsilon); delta > m.declared.Delta {
		r.failAt(at, "privacy: unsound: %v gives delta %s at epsilon %g for %s, not the declared %g; %s",
			k.Threshold, dp.Figure(delta), m.declared.Epsilon, m.coverText(m.declared.Covers), m.declared.Delta, m.alternative(*m.declared))
	}
}

// alternative names a sound setting near the metric's own.
func (m *Metric) alternative(d cost.Declared) string {
	h, err := cost.Nearest(&m.task, d)
	switch {
	case err != nil:
		return err.Error()
	case h.Kind == task.NoisySet:
		return fmt.Sprintf("use threshold: %d, sigma: %g, noise: set, which keeps it", h.T, h.Sigma())
	}
	return "use " + keysText(h) + ", which keeps it"
}

// coverText describes what a declared epsilon covers.
func (m *Metric) coverText(s cost.Scope) string {
	crowds, perCrowd := cost.Budget(&m.task, s)
	unit := cost.WithArticle(cost.Unit(m.task.Crowd.SaltEpochs))
	if s == cost.PerCrowd {
		return fmt.Sprintf("what one client sends to one crowd in %s (%s)", unit, printable.Plural(perCrowd, "report"))
	}
	return fmt.Sprintf("all that one client sends in %s (%s of %s each)", unit, printable.Plural(crowds, "crowd"), printable.Plural(perCrowd, "report"))
}

// keysText writes a threshold as the keys of the file.
func keysText(h task.Threshold) string {
	return fmt.Sprintf("threshold: %d, drop: %d, sigma: %g", h.T, h.D, h.Sigma())
}

// checkTask compiles the metric, so that what package task refuses is a problem
// of the file.
func (m *Metric) checkTask(r *reader, hops []task.Party, b beside) {
	owner, stand := placeholder(m.task.Method)
	if len(hops) == 0 {
		hops = stand
	}
	_, err := m.compile(owner, hops, b)
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
