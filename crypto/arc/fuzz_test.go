package arc

import (
	"bytes"
	"errors"
	"testing"
)

// fuzzDecoder holds a decoder to its promises: it does not panic, what it
// refuses is ErrEncoding, and what it accepts encodes to the same bytes.
func fuzzDecoder(f *testing.F, recode func([]byte) ([]byte, error)) {
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := recode(b)
		switch {
		case err != nil && !errors.Is(err, ErrEncoding):
			t.Errorf("%x: %v", b, err)
		case err == nil && !bytes.Equal(again, b):
			t.Errorf("%x became %x", b, again)
		}
	})
}

// An encoder is what the package decodes.
type encoder interface{ Bytes() []byte }

// recode decodes and encodes.
func recode[T encoder](parse func([]byte) (T, error)) func([]byte) ([]byte, error) {
	return func(b []byte) ([]byte, error) {
		v, err := parse(b)
		if err != nil {
			return nil, err
		}
		return v.Bytes(), nil
	}
}

func FuzzParsePublicKey(f *testing.F)  { fuzzDecoder(f, recode(ParsePublicKey)) }
func FuzzParsePrivateKey(f *testing.F) { fuzzDecoder(f, recode(ParsePrivateKey)) }
func FuzzParseRequest(f *testing.F)    { fuzzDecoder(f, recode(ParseRequest)) }
func FuzzParseResponse(f *testing.F)   { fuzzDecoder(f, recode(ParseResponse)) }
func FuzzParseSecrets(f *testing.F)    { fuzzDecoder(f, recode(ParseSecrets)) }
func FuzzParseCredential(f *testing.F) { fuzzDecoder(f, recode(ParseCredential)) }

// FuzzPresentation decodes presentations for a limit of one and of four, and
// verifies what decodes. The corpus has valid ones, which verify under the key of
// the corpus; any other that verifies would be a forgery.
func FuzzPresentation(f *testing.F) {
	key, err := GenerateKey(newDRNG("fuzz").next(nonces(4)))
	if err != nil {
		f.Fatal(err)
	}
	verifier := key.Verifier(requestContext)
	contexts := NewContexts(2)
	f.Fuzz(func(t *testing.T, four bool, b []byte) {
		limit := uint32(1)
		if four {
			limit = 4
		}
		p, err := ParsePresentation(b, limit)
		if err != nil {
			if !errors.Is(err, ErrEncoding) {
				t.Errorf("%x: %v", b, err)
			}
			return
		}
		if again := p.Bytes(); !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
		c, err := contexts.Get([]byte("context"), limit)
		if err != nil {
			t.Fatal(err)
		}
		tag, err := verifier.Verify(c, p, nil)
		if err != nil && !errors.Is(err, ErrProof) {
			t.Errorf("%x: %v", b, err)
		}
		if err == nil && !bytes.Equal(tag[:], b[3*elementSize:4*elementSize]) {
			t.Errorf("%x has the tag %x", b, tag)
		}
	})
}
