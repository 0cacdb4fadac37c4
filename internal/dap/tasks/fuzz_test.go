package tasks

import (
	"bytes"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
)

// FuzzDecodeEntry gives the decoders what a storage key's owner could have sealed
// wrongly: no panic, and what is accepted encodes again to what decodes equally.
func FuzzDecodeEntry(f *testing.F) {
	f.Add([]byte(`{"variant":"dap-18","config":"AAAA","role":2,"verify_keys":{"4":"q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="},"verify_with":4,"outbound":"abc","collector":"AwAgAAEAAQAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","leeway":1,"grace":2,"expiry":3}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`[{"key":"shoal-dap-key:AAAA","created":"2026-01-01T00:00:00Z"}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ring, _, err := decodeRing(dapkey.DefaultPlan(), b, time.Unix(1_800_000_000, 0)); err == nil {
			if _, err := encodeRing(ring); err != nil {
				t.Fatal(err)
			}
		}
		e, err := decodeEntry(dap.TaskID{1}, b)
		if err != nil {
			return
		}
		first, err := e.encode()
		if err != nil { // no configuration of the collector
			return
		}
		again, err := decodeEntry(e.ID, first)
		if err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		second, err := again.encode()
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%s became %s, %v", first, second, err)
		}
	})
}
