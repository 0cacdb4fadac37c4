package shoal

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/metric/aggregate"
	"github.com/shoal-project/shoal/metric/task"
)

// An aggregation is a task of the method aggregate with the way to its leader.
type aggregation struct {
	task     *task.Task
	dap      *dap.Task
	question *aggregate.Question
	client   *client.Client
}

// aggregation returns the aggregate task of an entry: one that keeps its record,
// see [metric.gathering].
func (c *uploader) aggregation(e outbox.Entry) (*aggregation, error) {
	c.mu.Lock()
	a := c.dap[e.Task]
	c.mu.Unlock()
	if a != nil {
		return a, nil
	}
	t, err := c.openTask(e)
	if err != nil {
		return nil, err
	}
	if a, err = c.newAggregation(t, e.Task); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.dap[e.Task] = a
	c.mu.Unlock()
	return a, nil
}

func (c *uploader) newAggregation(t *task.Task, id task.ID) (*aggregation, error) {
	q, err := aggregate.New(&t.Aggregation)
	if err != nil {
		return nil, err
	}
	made, err := taskconfig.New(t, id)
	if err != nil {
		return nil, err
	}
	up := client.New(made, client.Options{
		Keys: c.dapKeys, Leader: t.Hops[0].Identity, Helper: t.Hops[1].Identity, Transport: c.client.Transport, Clock: c.clock,
	})
	return &aggregation{t, made, q, up}, nil
}

// sealAggregate makes the upload of what was gathered. Its time is the epoch,
// nothing finer.
func (c *uploader) sealAggregate(ctx context.Context, e outbox.Entry) ([]byte, error) {
	a, err := c.aggregation(e)
	if err != nil {
		return nil, err
	}
	g, err := parseAccumulated(a.question, e.Record)
	if err != nil {
		return nil, &outbox.Refused{Cause: "unreadable", Err: err}
	}
	keys, err := a.client.Keys(ctx)
	if err != nil {
		return nil, err
	}
	r, err := client.Make(a.dap, g.tally, keys, g.id, dap.Time(e.Epoch), rand.Reader)
	if err != nil {
		return nil, err
	}
	return client.Encode(a.dap, r)
}

func (c *uploader) sendAggregate(ctx context.Context, e outbox.Entry, report []byte) error {
	a, err := c.aggregation(e)
	if err != nil {
		return err
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
		a.client.Forget()
		return &outbox.Stale{Err: err}
	case dap.ReportReplayed: // an earlier send arrived, its answer did not
		return nil
	case dap.ReportTooEarly: // one of the two clocks is wrong
		return err
	}
	return &outbox.Refused{Cause: outbox.Cause(strings.ReplaceAll(rejected[0].Error.String(), "_", "-")), Err: err}
}
