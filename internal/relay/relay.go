package relay

import (
	"crypto/ed25519"
	"encoding/hex"
	"time"

	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// Period is for how long the keys of a party and purpose are the same for all clients.
// Client, relay and party compute the bounds of a period from it.
const Period = 24 * time.Hour

// early is how long before its start the keys of a period are stated and witnessed.
const early = time.Hour

// Purposes that statements have beside the names of roles, whose keys are those that
// reports are sealed to.
const (
	// Gateway is the purpose of the keys that requests are sealed to.
	Gateway = "gateway"
	// Credential begins the purposes of keys of credentials, each of a policy and its
	// period; it is followed by a digest of the policy (package credential).
	Credential = "credential-"
	// Evaluation begins the purposes of keys of hardened quorums, each of a task, whose
	// periods are its epochs; see [EvaluationSlot].
	Evaluation = "evaluation-"
)

// The periods of credentials and evaluations have lengths of their own, which statements
// give and clients know from the task.
const (
	MinSpan = time.Second
	MaxSpan = task.MaxRelayedPeriod * time.Second
)

// Spans returns what statements are witnessed for whose periods follow from a task.
func Spans() map[string]witness.Span {
	return map[string]witness.Span{Credential: {Min: MinSpan, Max: MaxSpan}, Evaluation: {Min: MinSpan, Max: MaxSpan}}
}

// A Slot is what a relay is to sign of a party, with the length of its period: clients get
// it from the party, sealed, so that the relay does not learn who wants which.
type Slot struct {
	witness.Slot
	Length time.Duration
	Relay  task.Party
}

// EvaluationSlot returns the slot of the key of a hardened task's randomness party in an
// epoch: its purpose is "evaluation-" and 20 hexadecimal digits of the task's ID. Its
// relay is that of the task, if it has one.
func EvaluationSlot(t *task.Task, id task.ID, e task.Epoch) Slot {
	s := Slot{
		Slot:   witness.Slot{Purpose: Evaluation + hex.EncodeToString(id[:10]), Start: t.Start(e).Unix()},
		Length: t.Start(e + 1).Sub(t.Start(e)), Relay: t.Protection.Relay,
	}
	copy(s.Party[:], t.Protection.Randomness.Identity)
	return s
}

// CredentialSlot returns the slot of a key of credentials, of a task that requires them.
func CredentialSlot(t *task.Task, s credential.Slot) Slot {
	return Slot{
		Slot:   witness.Slot{Party: s.Party, Purpose: s.Purpose(), Start: s.Start},
		Length: time.Duration(s.End-s.Start) * time.Second, Relay: t.Protection.Relay,
	}
}

// Statement returns the slot's statement, to be signed by its party.
func (s Slot) Statement(keys []byte) witness.Statement {
	return witness.Statement{Slot: s.Slot, End: s.Start + int64(s.Length/time.Second), Keys: keys}
}

// Open returns the keys that a party has announced for the slot: with the signature of the
// relay if the slot has one, and without it only if it has none.
func (s Slot) Open(announced []byte) ([]byte, error) {
	if s.Relay.Role != 0 {
		return witness.Open(announced, s.Slot, s.Length, s.Relay.Identity)
	}
	opened, err := witness.OpenStatement(announced, s.Slot, s.Length)
	return opened.Keys, err
}

// Purposes returns what statements are witnessed for, with the lengths of their periods.
// Keys of the roles are: of shuffler and analyzer the signed KeyConfig, of leader and
// helper DAP's list of HPKE configurations.
func Purposes() map[string]time.Duration {
	return map[string]time.Duration{
		Gateway: Period, "shuffler": Period, "analyzer": Period, "leader": Period, "helper": Period,
	}
}

// Sizes returns the lengths of messages on which client, relay and gateway agree.
func Sizes() ohttp.Sizes { return ohttp.DefaultSizes() }

// The resources of a relay.
const (
	gatewaysPath = "/gateways/" // + name of a gateway
	keysPath     = "/keys"      // + path of a slot
	minutesPath  = "/minute/"   // + name of a party
)

// The resources of a party. A gateway that serves credentials apart from all else lets
// the relay bound how many it passes on.
const (
	GatewayPath    = "/gateway"
	IssuancePath   = "/gateway/issuance"
	statementsPath = "/statements" // + path of a slot
	minutePath     = "/minute"
)

// issuance is what the name of a gateway for issuance has behind that of the party.
const issuance = ".issuance"

// GatewayOf returns the path at which a relay forwards to a party.
func GatewayOf(identity ed25519.PublicKey) string { return gatewaysPath + nameOf(identity) }

// nameOf returns the name of a party in paths.
func nameOf(identity ed25519.PublicKey) string { return hex.EncodeToString(identity) }
