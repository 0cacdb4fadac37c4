package leader

import (
	"context"

	"github.com/shoal-project/shoal/internal/clock"
)

// SetGuard replaces the guard of the clock.
func (l *Leader) SetGuard(g *clock.Guard) { l.guard = g }

// TakeIn closes the logs that are due and puts their reports into jobs.
func (l *Leader) TakeIn(ctx context.Context) { _, _ = l.takeIn(ctx) }
