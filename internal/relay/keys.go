package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// ErrLate is wrapped by errors about reports whose epoch takes no more, by the relay's
// clock.
var ErrLate = errors.New("the epoch takes no more reports by the relay's clock")

// Timely returns nil if a report of an epoch may be sealed and sent now, by the relay's
// clock: one that came too early or too late would reveal that of the device. Errors
// that wrap [ErrLate] are final.
func (w *Way) Timely(ctx context.Context, t *task.Task, e task.Epoch) error {
	now, err := w.Now(ctx)
	if err != nil {
		return err
	}
	from := t.SendsFrom(e)
	if now.Before(from) {
		return fmt.Errorf("it is %s by the relay's clock, and reports of the epoch are sent from %s on", now.Format(time.RFC3339), from.Format(time.RFC3339))
	}
	if end := t.Closes(e); !now.Before(end) {
		return fmt.Errorf("%w: they were accepted until %s", ErrLate, end.Format(time.RFC3339))
	}
	return nil
}

// HopKeys returns the keys to which a report of the method crowd is sealed, one a hop.
func (w *Way) HopKeys(ctx context.Context, t *task.Task) ([]task.Key, error) {
	now, err := w.Now(ctx)
	if err != nil {
		return nil, err
	}
	list := make(task.KeyConfigList, len(t.Hops))
	for i, p := range t.Hops {
		if list[i], err = w.Keys(ctx, p, p.Role.String()); err != nil {
			return nil, err
		}
	}
	configs, err := w.open(t, list, now)
	if err != nil {
		return nil, err
	}
	return esa.ChooseKeys(t, configs, now)
}

// An opened is a list of key configurations whose signatures were checked.
type opened struct {
	list    task.KeyConfigList
	configs []*task.KeyConfig
	since   time.Time // when all were valid
	until   int64     // when the first one no longer is, in Unix seconds
}

// open checks the signatures of the hops of a task once for as long as the relay serves
// the same bytes and they are valid.
func (w *Way) open(t *task.Task, list task.KeyConfigList, now time.Time) ([]*task.KeyConfig, error) {
	var name string
	for _, p := range t.Hops {
		name += string(p.Identity)
	}
	w.mu.Lock()
	o, ok := w.opened[name]
	w.mu.Unlock()
	if ok && !now.Before(o.since) && now.Unix() < o.until && slices.EqualFunc(o.list, list, bytes.Equal) {
		return o.configs, nil
	}
	configs, err := list.Open(t, now)
	if err != nil {
		return nil, err
	}
	o = opened{list: list, configs: configs, since: now, until: configs[0].NotAfter}
	for _, c := range configs {
		o.until = min(o.until, c.NotAfter)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.opened[name] = o
	return configs, nil
}

// AggregatorKey returns the key to which shares for a leader or helper are sealed.
func (w *Way) AggregatorKey(ctx context.Context, p task.Party) (dap.HpkeConfig, error) {
	b, err := w.Keys(ctx, p, p.Role.String())
	if err != nil {
		return dap.HpkeConfig{}, err
	}
	var list dap.HpkeConfigList
	if err := dap.NewCodec(dap.DAP18()).Decode(&list, b); err != nil { // the same in all variants
		return dap.HpkeConfig{}, fmt.Errorf("keys of the %v: %w", p.Role, err)
	}
	return list.Choose()
}
