package collector

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
)

const (
	maxSleep     = time.Minute // Run looks at least so often
	longestPause = time.Hour   // after failures in a row
)

// Run does what is due, whenever it is due, until ctx is done, and returns ctx's
// error. Failures do not end it; they are in [Collector.Status] and passed to
// failed, if that is not nil.
func (c *Collector) Run(ctx context.Context, failed func(error)) error {
	return clock.Loop(ctx, c.config.Clock, c.wake, c.Tick, func(error) time.Time { return c.due() }, failed)
}

// due returns when there may be something to do.
func (c *Collector) due() time.Time {
	now := c.config.Clock.Now()
	due := now.Add(maxSleep)
	earlier := func(t time.Time) {
		if t.After(now) && t.Before(due) {
			due = t
		}
	}
	for _, q := range c.served() {
		if q.Shoal != nil {
			earlier(q.next(now))
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, try := range c.tries {
		earlier(try.next)
	}
	return due
}

// Tick does everything that is due now: it makes the asks that the schedules
// want, asks leaders, releases what has been received and removes what has been
// kept long enough. The errors of asks that could not go on are joined.
func (c *Collector) Tick(ctx context.Context) error {
	c.tickMu.Lock()
	defer c.tickMu.Unlock()
	asks, err := c.config.Store.Open(ctx)
	if err != nil {
		return err
	}
	var errs []error
	waits := make(map[dap.TaskID]bool)
	for _, a := range asks {
		waits[a.Task] = waits[a.Task] || a.State == Asked
	}
	for _, q := range c.served() {
		made, err := c.schedule(ctx, q, waits[q.Task.ID()])
		asks = append(asks, made...)
		if err != nil {
			errs = append(errs, fmt.Errorf("schedule of %q: %w", q.metric(), err))
		}
	}
	for _, a := range asks {
		if ctx.Err() != nil {
			break
		}
		if err := c.advance(ctx, a); err != nil {
			errs = append(errs, failedAsk(a, err))
		}
	}
	return errors.Join(append(errs, c.expire(ctx), ctx.Err())...)
}

func failedAsk(a Ask, err error) error { return fmt.Errorf("ask %v of task %v: %w", a.ID, a.Task, err) }

// maxBacklog bounds how many asks a schedule makes at once.
const maxBacklog = 256

// schedule makes the asks of a question that are due, and returns them. waits is whether
// an ask of it waits for its answer.
func (c *Collector) schedule(ctx context.Context, q *Question, waits bool) ([]Ask, error) {
	if q.Shoal == nil {
		return nil, nil
	}
	now := c.config.Clock.Now()
	first, last, ok := q.due(now)
	if !ok {
		return nil, nil
	}
	var made []Ask
	add := func(query dap.Query, number uint64) error {
		a, err := q.newAsk(query, number, now)
		if err != nil {
			return err
		}
		fresh, err := c.config.Store.Add(ctx, a)
		if err == nil && fresh {
			made = append(made, a)
			c.config.Metrics.Ask(Asked)
		}
		return err
	}
	if q.Task.Config().BatchMode == dap.LeaderSelectedMode {
		if waits {
			return nil, nil
		}
		newest, err := c.config.Store.Of(ctx, q.Task.ID(), 1)
		if err != nil || abandonedAfter(newest, q.Shoal.Expires) {
			return nil, err
		}
		err = add(dap.NextBatchQuery(), nextNumber(newest))
		return made, err
	}
	first = max(first, q.scheduled)
	if first > last {
		return nil, nil
	}
	var known []Ask
	if !q.read { // from then on there is nothing that this process has not made
		var err error
		if known, err = c.config.Store.Of(ctx, q.Task.ID(), math.MaxInt); err != nil {
			return nil, err
		}
	}
	has := numbers(known)
	spans := q.spans(known)
	for e := first; e <= last && len(made) < maxBacklog; e++ {
		i, err := q.epoch(e)
		if err != nil {
			return made, err
		}
		if !has[uint64(e)] && !spans.overlap(i) { // otherwise asked for by hand, in a longer interval
			if err := add(dap.IntervalQuery(i), uint64(e)); err != nil {
				return made, err
			}
		}
		q.scheduled = e + 1
	}
	q.read = q.scheduled > last
	return made, nil
}

func numbers(asks []Ask) map[uint64]bool {
	has := make(map[uint64]bool, len(asks))
	for _, a := range asks {
		has[a.Number] = true
	}
	return has
}

// abandonedAfter reports whether the newest ask of a question was given up after its
// end: the leader has no further batch.
func abandonedAfter(newest []Ask, end int64) bool {
	return len(newest) > 0 && newest[0].State == Abandoned && newest[0].Created >= end
}

// advance takes an ask as far as it goes now.
func (c *Collector) advance(ctx context.Context, a Ask) error {
	q := c.question(a.Task)
	if q == nil {
		return nil // it waits for its question to be served again
	}
	c.mu.Lock()
	try := c.tries[a.ID]
	c.mu.Unlock()
	now := c.config.Clock.Now()
	if try.next.After(now) {
		return nil
	}
	var pause time.Duration
	var err error
	switch a.State {
	case Asked:
		if a, pause, err = c.ask(ctx, q, a); err == nil && a.State == Received {
			err = c.release(ctx, q, a)
		}
	case Received:
		err = c.release(ctx, q, a)
	default:
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.tries[a.ID] = attempt{n: try.n + 1, next: now.Add(max(pause, clock.Backoff(try.n+1, c.config.Poll, longestPause))), err: err}
	case pause > 0:
		c.tries[a.ID] = attempt{next: now.Add(pause)}
	default:
		delete(c.tries, a.ID)
	}
	return err
}
