package shoal

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/metric/task"
)

// A presence sees to it that each task in which the device takes part with its
// presence hidden has a report for every epoch, whether the app records anything or
// not. It is safe for concurrent use.
type presence struct {
	random io.Reader
	owner  string // whose enrolments count; "" means all

	mu      sync.Mutex
	metrics map[task.ID]*metric    // guarded by mu
	done    map[task.ID]task.Epoch // the first epoch not yet done; guarded by mu
}

func newPresence(random io.Reader, owner string) *presence {
	return &presence{random: random, owner: owner, metrics: map[task.ID]*metric{}, done: map[task.ID]task.Epoch{}}
}

// fill adds what is missing at now: for each epoch from the enrolment on that has
// begun and whose reports can still be sent. It forgets enrolments of tasks that
// are over. The outbox's caps let it add one report for an epoch, whatever was
// forgotten here.
func (d *presence) fill(box *outbox.Box, now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	enrolled, err := box.Enrolments()
	if err != nil {
		return err
	}
	var failed error
	for _, e := range enrolled {
		if d.owner != "" && e.Owner != d.owner {
			continue
		}
		m, err := d.metric(e)
		if err == nil {
			err = d.fillOne(box, m, e, now)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// metric opens the task of an enrolment, which its app has checked before.
func (d *presence) metric(e outbox.Enrolment) (*metric, error) {
	if m := d.metrics[e.Task]; m != nil {
		return m, nil
	}
	t, id, err := owners(nil).openSigned(e.TaskBytes)
	if err != nil {
		return nil, fmt.Errorf("the task of metric %q: %w", e.Metric, err)
	}
	if id != e.Task {
		return nil, fmt.Errorf("the task of metric %q is another one than it is enrolled in", e.Metric)
	}
	m, err := newMetric(t, id, e.TaskBytes)
	if err != nil {
		return nil, err
	}
	d.metrics[e.Task] = m
	return m, nil
}

func (d *presence) fillOne(box *outbox.Box, m *metric, e outbox.Enrolment, now time.Time) error {
	t := m.task
	current := t.EpochAt(now)
	late := task.Epoch(t.MaxDelay/t.EpochSeconds) + 1 // epochs whose reports can still be sent
	first := max(current-min(late, current), t.EpochAt(e.Since))
	if now.Before(e.Since) {
		first = current // the clock was ahead when the device was enrolled
	}
	done := d.done[m.id]
	if done > current+1 {
		done = 0 // the clock was ahead then
	}
	for epoch := max(first, done); epoch <= current; epoch++ {
		if !t.Covers(epoch) || !t.Closes(epoch).Add(-time.Duration(t.ClockSkew)*time.Second).After(now) {
			continue
		}
		g, err := m.begin(d.random)
		if err != nil {
			return err
		}
		verdicts, err := box.Add(m.accumulating(now, epoch, m.report(g)))
		if err != nil {
			return err
		}
		if verdicts[0] == outbox.Full || verdicts[0] == outbox.Failed {
			return fmt.Errorf("metric %q: %v", t.Metric, verdicts[0])
		}
	}
	d.done[m.id] = current + 1
	if over := task.Epoch(t.Expires / int64(t.EpochSeconds)); current >= over {
		_, err := box.Leave(func(o outbox.Enrolment) bool { return o.Task == e.Task })
		return err
	}
	return nil
}

// forget makes the next pass check all epochs again.
func (d *presence) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.done)
}
