package dap

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// ErrTime means that a time or a length of time has no value: it is before 1970,
// beyond the range, or an interval has no end.
var ErrTime = errors.New("time out of range")

// A TimePrecision is the length of a task's unit of time, in seconds, at least
// 1. All other times of the task count it (section "Times, Durations and
// Intervals").
type TimePrecision uint64

// A Time is a moment, in units of the task's precision since 1970-01-01 00:00
// UTC. Times of tasks with different precisions cannot be compared.
type Time uint64

// A Duration is a length of time, in units of the task's precision.
type Duration uint64

// An Interval is the time from Start, inclusive, to Start + Duration, exclusive.
type Interval struct {
	Start    Time
	Duration Duration
}

// Time returns the unit in which t falls. It fails with [ErrTime].
func (p TimePrecision) Time(t time.Time) (Time, error) {
	if p == 0 || t.Unix() < 0 {
		return 0, fmt.Errorf("%w: %v with a precision of %d s", ErrTime, t.UTC(), p)
	}
	return Time(uint64(t.Unix()) / uint64(p)), nil
}

// Start returns the first second of a unit. It fails with [ErrTime].
func (p TimePrecision) Start(t Time) (time.Time, error) {
	if p == 0 || uint64(t) > maxSeconds/uint64(p) {
		return time.Time{}, fmt.Errorf("%w: unit %d with a precision of %d s", ErrTime, t, p)
	}
	return time.Unix(int64(uint64(t)*uint64(p)), 0).UTC(), nil
}

// maxSeconds is the end of the year 9999: beyond it, times have no text.
const maxSeconds = 253402300799

// Duration returns how many units d has, rounded up. It fails with [ErrTime].
func (p TimePrecision) Duration(d time.Duration) (Duration, error) {
	if p == 0 || d < 0 {
		return 0, fmt.Errorf("%w: %v with a precision of %d s", ErrTime, d, p)
	}
	seconds := uint64(d / time.Second)
	if d%time.Second > 0 {
		seconds++
	}
	units := seconds / uint64(p)
	if seconds%uint64(p) > 0 {
		units++
	}
	return Duration(units), nil
}

// Add returns the time d later. It fails with [ErrTime].
func (t Time) Add(d Duration) (Time, error) {
	if uint64(d) > math.MaxUint64-uint64(t) {
		return 0, fmt.Errorf("%w: %d + %d", ErrTime, t, d)
	}
	return t + Time(d), nil
}

// Bucket returns the interval of one unit that begins at t: the batch bucket of
// a report of this time (section "Time Interval").
func (t Time) Bucket() Interval { return Interval{Start: t, Duration: 1} }

// End returns the first time after the interval. It fails with [ErrTime].
func (i Interval) End() (Time, error) { return i.Start.Add(i.Duration) }

// Validate reports whether the interval has a length of one unit at least and
// an end. It fails with [ErrTime].
func (i Interval) Validate() error {
	if i.Duration == 0 {
		return fmt.Errorf("%w: an interval of no length", ErrTime)
	}
	_, err := i.End()
	return err
}

// Before reports whether t is before the interval.
func (i Interval) Before(t Time) bool { return t < i.Start }

// After reports whether t is at the interval's end or after it.
func (i Interval) After(t Time) bool {
	return t >= i.Start && uint64(t-i.Start) >= uint64(i.Duration)
}

// Contains reports whether t is inside the interval.
func (i Interval) Contains(t Time) bool { return !i.Before(t) && !i.After(t) }

// Covers reports whether other, which has an end, lies within i.
func (i Interval) Covers(other Interval) bool {
	if other.Validate() != nil || i.Validate() != nil || other.Start < i.Start {
		return false
	}
	skipped := uint64(other.Start - i.Start)
	return skipped < uint64(i.Duration) && uint64(other.Duration) <= uint64(i.Duration)-skipped
}

// Overlaps reports whether some time is in both intervals.
func (i Interval) Overlaps(other Interval) bool {
	return i.Duration > 0 && other.Duration > 0 && (i.Contains(other.Start) || other.Contains(i.Start))
}

// Extend returns the smallest interval that holds i and t. The zero Interval
// holds nothing. It fails with [ErrTime] if that interval has no end.
func (i Interval) Extend(t Time) (Interval, error) {
	if t == math.MaxUint64 {
		return Interval{}, fmt.Errorf("%w: %d has no bucket", ErrTime, t)
	}
	if i.Duration == 0 {
		return t.Bucket(), nil
	}
	end, err := i.End()
	if err != nil {
		return Interval{}, err
	}
	start := min(i.Start, t)
	return Interval{Start: start, Duration: Duration(max(end, t+1) - start)}, nil
}

// String returns the interval as [start, end) in units.
func (i Interval) String() string {
	end, err := i.End()
	if err != nil {
		return fmt.Sprintf("[%d, beyond the range)", i.Start)
	}
	return fmt.Sprintf("[%d, %d)", i.Start, end)
}

func (i *Interval) unmarshal(r *reader) {
	i.Start, i.Duration = Time(r.u64("start")), Duration(r.u64("duration"))
}

func (i *Interval) marshal(w *writer) {
	w.u64(uint64(i.Start))
	w.u64(uint64(i.Duration))
}
