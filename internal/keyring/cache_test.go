package keyring_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/keyring"
)

var start = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

// An announcement is used while it is fresh; when the peer fails, until it ends.
func TestCacheKeeps(t *testing.T) {
	c := clock.NewVirtual(start)
	cache := keyring.NewCache[int](c, time.Minute, 10*time.Second)
	asked, failed := 0, errors.New("away")
	var fail error
	get := func() (int, error) {
		return cache.Get(t.Context(), "peer", func(_ context.Context, now time.Time) (keyring.Announcement[int], error) {
			asked++
			return keyring.Announcement[int]{Value: asked, Fresh: now.Add(time.Minute), Until: now.Add(time.Hour)}, fail
		})
	}
	for i, step := range []struct {
		after time.Duration
		fail  error
		want  int // 0: an error
		asked int
	}{
		{0, nil, 1, 1},
		{59 * time.Second, nil, 1, 1},
		{time.Second, nil, 2, 2},
		{time.Minute, failed, 2, 3},
		{9 * time.Second, nil, 2, 3},
		{time.Second, nil, 4, 4},
		{time.Minute, failed, 4, 5},
		{59 * time.Minute, failed, 0, 6},
		{0, nil, 7, 7},
	} {
		c.Advance(step.after)
		fail = step.fail
		got, err := get()
		if got != step.want && step.want != 0 || (err != nil) != (step.want == 0) || asked != step.asked {
			t.Errorf("step %d: %d after %d requests, %v", i, got, asked, err)
		}
	}
	cache.Forget("peer")
	if got, err := get(); got != 8 || err != nil {
		t.Errorf("after Forget: %d, %v", got, err)
	}
	if _, err := cache.Get(t.Context(), "other", func(context.Context, time.Time) (keyring.Announcement[int], error) {
		return keyring.Announcement[int]{}, failed
	}); !errors.Is(err, failed) {
		t.Errorf("another peer: %v", err)
	}
}

// Many who ask cause one request. One who gives up ends it for nobody else; when all
// have, it ends.
func TestCacheAsksOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cache := keyring.NewCache[int](clock.System(), time.Minute, time.Second)
		asked, ended := 0, 0
		answer := make(chan int)
		fetch := func(ctx context.Context, now time.Time) (keyring.Announcement[int], error) {
			asked++
			select {
			case v := <-answer:
				return keyring.Announcement[int]{Value: v, Fresh: now.Add(time.Hour)}, nil
			case <-ctx.Done():
				ended++
				return keyring.Announcement[int]{}, ctx.Err()
			}
		}
		results := make(chan int, 10)
		get := func(ctx context.Context) {
			v, err := cache.Get(ctx, "peer", fetch)
			if err != nil {
				v = -1
			}
			results <- v
		}
		ctx, cancel := context.WithCancel(t.Context())
		go get(ctx)
		for range 3 {
			go get(t.Context())
		}
		synctest.Wait()
		cancel()
		if v := <-results; v != -1 || asked != 1 || ended != 0 {
			t.Fatalf("the one who gave up got %d; %d requests, %d ended", v, asked, ended)
		}
		answer <- 5
		for range 3 {
			if v := <-results; v != 5 {
				t.Fatalf("got %d, want 5", v)
			}
		}
		cache.Forget("peer")
		ctx, cancel = context.WithCancel(t.Context())
		go get(ctx)
		synctest.Wait()
		cancel()
		if v := <-results; v != -1 {
			t.Fatalf("got %d", v)
		}
		synctest.Wait()
		if asked != 2 || ended != 1 {
			t.Fatalf("%d requests, %d ended: nobody waits for it", asked, ended)
		}
		// What is forgotten while it is fetched is not kept.
		go get(t.Context())
		synctest.Wait()
		cache.Forget("peer")
		answer <- 6
		<-results
		go get(t.Context())
		synctest.Wait()
		answer <- 7
		if v := <-results; v != 7 {
			t.Errorf("got %d, want what was fetched after Forget", v)
		}
		// A request that takes too long ends.
		cache.Forget("peer")
		if _, err := cache.Get(t.Context(), "peer", fetch); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want a deadline", err)
		}
	})
}
