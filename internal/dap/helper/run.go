package helper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
)

// A Status is a picture of the helper for health checks and counters.
type Status struct {
	Running int       // requests that are handled
	Queued  int       // requests that wait for a slot
	Pending int       // jobs that were taken and are not handled yet, as this process knows
	Swept   time.Time // when the last sweep ended well; zero: none yet
	// Err is what last went wrong here and has not gone well since, nil if all is
	// well: the store, above all.
	Err error
}

// Status returns how the helper is.
func (h *Helper) Status() Status {
	h.mu.Lock()
	s := h.status
	h.mu.Unlock()
	s.Running, s.Queued = h.queue.lengths()
	s.Pending = h.pending.len()
	return s
}

func (h *Helper) fault(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.Err = err
}

// Run handles the jobs that were taken, those of an earlier process first, and
// sweeps what need not be kept, until the context ends. It returns the context's
// error. Without Run a helper that is not asynchronous serves all the same, and
// forgets nothing.
func (h *Helper) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range h.config.Workers {
		wg.Go(func() { h.work(ctx) })
	}
	if err := h.adopt(ctx, h.config.Clock.Now().Add(time.Second)); err != nil && ctx.Err() == nil {
		h.config.Report(err)
		h.fault(err)
	}
	next := func(error) time.Time { return h.config.Clock.Now().Add(h.config.Sweep) }
	if err := h.config.Clock.Until(ctx, next(nil)); err != nil {
		return err
	}
	return clock.Loop(ctx, h.config.Clock, nil, h.Tick, next, h.config.Report)
}

// work handles one job after another. A job that fails for our own fault is tried
// again when it is adopted.
func (h *Helper) work(ctx context.Context) {
	for {
		k, err := h.pending.next(ctx)
		if err != nil {
			return
		}
		err = h.finish(ctx, k)
		h.pending.done(k)
		if err != nil && ctx.Err() == nil {
			h.config.Report(err)
			h.fault(err)
		}
	}
}

// Finish handles all jobs that wait, for programs that keep their own time and do
// not call Run.
func (h *Helper) Finish(ctx context.Context) error {
	keys, err := h.config.Store.WaitingJobs(ctx, h.config.Clock.Now().Add(time.Second), 1000)
	if err != nil {
		return fmt.Errorf("looking for jobs that wait: %w", err)
	}
	var errs []error
	for _, k := range keys {
		errs = append(errs, h.finish(ctx, k))
		h.pending.done(k)
	}
	return errors.Join(errs...)
}

// sweepRows bounds the rows that a sweep touches in one transaction.
const sweepRows = 1000

// Tick does once what Run does at each pause: it adopts jobs that another process
// left, drops answers and records that are old enough, and evicts report IDs
// beyond the expiry of their tasks. While the clock is in doubt it forgets nothing.
func (h *Helper) Tick(ctx context.Context) error {
	now, sure := h.guard.Now()
	err := h.adopt(ctx, now.Add(-orphaned))
	if sure {
		err = errors.Join(err, h.sweep(ctx, now), h.expire(ctx))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.Err = err
	if err == nil && sure {
		h.status.Swept = now
	}
	return err
}

func (h *Helper) sweep(ctx context.Context, now time.Time) error {
	for {
		n, err := h.config.Store.Sweep(ctx, now.Add(-h.config.KeepResponses), now.Add(-h.config.KeepRecords), sweepRows)
		if err != nil {
			return fmt.Errorf("sweeping old records: %w", err)
		}
		if n == 0 {
			return nil
		}
	}
}

// expire evicts the report IDs and batches beyond the expiry of each task.
func (h *Helper) expire(ctx context.Context) error {
	var errs []error
	for _, s := range h.config.Registry.List() {
		if s.Entry.Expiry == 0 {
			continue
		}
		taskLedger, err := h.ledger(ctx, s)
		if err == nil {
			err = taskLedger.Expire(ctx)
		}
		if spent, failed := h.spent(ctx, s); failed != nil {
			err = errors.Join(err, failed)
		} else if spent != nil {
			err = errors.Join(err, spent.Expire(ctx))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
