package dap

import (
	"encoding/base64"
	"fmt"
)

// A TaskID identifies a task (section "Task Configuration").
type TaskID [32]byte

// A BatchID identifies a batch in the leader-selected mode (section
// "Leader-selected Batch Mode").
type BatchID [32]byte

// A ReportID identifies a report in a task. It is also the VDAF's nonce
// (section "Basic Type Definitions").
type ReportID [16]byte

// An AggregationJobID names an aggregation job within its task. The draft leaves
// the form of IDs that a server chooses to the server; ours have 16 bytes, as
// have those that clients choose in [Janus].
type AggregationJobID [16]byte

// A CollectionJobID names a collection job within its task.
type CollectionJobID [16]byte

// An AggregateShareID names the resource of an aggregate share within its task.
type AggregateShareID [16]byte

// A VerificationKeyID identifies the one of a task's VDAF verification keys that an
// aggregation job uses (section "Leader Initialization").
type VerificationKeyID uint8

// A Checksum is the XOR of the SHA-256 digests of report IDs (section "Batch
// Buckets"). It finds faults, not attacks.
type Checksum [32]byte

// String returns the ID as it is written in URLs: unpadded base64url.
func (id TaskID) String() string { return text(id[:]) }

// String returns the ID in unpadded base64url.
func (id BatchID) String() string { return text(id[:]) }

// String returns the ID in unpadded base64url.
func (id ReportID) String() string { return text(id[:]) }

// String returns the ID as it is written in URLs: unpadded base64url.
func (id AggregationJobID) String() string { return text(id[:]) }

// String returns the ID as it is written in URLs: unpadded base64url.
func (id CollectionJobID) String() string { return text(id[:]) }

// String returns the ID as it is written in URLs: unpadded base64url.
func (id AggregateShareID) String() string { return text(id[:]) }

// ParseTaskID reads what [TaskID.String] returns.
func ParseTaskID(s string) (TaskID, error) {
	var id TaskID
	err := parseText(id[:], s, "task ID")
	return id, err
}

// ParseAggregationJobID reads what [AggregationJobID.String] returns.
func ParseAggregationJobID(s string) (AggregationJobID, error) {
	var id AggregationJobID
	err := parseText(id[:], s, "aggregation job ID")
	return id, err
}

// ParseCollectionJobID reads what [CollectionJobID.String] returns.
func ParseCollectionJobID(s string) (CollectionJobID, error) {
	var id CollectionJobID
	err := parseText(id[:], s, "collection job ID")
	return id, err
}

// ParseAggregateShareID reads what [AggregateShareID.String] returns.
func ParseAggregateShareID(s string) (AggregateShareID, error) {
	var id AggregateShareID
	err := parseText(id[:], s, "aggregate share ID")
	return id, err
}

func text(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// parseText fills id. The encoding is strict: one text for each ID. Line
// breaks, which the decoder would skip, make the length wrong.
func parseText(id []byte, s, what string) error {
	n := base64.RawURLEncoding.EncodedLen(len(id))
	if len(s) != n {
		return fmt.Errorf("%s of %d characters, want %d of unpadded base64url", what, len(s), n)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(id) {
		return fmt.Errorf("%s is not unpadded base64url", what)
	}
	copy(id, b)
	return nil
}
