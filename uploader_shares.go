package shoal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/dap/admission"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// An aggregateRoute splits what was accumulated into two shares and uploads them to
// the leader of the task, which cannot open the helper's.
type aggregateRoute struct {
	transport http.RoundTripper // to the leaders of tasks without a relay
	relays    *relay.Client
	clock     Clock
	owners    owners
	keys      *client.KeyCache // of the aggregators of all tasks
	// credentials are shown with reports of tasks that require them.
	credentials *credential.Wallet

	mu    sync.Mutex
	known map[task.ID]*aggregation // guarded by mu
}

// An aggregation is a task with the way to its leader.
type aggregation struct {
	task     *task.Task
	dap      *dap.Task
	question *kind.Measure
	client   *client.Client
	way      *relay.Way // nil of a task without a relay
}

func newAggregateRoute(rt http.RoundTripper, relays *relay.Client, c Clock, o owners) *aggregateRoute {
	return &aggregateRoute{transport: rt, relays: relays, clock: c, owners: o, keys: client.NewKeyCache(rt, c), known: map[task.ID]*aggregation{}}
}

// aggregation returns the task of an entry.
func (c *aggregateRoute) aggregation(e outbox.Entry) (*aggregation, error) {
	c.mu.Lock()
	a := c.known[e.Task]
	c.mu.Unlock()
	if a != nil {
		return a, nil
	}
	t, err := c.owners.open(e)
	if err != nil {
		return nil, err
	}
	if a, err = c.newAggregation(t, e.Task); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.known[e.Task] = a
	c.mu.Unlock()
	return a, nil
}

func (c *aggregateRoute) newAggregation(t *task.Task, id task.ID) (*aggregation, error) {
	q, err := t.Aggregation.Measure()
	if err != nil {
		return nil, err
	}
	made, err := taskconfig.New(t, id)
	if err != nil {
		return nil, err
	}
	a := &aggregation{task: t, dap: made, question: q}
	rt := c.transport
	if t.Relayed() {
		if a.way, err = c.relays.Way(t); err != nil {
			return nil, err
		}
		if rt, err = a.way.Transport(t.Leader()); err != nil {
			return nil, err
		}
	}
	a.client = client.New(made, client.Options{
		Keys: c.keys, Leader: t.Leader().Identity, Helper: t.Helper().Identity, Transport: rt, Clock: c.clock,
	})
	return a, nil
}

// keys returns what shares of an entry are sealed to now.
func (a *aggregation) keys(ctx context.Context, e outbox.Entry) (client.Keys, error) {
	if a.way == nil {
		return a.client.Keys(ctx)
	}
	var keys client.Keys
	if err := timely(ctx, a.way, a.task, e); err != nil {
		return keys, err
	}
	var err error
	if keys.Leader, err = a.way.AggregatorKey(ctx, a.task.Leader()); err != nil {
		return keys, err
	}
	keys.Helper, err = a.way.AggregatorKey(ctx, a.task.Helper())
	return keys, err
}

// outdated reports whether the relay has other keys now than those that an upload is
// sealed to.
func (a *aggregation) outdated(ctx context.Context, e outbox.Entry, report []byte) (bool, error) {
	keys, err := a.keys(ctx, e)
	if err != nil {
		return false, err
	}
	var m dap.UploadRequest
	if err := a.dap.Codec().Decode(&m, report); err != nil {
		return false, fmt.Errorf("reading the upload: %w", err)
	}
	if len(m.Reports) != 1 {
		return false, fmt.Errorf("reading the upload: %d reports, want 1", len(m.Reports))
	}
	r := m.Reports[0]
	return r.LeaderShare.ConfigID != keys.Leader.ID || r.HelperShare.ConfigID != keys.Helper.ID, nil
}

// Seal implements [outbox.Sealer]: it makes the upload of what was accumulated. Its
// time is the epoch, nothing finer.
func (c *aggregateRoute) Seal(ctx context.Context, e outbox.Entry) ([]byte, error) {
	a, err := c.aggregation(e)
	if err != nil {
		return nil, err
	}
	g, err := parseAccumulated(a.question, e.Record)
	if err != nil {
		return nil, &outbox.Refused{Cause: "unreadable", Err: err}
	}
	keys, err := a.keys(ctx, e)
	if err != nil {
		return nil, err
	}
	show, err := c.show(a, e, g.id)
	if err != nil {
		return nil, err
	}
	r, err := client.MakeShowing(a.dap, g.tally, keys, g.id, dap.Time(e.Epoch), rand.Reader, show)
	if err != nil {
		return nil, err
	}
	return client.Encode(a.dap, r)
}

// show allocates what the aggregators ask for with a report, durably; nil if they ask for
// nothing. A report that is sealed again, to other keys, shows the same.
func (c *aggregateRoute) show(a *aggregation, e outbox.Entry, id dap.ReportID) (client.Show, error) {
	if a.task.Protection.CredentialEpochs == 0 {
		return nil, nil
	}
	if c.credentials == nil {
		return nil, errors.New("the task requires credentials, and there is no wallet")
	}
	shown, err := c.credentials.AllocateReport(a.task, e.Epoch, id[:])
	if errors.Is(err, credential.ErrExhausted) { // another report of the epoch has it
		return nil, &outbox.Refused{Cause: "credentialSpent", Err: err}
	}
	if err != nil {
		return nil, err
	}
	return func(to dap.Role, share *dap.Opened) (dap.Extensions, error) {
		p := a.task.Leader()
		if to == dap.Helper {
			p = a.task.Helper()
		}
		return admission.Show(shown, p, a.dap.ID(), share)
	}, nil
}

// Send implements [outbox.Sender].
func (c *aggregateRoute) Send(ctx context.Context, e outbox.Entry, report []byte) error {
	a, err := c.aggregation(e)
	if err != nil {
		return err
	}
	if a.way != nil {
		if err := timely(ctx, a.way, a.task, e); err != nil {
			return err
		}
	}
	rejected, err := a.client.Post(ctx, report)
	if answer, ok := errors.AsType[*client.Answer](err); ok && !answer.Temporary() {
		return &outbox.Refused{Cause: outbox.Cause(answer.Problem), Err: err}
	}
	if err != nil || len(rejected) == 0 {
		return err
	}
	err = &client.Rejected{ID: rejected[0].ID, Cause: rejected[0].Error}
	switch rejected[0].Error {
	case a.dap.Variant().UploadConfigError():
		if a.way != nil {
			if old, failed := a.outdated(ctx, e, report); failed != nil || !old {
				return errors.Join(err, failed) // there are no others in this period
			}
		}
		a.client.Forget()
		return &outbox.Stale{Err: err}
	case dap.ReportReplayed: // an earlier send arrived, its answer did not
		return nil
	case dap.ReportTooEarly: // one of the two clocks is wrong
		return err
	}
	return &outbox.Refused{Cause: outbox.Cause(strings.ReplaceAll(rejected[0].Error.String(), "_", "-")), Err: err}
}
