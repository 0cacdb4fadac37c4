package voprf

import (
	"bytes"
	"errors"
	"testing"
)

// fuzzDecoder holds a decoder to its promises: it does not panic, what it
// refuses is ErrEncoding, and what it accepts encodes to the same bytes.
func fuzzDecoder[T interface{ Bytes() []byte }](f *testing.F, parse func([]byte) (T, error)) {
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := parse(b)
		if err != nil {
			if !errors.Is(err, ErrEncoding) {
				t.Errorf("%x: %v", b, err)
			}
			return
		}
		if again := v.Bytes(); !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}

func FuzzParsePublicKey(f *testing.F)  { fuzzDecoder(f, ParsePublicKey) }
func FuzzParsePrivateKey(f *testing.F) { fuzzDecoder(f, ParsePrivateKey) }
func FuzzParseRequest(f *testing.F)    { fuzzDecoder(f, ParseRequest) }
func FuzzParseResponse(f *testing.F)   { fuzzDecoder(f, ParseResponse) }
func FuzzParsePending(f *testing.F)    { fuzzDecoder(f, ParsePending) }
