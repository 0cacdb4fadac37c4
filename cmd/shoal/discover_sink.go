package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/discovery/message"
	"github.com/shoal-project/shoal/internal/reports"
)

// A sink puts messages into the outbox of an app. A nil sink takes none.
type sink struct {
	*reports.Sender

	dir string
}

// sink opens the outbox; nil for a dry run.
func (c *discoverReplayCmd) sink(e *env) (*sink, error) {
	if c.DryRun {
		if c.Outbox != "" || c.Tasks != "" || c.Owner != "" || c.Admission != "" {
			return nil, setup(errors.New("replaying: --outbox, --tasks, --owner and --admission have a meaning with --no-dry-run only"))
		}
		return nil, nil // a dry run has no outbox
	}
	if c.Outbox == "" || c.Tasks == "" || c.Owner == "" {
		return nil, setup(errors.New("replaying: --no-dry-run needs --outbox, --tasks and --owner"))
	}
	signed, err := os.ReadFile(c.Tasks)
	if err != nil {
		return nil, setup(fmt.Errorf("reading tasks: %w", err))
	}
	s, err := reports.Open(e.ctx, shoal.Options{
		Bundle: signed, Owner: c.Owner, Admission: c.Admission, Mode: shoal.On, Dir: c.Outbox, NoSender: true, Clock: e.clock,
	})
	if err != nil {
		return nil, setup(fmt.Errorf("%s: %w", c.Tasks, err))
	}
	return &sink{s, c.Outbox}, nil
}

func (s *sink) put(r message.Record) error {
	if s == nil {
		return nil
	}
	return s.Put(r)
}

// purge removes what waits: the history was cleared.
func (s *sink) purge(ctx context.Context) error {
	if s == nil {
		return nil
	}
	return s.Purge(ctx)
}

func (s *sink) close() error {
	if s == nil {
		return nil
	}
	return s.Close()
}

func (s *sink) String() string {
	if s == nil {
		return "Dry run: nothing was put into an outbox, and nothing sent."
	}
	n := s.Counts()
	text := fmt.Sprintf("%d messages wait in %s; %d more no task asks for", n.Queued, s.dir, n.Unasked)
	if n.Refused > 0 {
		text += fmt.Sprintf(", and %d are beyond what one client may contribute in an epoch", n.Refused)
	}
	return text + "."
}
