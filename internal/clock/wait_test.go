package clock

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		failures       int
		first, longest time.Duration
		want           time.Duration
	}{
		{0, time.Second, time.Hour, time.Second},
		{1, time.Second, time.Hour, time.Second},
		{2, time.Second, time.Hour, 2 * time.Second},
		{5, time.Second, time.Hour, 16 * time.Second},
		{12, time.Second, time.Hour, 2048 * time.Second},
		{13, time.Second, time.Hour, time.Hour},
		{1 << 40, time.Second, time.Hour, time.Hour},
		{3, time.Hour, time.Second, time.Second},
		{1, time.Hour, time.Second, time.Second},
		{-1, time.Second, time.Hour, time.Second},
	} {
		if got := Backoff(c.failures, c.first, c.longest); got != c.want {
			t.Errorf("Backoff(%d, %v, %v) = %v, want %v", c.failures, c.first, c.longest, got, c.want)
		}
	}
}

func TestSleep(t *testing.T) {
	c := NewVirtual(time.Unix(0, 0))
	done := make(chan error)
	go func() { done <- Sleep(t.Context(), c, 0) }()
	if err := <-done; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- Sleep(ctx, c, time.Second) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// A signal that is set ends a wait, also one that begins later, and one only.
func TestSignal(t *testing.T) {
	c := NewVirtual(time.Unix(0, 0))
	s := NewSignal()
	s.Set()
	s.Set()
	s.Wait(t.Context(), c, time.Unix(1, 0)) // set before
	done := make(chan struct{})
	go func() {
		s.Wait(t.Context(), c, time.Unix(1, 0))
		close(done)
	}()
	select {
	case <-done:
		t.Error("the signal was remembered twice")
	case <-time.After(10 * time.Millisecond):
	}
	s.Set()
	<-done
	s.Wait(t.Context(), c, time.Unix(0, 0)) // due
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Wait(ctx, c, time.Unix(1, 0)) // done
}

// A loop goes on after errors, when it is due and when it is woken.
func TestLoop(t *testing.T) {
	c := NewVirtual(time.Unix(0, 0))
	wake := NewSignal()
	ctx, cancel := context.WithCancel(t.Context())
	broken := errors.New("broken")
	calls := make(chan struct{})
	var seen []error
	ended := make(chan error)
	go func() {
		n := 0
		ended <- Loop(ctx, c, wake, func(context.Context) error {
			calls <- struct{}{}
			if n++; n == 1 {
				return broken
			}
			return nil
		}, func(err error) time.Time {
			if err != nil {
				return time.Unix(1, 0)
			}
			return time.Unix(5, 0)
		}, func(err error) { seen = append(seen, err) })
	}()
	<-calls
	c.Advance(time.Second) // after the error
	<-calls
	wake.Set()
	<-calls
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || len(seen) != 1 || !errors.Is(seen[0], broken) {
		t.Errorf("ended with %v, errors %v", err, seen)
	}
}

// A Set after Wait has returned is for the next Wait. What Wait had begun took it, now
// and then, and the loop slept on what it should have done.
func TestSignalIsNotLost(t *testing.T) {
	c := NewVirtual(time.Unix(1000, 0))
	s := NewSignal()
	for i := range 1000 {
		s.Wait(t.Context(), c, c.Now()) // due
		s.Set()
		runtime.Gosched()
		select {
		case <-s:
		default:
			t.Fatalf("the signal of turn %d is lost", i)
		}
	}
}
