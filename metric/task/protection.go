package task

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"

	"golang.org/x/crypto/cryptobyte"
)

// A Protection is what stands between the parties of a task and those who send to
// it, beside the way of the report itself. In the zero value clients connect
// to the first party, caps are kept by honest devices alone, and the value of a
// quorum can be confirmed by a guess. Canonical bytes of a task without protection
// are of version 1, of one with protection of version 2.
type Protection struct {
	// Relay is the Oblivious HTTP relay through which clients send and fetch
	// everything. It is an organisation of its own: identity keys and
	// hosts of other parties are refused, independence is a promise.
	Relay Party
	// CredentialEpochs is how many epochs in a row share the credentials of a
	// client, a multiple of Crowd.SaltEpochs. 0 means that none are required.
	// The limits are PerEpoch and PerCrowd; for the method Aggregate one report an epoch.
	CredentialEpochs uint32
	// Randomness is the party that evaluates the function from which a hardened
	// quorum derives all that leaves the device. It wants a quorum and credentials.
	Randomness Party
	// Evaluations is how many evaluation requests each client makes an epoch, with
	// records or without; at least 1 with Randomness, 0 without.
	Evaluations uint32
	// Blinded is whether two shufflers count crowds that neither of them can name
	// (crypto/blind). Then the last shuffler cannot count what one client sends to a
	// crowd, and with credentials PerCrowd is PerEpoch.
	Blinded bool
	// Second is the rule of a second crowd of each report.
	Second SecondCrowd
	// Detail are the fields, indexes into the schema, that clients send only if their
	// people have agreed to it, see [Task.Plain].
	Detail []uint8
}

// The types of additions to a task's canonical bytes.
const (
	additionRelay      = 1
	additionCredential = 2
	additionRandomness = 3
	additionBlinded    = 4
	additionSecond     = 5
	additionDetail     = 6
)

// MaxCredentialEpochs bounds [Protection].CredentialEpochs.
const MaxCredentialEpochs = 1 << 16

// MaxRelayedPeriod bounds the seconds of a period of credentials of a task with a relay:
// relays sign no keys of longer ones.
const MaxRelayedPeriod = 366 * 86400

const (
	maxEvaluations   = 1 << 10
	maxPresentations = 1 << 16 // of one credential in an epoch
)

// Relayed reports whether clients reach the task's parties through a relay alone.
func (t *Task) Relayed() bool { return t.Protection.Relay.Role != 0 }

// Hardened reports whether the task's quorum derives from a randomness party.
func (t *Task) Hardened() bool { return t.Protection.Randomness.Role != 0 }

// CredentialPeriod returns the epochs [first, end) whose credentials are those of
// epoch e. Without credentials both are 0.
func (t *Task) CredentialPeriod(e Epoch) (first, end Epoch) {
	n := Epoch(t.Protection.CredentialEpochs)
	if n == 0 {
		return 0, 0
	}
	first = e / n * n
	return first, first + n
}

// Parties returns all parties of the task: its hops, then the relay and the
// randomness party if it has them.
func (t *Task) Parties() []Party {
	all := append([]Party(nil), t.Hops...)
	for _, p := range []Party{t.Protection.Relay, t.Protection.Randomness} {
		if p.Role != 0 {
			all = append(all, p)
		}
	}
	return all
}

// Implemented returns an error that names the first protection of the task which this
// version reads but does not give on the task's route. Today there is no such protection.
func (*Task) Implemented() error { return nil }

// Missing returns what the task lacks of what hides a value and its sender from every
// single party: a relay, credentials, and a hardened quorum.
func (t *Task) Missing() []string {
	var all []string
	if !t.Relayed() {
		all = append(all, "a relay")
	}
	if t.Protection.CredentialEpochs == 0 {
		all = append(all, "credentials")
	}
	if !t.Hardened() {
		all = append(all, "a hardened quorum")
	}
	return all
}

// A PresentationKind is what a presentation of a credential is counted by.
type PresentationKind uint8

// The kinds.
const (
	EpochPresentation  PresentationKind = 1 // all reports of an epoch
	CrowdPresentation  PresentationKind = 2 // those of a crowd in a salt window
	QuorumPresentation PresentationKind = 3 // those of a quorum tag in an epoch
)

// A Presentation is one of a credential that a party asks for: each client has Limit
// of its kind.
type Presentation struct {
	Kind  PresentationKind
	Limit uint32
}

// Presentations returns which presentations a party of the task asks for with each
// report or request, by kind: what clients show, what the party verifies and what a
// plan states. It returns nothing for tasks without credentials and for parties that
// ask for none.
func (t *Task) Presentations(p Party) []Presentation {
	if t.Protection.CredentialEpochs == 0 {
		return nil
	}
	switch p.Role {
	case Shuffler:
		all := []Presentation{{EpochPresentation, t.PerEpoch}}
		if n := len(t.Hops); !t.Protection.Blinded && n > 1 && bytes.Equal(t.Hops[n-2].Identity, p.Identity) {
			all = append(all, Presentation{CrowdPresentation, t.PerCrowd})
		}
		return all
	case Analyzer:
		if t.Hardened() {
			return []Presentation{{QuorumPresentation, 1}}
		}
	case Leader, Helper:
		return []Presentation{{EpochPresentation, 1}}
	case Randomness:
		return []Presentation{{EpochPresentation, t.Protection.Evaluations}}
	}
	return nil
}

func (p *Protection) none() bool {
	return p.Relay.unused() && p.CredentialEpochs == 0 && p.Randomness.unused() && p.Evaluations == 0 && !p.Blinded && p.Second.unused() && len(p.Detail) == 0
}

func (p Party) unused() bool { return p.Role == 0 && p.URL == "" && len(p.Identity) == 0 }

func (t *Task) validateProtection() error {
	p := &t.Protection
	if err := t.validateProtector("relay", p.Relay, Relay, t.Hops); err != nil {
		return err
	}
	others := t.Hops
	if t.Relayed() {
		others = append(others[:len(others):len(others)], p.Relay)
	}
	if err := t.validateProtector("randomness", p.Randomness, Randomness, others); err != nil {
		return err
	}
	salt := max(1, t.Crowd.SaltEpochs)
	switch {
	case p.CredentialEpochs > MaxCredentialEpochs:
		return fmt.Errorf("credentials: a period of %d epochs, want at most %d", p.CredentialEpochs, MaxCredentialEpochs)
	case t.Relayed() && uint64(p.CredentialEpochs)*uint64(t.EpochSeconds) > MaxRelayedPeriod:
		return fmt.Errorf("credentials: a period of %d epochs of %d seconds, want at most %d days with a relay", p.CredentialEpochs, t.EpochSeconds, MaxRelayedPeriod/86400)
	case p.CredentialEpochs > 0 && t.PerEpoch > maxPresentations:
		return fmt.Errorf("credentials: %d reports a client and epoch, want at most %d", t.PerEpoch, maxPresentations)
	case p.CredentialEpochs%salt != 0:
		return fmt.Errorf("credentials: a period of %d epochs, want a multiple of the %d that share a salt", p.CredentialEpochs, salt)
	case p.Evaluations > maxEvaluations:
		return fmt.Errorf("randomness: %d evaluations a client and epoch, want at most %d", p.Evaluations, maxEvaluations)
	case t.Hardened() != (p.Evaluations > 0):
		return fmt.Errorf("randomness: %d evaluations a client and epoch, want 1 or more with a randomness party and 0 without", p.Evaluations)
	case t.Hardened() && (t.Method != Crowd || t.Encoding.Kind != Quorum):
		return errors.New("randomness: only a quorum uses it")
	case t.Hardened() && p.CredentialEpochs == 0:
		return errors.New("randomness: a hardened quorum wants credentials, or one client could make several shares of a value")
	}
	if err := t.validateBlinded(); err != nil {
		return err
	}
	if err := t.validateSecond(); err != nil {
		return err
	}
	return t.validateDetail()
}

func (t *Task) validateBlinded() error {
	if !t.Protection.Blinded {
		return nil
	}
	return t.CanBlind()
}

// CanBlind returns an error that says why the task's crowds cannot be blinded, nil if they
// can, whether they are or not.
func (t *Task) CanBlind() error {
	shufflers := len(t.Hops) - 1
	switch {
	case t.Method != Crowd || shufflers != blindedShufflers:
		return fmt.Errorf("blinded: %d shufflers, want %d: one blinds, the other counts", max(0, shufflers), blindedShufflers)
	case t.Crowd.Kind == Constant:
		return errors.New("blinded: all reports are one crowd, of which there is nothing to blind")
	case t.Crowd.SaltEpochs > 1:
		return fmt.Errorf("blinded: %d epochs share a salt, want 1: crowds of two batches cannot be compared", t.Crowd.SaltEpochs)
	case t.Encoding.Kind == Quorum:
		return errors.New("blinded: a quorum needs the crowd's tag, or derives it from a randomness party, which blinds it already")
	case t.Protection.CredentialEpochs > 0 && t.PerCrowd != t.PerEpoch:
		return fmt.Errorf("blinded: credentials cannot enforce %d reports a client and crowd where crowds are blinded, want the %d of an epoch", t.PerCrowd, t.PerEpoch)
	}
	return nil
}

const blindedShufflers = 2

func (t *Task) validateProtector(word string, p Party, role Role, others []Party) error {
	if p.unused() {
		return nil
	}
	if p.Role != role {
		return fmt.Errorf("%s: the party is a %s", word, p.Role)
	}
	if err := p.validate(); err != nil {
		return fmt.Errorf("%s: %w", word, err)
	}
	for _, o := range others {
		if bytes.Equal(o.Identity, p.Identity) || sameHost(o.URL, p.URL) {
			return fmt.Errorf("%s has the host or the identity of the %s; it must be an organisation of its own", word, o.Role)
		}
	}
	return nil
}

// sameHost reports whether two valid URLs name one host. Ports make no difference,
// but on the loopback interface, where they are all that tells parties apart.
func sameHost(a, b string) bool {
	u, errA := url.Parse(a)
	v, errB := url.Parse(b)
	if errA != nil || errB != nil || u.Hostname() == "" {
		return false
	}
	if loopback(u.Hostname()) && loopback(v.Hostname()) {
		return u.Port() == v.Port()
	}
	return u.Hostname() == v.Hostname()
}

// marshal writes what follows the other fields in bytes of version 2.
func (p *Protection) marshal(b *cryptobyte.Builder) {
	add := func(kind uint16, present bool, data func(*cryptobyte.Builder)) {
		if present {
			b.AddUint16(kind)
			b.AddUint16LengthPrefixed(data)
		}
	}
	b.AddUint16LengthPrefixed(func(inner *cryptobyte.Builder) {
		b = inner
		add(additionRelay, !p.Relay.unused(), p.Relay.marshal)
		add(additionCredential, p.CredentialEpochs != 0, func(b *cryptobyte.Builder) { b.AddUint32(p.CredentialEpochs) })
		add(additionRandomness, !p.Randomness.unused(), func(b *cryptobyte.Builder) {
			p.Randomness.marshal(b)
			b.AddUint32(p.Evaluations)
		})
		add(additionBlinded, p.Blinded, func(*cryptobyte.Builder) {})
		add(additionSecond, !p.Second.unused(), p.Second.marshal)
		add(additionDetail, len(p.Detail) > 0, p.marshalDetail)
	})
}

// unmarshal reads what marshal writes. It refuses types that it does not know: a
// program that ignored one would send with less protection than the owner signed.
func (p *Protection) unmarshal(s *cryptobyte.String) bool {
	var all cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&all) || all.Empty() {
		return false
	}
	last := uint16(0)
	for !all.Empty() {
		var kind uint16
		var data cryptobyte.String
		if !all.ReadUint16(&kind) || kind <= last || !all.ReadUint16LengthPrefixed(&data) || !p.unmarshalOne(kind, &data) || !data.Empty() {
			return false
		}
		last = kind
	}
	return true
}

func (p *Protection) unmarshalOne(kind uint16, data *cryptobyte.String) bool {
	switch kind {
	case additionRelay:
		return p.Relay.unmarshal(data)
	case additionCredential:
		return data.ReadUint32(&p.CredentialEpochs)
	case additionRandomness:
		return p.Randomness.unmarshal(data) && data.ReadUint32(&p.Evaluations)
	case additionBlinded:
		p.Blinded = true
		return true
	case additionSecond:
		return p.Second.unmarshal(data)
	case additionDetail:
		return p.unmarshalDetail(data)
	}
	return false
}

func (p *Party) marshal(b *cryptobyte.Builder) {
	b.AddUint8(uint8(p.Role))
	add16(b, p.URL)
	b.AddBytes(p.Identity)
}

func (p *Party) unmarshal(s *cryptobyte.String) bool {
	return s.ReadUint8((*uint8)(&p.Role)) && read16(s, &p.URL) && s.ReadBytes((*[]byte)(&p.Identity), 32)
}
