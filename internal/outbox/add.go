package outbox

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// maxContribution bounds the reports of one contribution together, in bytes.
const maxContribution = 16 << 20

// An addition is a contribution, or an amendment of an entry, that waits for its
// commit.
type addition struct {
	c        Contribution
	amends   *amendment // nil for a contribution
	verdicts []Verdict
	err      error
	done     chan struct{} // closed when all is final
}

// Add judges each report of a contribution and keeps those it accepts. When it
// returns, they are durable. Concurrent calls share one sync. The verdicts are
// in the order of the reports; the error, if there is one, is that of a journal
// that cannot be written or of a contribution that is malformed, and then all
// reports are refused.
func (b *Box) Add(c Contribution) ([]Verdict, error) {
	if err := c.validate(); err != nil {
		return c.verdicts(Failed), err
	}
	a := &addition{c: c, done: make(chan struct{})}
	b.wait(a)
	return a.verdicts, a.err
}

// ContributionOf returns the contribution to an epoch of a task of the method crowd, whose
// signed bytes are given, without reports.
func ContributionOf(t *task.Task, id task.ID, signed []byte, now time.Time, e task.Epoch) Contribution {
	start, end := t.CapPeriod(e)
	c := Contribution{
		Task: id, TaskBytes: signed,
		Owner: task.FormatPublic(t.Owner), Metric: t.Metric, Method: t.Method, Destination: t.First().URL,
		Epoch: e, Start: start, End: end,
		PerEpoch: int(t.PerEpoch), PerCrowd: int(t.PerCrowd),
		At: now, MaxDelay: time.Duration(t.MaxDelay) * time.Second,
		// The skew on top is for clocks that differ, not for us to use up.
		SendBy:   t.Closes(e).Add(-time.Duration(t.ClockSkew) * time.Second),
		NotAfter: t.Closes(e),
	}
	if from := t.SendsFrom(e); from.After(t.Start(e)) {
		c.From = from
	}
	return c
}

// wait lets an addition be committed, with others if there are some.
func (b *Box) wait(a *addition) {
	b.pendingMu.Lock()
	b.pending = append(b.pending, a)
	b.pendingMu.Unlock()
	select {
	case <-a.done:
	case b.sem <- struct{}{}:
		b.serve(a)
		<-b.sem
	}
}

func (c *Contribution) verdicts(v Verdict) []Verdict {
	list := make([]Verdict, len(c.Reports))
	for i := range list {
		list[i] = v
	}
	return list
}

func (c *Contribution) validate() error {
	size := len(c.TaskBytes)
	for _, r := range c.Reports {
		if len(r.Record) > maxBytes || len(r.Recorded) > maxShown || len(r.Encoded) > maxShown {
			return errors.New("adding to the outbox: a report is too large")
		}
		size += len(r.Record) + len(r.Recorded) + len(r.Encoded)
	}
	switch {
	case size > maxContribution || len(c.TaskBytes) > maxBytes || len(c.Destination) > maxWhere:
		return errors.New("adding to the outbox: the contribution is too large")
	case len(c.Owner) == 0 || len(c.Owner) > maxName || len(c.Metric) == 0 || len(c.Metric) > maxName:
		return fmt.Errorf("adding to the outbox: owner and metric must have 1 to %d bytes", maxName)
	case !c.Start.Before(c.End):
		return errors.New("adding to the outbox: the epoch ends before it starts")
	case c.Method != task.Crowd && c.Method != task.Aggregate:
		return fmt.Errorf("adding to the outbox: method %d, want crowd or aggregate", c.Method)
	}
	return nil
}

// serve commits what is pending until a is among it. The caller holds the
// turn.
func (b *Box) serve(a *addition) {
	for {
		select {
		case <-a.done:
			return
		default:
		}
		batch := b.take()
		err := b.session(func(s *session) error { return s.admit(batch) })
		for _, x := range batch {
			if err != nil {
				x.verdicts, x.err = x.c.verdicts(Failed), fmt.Errorf("adding to the outbox: %w", err)
			}
			close(x.done)
		}
	}
}

// take returns the additions of the next commit: what is pending, up to a
// size.
func (b *Box) take() []*addition {
	const enough = 1 << 20
	b.pendingMu.Lock()
	defer b.pendingMu.Unlock()
	size, n := 0, 0
	for n < len(b.pending) && size < enough {
		for _, r := range b.pending[n].c.Reports {
			size += len(r.Record) + len(r.Recorded) + len(r.Encoded)
		}
		n++
	}
	batch := b.pending[:n:n]
	b.pending = b.pending[n:]
	return batch
}

func (s *session) admit(batch []*addition) error {
	for _, a := range batch {
		if a.amends != nil {
			a.err = s.amendEntry(a.amends)
			continue
		}
		s.sweep(a.c.At)
		a.verdicts = make([]Verdict, len(a.c.Reports))
		for i, r := range a.c.Reports {
			v, err := s.add(&a.c, r)
			if err != nil {
				return err
			}
			a.verdicts[i] = v
		}
	}
	return nil
}

// add judges one report, and takes it if it may.
func (s *session) add(c *Contribution, r Report) (Verdict, error) {
	b, st := s.b, s.b.state
	if !c.NotAfter.After(c.At) {
		return Closed, nil
	}
	to := b.tags.charge(c, r.Crowd)
	if v := st.caps.allow(to, c.PerEpoch, c.PerCrowd); v != Accepted {
		return v, nil
	}
	e := &Entry{
		ID: st.next, Task: c.Task, Owner: c.Owner, Metric: c.Metric, Destination: c.Destination,
		Epoch: c.Epoch, Stage: Waiting, At: c.At, SendBy: c.SendBy, NotAfter: c.NotAfter,
		Record: append([]byte(nil), r.Record...), Recorded: r.Recorded, Encoded: r.Encoded, Method: c.Method,
	}
	if c.Held {
		e.Stage = Held
	}
	if len(st.entries) >= b.o.MaxEntries || st.cost()+e.size()+chargeSize > b.o.MaxBytes {
		return Full, nil
	}
	at, err := b.plan(c)
	if err != nil {
		return Failed, err
	}
	e.NotBefore = at
	if _, known := st.tasks[c.Task]; !known {
		s.do(taskBytes{c.Task, append([]byte(nil), c.TaskBytes...)})
	}
	s.do(adding(e), chargeOp{to, 1})
	return Accepted, nil
}

// charge names what a report counts against. Held contributions have caps of
// their own: they take nothing away from those that are sent.
func (t tagger) charge(c *Contribution, crowd []byte) charge {
	held := []byte{0}
	if c.Held {
		held[0] = 1
	}
	owner, metric := []byte(c.Owner), []byte(c.Metric)
	return charge{
		scope: t.tag("scope", owner, metric, held),
		crowd: t.tag("crowd", owner, metric, held, crowd),
		start: millis(c.Start.UnixMilli()),
		end:   millis(c.End.UnixMilli()),
	}
}

// sweep drops what has expired and forgets the caps of epochs that are over.
func (s *session) sweep(now time.Time) {
	st := s.b.state
	for _, e := range st.expired(now) {
		cause := Expired
		if e.Stage == Held {
			cause = Unsent
		}
		s.do(done{e.ID, cause})
	}
	if by := millis(now.UnixMilli()); st.caps.prunable(by) {
		s.do(prune{by})
		s.compact = true
	}
}

// draw returns a time drawn uniformly from [from, to], in whole milliseconds;
// from if to is not later.
func (b *Box) draw(from, to time.Time) (time.Time, error) {
	span := to.UnixMilli() - from.UnixMilli()
	if span <= 0 {
		return from.Truncate(time.Millisecond).UTC(), nil
	}
	n, err := b.uniform(uint64(span) + 1)
	if err != nil {
		return time.Time{}, fmt.Errorf("drawing a time: %w", err)
	}
	return time.UnixMilli(from.UnixMilli() + int64(n)).UTC(), nil
}

// uniform returns a number below n, each equally likely: it rejects the
// numbers that would favour some remainders. n must not be 0.
func (b *Box) uniform(n uint64) (uint64, error) {
	limit := math.MaxUint64 - (math.MaxUint64%n+1)%n // the last number of the last whole run of n
	for {
		v, err := randUint64(b.o.Rand)
		if err != nil {
			return 0, err
		}
		if v <= limit {
			return v % n, nil
		}
	}
}
