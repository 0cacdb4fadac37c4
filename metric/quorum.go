package metric

import (
	"github.com/goccy/go-yaml/ast"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/cost"
	"github.com/shoal-project/shoal/metric/task"
)

// encoding reads how fragments reach the analyzer.
func (r *reader) encoding(m *Metric) {
	if v := m.at.values["encoding"]; v != nil {
		word, _ := r.oneOf(v, "encoding", "plain", "quorum")
		m.quorum = word == "quorum"
	}
	v := m.at.values["shares"]
	switch {
	case m.quorum:
		m.task.Encoding.Kind = task.Quorum
		r.shares(m, v)
		if q := m.at.values["quorum"]; q != nil {
			r.hardening(m, q)
		}
	case v != nil:
		r.failAt(m.at.places["shares"], "shares: has a meaning with encoding: quorum only; remove one or write the other")
	}
	if !m.quorum && m.at.values["quorum"] != nil {
		r.failAt(m.at.places["quorum"], "quorum: has a meaning with encoding: quorum only; remove one or write the other")
	}
}

func (r *reader) shares(m *Metric, v ast.Node) {
	if v == nil {
		return // the threshold's, once that is known
	}
	x, _ := r.integer(v, "shares", task.MinShares, task.MaxShares)
	m.task.Encoding.Shares = uint16(x)
}

// checkQuorum fills in the usual number of shares and refuses what would leave a
// quorum unreadable, or readable for too few.
func (m *Metric) checkQuorum(r *reader, b beside) {
	if !m.quorum {
		return
	}
	k := &m.task
	if k.Encoding.Shares == 0 {
		k.Encoding.Shares = uint16(min(k.Threshold.T, task.MaxShares))
	}
	shares := uint32(k.Encoding.Shares)
	at := m.at.place("shares")
	least := leastThreshold * k.PerCrowd
	if shares < least {
		r.failAt(at, "shares: %d may stem from %d clients, want %d at least; set shares: %d or more", shares, shares/k.PerCrowd, leastThreshold, least)
	}
	switch {
	case k.Threshold.Kind == task.NoisySet:
		r.failAt(m.at.place("privacy"), "privacy: noise: set has no lower bound, so that a crowd of fewer reports than shares could pass, and nobody could read it; %s", m.dropInstead(shares))
	case shares > k.Threshold.T:
		r.failAt(at, "shares: %d, but a crowd passes with %d reports left, which nobody could read; set shares: %d, or threshold: %d", shares, k.Threshold.T, k.Threshold.T, shares)
	}
	hardened := m.hardens(b)
	m.checkHardening(r, b)
	if k.Crowd.Kind == task.Attributes && !hardened {
		r.failAt(m.at.place("crowd"), "crowd: with encoding: quorum nobody can tell to which crowd an unreadable report belongs, so that no crowd's size could be estimated; write crowd: payload, or constant")
	}
	if k.Crowd.Kind == task.Constant && !hardened {
		m.refuse(r, GuessableQuorum, m.at.place("crowd"), "crowd: constant lets each report pass, so that only the quorum stands before a value, and it stands only before what nobody can guess: the analyzer holds a ciphertext of each, and can compare it with that of a guess; write crowd: payload")
	}
	if k.Crowd.SaltEpochs != 1 {
		r.failAt(m.at.place("salt_epochs"), "salt_epochs: %d, but the shares of a quorum are bound to one epoch; set salt_epochs: 1, or make the epoch longer", k.Crowd.SaltEpochs)
	}
	for i := range k.Schema {
		if k.Schema[i].Flip != 0 {
			r.failAt(m.fieldAt[i], "field %q: randomised response makes equal values differ, so that no quorum of them comes together; remove it, or write encoding: plain", k.Schema[i].Name)
		}
	}
}

// dropInstead names a sound setting with noise on the reports.
func (m *Metric) dropInstead(shares uint32) string {
	k := &m.task
	h := task.Threshold{Kind: task.NoisyDrop, T: max(k.Threshold.T, shares), SigmaMilli: k.Threshold.SigmaMilli}
	if m.declared != nil {
		h, err := cost.Solve(*m.declared, h.T, k.PerEpoch, k.PerCrowd, k.Crowd.SaltEpochs)
		if err != nil {
			return err.Error()
		}
		return "remove noise: set and use " + keysText(h)
	}
	for h.D = k.PerCrowd; h.D < mostThreshold; h.D++ {
		rule, err := dp.NewNoisyDrop(h.T, h.D, h.SigmaMilli)
		if err != nil {
			return err.Error()
		}
		if rule.Reports(uint64(k.PerCrowd)).Floor() <= 1e-6 {
			return "remove noise: set and use " + keysText(h)
		}
	}
	return "remove noise: set and use drop and sigma"
}
