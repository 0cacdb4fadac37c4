// Package taskconfig turns a Shoal task of the method aggregate into the DAP task
// that leader, helper, collector and clients take part in. All of them derive it
// from the same signed bytes and so need to agree on nothing else:
//
//	signed, err := task.ParseSigned(b)
//	t, id, err := signed.Open(owners)
//	made, err := taskconfig.New(t, id)
//	made.ID()    // the DAP task ID: the taskprov digest of the configuration
//	made.Bytes() // the encoded TaskConfiguration
//
// # What becomes of what
//
//   - task_info is the Shoal task ID, so that no two tasks share a configuration.
//   - The endpoints are the URLs of leader and helper, byte for byte.
//   - The time precision is the epoch: a report's time is the number of its epoch,
//     and reveals nothing finer. A batch is an epoch, in the time-interval mode.
//   - The task interval is all epochs that the task covers.
//   - The VDAF is that of package metric/kind, the noise stands in its
//     extension ([dap.TaskNoise]).
//   - The variant is the task's.
//
// Not in the configuration, since DAP has no place for them: send delay and clock
// skew (an aggregator waits for both before a batch is collected, see
// [task.Task.Closes]), presence, labels, and the collector, whose HPKE key comes
// from its signed KeyConfig ([CollectorKey]). They are bound all the same, by the
// Shoal task ID.
package taskconfig

import (
	"fmt"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/metric/task"
)

// Configuration returns the DAP configuration of an aggregate task with the given
// ID, and the variant in which it is encoded.
func Configuration(t *task.Task, id task.ID) (*dap.Variant, *dap.TaskConfiguration, error) {
	if t.Method != task.Aggregate {
		return nil, nil, fmt.Errorf("task %q is not of the method aggregate", t.Metric)
	}
	v, err := dap.ParseVariant(t.Aggregation.Variant)
	if err != nil {
		return nil, nil, fmt.Errorf("task %q: %w", t.Metric, err)
	}
	q, err := t.Aggregation.Measure()
	if err != nil {
		return nil, nil, fmt.Errorf("task %q: %w", t.Metric, err)
	}
	epoch := int64(t.EpochSeconds)
	c := &dap.TaskConfiguration{
		TaskInfo:      dap.TaskInfo(id),
		Leader:        t.Leader().URL,
		Helper:        t.Helper().URL,
		TimePrecision: dap.TimePrecision(epoch),
		MinBatchSize:  uint64(t.MinBatch),
		BatchMode:     dap.TimeIntervalMode,
		Extensions: []dap.Extension{dap.IntervalExtension(dap.Interval{
			Start:    dap.Time(t.NotBefore / epoch),
			Duration: dap.Duration((t.Expires - t.NotBefore) / epoch),
		})},
	}
	if err := c.SetVDAF(q.Instance()); err != nil {
		return nil, nil, fmt.Errorf("task %q: %w", t.Metric, err)
	}
	if n := t.Aggregation.Noise; n.Mechanism != dp.NoNoise {
		e, err := dap.NoiseExtension(n)
		if err != nil {
			return nil, nil, fmt.Errorf("task %q: %w", t.Metric, err)
		}
		c.Extensions = append(c.Extensions, e)
	}
	return v, c, nil
}

// New returns the DAP task of an aggregate task with the given ID.
func New(t *task.Task, id task.ID) (*dap.Task, error) {
	v, c, err := Configuration(t, id)
	if err != nil {
		return nil, err
	}
	b, err := dap.NewCodec(v).Encode(c)
	if err != nil {
		return nil, fmt.Errorf("task %q: %w", t.Metric, err)
	}
	made, err := dap.NewTask(v, dap.TaskprovID(b), b)
	if err != nil {
		return nil, fmt.Errorf("task %q: %w", t.Metric, err)
	}
	return made, nil
}

// Grace returns how long after the end of an epoch its reports may still arrive:
// the time that the leader waits before it lets a batch be collected.
func Grace(t *task.Task) time.Duration {
	return time.Duration(t.MaxDelay+t.ClockSkew) * time.Second
}

// CollectorKey returns the HPKE configuration to which aggregate shares are
// sealed: the preferred current X25519 key of the collector's KeyConfig, with the
// suite that every DAP implementation has (section "Compliance Requirements"). Its
// ID is the first byte of the key's.
func CollectorKey(c *task.KeyConfig, now time.Time) (dap.HpkeConfig, error) {
	if c.Role != task.Collector {
		return dap.HpkeConfig{}, fmt.Errorf("key config of a %s, want the collector's", c.Role)
	}
	for _, k := range c.Current(now) {
		if k.KEM == task.KEMX25519 {
			return dap.HpkeConfig{
				ID: dap.HpkeConfigID(k.ID[0]), KEM: k.KEM, KDF: dap.KDFHKDFSHA256, AEAD: dap.AEADAES128GCM, PublicKey: k.Public,
			}, nil
		}
	}
	return dap.HpkeConfig{}, fmt.Errorf("the collector %s has no current X25519 key", task.FormatPublic(c.Identity))
}
