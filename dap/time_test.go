package dap_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/dap"
)

// The examples of «Times, Durations and Intervals» and of «Time Interval».
func TestTimeExamples(t *testing.T) {
	start, err := dap.TimePrecision(10).Start(123456789)
	if want := time.Date(2009, 2, 13, 23, 31, 30, 0, time.UTC); err != nil || !start.Equal(want) {
		t.Errorf("unit 123456789 begins at %v (%v), want %v", start, err, want)
	}
	end, err := dap.Interval{Start: 123456789, Duration: 11}.End()
	if err != nil {
		t.Fatal(err)
	}
	last, err := dap.TimePrecision(10).Start(end)
	if want := time.Unix(1234568000, 0); err != nil || !last.Equal(want) {
		t.Errorf("the interval ends at %v (%v), want %v", last, err, want)
	}
	unit, err := dap.TimePrecision(1000).Time(time.Unix(1729629081, 0))
	if want := (dap.Interval{Start: 1729629, Duration: 1}); err != nil || unit.Bucket() != want {
		t.Errorf("bucket %v (%v), want %v", unit.Bucket(), err, want)
	}
}

func TestTimeOutOfRange(t *testing.T) {
	tests := map[string]func() error{
		"before 1970":       func() error { _, err := dap.TimePrecision(1).Time(time.Unix(-1, 0)); return err },
		"no precision":      func() error { _, err := dap.TimePrecision(0).Time(time.Unix(1, 0)); return err },
		"start":             func() error { _, err := dap.TimePrecision(2).Start(math.MaxUint64); return err },
		"start, precision":  func() error { _, err := dap.TimePrecision(0).Start(1); return err },
		"after the year":    func() error { _, err := dap.TimePrecision(1).Start(253402300800); return err },
		"negative duration": func() error { _, err := dap.TimePrecision(1).Duration(-1); return err },
		"sum":               func() error { _, err := dap.Time(math.MaxUint64).Add(1); return err },
		"end":               func() error { _, err := dap.Interval{Start: 2, Duration: math.MaxUint64 - 1}.End(); return err },
		"no length":         func() error { return dap.Interval{Start: 2}.Validate() },
		"last time":         func() error { _, err := dap.Interval{}.Extend(math.MaxUint64); return err },
		"endless":           func() error { _, err := dap.Interval{Start: 9, Duration: math.MaxUint64}.Extend(1); return err },
	}
	for name, test := range tests {
		if err := test(); !errors.Is(err, dap.ErrTime) {
			t.Errorf("%s: %v, want ErrTime", name, err)
		}
	}
	for d, want := range map[time.Duration]dap.Duration{0: 0, 1: 1, 10 * time.Second: 1, 10*time.Second + 1: 2, 11 * time.Second: 2} {
		if got, err := dap.TimePrecision(10).Duration(d); err != nil || got != want {
			t.Errorf("%v has %d units of 10 s (%v), want %d", d, got, err, want)
		}
	}
}

// Near the ends of the range and in the middle, intervals are the sets of times of
// their definition.
func TestIntervals(t *testing.T) {
	base := rapid.SampledFrom([]uint64{0, 1000, math.MaxUint64 - 40})
	small := rapid.Uint64Range(0, 20)
	interval := rapid.Custom(func(t *rapid.T) dap.Interval {
		return dap.Interval{Start: dap.Time(base.Draw(t, "base") + small.Draw(t, "start")), Duration: dap.Duration(small.Draw(t, "duration"))}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := interval.Draw(t, "a"), interval.Draw(t, "b")
		x := dap.Time(base.Draw(t, "base") + small.Draw(t, "time"))
		inA, inB := a.Contains(x), b.Contains(x)
		if inA && (a.Before(x) || a.After(x)) || a.Before(x) && a.After(x) && a.Duration > 0 {
			t.Fatalf("%v: %d is in two places", a, x)
		}
		if want := x >= a.Start && uint64(x) < uint64(a.Start)+uint64(a.Duration); inA != want {
			t.Fatalf("%v contains %d: %v", a, x, inA)
		}
		if a.Covers(b) && inB && !inA {
			t.Fatalf("%v covers %v, but not %d", a, b, x)
		}
		if inA && inB && !a.Overlaps(b) || a.Overlaps(b) != b.Overlaps(a) {
			t.Fatalf("%v and %v: overlap %v", a, b, a.Overlaps(b))
		}
		if bEnd, err := b.End(); err == nil && a.Duration > 0 && b.Duration > 0 && b.Start >= a.Start && uint64(bEnd) <= uint64(a.Start)+uint64(a.Duration) && !a.Covers(b) {
			t.Fatalf("%v does not cover %v", a, b)
		}
		wide, err := a.Extend(x)
		if err != nil {
			t.Fatal(err)
		}
		if !wide.Contains(x) || a.Duration > 0 && !wide.Covers(a) || uint64(wide.Duration) > 1 && inA && wide != a {
			t.Fatalf("%v with %d is %v", a, x, wide)
		}
	})
}
