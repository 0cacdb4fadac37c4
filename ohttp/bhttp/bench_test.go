package bhttp_test

import (
	"testing"

	"github.com/shoal-project/shoal/ohttp/bhttp"
)

// BenchmarkDecode decodes an upload of 500 bytes, padded to 1 KiB.
func BenchmarkDecode(b *testing.B) {
	m := bhttp.Request{
		Method: "POST", Scheme: "https", Authority: "reports.example", Path: "/tasks/8JHGkMYFZ1yvTW4IqQDOdA/reports", Content: make([]byte, 500),
		Header: []bhttp.Field{{Name: "content-type", Value: "application/shoal-report"}, {Name: "idempotency-key", Value: "\"AAAAAAAAAAAAAAAAAAAAAA\""}},
	}
	encoded, err := m.Append(nil, bhttp.KnownLength)
	if err != nil {
		b.Fatal(err)
	}
	if encoded, err = bhttp.Pad(encoded, 1<<10); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bhttp.DecodeRequest(encoded, bhttp.DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
}
