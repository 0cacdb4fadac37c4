// Package clock is the time source that the rest of Shoal is given.
//
// No other package reads the wall clock for a decision: it asks the [Clock] it
// was constructed with. Servers and clients get [System]; the demo and the
// tests get a [Virtual] clock, in which a day passes as soon as the test advances
// it, and two runs see the same times.
package clock

import (
	"context"
	"sync"
	"time"
)

// A Clock reads the time and waits for it. Implementations are safe for
// concurrent use.
type Clock interface {
	// Now returns the current time, in UTC.
	Now() time.Time
	// Until blocks until the clock reads t or later, or ctx is done. It
	// returns ctx.Err() in the second case and nil in the first.
	Until(ctx context.Context, t time.Time) error
}

// System returns the machine's clock.
func System() Clock { return system{} }

type system struct{}

func (system) Now() time.Time { return time.Now().UTC() }

// recheck bounds how long Until trusts one timer: the wall clock may be set
// while we sleep on the monotonic one.
const recheck = 30 * time.Second

func (s system) Until(ctx context.Context, t time.Time) error {
	for {
		left := t.Sub(s.Now().Round(0))
		if left <= 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(min(left, recheck))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// A Virtual clock moves only by its methods. The zero value is not
// usable; call [NewVirtual].
type Virtual struct {
	mu    sync.Mutex
	now   time.Time
	moved chan struct{} // closed and replaced whenever now changes
}

// NewVirtual returns a clock that reads start.
func NewVirtual(start time.Time) *Virtual {
	return &Virtual{now: start.UTC(), moved: make(chan struct{})}
}

// Now returns the time last set.
func (v *Virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

// Set moves the clock to t, which may lie in the past: clocks of real machines
// jump back too.
func (v *Virtual) Set(t time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.move(t.UTC())
}

// Forward moves the clock to t unless it already reads later.
func (v *Virtual) Forward(t time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if t.After(v.now) {
		v.move(t.UTC())
	}
}

// Advance moves the clock by d.
func (v *Virtual) Advance(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.move(v.now.Add(d))
}

// move is called with mu held.
func (v *Virtual) move(t time.Time) {
	v.now = t
	close(v.moved)
	v.moved = make(chan struct{})
}

// Until blocks until the clock has been moved to t or later.
func (v *Virtual) Until(ctx context.Context, t time.Time) error {
	for {
		v.mu.Lock()
		now, moved := v.now, v.moved
		v.mu.Unlock()
		if !now.Before(t) {
			return ctx.Err()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		}
	}
}
