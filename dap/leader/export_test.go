package leader

import "github.com/shoal-project/shoal/internal/clock"

// SetGuard replaces the guard of the clock.
func (l *Leader) SetGuard(g *clock.Guard) { l.guard = g }
