package dap_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/vdaf"
)

// bigTotal is a total of three reports.
func bigTotal(t testing.TB) (*world, *dap.Total) {
	t.Helper()
	w := newWorld(t, dap.DAP18(), dap.TimeIntervalMode)
	w.aggregate(t, dap.BatchID{}, w.report(t, 1), w.report(t, 2), w.report(t, 3))
	return w, w.helperLedger.totals[dap.Bucket{Unit: unit}]
}

func TestStoredTotals(t *testing.T) {
	w, total := bigTotal(t)
	for _, s := range []*dap.Total{total, w.task.NewTotal()} {
		b, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		back, err := w.task.ParseTotal(b)
		if err != nil {
			t.Fatal(err)
		}
		if back.Count != s.Count || back.Checksum != s.Checksum || back.Interval != s.Interval || !bytes.Equal(back.Share.Bytes(), s.Share.Bytes()) {
			t.Errorf("%d reports became %d", s.Count, back.Count)
		}
		for n := range b {
			if _, err := w.task.ParseTotal(b[:n]); err == nil {
				t.Errorf("the first %d of %d bytes are accepted", n, len(b))
			}
		}
		if _, err := w.task.ParseTotal(append(b, 0)); err == nil {
			t.Error("a byte too many is accepted")
		}
	}
	b, err := total.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func([]byte){
		"version":             func(b []byte) { b[0]++ },
		"no reports":          func(b []byte) { clear(b[1:9]) },
		"interval of nothing": func(b []byte) { clear(b[49:57]) },
		"interval without end": func(b []byte) {
			for i := range b[41:57] {
				b[41+i] = 0xff
			}
		},
		"no field element": func(b []byte) {
			for i := range b[57:73] {
				b[57+i] = 0xff
			}
		},
	} {
		bad := bytes.Clone(b)
		change(bad)
		_, err := w.task.ParseTotal(bad)
		if err == nil || !errors.Is(err, dap.ErrMalformed) && !errors.Is(err, vdaf.ErrEncoding) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if text, want := fmt.Sprintf("%v %+v %#v", total, total, total), "dap.Total(3 reports, redacted)"; text != want+" "+want+" "+want {
		t.Errorf("a total prints as %s", text)
	}
}

// FuzzParseTotal: what is accepted encodes to the same bytes.
func FuzzParseTotal(f *testing.F) {
	w, total := bigTotal(f)
	b, err := total.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:57])
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := w.task.ParseTotal(b)
		if err != nil {
			return
		}
		again, err := s.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x became %x, %v", b, again, err)
		}
		if err := w.task.NewTotal().Merge(s); err != nil {
			t.Fatal(err)
		}
	})
}
