package message

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/anonymous"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
)

// A page that was found public becomes a record, if the last gate agrees.
func ExampleSanitizer_Check() {
	rules, err := discovery.NewRules()
	if err != nil {
		panic(err)
	}
	signed, err := bundle.Embedded(bundle.TestSite)
	if err != nil {
		panic(err)
	}
	today := time.Date(2026, 12, 1, 15, 4, 5, 0, time.UTC)
	b, err := bundle.Open(signed, []ed25519.PublicKey{bundle.DevelopmentKey()}, today, 0)
	if err != nil {
		panic(err)
	}
	// Rand is crypto/rand unless a test wants to know the number.
	s, err := NewSanitizer(Config{Rules: rules, Bundle: b, Rand: bytes.NewReader(make([]byte, 64))})
	if err != nil {
		panic(err)
	}
	for _, address := range []string{"https://herald.example.org/story/tea", "https://herald.example.org/i/9f86d081884c7d65"} {
		u, err := discovery.ParseURL(address)
		if err != nil {
			panic(err)
		}
		// The engine's fetch makes this of what an anonymous request returned.
		fetched := anonymous.New(u, nil, []byte("<title>All about tea</title><p>Leaves and water."))
		page, err := NewPage(fetched)
		if err != nil {
			panic(err)
		}
		record, d := s.Check(page.Engaged(Engagement{Dwell: 75 * time.Second, Scrolls: 3}), Moment{Now: today})
		text, err := record.JSON()
		if err != nil {
			panic(err)
		}
		fmt.Println(d)
		if d.Verdict == discovery.Public {
			fmt.Printf("%s\n", text)
		}
	}
	// Output:
	// public
	// {"name":"page","version":1,"day":"2026-12-01","country":"--","anti_duplicate":0,"fields":{"activity":1,"dwell":60,"url":"https://herald.example.org/story/tea"}}
	// private: path.token
}

// The linter reports why a schema links what one person sends.
func ExampleLint() {
	for _, finding := range Lint(Schema{
		Name: "visit", Version: 1, Crowd: []string{"url"},
		Fields: []Field{
			{Name: "url", Kind: URL},
			{Name: "at", Kind: Time, Grain: time.Minute},
			{Name: "note", Kind: Text},
		},
	}) {
		fmt.Println(finding)
	}
	// Output:
	// refused: field "at": a time finer than the day links what happened together: use "day"
	// refused: field "note": free text may say who wrote it: use a kind that is checked, or a choice
}
