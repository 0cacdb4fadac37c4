package leader

import (
	"context"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
)

// SetGuard replaces the guard of the clock.
func (l *Leader) SetGuard(g *clock.Guard) { l.guard = g }

// TakeIn closes the logs that are due and puts their reports into jobs.
func (l *Leader) TakeIn(ctx context.Context) { _, _ = l.createDueJobs(ctx, true) }

// BeginLog begins a log of a task, as the first report does before it is written.
func (l *Leader) BeginLog(ctx context.Context, task dap.TaskID) error {
	_, err := l.intake(task).writable(ctx)
	return err
}

// IntakeDue returns when Run looks at logs again, unless it is woken.
func (l *Leader) IntakeDue(ctx context.Context) time.Time { return l.intakeDue(ctx) }

// DriveCollections does what Run does when it is woken for collections.
func (l *Leader) DriveCollections(ctx context.Context) error {
	_, err := l.driveCollections(ctx, false)
	return err
}
