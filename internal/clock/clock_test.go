package clock_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
)

func TestVirtualUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Unix(1_000_000, 0)
		v := clock.NewVirtual(start)
		done := make(chan error, 1)
		go func() { done <- v.Until(t.Context(), start.Add(time.Hour)) }()
		v.Advance(59 * time.Minute)
		synctest.Wait()
		select {
		case <-done:
			t.Fatal("Until returned a minute early")
		default:
		}
		v.Set(start) // a jump back must not wake it either
		v.Forward(start.Add(2 * time.Hour))
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		v.Forward(start)
		if got := v.Now(); !got.Equal(start.Add(2 * time.Hour)) {
			t.Fatalf("Forward moved the clock back to %v", got)
		}
	})
}

func TestUntilStopsWithContext(t *testing.T) {
	for name, c := range map[string]clock.Clock{"virtual": clock.NewVirtual(time.Now()), "system": clock.System()} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := c.Until(ctx, c.Now().Add(time.Hour)); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Until = %v, want context.Canceled", name, err)
		}
	}
}

func TestSystemUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clock.System()
		at := c.Now().Add(95 * time.Second) // longer than one recheck
		if err := c.Until(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		if c.Now().Before(at) {
			t.Fatal("Until returned early")
		}
	})
}
