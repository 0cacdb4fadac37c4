package kind_test

import (
	"encoding/hex"
	"math"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/kind"
)

// samples are one kind of each type, with a value and the bytes of the tally that has
// it: version 1, one call, none clipped, then the state. Devices store these bytes, so
// that they never change.
func samples() []struct {
	kind  kind.Kind
	value any
	state string
} {
	type s = struct {
		kind  kind.Kind
		value any
		state string
	}
	const one, two = "0000000000000001", "0000000000000002"
	labels := []string{"a", "b"}
	return []s{
		{kind.Count{Max: 5}, int64(2), two},
		{kind.Sum{Max: 5}, int64(2), two},
		{kind.Mean{Max: 5, Chunk: 3}, 2, two},
		{kind.Histogram{Bounds: []int64{-1, 7}, Chunk: 2}, 9, two},
		{kind.Categories{Labels: labels, Chunk: 2}, "b", one},
		{kind.Multihot{Labels: labels, Max: 1, Chunk: 2}, "b", two},
		{kind.Vector{Length: 2, Max: 5, Chunk: 3}, []int{1, 2}, one + two},
		{kind.Bounded{Length: 2, Max: 5, Chunk: 3}, []int{1, 2}, one + two},
		{kind.LInfGradient{Length: 2, Bound: 1.5, Bits: 8}, []float64{1, -0.5}, "3ff0000000000000bfe0000000000000"},
		{kind.L1Gradient{Length: 2, Bound: 1.5, Bits: 8}, []float64{1, -0.5}, "3ff0000000000000bfe0000000000000"},
	}
}

// TestWire: numbers are 1, 2, ... in the order of All, and settings are read back.
func TestWire(t *testing.T) {
	if len(samples()) != len(kind.All()) {
		t.Fatalf("%d samples of %d kinds", len(samples()), len(kind.All()))
	}
	for i, s := range samples() {
		if kind.Number(s.kind) != uint8(i+1) || reflect.TypeOf(kind.All()[i]) != reflect.TypeOf(s.kind) {
			t.Errorf("%v has number %d", s.kind, kind.Number(s.kind))
		}
		var b cryptobyte.Builder
		kind.Append(&b, s.kind)
		bytes, err := b.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		in := cryptobyte.String(bytes)
		back, ok := kind.Read(&in, uint8(i+1))
		if !ok || !in.Empty() || !reflect.DeepEqual(back, s.kind) {
			t.Errorf("%v is read back as %#v", s.kind, back)
		}
		in = bytes
		if other, ok := kind.Read(&in, 200); !ok || kind.Validate(other) == nil {
			t.Errorf("number 200 is %v", other)
		}
	}
	if err := kind.Validate(nil); err == nil {
		t.Error("nil is a kind")
	}
	if _, err := kind.New(nil, kind.Hidden, dp.Noise{}); err == nil {
		t.Error("nil has a measure")
	}
}

func TestTallyBytes(t *testing.T) {
	for _, s := range samples() {
		k, err := kind.WithChunk(s.kind, kind.Hidden)
		if err != nil {
			t.Fatal(err)
		}
		m, err := kind.New(k, kind.Hidden, dp.Noise{})
		if err != nil {
			t.Fatal(err)
		}
		tally := m.Empty()
		record := func() error {
			switch v := s.value.(type) {
			case int64:
				return tally.Add(v)
			case []int, []float64:
				return tally.Vector(v)
			}
			return tally.Observe(s.value, strings.NewReader(strings.Repeat("\x00", 64)))
		}
		if err := record(); err != nil {
			t.Fatal(err)
		}
		if got, want := hex.EncodeToString(tally.Bytes()), "01"+"0000000000000001"+"0000000000000000"+s.state; got != want {
			t.Errorf("%v: the tally has the bytes %s, want %s", s.kind, got, want)
		}
		low, high := kind.Limits(k)
		if r, err := m.Result([][]byte{m.Instance().NewAggregateShare().Bytes(), m.Instance().NewAggregateShare().Bytes()}, 0); err != nil || len(r.Rows) != k.Rows() {
			t.Errorf("%v: a result of %v rows, %v", s.kind, r, err)
		} else if x := r.Rows[0].Estimate; !math.IsNaN(x) && (x < low || x > high) {
			t.Errorf("%v: %g is not within %g to %g", s.kind, x, low, high)
		}
	}
}
