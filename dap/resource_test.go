package dap_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dap"
)

func TestResourceIDs(t *testing.T) {
	key := dap.ResourceKey(upTo(1, 32))
	h := hmac.New(sha256.New, upTo(1, 32))
	fmt.Fprintf(h, "aggregation job\x00%sbody", upTo(5, 32))
	if got := key.AggregationJob(taskID(5), []byte("body")); !equal(got[:], h.Sum(nil)[:16]) {
		t.Errorf("ID %v", got)
	}
	other := dap.ResourceKey(upTo(2, 32))
	ids := []string{
		key.AggregationJob(taskID(5), []byte("body")).String(),
		key.AggregationJob(taskID(5), []byte("bodz")).String(),
		key.AggregationJob(taskID(6), []byte("body")).String(),
		key.CollectionJob(taskID(5), []byte("body")).String(),
		key.AggregateShare(taskID(5), []byte("body")).String(),
		other.AggregationJob(taskID(5), []byte("body")).String(),
	}
	for i, id := range ids {
		for _, o := range ids[:i] {
			if id == o {
				t.Errorf("ID %d is one of those before", i)
			}
		}
	}
}

// Threat: a secret or a share in a log.
func TestSecretsAreRedacted(t *testing.T) {
	share := dap.PlaintextInputShare{Payload: []byte("secretsecret")}
	for _, v := range []any{dap.ResourceKey([]byte(strings.Repeat("s", 32))), share, &share, struct{ S dap.PlaintextInputShare }{share}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			s := fmt.Sprintf(verb, v)
			if !strings.Contains(s, "redacted") || strings.Contains(s, "secret") || strings.Contains(s, "115") || strings.Contains(s, "73") {
				t.Errorf("%s prints %s", verb, s)
			}
		}
	}
}

// A request that arrives in pieces gets the ID that it has as a whole.
func TestAggregationJobHash(t *testing.T) {
	key := dap.ResourceKey(upTo(5, 32))
	body := upTo(0, 200)
	h := key.AggregationJobHash(taskID(1))
	for _, piece := range [][]byte{body[:1], body[1:100], nil, body[100:]} {
		h.Write(piece)
	}
	if id := key.AggregationJob(taskID(1), body); !equal(h.Sum(nil)[:16], id[:]) {
		t.Errorf("the hash begins with %x, the ID is %x", h.Sum(nil)[:16], id)
	}
}
