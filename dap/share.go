package dap

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/vdaf"
)

// A Role is a party of a task (section "Basic Type Definitions"). Its numbers are those
// of DAP's input shares and aggregate shares, which bind them into what is sealed; the
// roles of a Shoal task ([github.com/shoal-project/shoal/metric/task.Role]) have others
// in its bytes, and no client. Neither set of numbers can change.
type Role uint8

// The roles.
const (
	Collector Role = 0
	Client    Role = 1
	Leader    Role = 2
	Helper    Role = 3
)

// String returns the role's name.
func (r Role) String() string {
	switch r {
	case Collector:
		return "collector"
	case Client:
		return "client"
	case Leader:
		return "leader"
	case Helper:
		return "helper"
	}
	return fmt.Sprintf("role %d", uint8(r))
}

// A Task is a task that this package can take part in: a configuration, its
// exact bytes, its ID and the variant. It seals and opens the shares that are
// bound to them. It is read-only and safe for concurrent use.
type Task struct {
	id          TaskID
	encoded     []byte
	config      TaskConfiguration
	codec       Codec
	instance    vdaf.Instance
	interval    Interval
	hasInterval bool
	noise       dp.Noise
	context     []byte
	bound       []byte // task ID and configuration, with which each AAD begins
}

// NewTask makes a task from its ID and its encoded configuration. With id equal
// to [TaskprovID] of the configuration the two cannot be confused; IDs that were
// agreed otherwise serve too. A configuration that is malformed, or that this
// package must not take part in, is an [Abort] of type [ProblemInvalidTask].
// The error never depends on anything but the arguments.
func NewTask(v *Variant, id TaskID, configuration []byte) (*Task, error) {
	t := &Task{id: id, encoded: bytes.Clone(configuration)}
	if err := NewCodec(v).Decode(&t.config, t.encoded); err != nil {
		return nil, &Abort{Type: ProblemInvalidTask, Detail: err.Error()}
	}
	if err := t.config.Validate(); err != nil {
		return nil, &Abort{Type: ProblemInvalidTask, Detail: err.Error()}
	}
	var err error
	if t.instance, err = t.config.Instance(); err != nil {
		return nil, &Abort{Type: ProblemInvalidTask, Detail: err.Error()}
	}
	if t.interval, t.hasInterval, err = t.config.Interval(); err != nil {
		return nil, &Abort{Type: ProblemInvalidTask, Detail: err.Error()}
	}
	if t.noise, err = t.config.Noise(); err != nil {
		return nil, &Abort{Type: ProblemInvalidTask, Detail: err.Error()}
	}
	t.codec = NewCodec(v).WithLimits(LimitsFor(t.instance, DefaultLimits().Reports))
	t.context = append([]byte(v.tag), id[:]...)
	t.bound = append(id[:], t.encoded...)
	return t, nil
}

// ID returns the task's ID.
func (t *Task) ID() TaskID { return t.id }

// Bytes returns the encoded configuration as it was agreed.
func (t *Task) Bytes() []byte { return bytes.Clone(t.encoded) }

// Config returns the configuration, which must not be changed.
func (t *Task) Config() *TaskConfiguration { return &t.config }

// Codec returns a codec of the task's variant with limits that fit its VDAF.
func (t *Task) Codec() Codec { return t.codec }

// Variant returns the task's variant.
func (t *Task) Variant() *Variant { return t.codec.variant }

// Instance returns the task's VDAF.
func (t *Task) Instance() vdaf.Instance { return t.instance }

// Interval returns in which time reports may be made, false if any will do.
func (t *Task) Interval() (Interval, bool) { return t.interval, t.hasInterval }

// Context returns the VDAF's application context: the variant's tag and the
// task ID.
func (t *Task) Context() []byte { return bytes.Clone(t.context) }

// inputInfo is the HPKE info of input shares for an aggregator.
func (t *Task) inputInfo(to Role) []byte {
	return append([]byte(t.codec.variant.tag+" input share"), byte(Client), byte(to))
}

// aggregateInfo is the HPKE info of aggregate shares from an aggregator.
func (t *Task) aggregateInfo(from Role) []byte {
	return append([]byte(t.codec.variant.tag+" aggregate share"), byte(from), byte(Collector))
}

// InputShareAAD returns the encoded InputShareAad of a report (section "Client
// Behavior").
func (t *Task) InputShareAAD(m *ReportMetadata, publicShare []byte) ([]byte, error) {
	if len(m.PublicExtensions) > 1<<16-1 || uint64(len(publicShare)) > 1<<32-1 {
		return nil, fmt.Errorf("encoding the AAD of an input share: %w: public extensions of %d bytes, want at most %d", ErrMalformed, len(m.PublicExtensions), 1<<16-1)
	}
	return t.appendInputShareAAD(nil, m, publicShare), nil
}

// AggregateShareAAD returns the encoded AggregateShareAad of a collection job
// (section "Aggregate Share Encryption").
func (t *Task) AggregateShareAAD(job *CollectionJobReq) ([]byte, error) {
	w := t.aad(64)
	job.marshal(w)
	aad, err := w.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding the AAD of an aggregate share: %w", err)
	}
	return aad, nil
}

// aad returns a writer that has written the task and has room for n bytes more.
func (t *Task) aad(n int) *writer {
	b := slices.Grow([]byte(nil), len(t.bound)+n)
	return &writer{Builder: builderOn(append(b, t.bound...)), codec: t.codec}
}

// SealInputShare seals a share of a report to the leader or the helper. It fails
// with [ErrUnsupported] or [ErrMalformed].
func (t *Task) SealInputShare(to HpkeConfig, role Role, m *ReportMetadata, publicShare []byte, share *PlaintextInputShare) (HpkeCiphertext, error) {
	public, err := to.public()
	if err != nil {
		return HpkeCiphertext{}, fmt.Errorf("input share for the %v: %w", role, err)
	}
	return t.sealInputShare(&to, &hpke.Senders(to.suite(), public)[0], role, m, publicShare, share)
}

// SealInputShares seals both shares of a report, the first one to the leader and the
// second one to the helper. It is [Task.SealInputShare] of each, in less time.
func (t *Task) SealInputShares(to [2]HpkeConfig, m *ReportMetadata, publicShare []byte, shares [2]*PlaintextInputShare) ([2]HpkeCiphertext, error) {
	var sealed [2]HpkeCiphertext
	roles := [2]Role{Leader, Helper}
	var publics [2]*hpke.PublicKey
	for i := range to {
		var err error
		if publics[i], err = to[i].public(); err != nil {
			return sealed, fmt.Errorf("input share for the %v: %w", roles[i], err)
		}
	}
	suite := to[0].suite()
	if suite == hpke.DefaultSuite() {
		suite = to[1].suite()
	}
	senders := hpke.Senders(suite, publics[:]...)
	for i := range to {
		var err error
		if sealed[i], err = t.sealInputShare(&to[i], &senders[i], roles[i], m, publicShare, shares[i]); err != nil {
			return [2]HpkeCiphertext{}, err
		}
	}
	return sealed, nil
}

func (t *Task) sealInputShare(to *HpkeConfig, sender *hpke.Sender, role Role, m *ReportMetadata, publicShare []byte, share *PlaintextInputShare) (HpkeCiphertext, error) {
	if err := aggregator(role); err != nil {
		return HpkeCiphertext{}, err
	}
	aad, err := t.InputShareAAD(m, publicShare)
	if err != nil {
		return HpkeCiphertext{}, err
	}
	plaintext, err := t.codec.Encode(share)
	if err != nil {
		return HpkeCiphertext{}, err
	}
	sealed, err := to.sealWith(sender, t.inputInfo(role), aad, plaintext)
	if err != nil {
		return HpkeCiphertext{}, fmt.Errorf("input share for the %v: %w", role, err)
	}
	return sealed, nil
}

// OpenInputShare opens a share of a report at the leader or the helper with the key
// that the ciphertext names, nil if it is unknown. The error is the [ReportError]
// to answer with in an aggregation job: the variant's for an unknown key,
// [DecryptError], or [InvalidMessage] if what was sealed is no share.
func (t *Task) OpenInputShare(key Opener, role Role, s *ReportShare) (*PlaintextInputShare, error) {
	share, err := t.openInputShare(key, role, &sealedShare{&s.Metadata, s.PublicShare, &s.InputShare})
	if err != 0 {
		return nil, err
	}
	return share, nil
}

// SealAggregateShare seals the leader's or the helper's aggregate share to the
// collector.
func (t *Task) SealAggregateShare(to HpkeConfig, from Role, job *CollectionJobReq, share []byte) (HpkeCiphertext, error) {
	if err := aggregator(from); err != nil {
		return HpkeCiphertext{}, err
	}
	aad, err := t.AggregateShareAAD(job)
	if err != nil {
		return HpkeCiphertext{}, err
	}
	sealed, err := to.seal(t.aggregateInfo(from), aad, share)
	if err != nil {
		return HpkeCiphertext{}, fmt.Errorf("aggregate share of the %v: %w", from, err)
	}
	return sealed, nil
}

// OpenAggregateShare opens the leader's or the helper's aggregate share at the
// collector. The job is the request that the collector sent.
func (t *Task) OpenAggregateShare(key Opener, from Role, job *CollectionJobReq, sealed *HpkeCiphertext) ([]byte, error) {
	if err := aggregator(from); err != nil {
		return nil, err
	}
	aad, err := t.AggregateShareAAD(job)
	if err != nil {
		return nil, err
	}
	share, err := key.Open(t.aggregateInfo(from), aad, sealed)
	if err != nil {
		return nil, fmt.Errorf("aggregate share of the %v: %w; it was sealed to another key, or for another task or query", from, err)
	}
	return share, nil
}

func aggregator(r Role) error {
	if r != Leader && r != Helper {
		return fmt.Errorf("the %v has no shares, only leader and helper do", r)
	}
	return nil
}
