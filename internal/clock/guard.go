package clock

import (
	"sync"
	"time"
)

// tolerance is how far the wall clock may be ahead of the monotonic clock, beyond
// what drift explains, before it is no longer believed. Steps add up: what counts
// is the distance, not the single step.
const tolerance = 10 * time.Second

// drift is the part of the time that passes by which two honest clocks may come
// apart: a time daemon slews by at most 500 in a million, a quartz by 100.
const drift = 1000 // one in

// A Guard watches the clock. Batches must close late rather than early, so a
// wall clock that jumps forward, at once or in many small steps, is not believed
// until it has stayed consistent for the time settle, measured by the monotonic
// clock: a wrong time server or a slipped hand is usually put right within that
// time, and a machine that was asleep loses nothing by waiting.
//
// A jump before the process started cannot be seen. A clock without monotonic
// readings, such as a virtual one, never jumps.
//
// A strict guard is for what cannot be undone, such as the destruction of a key. It
// believes no clock that has not gone evenly for the time settle: since the guard was
// made, and since the last jump, forward or back.
type Guard struct {
	read   func() (now time.Time, running time.Duration)
	settle time.Duration
	strict bool

	mu       sync.Mutex
	start    time.Time     // what offsets are measured from: wall time less running time at first
	running  time.Duration // of the monotonic clock, at the latest look
	believed time.Duration // the offset that is believed, drift included
	doubted  bool          // the offset is not believed
	claimed  time.Duration // while doubted: the offset that has to last
	since    time.Duration // of the monotonic clock, at the latest jump or the start
}

// NewGuard returns a guard over a clock.
func NewGuard(c Clock, settle time.Duration) *Guard {
	start := c.Now()
	return GuardOf(func() (time.Time, time.Duration) {
		now := c.Now()
		return now, now.Sub(start) // by the monotonic clock, if there is one
	}, settle)
}

// NewStrictGuard returns a strict guard over a clock.
func NewStrictGuard(c Clock, settle time.Duration) *Guard {
	g := NewGuard(c, settle)
	g.strict = true
	return g
}

// StrictGuardOf is [GuardOf] for a strict guard.
func StrictGuardOf(read func() (time.Time, time.Duration), settle time.Duration) *Guard {
	g := GuardOf(read, settle)
	g.strict = true
	return g
}

// GuardOf returns a guard over a function that reads the wall clock and a clock
// that only runs, at the same moment.
func GuardOf(read func() (time.Time, time.Duration), settle time.Duration) *Guard {
	g := &Guard{read: read, settle: settle}
	now, running := read()
	g.start, g.running = now.Round(0).Add(-running), running
	return g
}

// Now returns the time and whether it can be believed.
func (g *Guard) Now() (time.Time, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, running := g.read()
	offset := now.Round(0).Sub(g.start) - running
	slack := (running - g.running) / drift
	g.running = running
	if offset < g.believed-tolerance-slack { // it jumped back
		g.since = running
	}
	g.believed = min(offset, g.believed+slack) // a clock that is put back is believed at once
	switch {
	case offset-g.believed <= tolerance:
		if g.doubted { // it was put right: another jump
			g.since = running
		}
		g.doubted = false
	case !g.doubted || offset > g.claimed+tolerance:
		g.doubted, g.claimed, g.since = true, offset, running
	case running-g.since >= g.settle:
		g.doubted, g.believed = false, offset
	}
	if g.strict && running-g.since < g.settle {
		return now, false
	}
	return now, !g.doubted
}
