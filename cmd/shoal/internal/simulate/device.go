package simulate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/esa/encoder"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/plan"
	"github.com/shoal-project/shoal/metric/task"
)

// A question is one metric while it is answered.
type question struct {
	metric  *metric.Metric
	task    *task.Task
	id      task.ID
	values  MetricValues
	says    draw
	encoder *encoder.Encoder // of the method crowd
	epoch   task.Epoch       // in which it is answered

	mu     sync.Mutex
	crowds *crowds // guarded by mu
	sums   *sums   // guarded by mu
	sent   int     // reports of the epoch that devices made; guarded by mu
}

func newQuestion(m *metric.Metric, o task.Opened, v MetricValues) (*question, error) {
	q := &question{metric: m, task: o.Task, id: o.ID, values: v}
	var err error
	if q.says, err = v.says(o.Task); err != nil {
		return nil, err
	}
	if o.Task.Method == task.Aggregate {
		q.sums, err = newSums(&o.Task.Aggregation)
		return q, err
	}
	q.crowds = &crowds{t: o.Task, all: map[string]*crowdTruth{}}
	q.encoder, err = encoder.New(o.Task, o.ID)
	return q, err
}

// label names a row of the result of an aggregate question.
func (q *question) label(row int) string { return q.task.Aggregation.Kind.Label(row) }

// An act is one answer of a person.
type act struct {
	at    time.Time
	q     *question
	value any
}

// A device is a client of the SDK whose owner is simulated. It is used by one
// goroutine at a time.
type device struct {
	client *shoal.Client
	random *rand.ChaCha8 // the client's
	acts   []act         // that are not done yet
	caps   map[*question]map[string]int
}

// do records what is due at now. It mirrors what the client makes of a record, so
// that the truth is known report by report.
func (d *device) do(now time.Time) error {
	var later []act
	for _, a := range d.acts {
		if a.at.After(now) {
			later = append(later, a)
			continue
		}
		var err error
		if a.q.crowds != nil {
			err = d.record(a)
		} else {
			err = d.say(a)
		}
		if err != nil {
			return fmt.Errorf("metric %s: %w", task.Rehearsed(a.q.task.Metric), err)
		}
	}
	d.acts = later
	return nil
}

// record makes a record, and notes which reports the caps let through.
func (d *device) record(a act) error {
	state, err := d.random.MarshalBinary()
	if err != nil {
		return err
	}
	var same rand.ChaCha8
	if err := same.UnmarshalBinary(state); err != nil {
		return err
	}
	fragments, err := a.q.encoder.Encode(a.value, &same)
	if err != nil {
		return err
	}
	o := d.client.Record(a.q.task.Metric, a.value)
	switch o.Status {
	case shoal.Queued, shoal.CapReached, shoal.Nothing:
	default:
		return fmt.Errorf("a simulated device refused a record: %v", o)
	}
	accepted := d.allow(a.q, fragments)
	if len(accepted) != o.Reports {
		return fmt.Errorf("a simulated device queued %d reports where its caps allow %d", o.Reports, len(accepted))
	}
	a.q.mu.Lock()
	defer a.q.mu.Unlock()
	for _, f := range accepted {
		if err := a.q.crowds.add(f); err != nil {
			return err
		}
	}
	a.q.sent += len(accepted)
	return nil
}

// allow returns the fragments that the caps let through.
func (d *device) allow(q *question, all []encoder.Fragment) []encoder.Fragment {
	counts := d.caps[q]
	if counts == nil {
		counts = map[string]int{}
		d.caps[q] = counts
	}
	const every = "\x00all" // longer than no crowd: crowds are canonical bytes with a prefix of their own
	var out []encoder.Fragment
	for _, f := range all {
		if counts[every] >= int(q.task.PerEpoch) || counts["crowd "+string(f.Crowd)] >= int(q.task.PerCrowd) {
			continue
		}
		counts[every]++
		counts["crowd "+string(f.Crowd)]++
		out = append(out, f)
	}
	return out
}

// say adds to an aggregate.
func (d *device) say(a act) error {
	name := a.q.task.Metric
	var o shoal.Outcome
	switch a.q.sums.words.Input() {
	case plan.Event, plan.Amount:
		n := a.value.(int64)
		if n == 0 { // a person without events records none
			o = shoal.Outcome{Status: shoal.Queued}
			break
		}
		o = d.client.Add(name, n)
	case plan.Wholes, plan.Reals:
		o = d.client.Vector(name, a.value)
	default:
		o = d.client.Observe(name, a.value)
	}
	if !o.Queued() {
		return fmt.Errorf("a simulated device refused %v: %v", a.value, o)
	}
	a.q.mu.Lock()
	defer a.q.mu.Unlock()
	a.q.sums.add(a.value)
	if o.Clipped {
		a.q.sums.clipped++
	}
	return nil
}

// send sends what is due and returns when to look again, and how much was sent.
func (d *device) send(ctx context.Context) (time.Time, int, error) {
	pass, err := d.client.SendDue(ctx)
	switch {
	case err != nil:
		return time.Time{}, 0, fmt.Errorf("a simulated device could not send: %w", err)
	case pass.Refused > 0:
		return time.Time{}, 0, fmt.Errorf("a server refused a report: %w", pass.Err)
	}
	next := pass.Next
	for _, a := range d.acts {
		if next.IsZero() || a.at.Before(next) {
			next = a.at
		}
	}
	return next, pass.Sent, nil
}
