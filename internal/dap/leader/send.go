package leader

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// send sends a request to the helper of a task, once with each token of the leader
// until the helper knows one: after a pairing was renewed it may know only a former
// one. When it has accepted the newest, the former ones are forgotten.
func (l *Leader) send(ctx context.Context, s *tasks.Serving, r exchange.Request) (*exchange.Response, error) {
	r.Token, r.Header = s.Entry.Outbound, s.Entry.OutboundHeader
	answer, err := l.client.Do(ctx, r)
	if len(s.Entry.Former) == 0 {
		return answer, err
	}
	if !unknownToken(err) {
		if r.Want != "" && (err == nil || refusal(err)) {
			l.accepted(ctx, s)
		}
		return answer, err
	}
	for _, former := range s.Entry.Former {
		r.Token = former
		answer, formerErr := l.client.Do(ctx, r)
		if !unknownToken(formerErr) {
			return answer, formerErr
		}
	}
	return nil, err
}

// unknownToken reports whether a helper may have refused a request for its token. It
// need not distinguish that from a task that it does not know.
func unknownToken(err error) bool {
	p, ok := errors.AsType[exchange.Problem](err)
	if !ok {
		return false
	}
	if p.Abort != nil {
		return p.Abort.Type == dap.ProblemUnrecognizedTask
	}
	switch p.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return true
	}
	return false
}

// accepted forgets the former tokens of a task whose helper knows the present one. If
// that cannot be stored, the next answer brings it about.
func (l *Leader) accepted(ctx context.Context, s *tasks.Serving) {
	known := []auth.Hash{s.Entry.Outbound.Hash()}
	err := l.config.Registry.Update(context.WithoutCancel(ctx), s.Task.ID(), func(e *tasks.Entry) error {
		if e.Outbound.Matches(known) {
			e.Former = nil
		}
		return nil
	})
	if err != nil {
		l.config.Failed(fmt.Errorf("forgetting the former tokens of task %v: %w", s.Task.ID(), err))
	}
}
