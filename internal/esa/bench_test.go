package esa

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/shoal-project/shoal/internal/hpke"
)

func BenchmarkSeal(b *testing.B) {
	for _, kems := range [][]KEM{{X25519, X25519}, {P256, P256}, {XWing, X25519}, {X25519, X25519, X25519}} {
		b.Run(fmt.Sprint(kems), func(b *testing.B) {
			w := newWorld(b, kems...)
			s := w.sealer(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Seal(testEpoch, CrowdTag{1}, []byte("payload")); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSealOneLayer(b *testing.B) {
	for _, kem := range []KEM{X25519, P256, XWing} {
		b.Run(kem.String(), func(b *testing.B) {
			w := newWorld(b, kem, X25519)
			public, err := parsePublic(&w.keys[0], 0)
			if err != nil {
				b.Fatal(err)
			}
			h := Header{Version: Version, Role: 1, Key: w.keys[0].ID, Task: w.id, Epoch: testEpoch}
			plaintext := make([]byte, 185)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sealLayer(&hpke.Senders(hpke.DefaultSuite(), public)[0], h, plaintext, "", nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, kem := range []KEM{X25519, P256, XWing} {
		w := newWorld(b, kem, X25519)
		layer := w.seal(b, CrowdTag{1}, "payload")
		for hop, name := range []string{"outer", "inner"} {
			o := w.opener(b, hop)
			if hop == 0 || kem == X25519 {
				b.Run(fmt.Sprint(name, "/", kem), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if _, err := o.Open(layer, testEpoch); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
			l, err := o.Open(layer, testEpoch)
			if err != nil {
				b.Fatal(err)
			}
			layer = l.Next
		}
	}
}

func BenchmarkOpenAll(b *testing.B) {
	w := newWorld(b, X25519, X25519)
	o := w.opener(b, 0)
	report := w.seal(b, CrowdTag{1}, "payload")
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			n := b.N
			b.ReportAllocs()
			reports := func(yield func([]byte, error) bool) {
				for range n {
					if !yield(report, nil) {
						return
					}
				}
			}
			for opened, err := range o.OpenAll(reports, testEpoch, workers) {
				if err != nil || opened.Cause != 0 {
					b.Fatal(opened.Cause, err)
				}
			}
		})
	}
}

// BenchmarkBatch measures rows of 166 bytes, the next layers of size class 64.
func BenchmarkBatch(b *testing.B) {
	w := newWorld(b, X25519, X25519)
	const rows = 100_000
	h, err := NewBatchHeader(w.task, w.id, 0, testEpoch, testTotal, rows)
	if err != nil {
		b.Fatal(err)
	}
	row := make([]byte, h.RowSize)
	b.Run("write", func(b *testing.B) {
		b.SetBytes(h.FileSize())
		b.ReportAllocs()
		for b.Loop() {
			bw, err := NewBatchWriter(io.Discard, h, w.identities[0])
			if err != nil {
				b.Fatal(err)
			}
			for range rows {
				if err := bw.Write(row); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := bw.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	file := writeBatch(b, w, rows)
	b.Run("verify", func(b *testing.B) {
		b.SetBytes(h.FileSize())
		b.ReportAllocs()
		for b.Loop() {
			if _, err := w.openBatch(file); err != nil {
				b.Fatal(err)
			}
		}
	})
	batch, err := OpenBatch(bytes.NewReader(file), int64(len(file)), w.task, w.id, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("rows", func(b *testing.B) {
		b.SetBytes(h.FileSize())
		for b.Loop() {
			for _, err := range batch.Rows() {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}
