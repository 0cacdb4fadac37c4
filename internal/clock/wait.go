package clock

import (
	"context"
	"time"
)

// Sleep waits for a duration of a clock, or until ctx is done, and then returns
// ctx.Err().
func Sleep(ctx context.Context, c Clock, d time.Duration) error {
	return c.Until(ctx, c.Now().Add(d))
}

// Backoff returns how long to wait after so many failures in a row, from 1: first,
// doubled with each further failure, at most longest.
func Backoff(failures int, first, longest time.Duration) time.Duration {
	if failures < 2 {
		return min(first, longest)
	}
	if n := failures - 1; n > 30 || first > longest>>n {
		return longest
	}
	return first << (failures - 1)
}

// A Signal wakes a loop before its time. It remembers one Set. Make one by
// [NewSignal].
type Signal chan struct{}

// NewSignal returns a signal that is not set.
func NewSignal() Signal { return make(Signal, 1) }

// Set wakes who waits, or keeps the next Wait from waiting. It never blocks.
func (s Signal) Set() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// Wait waits until the clock reads t, the signal is set, or ctx is done. The caller
// looks which of them it was.
func (s Signal) Wait(ctx context.Context, c Clock, t time.Time) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-s:
			cancel()
		case <-ctx.Done():
		}
	}()
	_ = c.Until(ctx, t) // due, woken or done
	cancel()
	<-ended // so that it does not take what is set after this, when the caller has looked
}

// Loop calls do until ctx is done, and returns ctx's error then: at once, when it is
// the time that due returns, which gets the error of the last call, and when wake is
// set, which may be nil. Errors do not end it; they are passed to failed, if that is
// not nil, unless ctx is done.
func Loop(ctx context.Context, c Clock, wake Signal, do func(context.Context) error, due func(error) time.Time, failed func(error)) error {
	for {
		err := do(ctx)
		if err != nil && failed != nil && ctx.Err() == nil {
			failed(err)
		}
		wake.Wait(ctx, c, due(err))
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}
