package dap

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"log/slog"
)

// A ResourceKey makes the IDs of the resources that a server creates. Equal
// requests get equal IDs, so that creation is idempotent without a look at the
// storage (section "Resource Creation"), and no other party can guess them. All
// servers of a party share it. It prints redacted.
type ResourceKey [32]byte

// AggregationJob returns the ID of the aggregation job that a request creates.
func (k *ResourceKey) AggregationJob(t TaskID, body []byte) AggregationJobID {
	return k.id(aggregationJobKind, t, body)
}

// CollectionJob returns the ID of the collection job that a request creates.
func (k *ResourceKey) CollectionJob(t TaskID, body []byte) CollectionJobID {
	return k.id("collection job", t, body)
}

// AggregateShare returns the ID of the aggregate share that a request creates.
func (k *ResourceKey) AggregateShare(t TaskID, body []byte) AggregateShareID {
	return k.id("aggregate share", t, body)
}

// AggregationJobHash returns a hash that reads a request as it arrives: the
// sum, of 32 bytes, begins with what [ResourceKey.AggregationJob] returns.
func (k *ResourceKey) AggregationJobHash(t TaskID) hash.Hash { return k.begin(aggregationJobKind, t) }

const aggregationJobKind = "aggregation job"

// id is HMAC-SHA-256 over the kind, a zero byte, the task ID and the body, cut
// to 16 bytes.
func (k *ResourceKey) id(kind string, t TaskID, body []byte) [16]byte {
	h := k.begin(kind, t)
	h.Write(body)
	return [16]byte(h.Sum(nil)[:16])
}

func (k *ResourceKey) begin(kind string, t TaskID) hash.Hash {
	h := hmac.New(sha256.New, k[:])
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write(t[:])
	return h
}

// String hides the key.
func (ResourceKey) String() string { return "dap.ResourceKey(redacted)" }

// GoString hides the key.
func (k ResourceKey) GoString() string { return k.String() }

// Format hides the key under every verb.
func (k ResourceKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue hides the key.
func (k ResourceKey) LogValue() slog.Value { return slog.StringValue(k.String()) }
