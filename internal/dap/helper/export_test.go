package helper

import "github.com/shoal-project/shoal/internal/clock"

// SetGuard replaces the guard of the clock.
func (h *Helper) SetGuard(g *clock.Guard) { h.guard = g }
