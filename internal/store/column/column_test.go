package column

import (
	"bytes"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
)

func TestTimes(t *testing.T) {
	for _, at := range []time.Time{{}, time.Unix(1, 0).UTC(), time.Date(2026, 11, 30, 7, 0, 0, 0, time.UTC)} {
		if got := Time(Seconds(at)); got != at {
			t.Errorf("%v is stored as %v", at, got)
		}
	}
	if Seconds(time.Time{}) != 0 {
		t.Error("the zero time is not 0")
	}
}

func TestBytes(t *testing.T) {
	if b := Blob(nil); b == nil || len(b) != 0 {
		t.Errorf("no bytes are stored as %v", b)
	}
	if Nullable([]byte{}) != nil || !bytes.Equal(Nullable([]byte{7}).([]byte), []byte{7}) {
		t.Error("Nullable is wrong")
	}
	if d := Digest([32]byte{}); d == nil || len(d) != 0 || len(Digest([32]byte{1})) != 32 {
		t.Error("the zero digest is not empty")
	}
	if b := Batch(nil); b == nil || len(b) != 0 || len(Batch(&dap.BatchID{})) != 0 || len(Batch(&dap.BatchID{1})) != len(dap.BatchID{}) {
		t.Error("no batch is not empty")
	}
}

func TestSpan(t *testing.T) {
	start, end, err := Span(dap.Interval{Start: 100, Duration: 50})
	if start != 100 || end != 150 || err != nil {
		t.Errorf("%d to %d, %v", start, end, err)
	}
	for _, i := range []dap.Interval{{Start: math.MaxInt64, Duration: 1}, {Start: math.MaxUint64, Duration: 1}} {
		if _, _, err := Span(i); !errors.Is(err, dap.ErrTime) {
			t.Errorf("%v: %v", i, err)
		}
	}
}
