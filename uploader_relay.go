package shoal

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/metric/task"
)

// This file is the way of reports of tasks that have a relay: everything goes to the
// relay, whatever happens. Without the relay's time, without keys that both the party
// and the relay have signed, and without an answer, reports wait.

// relayed returns the client that reaches the first party of an entry's task through its
// relay, if the entry may be sent now.
func relayed(ctx context.Context, relays *relay.Client, t *task.Task, e outbox.Entry) (*http.Client, error) {
	way, err := relays.Way(t)
	if err != nil {
		return nil, err
	}
	now, err := way.Now(ctx)
	if err != nil {
		return nil, err
	}
	if err := timely(t, e.Epoch, now); err != nil {
		return nil, err
	}
	rt, err := way.Transport(t.First())
	if err != nil {
		return nil, err
	}
	return newHTTPClient(rt), nil
}

// timely reports whether a report of an epoch may be sealed and sent at a time, by the
// relay's clock: one that came too early or too late would reveal that of the device.
func timely(t *task.Task, e task.Epoch, now time.Time) error {
	from := t.Start(e)
	if t.Method == task.Aggregate { // it adds up what the whole epoch has
		from = t.Start(e + 1)
	}
	if now.Before(from) {
		return fmt.Errorf("it is %s by the relay's clock, and reports of the epoch are sent from %s on", now.Format(time.RFC3339), from.Format(time.RFC3339))
	}
	if by := t.Closes(e).Add(-time.Duration(t.ClockSkew) * time.Second); !now.Before(by) {
		return &outbox.Refused{Cause: outbox.Expired, Err: fmt.Errorf("by the relay's clock reports of the epoch were sent until %s", by.Format(time.RFC3339))}
	}
	return nil
}

// relayedKeys returns the keys to which a report is sealed, one a hop.
func (c *crowdRoute) relayedKeys(ctx context.Context, t *task.Task, e outbox.Entry) ([]task.Key, error) {
	way, err := c.relays.Way(t)
	if err != nil {
		return nil, err
	}
	now, err := way.Now(ctx)
	if err != nil {
		return nil, err
	}
	if err := timely(t, e.Epoch, now); err != nil {
		return nil, err
	}
	list := make(task.KeyConfigList, len(t.Hops))
	for i, p := range t.Hops {
		if list[i], err = way.Keys(ctx, p, p.Role.String()); err != nil {
			return nil, err
		}
	}
	configs, err := list.Open(t, now)
	if err != nil {
		return nil, err
	}
	return esa.ChooseKeys(t, configs, now)
}

// relayedKeys returns the keys of leader and helper, to which shares are sealed.
func (a *aggregation) relayedKeys(ctx context.Context, e task.Epoch) (client.Keys, error) {
	var keys client.Keys
	now, err := a.way.Now(ctx)
	if err != nil {
		return keys, err
	}
	if err := timely(a.task, e, now); err != nil {
		return keys, err
	}
	if keys.Leader, err = a.relayedKey(ctx, a.task.Leader()); err != nil {
		return keys, err
	}
	keys.Helper, err = a.relayedKey(ctx, a.task.Helper())
	return keys, err
}

func (a *aggregation) relayedKey(ctx context.Context, p task.Party) (dap.HpkeConfig, error) {
	b, err := a.way.Keys(ctx, p, p.Role.String())
	if err != nil {
		return dap.HpkeConfig{}, err
	}
	var list dap.HpkeConfigList
	if err := a.dap.Codec().Decode(&list, b); err != nil {
		return dap.HpkeConfig{}, fmt.Errorf("keys of the %v: %w", p.Role, err)
	}
	return list.Choose()
}

// outdated reports whether the relay witnesses other keys now than those that an upload
// is sealed to.
func (a *aggregation) outdated(ctx context.Context, e task.Epoch, report []byte) (bool, error) {
	keys, err := a.relayedKeys(ctx, e)
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

// epochAt returns the epoch of a record that is made now: of a task with a relay by the
// relay's time, if that is known. Otherwise it is found by the device's clock, and the
// report waits for the relay's before it leaves.
func (c *Client) epochAt(t *task.Task, now time.Time) task.Epoch {
	if t.Relayed() {
		if way, err := c.uploader.relays.Way(t); err == nil {
			if known, ok := way.Known(); ok {
				now = known
			}
		}
	}
	return t.EpochAt(now)
}
