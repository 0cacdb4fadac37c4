package shoal

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// A Status is what became of a record. It is fit for a counter's label.
type Status uint8

// The statuses.
const (
	Queued     Status = 0  // in the outbox: all of its reports, or as many as the caps allow
	TurnedOff  Status = 1  // the mode is Off
	Unknown    Status = 2  // no metric of this name in Options.Metrics
	NotYet     Status = 3  // the task has not begun
	Expired    Status = 4  // the task has ended
	Invalid    Status = 5  // the record does not fit the task's schema
	Nothing    Status = 6  // the record gives no report: a list too short for its task
	CapReached Status = 7  // this client has contributed what it may
	Full       Status = 8  // no room: in the outbox, or on the disk
	Failed     Status = 9  // the outbox could not be written, or randomness failed
	Closed     Status = 10 // the client was closed
)

// String returns the status as a label: lower case letters and underscores.
func (s Status) String() string {
	names := [...]string{
		"queued", "turned_off", "unknown_metric", "not_yet", "expired", "invalid",
		"nothing", "cap_reached", "full", "failed", "closed",
	}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("status_%d", uint8(s))
}

// An Outcome is what became of a record.
type Outcome struct {
	Status  Status
	Reports int   // how many reports were queued, or changed
	Err     error // why none was, for people; nil if some were. It holds nothing of the record.

	// Clipped reports that some of a value for an aggregate metric went beyond the
	// metric's bounds, and does not count.
	Clipped bool
}

// Queued reports whether the record was accepted.
func (o Outcome) Queued() bool { return o.Status == Queued }

// String returns the outcome as people read it.
func (o Outcome) String() string {
	if o.Err != nil {
		return o.Status.String() + ": " + o.Err.Error()
	}
	return o.Status.String()
}

func refused(s Status, err error) Outcome { return Outcome{Status: s, Err: err} }

// A metric is a task that the app records for.
type metric struct {
	task     *task.Task
	id       task.ID
	signed   []byte
	encoder  *encoder.Encoder // of the method crowd
	question *kind.Measure    // of the method aggregate
}

func newMetric(t *task.Task, id task.ID, signed []byte) (*metric, error) {
	m := &metric{task: t, id: id, signed: signed}
	var err error
	if t.Method == task.Aggregate {
		m.question, err = t.Aggregation.Measure()
	} else {
		m.encoder, err = encoder.New(t, id)
	}
	if err != nil {
		return nil, fmt.Errorf("metric %q: %w", t.Metric, err)
	}
	return m, nil
}

// hidden reports whether a report is sent every epoch, with or without a value.
func (m *metric) hidden() bool {
	return m.question != nil && m.task.Aggregation.Presence == kind.Hidden
}

// openMetrics checks the bundle and returns the metrics named.
func openMetrics(bundle []byte, owner ed25519.PublicKey, names []string) (map[string]*metric, error) {
	if len(names) == 0 {
		return nil, errors.New("no metrics: name in Options.Metrics those that the app records")
	}
	b, err := task.ParseBundle(bundle)
	if err != nil {
		return nil, fmt.Errorf("the task bundle: %w", err)
	}
	opened, err := b.Open([]ed25519.PublicKey{owner})
	if err != nil {
		return nil, fmt.Errorf("the task bundle: %w", err)
	}
	all := map[string]task.Opened{}
	for _, o := range opened {
		all[o.Task.Metric] = o
	}
	metrics := map[string]*metric{}
	for _, name := range names {
		o, ok := all[name]
		if !ok {
			return nil, fmt.Errorf("metric %q is not in the task bundle: rebuild the bundle, or correct the name", name)
		}
		signed, err := o.Signed.Encode()
		if err != nil {
			return nil, fmt.Errorf("metric %q: %w", name, err)
		}
		m, err := newMetric(o.Task, o.ID, signed)
		if err != nil {
			return nil, err
		}
		metrics[name] = m
	}
	return metrics, nil
}

// Record puts a record in the outbox. What v may be is documented at
// [encoder.Encoder.Encode]: most often a map[string]any, or a struct whose
// fields carry the tag shoal:"name". Whatever the task's schema does not name
// stays behind.
//
// Record waits for the disk, never for the network. It is safe for concurrent
// use, and concurrent calls share one sync of the disk. No error needs to be
// handled: the outcome is for callers that need it.
func (c *Client) Record(name string, v any) Outcome {
	if c == nil {
		return refused(TurnedOff, errors.New("telemetry was not opened"))
	}
	o := c.record(name, v)
	if c.o.Observe != nil {
		c.o.Observe(name, v, o)
	}
	return o
}

func (c *Client) record(name string, v any) Outcome {
	c.mu.RLock() // a change of mode waits for records that are under way
	defer c.mu.RUnlock()
	m, now, epoch, o := c.admit(name)
	if m == nil {
		return o
	}
	if m.encoder == nil {
		return refused(Invalid, fmt.Errorf("metric %q takes no records: use Count, Add, Observe or Vector", name))
	}
	random := &watched{Reader: c.o.Rand}
	encode := m.encoder.Encode
	if !c.detail[name] {
		encode = m.encoder.EncodePlain
	}
	fragments, err := encode(v, random)
	if err != nil {
		if random.failed {
			return refused(Failed, err)
		}
		return refused(Invalid, err)
	}
	if len(fragments) == 0 {
		return refused(Nothing, fmt.Errorf("the record of %q is too short to give a report", name))
	}
	con, err := m.contribution(now, epoch, fragments)
	if err != nil {
		return refused(Failed, err)
	}
	con.Held = c.mode == Local
	verdicts, err := c.box.Add(con)
	if err != nil {
		if durable.IsFull(err) {
			return refused(Full, err)
		}
		return refused(Failed, err)
	}
	o = outcome(name, verdicts)
	if o.Reports > 0 {
		c.wake.Set()
	}
	return o
}

// admit returns the metric of a name and the moment, or why nothing is recorded
// now. The caller holds mu.
func (c *Client) admit(name string) (*metric, time.Time, task.Epoch, Outcome) {
	if c.closed {
		return nil, time.Time{}, 0, refused(Closed, errClosed)
	}
	m, ok := c.metrics[name]
	if !ok {
		return nil, time.Time{}, 0, refused(Unknown, fmt.Errorf("metric %q is not among Options.Metrics", name))
	}
	if err := c.uploader.usable(m.task); err != nil {
		return nil, time.Time{}, 0, refused(Failed, err)
	}
	if c.mode == Off {
		return nil, time.Time{}, 0, refused(TurnedOff, errors.New("telemetry is off"))
	}
	now := c.o.Clock.Now()
	epoch := c.epochAt(m.task, now)
	if !m.task.Covers(epoch) {
		return nil, time.Time{}, 0, m.outside(epoch)
	}
	return m, now, epoch, Outcome{}
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

// watched distinguishes a source of randomness that fails from a record that is bad.
type watched struct {
	io.Reader
	failed bool
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.failed = w.failed || err != nil
	return n, err
}

// outside returns why an epoch is not one of the task's.
func (m *metric) outside(e task.Epoch) Outcome {
	if m.task.Start(e).Unix() < m.task.NotBefore {
		return refused(NotYet, fmt.Errorf("metric %q begins at %s", m.task.Metric, time.Unix(m.task.NotBefore, 0).UTC().Format(time.RFC3339)))
	}
	return refused(Expired, fmt.Errorf("metric %q has expired: remove it from the app", m.task.Metric))
}

// contribution makes of fragments what the outbox takes.
func (m *metric) contribution(now time.Time, e task.Epoch, fragments []encoder.Fragment) (outbox.Contribution, error) {
	con := outbox.ContributionOf(m.task, m.id, m.signed, now, e)
	for _, f := range fragments {
		recorded, err := m.encoder.Describe(f.Plain)
		if err != nil {
			return con, err
		}
		encoded, err := m.encoder.Describe(f.Payload)
		if err != nil {
			return con, err
		}
		con.Reports = append(con.Reports, outbox.Report{
			Record: f.Payload, Crowd: f.Crowd, Recorded: recorded.String(), Encoded: encoded.String(),
		})
	}
	return con, nil
}

// outcome sums up the verdicts on the reports of one record.
func outcome(name string, verdicts []outbox.Verdict) Outcome {
	var o Outcome
	for _, v := range verdicts {
		if v == outbox.Accepted {
			o.Reports++
		}
	}
	if o.Reports > 0 {
		return o
	}
	worst := verdicts[0]
	o.Err = fmt.Errorf("metric %q: %v", name, worst)
	switch worst {
	case outbox.CapReached, outbox.CapsUnknown:
		o.Status = CapReached
	case outbox.Full:
		o.Status = Full
	case outbox.Closed:
		o.Status = Expired
	default:
		o.Status = Failed
	}
	return o
}

// SetDetail changes whether the detail of a metric is sent, when the person changes their
// mind: see [Options].Detail. If not, what waits with detail is dropped; a report that is
// being sent at this moment may still arrive. It fails if the outbox cannot be written; then
// nothing more is recorded with detail, and the next Open drops what waits.
func (c *Client) SetDetail(name string, agreed bool) error {
	if c == nil {
		return fmt.Errorf("changing the detail of %q: %w", name, errNil)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return fmt.Errorf("changing the detail of %q: %w", name, errClosed)
	case c.metrics[name] == nil:
		return fmt.Errorf("changing the detail of %q: it is not among Options.Metrics", name)
	}
	c.detail[name] = agreed
	if agreed {
		return nil
	}
	if err := c.dropDetail(); err != nil {
		return fmt.Errorf("changing the detail of %q: %w", name, err)
	}
	return nil
}

// dropDetail drops what waits with detail of metrics whose detail is not sent. Of a report
// that is sealed already, the text for people names its fields. The caller holds mu.
func (c *Client) dropDetail() error {
	if c.box == nil {
		return nil
	}
	off := func(name string) bool {
		m := c.metrics[name]
		return m != nil && m.encoder != nil && m.task.HasDetail() && !c.detail[name]
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(c.metrics)), off) {
		return nil
	}
	_, err := c.box.Drop(func(e outbox.Entry) bool {
		if e.Owner != c.owner || !off(e.Metric) {
			return false
		}
		t, err := c.uploader.owners.open(e)
		if err != nil || !t.HasDetail() {
			return err != nil
		}
		if e.Record == nil {
			return strings.Contains(e.Encoded, t.Schema[t.Protection.Detail[0]].Name+"=")
		}
		rec, err := t.Decode(e.Record)
		return err != nil || t.Detailed(rec)
	})
	return err
}
