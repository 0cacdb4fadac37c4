package metric

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// Build compiles and signs the file's metrics for the given parties, and for
// those of the file where parties names none of the kind: one or more shufflers,
// then the analyzer; leader, helper and collector. It checks the file again, for
// these parties and the moment now. The same file, parties and key give the same
// bytes.
func (f *File) Build(parties []task.Party, owner task.IdentityKey, now time.Time) (*task.Bundle, error) {
	if err := f.Check(parties, now); err != nil {
		return nil, err
	}
	var b task.Bundle
	for _, m := range f.Metrics {
		hops := f.hopsOf(m, parties)
		if len(hops) == 0 {
			return nil, fmt.Errorf("building tasks: the file names no parties for metric %s and none were given; add %s with url and identity", m.Name, partyWords(m))
		}
		t, err := m.compile(owner.Public(), hops, f.beside(parties))
		if err != nil {
			return nil, fmt.Errorf("building the task of metric %s: %w", m.Name, err)
		}
		s, err := task.Sign(t, owner)
		if err != nil {
			return nil, fmt.Errorf("building tasks: %w", err)
		}
		b.Tasks = append(b.Tasks, s)
	}
	return &b, nil
}

// hopsOf returns the parties of one metric.
func (f *File) hopsOf(m *Metric, parties []task.Party) []task.Party {
	hops, aggregators := f.parties(parties)
	if m.aggregate {
		return aggregators
	}
	return hops
}

func partyWords(m *Metric) string {
	if m.aggregate {
		return "leader, helper and collector"
	}
	return "parties"
}

// The words of the key credential.
const (
	credentialRequired = "required"
	credentialNone     = "none"
)

// credentialDays is about how long the credentials of a client last.
const credentialDays = 28

// credentialPeriod returns how many epochs of a task share credentials: about 28 days, a
// whole number of salt windows and at least one.
func credentialPeriod(t *task.Task) uint32 {
	salt := max(1, t.Crowd.SaltEpochs)
	windows := credentialDays * 24 * 3600 / (uint64(t.EpochSeconds) * uint64(salt))
	return salt * uint32(min(max(1, windows), uint64(task.MaxCredentialEpochs/salt)))
}

// The words of the key blinded.
const (
	wordYes = "yes"
	wordNo  = "no"
)

// blinds reports whether crowds are blinded: as the key says, and without it wherever two
// shufflers can.
func (m *Metric) blinds(t *task.Task) bool {
	if m.blinded != nil {
		return *m.blinded
	}
	if m.aggregate {
		return false
	}
	return t.CanBlind() == nil
}

// compile returns the metric's task, unsigned.
func (m *Metric) compile(owner ed25519.PublicKey, hops []task.Party, b beside) (*task.Task, error) {
	t := m.task
	t.Owner, t.Hops = owner, hops
	m.protect(&t, b)
	if err := t.Implemented(); err != nil {
		return nil, err
	}
	if m.aggregate {
		if err := t.Validate(); err != nil {
			return nil, err
		}
		return &t, nil
	}
	size, err := task.SizeClass(t.MaxContent())
	if err != nil {
		return nil, err
	}
	t.PayloadSize = size
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return &t, nil
}

// protect sets what stands between the parties of the metric's task and its clients.
func (m *Metric) protect(t *task.Task, b beside) {
	t.Protection.Relay = b.relay
	hardened := m.hardens(b)
	if hardened {
		t.Protection.Randomness, t.Protection.Evaluations = b.randomness, m.evaluations()
	}
	if hardened || m.credential == credentialRequired {
		t.Protection.CredentialEpochs = credentialPeriod(t)
	}
	t.Protection.Blinded = m.blinds(t)
}
