package task

import (
	"errors"
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/crypto/secretshare"
)

// An EncodingKind is the form in which the analyzer receives a fragment.
type EncodingKind uint8

// The forms.
const (
	Plain  EncodingKind = 0 // the payload as it is
	Quorum EncodingKind = 1 // encrypted under a key of which each report holds a share (Prochlo paper, section 4.2)
)

// An Encoding is the form of a fragment at the analyzer.
//
// With Quorum a fragment can be read once Shares reports of one epoch hold the
// same. Validate wants what makes this work for every crowd that passes the
// threshold, and what makes an epoch the limit of it:
//
//   - a threshold that leaves Shares reports at least of each crowd that passes:
//     [Naive] or [NoisyDrop] with T of Shares or more. [NoisySet] is refused,
//     since its noise has no lower bound: a crowd of any size may pass.
//   - a crowd that is the whole fragment ([Payload]), which then passes and is
//     read as one, or [Constant]. Under [Attributes] the crowd of a report
//     that stays unreadable would not be known, so no crowd's size could be
//     estimated. In a hardened task (see [Protection]) the value is the crowd's fields: there
//     [Attributes] and [Payload] are allowed, and [Constant], which has none, is not.
//     A group of equal value is then a crowd, and what stays unreadable is whole crowds.
//   - no randomised response: it makes equal values differ.
//   - a salt of one epoch: shares and ciphertexts are bound to task and epoch,
//     so that no value can be watched, or gather shares, over several.
type Encoding struct {
	Kind   EncodingKind
	Shares uint16 // Quorum: reports of one value that make it readable, 2 to 1024
}

// The fewest and most shares that a quorum can ask for.
const (
	MinShares = secretshare.MinThreshold
	MaxShares = secretshare.MaxThreshold
)

// WitnessSize is the length of what ties a record of a hardened quorum to its group.
const WitnessSize = 16

// sharedSize is what a quorum's encoding is longer than its message: the ciphertext's
// tag and the share; where the quorum is hardened the group's tag, the share's value,
// and what the record's seal adds to it.
func (t *Task) sharedSize() int {
	if t.Hardened() {
		return secretshare.TagSize + secretshare.ValueSize + secretshare.RecordOverhead + WitnessSize
	}
	return secretshare.Overhead + secretshare.ShareSize
}

// MessageSize returns the length in bytes to which the payloads of a task with
// [Quorum] are padded before they are encrypted: what PayloadSize leaves, so that
// all its reports have one length. It is 0 for other tasks.
func (t *Task) MessageSize() int {
	if t.Encoding.Kind != Quorum {
		return 0
	}
	return int(t.PayloadSize) - 1 - t.sharedSize()
}

// MaxContent returns the exact upper bound, in bytes, of what the innermost layer
// of a report holds before padding: [Task.MaxPayload] and what the encoding adds.
// PayloadSize is [SizeClass] of it.
func (t *Task) MaxContent() int {
	if t.Encoding.Kind != Quorum {
		return t.MaxPayload()
	}
	return t.MaxPayload() + 1 + t.sharedSize() // one byte of padding, inside the encryption
}

func (t *Task) validateEncoding() error {
	e := t.Encoding
	switch e.Kind {
	case Plain:
		if e.Shares != 0 {
			return errors.New("encoding: only a quorum has shares")
		}
		return nil
	case Quorum:
		return t.validateQuorum()
	}
	return fmt.Errorf("encoding: unknown kind %d", e.Kind)
}

func (t *Task) validateQuorum() error {
	shares := t.Encoding.Shares
	switch {
	case shares < MinShares || shares > MaxShares:
		return fmt.Errorf("encoding: a quorum of %d shares, want %d to %d", shares, MinShares, MaxShares)
	case t.Threshold.Kind == NoisySet:
		return errors.New("encoding: a quorum under a threshold whose noise has no lower bound: a crowd of fewer reports than shares could pass, and nobody could read it")
	case uint32(shares) > t.Threshold.T:
		return fmt.Errorf("encoding: a quorum of %d shares, but a crowd passes with %d reports, which nobody could read", shares, t.Threshold.T)
	case t.Hardened() && t.Crowd.Kind == Constant:
		return errors.New("encoding: a hardened quorum of a constant crowd, which has no value; make the crowd attributes or the payload")
	case !t.Hardened() && t.Crowd.Kind == Attributes:
		return errors.New("encoding: a quorum of a crowd of attributes: nobody could tell to which crowd an unreadable report belongs; make the crowd the payload, or constant")
	case t.Crowd.SaltEpochs != 1:
		return fmt.Errorf("encoding: a quorum with a salt of %d epochs: shares are bound to one epoch", t.Crowd.SaltEpochs)
	}
	if i := slices.IndexFunc(t.Schema, func(f Field) bool { return f.Flip != 0 }); i >= 0 {
		return fmt.Errorf("encoding: a quorum, but the randomised response of field %q makes equal values differ", t.Schema[i].Name)
	}
	return nil
}
