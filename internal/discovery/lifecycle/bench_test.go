package lifecycle_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// BenchmarkNavigation is one page: shown, signed, used, and left for the next.
// Nothing is fetched: no tick comes.
func BenchmarkNavigation(b *testing.B) {
	w := newBench(b, func(c *lifecycle.Config) {
		c.Explain, c.Timing.Pending = nil, 1000
		c.Emit = func(message.Record) error { return nil }
	})
	urls := make([]string, 4000)
	for i := range urls {
		urls[i] = fmt.Sprintf("https://www.site-%c.example.org/%c%c/a-story-of-some-length-%c%c", 'a'+i%7, 'a'+i%26, 'a'+i/26%26, 'a'+i/100%26, 'a'+i/7%26)
	}
	u, err := discovery.ParseURL(urls[0])
	if err != nil {
		b.Fatal(err)
	}
	sig, err := discovery.Sign(u, nil, []byte(html("A story of some length", "")))
	if err != nil {
		b.Fatal(err)
	}
	at := start
	events := func(i int) [3]lifecycle.Event {
		url, from := urls[i%len(urls)], ""
		how := lifecycle.Typed
		if i%8 > 0 {
			how, from = lifecycle.Link, urls[(i-1)%len(urls)]
		}
		at = at.Add(time.Second)
		return [3]lifecycle.Event{
			{At: at, Kind: lifecycle.Navigated, Tab: int64(1 + i/8%4), URL: url, Referrer: from, Transition: how},
			{At: at, Kind: lifecycle.Signature, Tab: int64(1 + i/8%4), URL: url, Page: &sig},
			{At: at, Kind: lifecycle.Activity, Tab: int64(1 + i/8%4), URL: url, Counts: &lifecycle.Counts{Seconds: 10, Scrolls: 3}},
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		for _, ev := range events(i) {
			if err := w.engine.Handle(b.Context(), ev); err != nil {
				b.Fatal(err)
			}
		}
		i++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "navigations/s")
}

// BenchmarkParseEvent reads the largest ordinary event.
func BenchmarkParseEvent(b *testing.B) {
	u, err := discovery.ParseURL("https://www.example.org/story")
	if err != nil {
		b.Fatal(err)
	}
	sig, err := discovery.Sign(u, nil, []byte(html("A story", "")))
	if err != nil {
		b.Fatal(err)
	}
	line, err := lifecycle.Event{At: start, Kind: lifecycle.Signature, Tab: 1, URL: u.String(), Page: &sig}.MarshalLine()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := lifecycle.ParseEvent(line); err != nil {
			b.Fatal(err)
		}
	}
}
