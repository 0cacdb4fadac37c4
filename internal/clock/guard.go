package clock

import (
	"sync"
	"time"
)

// tolerance is how far wall and monotonic clock may drift apart between two
// looks before that counts as a jump.
const tolerance = 10 * time.Second

// A Guard watches the clock. Batches must close late rather than early, so a
// wall clock that jumps forward is not believed until it has stood by its word
// for the time settle, measured by the monotonic clock: a wrong time server or
// a slipped hand is usually put right within that time, and a machine that was
// asleep loses nothing by waiting.
//
// A jump before the process started cannot be seen. A clock without monotonic
// readings, such as a virtual one, never jumps.
type Guard struct {
	read   func() (now time.Time, running time.Duration)
	settle time.Duration

	mu      sync.Mutex
	wall    time.Time     // the latest reading
	running time.Duration // of the monotonic clock, at the same moment
	ahead   time.Duration // by which wall time has jumped and is not believed
	trusted time.Duration // while ahead > 0: when it will be believed
}

// NewGuard returns a guard over a clock.
func NewGuard(c Clock, settle time.Duration) *Guard {
	start := c.Now()
	return GuardOf(func() (time.Time, time.Duration) {
		now := c.Now()
		return now, now.Sub(start) // by the monotonic clock, if there is one
	}, settle)
}

// GuardOf returns a guard over a function that reads the wall clock and a clock
// that only runs, at the same moment.
func GuardOf(read func() (time.Time, time.Duration), settle time.Duration) *Guard {
	g := &Guard{read: read, settle: settle}
	g.wall, g.running = read()
	return g
}

// Now returns the time and whether it can be believed.
func (g *Guard) Now() (time.Time, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now, running := g.read()
	jump := now.Round(0).Sub(g.wall.Round(0)) - (running - g.running)
	g.wall, g.running = now, running
	if jump > tolerance || jump < -tolerance {
		g.ahead = max(0, g.ahead+jump)
		if jump > 0 {
			g.trusted = running + g.settle
		}
	}
	if g.ahead <= tolerance || running >= g.trusted {
		g.ahead = 0
	}
	return now, g.ahead == 0
}
