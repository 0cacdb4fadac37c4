package hop

import (
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
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
	clock  clock.Clock
	settle time.Duration

	mu      sync.Mutex
	last    time.Time     // the latest reading
	ahead   time.Duration // by which wall time has jumped, and has not been settled
	trusted time.Time     // while ahead > 0: when it is to be believed, by monotonic time
}

// NewGuard returns a guard over a clock.
func NewGuard(c clock.Clock, settle time.Duration) *Guard {
	return &Guard{clock: c, settle: settle, last: c.Now()}
}

// Now returns the time and whether it can be believed.
func (g *Guard) Now() (time.Time, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock.Now()
	jump := now.Round(0).Sub(g.last.Round(0)) - now.Sub(g.last) // wall minus monotonic
	g.last = now
	if jump > tolerance || jump < -tolerance {
		g.ahead = max(0, g.ahead+jump)
		if jump > 0 {
			g.trusted = now.Add(g.settle)
		}
	}
	if g.ahead > 0 && (g.ahead <= tolerance || now.Sub(g.trusted) >= 0) {
		g.ahead = 0
	}
	return now, g.ahead == 0
}
