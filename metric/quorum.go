package metric

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/shoal-project/shoal/dp"
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
	case v != nil:
		r.failAt(m.at.places["shares"], "shares: has a meaning with encoding: quorum only; remove one or write the other")
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
func (m *Metric) checkQuorum(r *reader) {
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
	if k.Crowd.Kind == task.Attributes {
		r.failAt(m.at.place("crowd"), "crowd: with encoding: quorum nobody can tell to which crowd an unreadable report belongs, so that no crowd's size could be estimated; write crowd: payload, or constant")
	}
	if k.Crowd.Kind == task.Constant {
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
		h, err := Solve(*m.declared, h.T, k.PerEpoch, k.PerCrowd, k.Crowd.SaltEpochs)
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

// A QuorumPlan describes what a quorum hides, and what not.
type QuorumPlan struct {
	Shares uint16 `json:"shares"` // reports of one value and epoch that make it readable
	Reads  string `json:"reads"`
	Below  string `json:"below"`  // what the analyzer has of the others
	Guess  string `json:"guess"`  // what protects values that can be guessed
	Forged uint32 `json:"forged"` // shares of the smallest crowd that passes which may be wrong without harm
}

// quorumOf describes the quorum of a task, or is nil.
func quorumOf(t *task.Task) *QuorumPlan {
	if t.Encoding.Kind != task.Quorum {
		return nil
	}
	n := t.Encoding.Shares
	q := &QuorumPlan{
		Shares: n, Forged: (t.Threshold.T - uint32(n)) / 2,
		Reads: fmt.Sprintf("the analyzer can read a value once %d reports of one epoch hold it; the reports of two epochs or tasks cannot be put together", n),
		Below: "of a value that fewer hold, the analyzer has only ciphertexts: that they are equal, how many there are, and whether a guess is right",
		Guess: fmt.Sprintf("what can be guessed is protected by the crowd threshold, not by the %d shares: anyone with a ciphertext can encrypt a guess and compare", n),
	}
	if t.Crowd.Kind == task.Constant {
		q.Guess = fmt.Sprintf("no crowd threshold stands before a value, since the crowd is constant: the %d shares alone protect it, if nobody can guess it, and nothing does if somebody can", n)
	}
	return q
}

// analyzerView describes what the analyzer sees of a task.
func analyzerView(t *task.Task) View {
	table := "the reports of crowds that pass the threshold, as a table of " + strings.Join(fieldNames(t), ", ")
	v := View{Who: "analyzer", Sees: table, Hidden: "where they come from, their order, their time within the epoch, nor any report of a crowd that does not pass"}
	if t.Encoding.Kind != task.Quorum {
		return v
	}
	n := t.Encoding.Shares
	v.Sees = fmt.Sprintf("the values that %d reports or more hold, of crowds that pass the threshold, as a table of %s; of other reports that reach it, ciphertexts: which are equal, and whether a guess is right",
		n, strings.Join(fieldNames(t), ", "))
	v.Hidden += fmt.Sprintf(", nor a value that fewer than %d hold and that it cannot guess", n)
	return v
}
