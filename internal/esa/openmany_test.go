package esa

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// agreed opens the layers together and one by one, requires the same results,
// and returns them.
func agreed(t *testing.T, o *Opener, sealed []Sealed) []Opened {
	t.Helper()
	results := o.OpenMany(sealed)
	if len(results) != len(sealed) {
		t.Fatalf("%d results of %d layers", len(results), len(sealed))
	}
	for i, got := range results {
		l, err := o.Open(sealed[i].Layer, sealed[i].Epoch)
		want := Opened{Layer: l, Cause: CauseOf(err), Report: sealed[i].Layer}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("layer %d of %d: together %+v, alone %+v", i, len(sealed), got, want)
		}
	}
	return results
}

// Batches of all lengths, at each hop, with inner layers of either KEM and
// several keys and epochs in one batch.
func TestOpenManyIsOpen(t *testing.T) {
	for _, kems := range [][]KEM{{X25519, X25519}, {XWing, P256, X25519}, {P256, X25519}} {
		w := newWorld(t, kems...)
		sealer := w.sealer(t)
		var layers []Sealed
		for i := range 70 {
			e := testEpoch + task.Epoch(i%3%2)
			report, err := sealer.Seal(e, CrowdTag{byte(i)}, fmt.Appendf(nil, "payload %d", i))
			if err != nil {
				t.Fatal(err)
			}
			layers = append(layers, Sealed{report, e})
		}
		for hop := range kems {
			o := w.opener(t, hop)
			for _, n := range []int{0, 1, 8, 70} {
				agreed(t, o, layers[:n])
			}
			for i, opened := range agreed(t, o, layers) {
				if opened.Cause != 0 {
					t.Fatalf("%v: hop %d: layer %d: %v", kems, hop, i, opened.Cause)
				}
				layers[i].Layer = opened.Next
			}
		}
		for i, l := range layers {
			if string(l.Layer) != fmt.Sprintf("payload %d", i) {
				t.Errorf("%v: payload %d is %q", kems, i, l.Layer)
			}
		}
	}
}

// A hop that rotates holds several keys, of several KEMs.
func TestOpenManyOfSeveralKeys(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	keys := w.private[:1]
	from := w.task.Start(testEpoch).Add(-time.Hour)
	for _, kem := range []KEM{X25519, P256, XWing} {
		k, err := GenerateKey(kem, from, from.Add(48*time.Hour), rand.NewChaCha8([32]byte{byte(kem)}))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(slices.Clip(keys), k)
	}
	o, err := NewOpener(w.task, w.id, 0, keys[:3]...) // the last is not known
	if err != nil {
		t.Fatal(err)
	}
	var layers []Sealed
	for i := range 40 {
		s, err := NewSealer(w.task, w.id, []task.Key{keys[i%4].Public(), w.keys[1]})
		if err != nil {
			t.Fatal(err)
		}
		report, err := s.Seal(testEpoch, CrowdTag{byte(i)}, fmt.Appendf(nil, "%d", i))
		if err != nil {
			t.Fatal(err)
		}
		layers = append(layers, Sealed{report, testEpoch})
	}
	for i, opened := range agreed(t, o, layers) {
		if want := i%4 == 3; (opened.Cause == CauseUnknownKey) != want || opened.Cause != 0 && !want {
			t.Errorf("layer %d of key %d: %v", i, i%4, opened.Cause)
		}
	}
}

// Threat: one client spoils the batch of others. Each flipped bit of a report
// costs that report, with the cause that it has alone; the honest ones beside it
// open.
func TestOpenManyFlippedBits(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	o := w.opener(t, 0)
	report := w.seal(t, CrowdTag{1}, "payload")
	honest := Sealed{w.seal(t, CrowdTag{2}, "honest"), testEpoch}
	sealed := []Sealed{honest}
	for bit := range 8 * len(report) {
		flipped := bytes.Clone(report)
		flipped[bit/8] ^= 1 << (bit % 8)
		sealed = append(sealed, Sealed{flipped, testEpoch})
		if bit%29 == 0 {
			sealed = append(sealed, honest)
		}
	}
	for i, opened := range agreed(t, o, sealed) {
		// The high bit of an X25519 point has no meaning, but is sealed in.
		if ours := &sealed[i].Layer[0] == &honest.Layer[0]; (opened.Cause == 0) != ours {
			t.Errorf("layer %d: %v", i, opened.Cause)
		}
	}
}

// Threat: encapsulated keys of small order, from which everybody knows the
// shared secret; other forms; other lengths; another epoch.
func TestOpenManyRefuses(t *testing.T) {
	w := newWorld(t, X25519, X25519)
	o := w.opener(t, 0)
	report := w.seal(t, CrowdTag{1}, "payload")
	sealed := []Sealed{
		{report, testEpoch},
		{report, testEpoch + 1},
		{nil, testEpoch},
		{report[:40], testEpoch},
		{report[:len(report)-1], testEpoch},
		{append(bytes.Clone(report), 0), testEpoch},
	}
	for _, low := range []byte{0, 1, 0xec, 0xed, 0xee} {
		altered := bytes.Clone(report)
		enc := altered[headerSize+1 : headerSize+1+pointSize]
		clear(enc)
		if low > 1 {
			copy(enc, bytes.Repeat([]byte{255}, pointSize))
			enc[pointSize-1] = 127
		}
		enc[0] = low
		sealed = append(sealed, Sealed{altered, testEpoch})
	}
	for _, form := range []byte{0, formP256Even, formP256Odd, formXWing} {
		altered := bytes.Clone(report)
		altered[headerSize] = form
		sealed = append(sealed, Sealed{altered, testEpoch})
	}
	sealed = append(sealed, Sealed{report, testEpoch})
	for i, opened := range agreed(t, o, sealed) {
		if first := i == 0 || i == len(sealed)-1; (opened.Cause == 0) != first {
			t.Errorf("layer %d: %v", i, opened.Cause)
		}
	}
}

// FuzzOpenMany puts arbitrary layers between honest ones.
func FuzzOpenMany(f *testing.F) {
	g := goldenReports(f)[1]
	_, openers := g.openers(f)
	layers := [][]byte{unhex(f, g.Report), nil}
	l, err := openers[0].Open(layers[0], testEpoch)
	if err != nil {
		f.Fatal(err)
	}
	layers[1] = l.Next
	f.Add(layers[0], layers[1])
	f.Add(layers[1], layers[0][:headerSize])
	f.Fuzz(func(t *testing.T, a, b []byte) {
		for i, o := range openers {
			honest := Sealed{layers[i], testEpoch}
			results := agreed(t, o, []Sealed{honest, {a, testEpoch}, {b, testEpoch}, honest})
			if results[0].Cause != 0 || results[3].Cause != 0 {
				t.Errorf("hop %d: honest layers are refused: %v, %v", i, results[0].Cause, results[3].Cause)
			}
		}
	})
}

func BenchmarkOpenMany(b *testing.B) {
	for hop, name := range []string{"outer", "inner"} {
		for _, n := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/reports=%d", name, n), func(b *testing.B) {
				w := newWorld(b, X25519, X25519)
				sealed := make([]Sealed, n)
				for i := range sealed {
					layer := w.seal(b, CrowdTag{1}, "payload")
					if hop == 1 {
						l, err := w.opener(b, 0).Open(layer, testEpoch)
						if err != nil {
							b.Fatal(err)
						}
						layer = l.Next
					}
					sealed[i] = Sealed{layer, testEpoch}
				}
				o := w.opener(b, hop)
				b.ReportAllocs()
				best, single := time.Hour, time.Hour
				for b.Loop() {
					start := time.Now()
					results := o.OpenMany(sealed)
					best = min(best, time.Since(start))
					if results[n-1].Cause != 0 {
						b.Fatal(results[n-1].Cause)
					}
					start = time.Now()
					if _, err := o.Open(sealed[0].Layer, testEpoch); err != nil {
						b.Fatal(err)
					}
					single = min(single, time.Since(start))
				}
				b.ReportMetric(float64(best.Nanoseconds())/float64(n), "best-ns/report")
				b.ReportMetric(float64(single.Nanoseconds()), "best-ns/open-alone")
			})
		}
	}
}
