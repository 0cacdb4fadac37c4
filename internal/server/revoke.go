package server

import (
	"context"
	"errors"
	"slices"

	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/dap/tasks"
	"github.com/shoal-project/shoal/metric/task"
)

// revoke lets the peer of a task that is served, and with which this organisation
// is not paired any more, in no longer: a helper its leader, a leader its
// collector. A new pairing lets it in again.
func (a *aggregator) revoke(ctx context.Context, t Task) error {
	made, err := taskconfig.New(t.Task, t.ID)
	if err != nil {
		return err
	}
	s, err := a.registry.Lookup(ctx, made.ID())
	if errors.Is(err, tasks.ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	party, role := t.Task.Collector(), task.Collector
	tokens := func(e *tasks.Entry) *[]auth.Hash { return &e.CollectorTokens }
	if a.role == task.Helper {
		party, role = t.Task.Leader(), task.Leader
		tokens = func(e *tasks.Entry) *[]auth.Hash { return &e.Inbound }
	}
	p, err := a.pairing(party, role)
	if err != nil || p != nil && !p.Token.IsZero() {
		return err
	}
	nobody := []auth.Hash{{}} // of no token that anybody can find
	if slices.Equal(*tokens(s.Entry), nobody) {
		return nil
	}
	return a.registry.Update(ctx, made.ID(), func(e *tasks.Entry) error {
		*tokens(e) = nobody
		return nil
	})
}
