package bhttp_test

import (
	"bytes"
	"testing"

	"github.com/shoal-project/shoal/ohttp/bhttp"
)

// FuzzRequest: what is decoded can be encoded in both modes, and decodes to the
// same; nothing panics on the way to net/http.
func FuzzRequest(f *testing.F) {
	for _, e := range examples(f) {
		f.Add(e.bytes(f))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		m, err := bhttp.DecodeRequest(b, bhttp.DefaultLimits())
		if !bytes.Equal(b, before) {
			t.Fatal("decoding wrote to its input")
		}
		if err != nil {
			return
		}
		for _, mode := range []bhttp.Mode{bhttp.KnownLength, bhttp.IndeterminateLength} {
			encoded, err := m.Append(nil, mode)
			if err != nil {
				t.Fatalf("a decoded request is not encoded: %v", err)
			}
			limits := bhttp.DefaultLimits()
			limits.Size = max(len(encoded), 1)
			again, err := bhttp.DecodeRequest(encoded, limits)
			if err != nil || !same(m, again) {
				t.Fatalf("decoded again: %v\n%+v\n%+v", err, m, again)
			}
		}
		if r, err := m.HTTP(t.Context()); err == nil && r.Host == "" {
			t.Fatal("a request without a host")
		}
	})
}

// FuzzResponse is FuzzRequest for responses.
func FuzzResponse(f *testing.F) {
	for _, e := range examples(f) {
		f.Add(e.bytes(f))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		m, err := bhttp.DecodeResponse(b, bhttp.DefaultLimits())
		if !bytes.Equal(b, before) {
			t.Fatal("decoding wrote to its input")
		}
		if err != nil {
			return
		}
		for _, mode := range []bhttp.Mode{bhttp.KnownLength, bhttp.IndeterminateLength} {
			encoded, err := m.Append(nil, mode)
			if err != nil {
				t.Fatalf("a decoded response is not encoded: %v", err)
			}
			limits := bhttp.DefaultLimits()
			limits.Size = max(len(encoded), 1)
			again, err := bhttp.DecodeResponse(encoded, limits)
			if err != nil || !same(m, again) {
				t.Fatalf("decoded again: %v\n%+v\n%+v", err, m, again)
			}
		}
		if r, err := m.HTTP(nil); err == nil && r.StatusCode != m.Status {
			t.Fatalf("status %d, want %d", r.StatusCode, m.Status)
		}
	})
}
