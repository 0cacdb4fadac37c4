package dap_test

import (
	"errors"
	"testing"

	"github.com/shoal-project/shoal/dap"
)

// A configuration without a public key is malformed (HpkePublicKey<1..2^16-1>), in a
// list and alone, in every variant. Janus has encodings of such in its own tests.
func TestEmptyPublicKey(t *testing.T) {
	config := []byte{10, 0x00, 0x20, 0, 1, 0, 1, 0, 0}
	list := append([]byte{0, byte(len(config))}, config...)
	for _, v := range []*dap.Variant{dap.DAP18(), dap.DAP19(), dap.Janus()} {
		codec := dap.NewCodec(v)
		if err := codec.Decode(new(dap.HpkeConfig), config); !errors.Is(err, dap.ErrMalformed) {
			t.Errorf("%v: one alone: %v, want malformed", v, err)
		}
		if err := codec.Decode(new(dap.HpkeConfigList), list); !errors.Is(err, dap.ErrMalformed) {
			t.Errorf("%v: in a list: %v, want malformed", v, err)
		}
		if _, err := codec.Encode(&dap.HpkeConfig{ID: 10, KEM: 0x20, KDF: 1, AEAD: 1}); err == nil {
			t.Errorf("%v: one is encoded", v)
		}
	}
}
