package quorum

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"github.com/shoal-project/shoal/crypto/secretshare"
	"github.com/shoal-project/shoal/metric/task"
)

// Errors that analyzers count apart, beside those of package secretshare.
var (
	// ErrCrowd means a group whose crowd tag is not that of its value: the reports went
	// through a crowd of others.
	ErrCrowd = errors.New("the group's crowd tag is not that of its value")
	// ErrValue means a record whose crowd fields are not those of its group.
	ErrValue = errors.New("the record's crowd is not that of its group")
)

// A Material is a function that returns the crowd's material of a payload, or an error
// for a payload that the task does not allow.
type Material func(payload []byte) ([]byte, error)

// A Recoverer recovers the groups of one task and epoch. It keeps the secret of the last
// one, and is not safe for concurrent use.
type Recoverer struct {
	secret
	shares    *secretshare.Recoverer
	id        task.ID
	epoch     task.Epoch
	material  Material
	recovered bool   // the last group was
	checked   []byte // witness and material of its root, once a record had them
}

// NewRecoverer returns a recoverer for a hardened task, whose ID is id.
func NewRecoverer(t *task.Task, id task.ID, e task.Epoch, m Material) (*Recoverer, error) {
	if !t.Hardened() {
		return nil, fmt.Errorf("task %q: not a hardened quorum", t.Metric)
	}
	r := &Recoverer{id: id, epoch: e, material: m}
	var err error
	r.shares, err = secretshare.NewRecoverer(binding(id, e), int(t.Encoding.Shares))
	return r, err
}

// Recover recovers a group from its tags and the shares of its reports. It fails with
// [ErrCrowd], [secretshare.ErrTooFew] or [secretshare.ErrNoKey]. Randomness chooses among
// shares when some are bad.
func (r *Recoverer) Recover(crowd CrowdTag, tag Tag, shares []secretshare.Share, random io.Reader) (secretshare.Result, error) {
	r.recovered, r.checked = false, r.checked[:0]
	res, err := r.shares.RecoverTag(tag, shares, random)
	if err != nil {
		return res, err
	}
	want := r.shares.Derive(crowdLabel)
	if subtle.ConstantTimeCompare(want[:len(crowd)], crowd[:]) != 1 {
		return secretshare.Result{}, ErrCrowd
	}
	r.recovered = true
	return res, nil
}

// Open returns the payload of a sealed record of the group that was recovered last, valid
// until the next call. It fails with [secretshare.ErrRecord], with [ErrValue], or as [Material] does.
func (r *Recoverer) Open(sealed []byte) ([]byte, error) {
	b, err := r.shares.Open(sealed)
	if err != nil {
		return nil, err
	}
	if len(b) < witnessSize {
		return nil, secretshare.ErrRecord
	}
	payload, err := task.Unpad(b[witnessSize:])
	if err != nil {
		return nil, err
	}
	material, err := r.material(payload)
	if err != nil {
		return nil, err
	}
	if !r.recovered || !r.isRoot(b[:witnessSize], material) {
		return nil, ErrValue
	}
	return payload, nil
}

// isRoot reports whether a witness and material give the root of the group that was recovered
// last. Most records of a group have those of the one before, which are hashed once.
func (r *Recoverer) isRoot(witness, material []byte) bool {
	if len(r.checked) == len(witness)+len(material) && bytes.Equal(r.checked[:len(witness)], witness) && bytes.Equal(r.checked[len(witness):], material) {
		return true
	}
	if !r.shares.Is(root(r.id, r.epoch, witness, material)) {
		return false
	}
	r.checked = append(append(r.checked[:0], witness...), material...)
	return true
}
