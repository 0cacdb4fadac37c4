package quorum

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/crypto/voprf"
	"github.com/shoal-project/shoal/internal/redact"
	"github.com/shoal-project/shoal/metric/task"
)

// secret is embedded in what must not be printed.
type secret = redact.Secret

const (
	inputLabel   = "shoal quorum value v1"
	witnessLabel = "shoal quorum witness v1"
	rootLabel    = "shoal quorum root v1"
	bindingLabel = "shoal quorum v2"
	xLabel       = "shoal quorum x v1"
	crowdLabel   = "crowd"

	witnessSize = task.WitnessSize
)

// A CrowdTag is what a shuffler counts by.
type CrowdTag [16]byte

// A Tag names a group to the analyzer.
type Tag = secretshare.Tag

// scope appends task and epoch to a label.
func scope(label string, id task.ID, e task.Epoch) []byte {
	b := make([]byte, 0, len(label)+1+len(id)+8+64)
	b = append(append(b, label...), 0)
	b = append(b, id[:]...)
	return binary.BigEndian.AppendUint64(b, uint64(e))
}

// Input returns what the randomness party evaluates, blinded, for the value of a
// report: its crowd's material. Values of two tasks or epochs have nothing in common,
// also under one key.
func Input(id task.ID, e task.Epoch, material []byte) []byte {
	return append(scope(inputLabel, id, e), material...)
}

// binding returns what shares and records are bound to.
func binding(id task.ID, e task.Epoch) secretshare.Binding { return scope(bindingLabel, id, e) }

// root returns the group's root. material is hashed first, so that the length of what is
// hashed here is fixed.
func root(id task.ID, e task.Epoch, witness, material []byte) secretshare.Root {
	digest := sha256.Sum256(material)
	b := append(scope(rootLabel, id, e), witness...)
	return sha256.Sum256(append(b, digest[:]...))
}

// A Value is one client's value of a task and epoch, evaluated. It prints redacted and
// is not safe for concurrent use.
type Value struct {
	secret
	task    *task.Task
	dealer  *secretshare.Dealer
	witness [witnessSize]byte
}

// New returns the value that an evaluation has given: output is that of [Input] of the
// same arguments.
func New(t *task.Task, id task.ID, e task.Epoch, material, output []byte) (*Value, error) {
	if !t.Hardened() {
		return nil, fmt.Errorf("task %q: not a hardened quorum", t.Metric)
	}
	if len(output) != voprf.OutputSize {
		return nil, fmt.Errorf("evaluation of %d bytes, want %d", len(output), voprf.OutputSize)
	}
	h := sha256.Sum256(append(scope(witnessLabel, id, e), output...))
	v := &Value{task: t, witness: [witnessSize]byte(h[:])}
	var err error
	v.dealer, err = secretshare.NewDealer(root(id, e, v.witness[:], material), binding(id, e), int(t.Encoding.Shares))
	return v, err
}

// Crowd returns the tag of the crowd at the last shuffler.
func (v *Value) Crowd() CrowdTag {
	sum := v.dealer.Derive(crowdLabel)
	return CrowdTag(sum[:])
}

// Tag returns the tag at the analyzer.
func (v *Value) Tag() Tag { return v.dealer.Tag() }

// Content returns what the innermost layer of a report holds: the tag, the y-coordinate
// of the share at x, and the sealed record. x is that of the credential which the
// report shows to the analyzer, see [XOf].
func (v *Value) Content(x secretshare.X, payload []byte, rand io.Reader) ([]byte, error) {
	message, err := task.Pad(payload, v.task.MessageSize())
	if err != nil {
		return nil, err
	}
	sealed, err := v.dealer.Seal(append(v.witness[:len(v.witness):len(v.witness)], message...), rand)
	if err != nil {
		return nil, err
	}
	tag, y := v.dealer.Tag(), v.dealer.Value(x)
	return append(append(tag[:], y[:]...), sealed...), nil
}

// Close overwrites the value's secret, as far as Go allows.
func (v *Value) Close() {
	v.dealer.Close()
	clear(v.witness[:])
}

// XOf returns the x-coordinate of the share of a credential: a hash of the tag that its
// presentation has at the analyzer.
func XOf(credentialTag []byte) secretshare.X {
	sum := sha256.Sum256(append([]byte(xLabel+"\x00"), credentialTag...))
	return secretshare.XAt([16]byte(sum[:]))
}

// A Part is what one report contributes to its group.
type Part struct {
	Tag    Tag
	Y      [secretshare.ValueSize]byte
	Record []byte // sealed
}

// Split reads what [Value.Content] writes. The record shares the memory of content.
func Split(t *task.Task, content []byte) (Part, error) {
	var p Part
	if !t.Hardened() || len(content) != ContentSize(t) {
		return p, errors.New("content is not that of a hardened quorum of the task")
	}
	n := copy(p.Tag[:], content)
	n += copy(p.Y[:], content[n:])
	p.Record = content[n:len(content):len(content)]
	return p, nil
}

// ContentSize returns the length of what [Value.Content] returns for every report of a
// hardened task.
func ContentSize(t *task.Task) int {
	return secretshare.TagSize + secretshare.ValueSize + RecordSize(t)
}

// RecordSize returns the length of each sealed record of a hardened task.
func RecordSize(t *task.Task) int {
	return secretshare.RecordOverhead + witnessSize + t.MessageSize()
}
