package lifecycle_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// slow is a fetcher that waits for events to pass before it answers.
type slow struct {
	pages  map[string]site
	began  chan struct{}
	answer chan struct{}
}

func (s *slow) Fetch(_ context.Context, u discovery.URL) (discovery.Response, error) {
	s.began <- struct{}{}
	<-s.answer
	return discovery.Response{URL: u, Body: []byte(s.pages[u.String()].shown)}, nil
}

// Events are served while a fetch is under way, from several goroutines.
func TestEventsDuringFetch(t *testing.T) {
	fetcher := &slow{pages: web(), began: make(chan struct{}), answer: make(chan struct{})}
	var mu sync.Mutex
	told := 0
	b := newBench(t, func(c *lifecycle.Config) {
		c.Fetcher = fetcher
		c.Emit = func(message.Record) error {
			mu.Lock()
			defer mu.Unlock()
			told++
			return nil
		}
	})
	b.net.pages = fetcher.pages
	b.visit(1, "https://news.example.org/about", "", lifecycle.Typed)
	b.close(1)
	at := b.now.Add(2 * time.Hour)
	ended := make(chan error, 1)
	go func() { ended <- b.engine.Handle(t.Context(), lifecycle.Event{At: at, Kind: lifecycle.Tick}) }()
	<-fetcher.began
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			for j := range 50 {
				events := []lifecycle.Event{
					{Kind: lifecycle.Navigated, Tab: int64(i + 1), URL: "https://news.example.org/", Transition: lifecycle.Typed},
					{Kind: lifecycle.Activity, Tab: int64(i + 1), Counts: &lifecycle.Counts{Seconds: 1}},
					{Kind: lifecycle.Tick},
				}
				ev := events[j%len(events)]
				ev.At = at
				if err := b.engine.Handle(t.Context(), ev); err != nil {
					t.Error(err)
				}
				b.engine.Stats()
				b.engine.Pending()
			}
		})
	}
	wait.Wait()
	close(fetcher.answer)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if told != 1 {
		t.Errorf("%d messages", told)
	}
}
