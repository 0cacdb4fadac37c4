package shoal

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/dap/client"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// Count notes that something happened, for a metric of type count.
//
// Count, Add, Observe and Vector are for metrics of the method aggregate. Their
// values are accumulated on the device, and one report is sent for each epoch, see
// the package comment. They wait for the disk, never for the network, and are
// safe for concurrent use. No error needs to be handled. An outcome with Clipped
// means that some of the value went beyond the metric's bounds and does not count.
func (c *Client) Count(name string) Outcome { return c.Add(name, 1) }

// Add adds n to a metric of type sum or count. n must not be negative.
func (c *Client) Add(name string, n int64) Outcome {
	return c.say(name, n, func(t *kind.Tally, _ io.Reader) error { return t.Add(n) })
}

// Observe notes a value of a metric of type mean, histogram or multihot: a
// number of any Go type, or a string where the metric has categories or labels;
// for multihot also a []string. Several values of one epoch are combined as the
// type requires: their mean, one of them at random, all labels.
func (c *Client) Observe(name string, v any) Outcome {
	return c.say(name, v, func(t *kind.Tally, random io.Reader) error { return t.Observe(v, random) })
}

// Vector adds a vector to a metric of type vector (a slice of integers that are
// not negative) or gradient (a slice of numbers).
func (c *Client) Vector(name string, v any) Outcome {
	return c.say(name, v, func(t *kind.Tally, _ io.Reader) error { return t.Vector(v) })
}

// say adds a value to the epoch's tally and reports it to Options.Observe.
func (c *Client) say(name string, v any, add func(*kind.Tally, io.Reader) error) Outcome {
	if c == nil {
		return refused(TurnedOff, errors.New("telemetry was not opened"))
	}
	o := c.accumulate(name, add)
	if c.o.Observe != nil {
		c.o.Observe(name, v, o)
	}
	return o
}

func (c *Client) accumulate(name string, add func(*kind.Tally, io.Reader) error) Outcome {
	c.mu.RLock() // a change of mode waits for values that are under way
	defer c.mu.RUnlock()
	m, now, epoch, o := c.admit(name)
	if m == nil {
		return o
	}
	if m.question == nil {
		return refused(Invalid, fmt.Errorf("metric %q takes records: use Record", name))
	}
	random := &watched{Reader: c.o.Rand}
	clipped := false
	put := func(g accumulated) (outbox.Report, error) {
		_, before := g.tally.Said()
		if err := add(g.tally, random); err != nil {
			return outbox.Report{}, err
		}
		_, after := g.tally.Said()
		clipped = after > before
		return m.report(g), nil
	}
	held := c.mode == Local
	err := c.keep(m, now, epoch, held, put)
	switch {
	case err == nil:
		c.wake.Set()
		return Outcome{Status: Queued, Reports: 1, Clipped: clipped}
	case errors.Is(err, kind.ErrUse) && !random.failed:
		return refused(Invalid, fmt.Errorf("metric %q: %w", name, err))
	case durable.IsFull(err):
		return refused(Full, err)
	}
	if v, ok := errors.AsType[verdictError](err); ok {
		return outcome(name, []outbox.Verdict{outbox.Verdict(v)})
	}
	return refused(Failed, err)
}

// verdictError is a verdict of the outbox other than acceptance.
type verdictError outbox.Verdict

func (v verdictError) Error() string { return outbox.Verdict(v).String() }

// keep changes the report of an epoch, or makes the first one.
func (c *Client) keep(m *metric, now time.Time, epoch task.Epoch, held bool, put func(accumulated) (outbox.Report, error)) error {
	amend := func() (bool, error) {
		return c.box.Amend(m.id, epoch, held, func(e outbox.Entry) (outbox.Report, error) {
			g, err := m.parse(e.Record)
			if err != nil {
				return outbox.Report{}, err
			}
			return put(g)
		})
	}
	if ok, err := amend(); ok || err != nil {
		return err
	}
	g, err := m.begin(c.o.Rand)
	if err != nil {
		return err
	}
	r, err := put(g)
	if err != nil {
		return err
	}
	con := m.accumulating(now, epoch, r)
	con.Held = held
	verdicts, err := c.box.Add(con)
	if err != nil || verdicts[0] == outbox.Accepted {
		return err
	}
	if verdicts[0] == outbox.CapReached { // another process was first, or it is sealed
		if ok, err := amend(); ok || err != nil {
			return err
		}
	}
	return verdictError(verdicts[0])
}

// What is accumulated is kept in an entry of the outbox, as a version, the ID that
// the report will have, and the tally. The ID is drawn once, so that a report
// that is sealed to newer keys cannot count twice.
type accumulated struct {
	id    dap.ReportID
	tally *kind.Tally
}

const accumulatedVersion = 1

func (m *metric) begin(random io.Reader) (accumulated, error) {
	id, err := client.NewReportID(random)
	return accumulated{id, m.question.Empty()}, err
}

func (m *metric) parse(record []byte) (accumulated, error) {
	return parseAccumulated(m.question, record)
}

func parseAccumulated(q *kind.Measure, record []byte) (accumulated, error) {
	var g accumulated
	if len(record) < 1+len(g.id) || record[0] != accumulatedVersion {
		return g, errors.New("what was accumulated is of another version")
	}
	copy(g.id[:], record[1:])
	var err error
	g.tally, err = q.Parse(record[1+len(g.id):])
	return g, err
}

// report is what the outbox holds of g, with words for the person.
func (m *metric) report(g accumulated) outbox.Report {
	record := append([]byte{accumulatedVersion}, g.id[:]...)
	recorded := g.tally.String()
	if times, clipped := g.tally.Said(); clipped > 0 {
		recorded += fmt.Sprintf(" (%d of %d values went beyond the bounds and were cut)", clipped, times)
	}
	return outbox.Report{
		Record: append(record, g.tally.Bytes()...), Crowd: []byte("aggregate"), Recorded: recorded,
		Encoded: "two shares of it, by " + m.question.Instance().Name() + ": random numbers, each by itself",
	}
}

// accumulating makes of a report what the outbox takes: the one of its epoch, sent
// after the epoch's end.
func (m *metric) accumulating(now time.Time, e task.Epoch, r outbox.Report) outbox.Contribution {
	t := m.task
	return outbox.Contribution{
		Task: m.id, TaskBytes: m.signed,
		Owner: task.FormatPublic(t.Owner), Metric: t.Metric, Method: t.Method, Destination: t.First().URL,
		Epoch: e, Start: t.Start(e), End: t.Start(e + 1), PerEpoch: 1, PerCrowd: 1,
		At: now, From: t.Start(e + 1), MaxDelay: time.Duration(t.MaxDelay) * time.Second,
		// The skew on top is for clocks that differ, not for us to use up.
		SendBy: t.Closes(e).Add(-time.Duration(t.ClockSkew) * time.Second), NotAfter: t.Closes(e),
		Reports: []outbox.Report{r},
	}
}
