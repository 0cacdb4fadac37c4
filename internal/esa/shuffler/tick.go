package shuffler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/esa"
)

// An attempt remembers that a step failed, and when to try again. It lives in
// memory only: a new process tries at once.
type attempt struct {
	n    int
	next time.Time
	err  error
}

const (
	firstPause = time.Second
	longPause  = 5 * time.Minute
	maxSleep   = time.Minute // Run looks at least so often, to notice jumps of the clock
)

func (a attempt) again(now time.Time, err error) attempt {
	return attempt{n: a.n + 1, next: now.Add(clock.Backoff(a.n+1, firstPause, longPause)), err: err}
}

// Run does what is due, whenever it is due, until ctx is done, and returns
// ctx's error. Failures do not end it; they are in [Shuffler.Status] and
// passed to failed, if that is not nil.
func (s *Shuffler) Run(ctx context.Context, failed func(error)) error {
	return clock.Loop(ctx, s.config.Clock, s.wake, s.Tick, func(error) time.Time { return s.due() }, failed)
}

// due returns when there may be something to do.
func (s *Shuffler) due() time.Time {
	now := s.config.Clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	due := now.Add(maxSleep)
	at, ok := s.live.next()
	if !ok || at.After(due) {
		return due
	}
	if soon := now.Add(firstPause); at.Before(soon) { // it was due already and could not go on
		return soon
	}
	return at
}

// Tick does everything that is due now: it closes batches, processes them,
// hands them over, destroys what has been handed over, and states which epochs are
// complete. Each batch goes as far as it can; the errors of those that could not go on are joined. Batches
// that are not due cost nothing.
func (s *Shuffler) Tick(ctx context.Context) error {
	s.tickMu.Lock()
	defer s.tickMu.Unlock()
	now, _ := s.guard.Now()
	s.mu.Lock()
	keys := s.live.take(now)
	s.mu.Unlock()
	var errs []error
	for _, key := range keys {
		for moved := true; moved && ctx.Err() == nil; {
			var err error
			if moved, err = s.step(ctx, key); err != nil {
				errs = append(errs, err)
			}
		}
		s.mu.Lock()
		s.reschedule(s.live.batches[key])
		s.noteLate(key, now)
		s.mu.Unlock()
	}
	if ctx.Err() == nil {
		errs = append(errs, s.state(ctx))
		if s.config.Issuer != nil {
			errs = append(errs, s.config.Issuer.Tick())
		}
	}
	return errors.Join(append(errs, ctx.Err())...)
}

// step takes one batch one state further, if that is due and possible, and
// reports whether it did.
func (s *Shuffler) step(ctx context.Context, key Key) (bool, error) {
	now, sure := s.guard.Now()
	s.mu.Lock()
	b, h, try := s.live.batches[key], s.tasks[key.Task], s.retry[key]
	resting := h != nil && s.notBefore(h, b).After(now)
	s.mu.Unlock()
	if h == nil || b.State == None || b.State == Carried || resting {
		return false, nil
	}
	var err error
	switch b.State {
	case Open:
		if !sure || now.Before(h.task.Closes(b.Epoch)) || s.waits(h, b) {
			return false, nil
		}
		err = s.close(ctx, b)
	case Closed:
		err = s.process(ctx, h, b)
	case Processed:
		err = s.deliver(ctx, h, b)
	case Delivered, Discarded:
		err = s.destroy(ctx, b)
	}
	if err == nil {
		return true, nil
	}
	err = fmt.Errorf("batch of %q, epoch %d, %v: %w", h.task.Metric, b.Epoch, b.State, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retry[key] = try.again(now, err)
	if _, away := errors.AsType[*unreachable](err); away {
		s.away[h.next().URL] = s.away[h.next().URL].again(now, err)
	}
	return false, err
}

// notBefore returns when a batch that has failed is tried again. A next hop that
// is away is asked for all its batches by one of them: batches that wait for it
// for days must not hold up those that do not. Callers hold s.mu.
func (s *Shuffler) notBefore(h *hosted, b Batch) time.Time {
	at := s.retry[b.Key()].next
	if b.State != Processed {
		return at
	}
	if back := s.away[h.next().URL].next; back.After(at) {
		return back
	}
	return at
}

// waits reports whether an earlier batch of the same salt window has yet to
// show whether its reports are carried over into b.
func (s *Shuffler) waits(h *hosted, b Batch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.task.Crowd.SaltEpochs <= 1 {
		return false
	}
	for _, other := range s.live.of(b.Task) {
		if other.Epoch < b.Epoch && (other.State == Open || other.State == Closed) &&
			h.task.SaltWindow(other.Epoch) == h.task.SaltWindow(b.Epoch) {
			return true
		}
	}
	return false
}

// close seals the log of a batch and makes its close record durable. From the
// first line on the batch takes no report any more, whatever happens.
func (s *Shuffler) close(ctx context.Context, b Batch) error {
	s.stop(b.Key())
	known := s.Damaged()
	if err := s.settle(b.Key()); err != nil {
		return err
	}
	if err := s.unlist(b.Key()); err != nil {
		return err
	}
	log, err := s.openLog(b.Key())
	if err != nil {
		return err
	}
	defer log.Close() // sealed: there is nothing to write
	if s.Damaged() == known {
		s.checkTaken(b.Key(), log.Len())
	}
	if err := log.Seal(); err != nil {
		return fmt.Errorf("sealing the log: %w", err)
	}
	if b.Input, err = log.Digest(); err != nil {
		return fmt.Errorf("digest of the log: %w", err)
	}
	if b.Seed, err = dp.NewSeed(s.config.Rand); err != nil {
		return err
	}
	h := s.tasks[b.Task]
	b.ID, b.State = esa.NewBatchID(b.Task, b.Epoch, h.hop), Closed
	return s.apply(ctx, Change{Open, b})
}

// stop ends the intake of a batch. When it returns, no report is on its way.
func (s *Shuffler) stop(k Key) {
	s.mu.Lock()
	in := s.intakes[k]
	if in == nil {
		in = &intake{}
		s.intakes[k] = in
	}
	in.ending = true
	s.mu.Unlock()
	in.mu.Lock()
	in.closing = true
	in.mu.Unlock()
}

// sources are the batches whose reports are the input of b: those that were
// carried over into it, and b itself.
func (s *Shuffler) sources(b Batch) []Batch {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Batch
	for _, other := range s.live.of(b.Task) {
		if other.State == Carried && other.Into == b.Epoch {
			all = append(all, other)
		}
	}
	return append(all, b)
}

// process writes the hand-over file of a closed batch, or decides that the
// batch is too small.
func (s *Shuffler) process(ctx context.Context, h *hosted, b Batch) error {
	started := s.config.Clock.Now()
	opener := h.opener.Load()
	shows, err := s.showingOf(ctx, h, b)
	if err != nil {
		return fmt.Errorf("verifying credentials: %w", err)
	}
	open, err := h.openingOf(opener, b)
	if err != nil {
		return err
	}
	sources := s.sources(b)
	in, err := s.openInput(h, sources)
	if err != nil {
		return err
	}
	defer in.close()
	if in.total < int64(h.task.MinBatch) { // not even opened
		b.Counts = esa.Counts{Received: uint64(in.total)}
		return s.tooSmall(ctx, h, b, sources)
	}
	st := s.stageOf(stage{
		showing: shows,
		engine:  s.config.Engine, name: fmt.Sprintf("b%x-%d", b.Task[:8], b.Epoch), workers: s.config.Workers,
		openMany: open, nextSize: opener.NextSize(), blinds: h.blinds(), unblinds: h.unblinds(), second: h.task.HasSecond(),
		minBatch: uint64(h.task.MinBatch), total: h.total, seed: b.Seed, threshold: h.threshold,
	}, in.total)
	made, err := st.run(ctx, in.reports)
	defer func() { _ = st.end(context.WithoutCancel(ctx)) }() // and again, by name, before any later attempt
	b.Counts = made.counts
	if h.hop == 0 && b.Counts.Invalid[esa.CauseUnknownKey] > 0 {
		return errors.New("reports were accepted under keys that are not held any more: restore the key file")
	}
	if errors.Is(err, errUndersized) {
		return s.tooSmall(ctx, h, b, sources)
	}
	if err != nil {
		return err
	}
	if b.Output, err = s.writeBatch(ctx, h, b, st, made); err != nil {
		return fmt.Errorf("writing the hand-over file: %w", err)
	}
	b.State = Processed
	if h.blinds() {
		b.Seed = dp.Seed{} // with the exponent crowds of two batches could be linked
	}
	if err := s.apply(ctx, Change{Closed, b}); err != nil {
		return err
	}
	s.config.Metrics.Took(s.config.Clock.Now().Sub(started))
	return nil
}

// stageOf returns the configured stage for a batch of so many reports.
func (s *Shuffler) stageOf(st stage, reports int64) batchStage {
	if s.config.Stage == Oblivious {
		return &obliviousStage{stage: st, most: int(reports), memory: s.config.Memory, rand: s.config.Rand}
	}
	return &st
}

// tooSmall carries the reports over to the next epoch's batch, when that is of
// the same salt window, and otherwise gives them up to be destroyed.
func (s *Shuffler) tooSmall(ctx context.Context, h *hosted, b Batch, sources []Batch) error {
	b.Seed = dp.Seed{}
	if err := s.forgetSpent(h, b); err != nil {
		return fmt.Errorf("removing spent tags: %w", err)
	}
	next := b.Epoch + 1
	if h.hop > 0 || h.task.SaltWindow(next) != h.task.SaltWindow(b.Epoch) || !h.task.Covers(next) {
		b.State = Discarded
		return s.apply(ctx, Change{Closed, b})
	}
	var changes []Change
	for _, src := range sources {
		from := src.State // Closed for b itself, Carried for the others
		if src.Key() == b.Key() {
			src = b
		}
		src.State, src.Into = Carried, next
		changes = append(changes, Change{from, src})
	}
	into := Key{b.Task, next}
	s.mu.Lock()
	state := s.live.batches[into].State
	s.mu.Unlock()
	switch state {
	case None: // so that it closes even if it gets no report of its own
		changes = append(changes, Change{None, Batch{Task: b.Task, Epoch: next, State: Open}})
	case Open:
	default:
		return fmt.Errorf("batch of epoch %d is %v already: nothing can be carried over into it", next, state)
	}
	return s.apply(ctx, changes...)
}

// destroy removes every trace of a batch but its counts.
func (s *Shuffler) destroy(ctx context.Context, b Batch) error {
	var changes []Change
	for _, src := range s.sources(b) {
		if err := s.removeFiles(src.Key()); err != nil {
			return err
		}
		from := src.State
		src.State = Destroyed
		changes = append(changes, Change{from, src})
	}
	return s.apply(ctx, changes...)
}
