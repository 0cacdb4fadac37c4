package lifecycle_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// An always is a web in which everybody gets the same page everywhere.
type always string

func (a always) Fetch(_ context.Context, u discovery.URL) (discovery.Response, error) {
	return discovery.Response{URL: u, Body: []byte(a)}, nil
}

// A person reads a page; two hours later it is reported.
func Example() {
	const body = `<title>A walk along the river</title><p>The path begins at the bridge and follows the water to the mill.</p>`
	rules, err := discovery.NewRules()
	if err != nil {
		log.Fatal(err)
	}
	sanitizer, err := message.NewSanitizer(message.Config{Rules: rules})
	if err != nil {
		log.Fatal(err)
	}
	engine, err := lifecycle.New(context.Background(), lifecycle.Config{
		Rules: rules, Sanitizer: sanitizer, Fetcher: always(body),
		Emit: func(r message.Record) error {
			fmt.Println(r.Day, r.Name, r.Fields["url"])
			return nil
		},
		Explain: func(t lifecycle.Trace) { fmt.Println(t) },
	})
	if err != nil {
		log.Fatal(err)
	}
	page, err := discovery.ParseURL("https://news.example.org/river-walk")
	if err != nil {
		log.Fatal(err)
	}
	shown, err := discovery.Sign(page, nil, []byte(body))
	if err != nil {
		log.Fatal(err)
	}
	at := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	for _, event := range []lifecycle.Event{
		{At: at, Kind: lifecycle.Navigated, Tab: 1, URL: page.String(), Transition: lifecycle.Typed},
		{At: at.Add(2 * time.Second), Kind: lifecycle.Signature, Tab: 1, URL: page.String(), Page: &shown},
		{At: at.Add(time.Minute), Kind: lifecycle.Activity, Tab: 1, Counts: &lifecycle.Counts{Seconds: 40, Scrolls: 6}},
		{At: at.Add(time.Minute), Kind: lifecycle.Closed, Tab: 1},
		{At: at.Add(2 * time.Hour), Kind: lifecycle.Tick},
	} {
		if err := engine.Handle(context.Background(), event); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// closed: waiting
	// double fetch: fetching
	// double fetch: public
	// message: told
	// 2026-11-20 page https://news.example.org/river-walk
}
