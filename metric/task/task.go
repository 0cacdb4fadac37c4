// Package task holds what every party of a question agrees on: the [Task], its
// canonical bytes and its [ID]; the [KeyConfig] by which a party announces its
// current keys; and the record encoding that a task's schema defines.
package task

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"time"
)

// An ID names a task: the SHA-256 digest of its canonical bytes.
type ID [sha256.Size]byte

// String returns the ID in unpadded base64url, as used in URLs.
func (id ID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// ParseID reads the form that [ID.String] writes.
func ParseID(s string) (ID, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(ID{}) {
		return ID{}, fmt.Errorf("task ID %q: want 43 characters of unpadded base64url", s)
	}
	return ID(b), nil
}

// An Epoch is a period of a task's life, counted in epoch lengths since the
// Unix epoch. A batch is all reports of one task and one epoch.
type Epoch uint64

// A Method is the way in which a question is answered.
type Method uint8

// The methods. A task's method decides which of its fields have a meaning.
const (
	Aggregate Method = 1 // Prio3 over DAP
	Crowd     Method = 2 // Encode, Shuffle, Analyze
)

// A Task is one metric, compiled: everything that the parties must agree on
// before a single report is made. Its canonical bytes are what the owner signs
// and what the ID is the digest of; HPKE keys are not among them, see
// [KeyConfig].
type Task struct {
	Owner    ed25519.PublicKey // the key of the owner; 32 bytes
	OwnedBy  string            // the owner's name, 1 to 255 bytes
	Metric   string            // [a-z0-9_.]{1,64}, unique for an owner
	Question string            // for people, up to 1000 bytes
	Consent  string            // what a person agrees to, up to 4000 bytes
	Method   Method

	// Of the method Aggregate alone; it uses none of what follows up to MinBatch,
	// nor PerEpoch, PerCrowd, PayloadSize and Extensions. One client sends at most
	// one report an epoch.
	Aggregation Aggregation

	Schema    Schema
	Fragment  Fragment
	Crowd     CrowdRule
	Threshold Threshold
	Encoding  Encoding
	MinBatch  uint32 // reports that a batch must hold to be opened at all

	EpochSeconds uint32 // length of an epoch
	MaxDelay     uint32 // seconds a client may hold a report back after the epoch's end
	ClockSkew    uint32 // seconds of clock difference tolerated on top
	PerEpoch     uint32 // reports a client may send an epoch
	PerCrowd     uint32 // reports a client may send a crowd and epoch

	PayloadSize uint16   // size class of the innermost plaintext, bytes
	Extensions  []uint16 // extension types that reports may carry, strictly increasing
	Hops        []Party  // the way of a report: one or more shufflers, then the analyzer; or leader, helper, collector

	RetentionDays uint32 // how long released tables are kept; 0 means until removed by hand
	NotBefore     int64  // Unix seconds of the first epoch's start, a multiple of EpochSeconds
	Expires       int64  // Unix seconds; no epoch ends later

	Protection Protection
}

// A Role is what a party does with a report.
type Role uint8

// The roles that appear in tasks and in report headers.
const (
	Shuffler  Role = 1
	Analyzer  Role = 2
	Leader    Role = 3 // of a task of the method Aggregate, as are the next two
	Helper    Role = 4
	Collector Role = 5

	// Beside the way of a report: see Protection.
	Relay      Role = 6
	Randomness Role = 7

	// Gateway is no party of a task: it is in front of the other roles of an
	// organisation, for requests that come through a relay.
	Gateway Role = 8
)

// A Party is one hop of a report's way. It is known by its URL and its
// long-lived identity key; the keys that open reports come from its KeyConfig.
type Party struct {
	Role     Role
	URL      string            // https, or http on loopback; no trailing slash; may be empty for a collector
	Identity ed25519.PublicKey // 32 bytes
}

// A Schema is the allow-list of a record: what is not in it never leaves the
// device.
type Schema []Field

// A Kind is the type of a field's values.
type Kind uint8

// The kinds, with the Go type that a [Value] of it has.
const (
	String Kind = 1 // string, at most Field.Max bytes
	Enum   Kind = 2 // string, one of Field.Values
	Int    Kind = 3 // int64, in [Field.Low, Field.High], already bucketed
	Bool   Kind = 4 // bool
	Set    Kind = 5 // uint64: bit i means that Field.Values[i] is present; at most 64 values
	List   Kind = 6 // []Value of kind Field.Elem, at most Field.Max elements
)

// A Field is one column of a schema.
type Field struct {
	Name   string   // [a-z0-9_]{1,64}
	Kind   Kind     // what it holds
	Elem   Kind     // of the elements of a List: String, Enum or Int
	Max    uint16   // String: bytes; List: elements
	MaxStr uint16   // List of String: bytes of an element
	Values []string // Enum, Set, and List of Enum: the possible values
	Low    int64    // Int and List of Int: range, inclusive
	High   int64
	// Buckets are the lower bounds, strictly increasing, to which an Int is
	// rounded down; the first equals Low. None means exact values.
	Buckets []int64
	// Flip is the randomised response of this field, as a probability in
	// millionths: each bit of a Set and a Bool is flipped (below one half), an
	// Enum and each element of a List of Enum is replaced by a uniformly random
	// one of Values (at most 1; the true value included), each independently,
	// with this probability. For a String, an Int and Lists of them it must be 0.
	Flip uint32
}

// A Value is one field's value after validation and coarsening. Its dynamic
// type is given by the field's [Kind]; nil means absent, which only fragments
// are.
type Value any

// A Record holds one value a field of the schema, in the schema's order.
type Record []Value

// A SetChunk is the value of a Set field in a report of a task that fragments
// it: bits [Index*Width, (Index+1)*Width) of the set, at the bottom of Bits.
type SetChunk struct {
	Index uint8
	Bits  uint64
}

// A FragmentKind is a way to break a record into independent reports (Prochlo
// paper, section 3.2).
type FragmentKind uint8

// The ways.
const (
	Whole  FragmentKind = 0 // one report a record
	Fields FragmentKind = 1 // one report a field not in Keep, together with the fields in Keep
	Pairs  FragmentKind = 2 // one report a pair i <= j of elements of the List Field, at most Cap of them, drawn uniformly
	Tuples FragmentKind = 3 // disjoint tuples of M consecutive elements of the List Field
	Bits   FragmentKind = 4 // chunks of M bits of the Set Field
)

// A Fragment is how a record is broken up. Fields of Keep are in every fragment;
// each field of the schema is in some. The crowd's fields are in every fragment
// too: they are in Keep or are Field itself.
type Fragment struct {
	Kind  FragmentKind
	Field uint8   // index into the schema: Pairs, Tuples, Bits; not in Keep
	M     uint8   // Tuples: elements; Bits: width of a chunk; at least 1
	Cap   uint16  // Pairs: 0 means all
	Keep  []uint8 // indexes into the schema, strictly increasing
}

// A CrowdKind is what makes reports a crowd.
type CrowdKind uint8

// The kinds of crowd (Prochlo paper, sections 3.5 and 5.2).
const (
	Constant   CrowdKind = 0 // one crowd: every report
	Attributes CrowdKind = 1 // the values of CrowdRule.Fields
	Payload    CrowdKind = 2 // the whole fragment
)

// A CrowdRule defines which crowd a report belongs to.
type CrowdRule struct {
	Kind   CrowdKind
	Fields []uint8 // Attributes: indexes into the schema, strictly increasing
	// SaltEpochs is how many epochs in a row share the salt of the crowd tags.
	// At 1, tags of two epochs cannot be compared, and a batch below its
	// minimum is destroyed rather than carried over. PerEpoch and PerCrowd are
	// counted over all of them, see [Task.CapPeriod].
	SaltEpochs uint32
}

// A ThresholdKind is the rule by which crowds are suppressed.
type ThresholdKind uint8

// The rules (Prochlo paper, section 3.5).
const (
	Naive     ThresholdKind = 0 // forward a crowd of at least T
	NoisySet  ThresholdKind = 1 // forward a crowd of more than T + N(0, sigma^2), rounded
	NoisyDrop ThresholdKind = 2 // drop d = max(0, round(N(D, sigma^2))) records, then forward if at least T are left
)

// A Threshold defines which crowds are forwarded and how many of their records.
type Threshold struct {
	Kind       ThresholdKind
	T          uint32
	D          uint32 // NoisyDrop: mean of the number dropped
	SigmaMilli uint32 // standard deviation in thousandths
}

// First returns the party that clients send to: the leader, or the first shuffler.
func (t *Task) First() Party {
	if len(t.Hops) == 0 {
		return Party{}
	}
	return t.Hops[0]
}

// Leader returns the leader of a task of the aggregate route.
// A task of another route has none: the party is the zero one.
func (t *Task) Leader() Party { return t.party(Leader) }

// Helper returns the helper of a task of the aggregate route.
func (t *Task) Helper() Party { return t.party(Helper) }

// Collector returns the collector of a task of the aggregate route.
func (t *Task) Collector() Party { return t.party(Collector) }

func (t *Task) party(r Role) Party {
	for i := range t.Hops {
		if t.Hops[i].Role == r {
			return t.Hops[i]
		}
	}
	return Party{}
}

// Start returns when epoch e begins.
func (t *Task) Start(e Epoch) time.Time {
	return time.Unix(int64(e)*int64(t.EpochSeconds), 0).UTC()
}

// EpochAt returns the epoch that holds the moment at.
func (t *Task) EpochAt(at time.Time) Epoch {
	return Epoch(max(0, at.Unix()) / int64(t.EpochSeconds))
}

// Opens returns from when on reports of epoch e are taken: the epoch's start less the
// clock skew. Those of a hardened task are taken when the epoch's evaluation key has been
// destroyed, see [Task.EvaluationEnds].
func (t *Task) Opens(e Epoch) time.Time {
	if t.Hardened() {
		return t.EvaluationEnds(e)
	}
	return t.Start(e).Add(-t.skew())
}

// Closes returns when the batch of epoch e stops taking reports: the epoch's
// end and the task's grace.
func (t *Task) Closes(e Epoch) time.Time { return t.Start(e + 1).Add(t.Grace()) }

// Grace returns how long after an epoch's end its reports are taken: the longest send
// delay and the clock skew. The send delay of a hardened task begins two skews after the
// epoch's end, see [Task.SendsFrom].
func (t *Task) Grace() time.Duration {
	grace := time.Duration(t.MaxDelay)*time.Second + t.skew()
	if t.Hardened() {
		grace += 2 * t.skew()
	}
	return grace
}

func (t *Task) skew() time.Duration { return time.Duration(t.ClockSkew) * time.Second }

// EvaluationEnds returns when the randomness party of a hardened task destroys its key
// of epoch e: the epoch's end plus the clock skew.
func (t *Task) EvaluationEnds(e Epoch) time.Time { return t.Start(e + 1).Add(t.skew()) }

// SendsFrom returns when a client begins to send its reports of epoch e. In a hardened task
// that is, whatever its clock shows within the skew, not before [Task.EvaluationEnds]. In
// a task with a relay it is the epoch's end: people have hours of their own, by which
// reports of one person could be linked if the time of a report depended on when it was
// recorded. In others it is the epoch's start; what the method aggregate adds up, too,
// leaves after the epoch's end.
func (t *Task) SendsFrom(e Epoch) time.Time {
	switch {
	case t.Hardened():
		return t.EvaluationEnds(e).Add(t.skew())
	case t.Relayed() || t.Method == Aggregate:
		return t.Start(e + 1)
	}
	return t.Start(e)
}

// Covers reports whether epoch e lies within the task's life, between NotBefore
// and Expires. Reports of other epochs are neither made nor taken.
func (t *Task) Covers(e Epoch) bool {
	length := uint64(t.EpochSeconds)
	if length == 0 || uint64(e) >= math.MaxInt64/length {
		return false
	}
	start := int64(uint64(e) * length)
	return start >= t.NotBefore && start <= t.Expires-int64(length)
}

// SaltWindow returns the number of the salt window that holds epoch e.
func (t *Task) SaltWindow(e Epoch) uint64 {
	return uint64(e) / uint64(max(1, t.Crowd.SaltEpochs))
}

// CapPeriod returns from when to when the caps of a client count what it sends
// in epoch e: the whole salt window, since the batches of its epochs may be
// merged.
func (t *Task) CapPeriod(e Epoch) (start, end time.Time) {
	span := uint64(max(1, t.Crowd.SaltEpochs))
	first := t.SaltWindow(e) * span
	return t.Start(Epoch(first)), t.Start(Epoch(first + span))
}
