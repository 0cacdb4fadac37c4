package credential

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/metric/task"
)

const (
	contextDomain = "shoal presentation context v1"
	policyDomain  = "shoal credential policy v1"
	bindingDomain = "shoal presentation binding v1"
)

// A Context is what presentations are counted in, with their limit: the bytes of a
// presentation context of crypto/arc.
type Context struct {
	Kind  task.PresentationKind
	Limit uint32
	Data  [sha256.Size]byte
}

// contextOf returns the context of a kind:
//
//	SHA-256("shoal presentation context v1" || role u8 || owner[32] ||
//	        len(metric) u8 || metric || kind u8 || start u64 || len(tag) u8 || tag)
//
// with the start of the epoch or salt window in Unix seconds.
func contextOf(t *task.Task, role task.Role, kind task.PresentationKind, limit uint32, start task.Epoch, tag []byte) Context {
	b := append(make([]byte, 0, 256), contextDomain...)
	b = append(b, uint8(role))
	b = append(b, t.Owner...)
	b = append(append(b, uint8(len(t.Metric))), t.Metric...)
	b = append(b, uint8(kind))
	b = binary.BigEndian.AppendUint64(b, uint64(t.Start(start).Unix()))
	b = append(append(b, uint8(len(tag))), tag...)
	return Context{Kind: kind, Limit: limit, Data: sha256.Sum256(b)}
}

// ContextsOf returns the contexts of what a party asks for with a report of an epoch,
// in the order of [task.Task.Presentations]. tag is the crowd's or quorum's tag of at
// most 255 bytes, where a kind has one.
func ContextsOf(t *task.Task, p task.Party, e task.Epoch, tag []byte) []Context {
	asked := t.Presentations(p)
	all := make([]Context, len(asked))
	for i, a := range asked {
		switch a.Kind {
		case task.EpochPresentation:
			all[i] = contextOf(t, p.Role, a.Kind, a.Limit, e, nil)
		case task.CrowdPresentation:
			first := t.SaltWindow(e) * uint64(max(1, t.Crowd.SaltEpochs))
			all[i] = contextOf(t, p.Role, a.Kind, a.Limit, task.Epoch(first), tag)
		case task.QuorumPresentation:
			all[i] = contextOf(t, p.Role, a.Kind, a.Limit, e, tag)
		}
	}
	return all
}

// Binding returns what ties a presentation to one report: the end of the session
// string of its proof.
//
//	"shoal presentation binding v1" || task ID || digest
func Binding(id task.ID, digest [sha256.Size]byte) []byte {
	b := append(make([]byte, 0, len(bindingDomain)+2*sha256.Size), bindingDomain...)
	return append(append(b, id[:]...), digest[:]...)
}

// A Slot names what an issuer has one key of: a policy, which is a party's role, an
// owner and a metric, and a period.
type Slot struct {
	Party  [ed25519.PublicKeySize]byte // the issuer's identity
	Role   task.Role
	Owner  [ed25519.PublicKeySize]byte
	Metric string
	Start  int64 // of the period, Unix seconds
	End    int64
}

// SlotOf returns the slot of the credentials that a party of t asks for with reports
// of an epoch. It returns false if the party asks for none.
func SlotOf(t *task.Task, p task.Party, e task.Epoch) (Slot, bool) {
	if len(t.Presentations(p)) == 0 || len(p.Identity) != ed25519.PublicKeySize || len(t.Owner) != ed25519.PublicKeySize {
		return Slot{}, false
	}
	first, end := t.CredentialPeriod(e)
	return Slot{
		Party: [32]byte(p.Identity), Role: p.Role, Owner: [32]byte(t.Owner), Metric: t.Metric,
		Start: t.Start(first).Unix(), End: t.Start(end).Unix(),
	}, true
}

// RequestContext returns the request context of the slot's credentials:
//
//	"shoal credential policy v1" || role u8 || owner[32] || len(metric) u8 || metric ||
//	start u64 || end u64
func (s Slot) RequestContext() []byte {
	b := append(make([]byte, 0, 192), policyDomain...)
	b = append(b, uint8(s.Role))
	b = append(b, s.Owner[:]...)
	b = append(append(b, uint8(len(s.Metric))), s.Metric...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.Start))
	return binary.BigEndian.AppendUint64(b, uint64(s.End))
}

// Purpose names the policy where keys are announced and witnessed: "credential-" and
// 20 hexadecimal digits of a digest of role, owner, metric and length of the period.
func (s Slot) Purpose() string {
	of := s
	of.Start, of.End = 0, s.End-s.Start
	sum := sha256.Sum256(of.RequestContext())
	return "credential-" + hex.EncodeToString(sum[:10])
}

// name is the name of the slot's folder.
func (s Slot) name() string { return fmt.Sprintf("%s-%d", s.Purpose(), s.Start) }

// asking returns the parties of t that ask for presentations, in the order of
// [task.Task.Parties].
func asking(t *task.Task) []task.Party {
	return slices.DeleteFunc(t.Parties(), func(p task.Party) bool { return len(t.Presentations(p)) == 0 })
}
