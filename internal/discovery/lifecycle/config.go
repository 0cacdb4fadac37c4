package lifecycle

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// A Config is what an engine works with. Rules, Fetcher, Sanitizer and Emit are
// required, and Key with a Store.
type Config struct {
	Rules     *discovery.Rules
	Bundle    *bundle.Bundle // the search pages that are known; nil: none
	Fetcher   discovery.Fetcher
	Renderer  discovery.Renderer // fetches result pages that scripts write; nil: they are fetched like others
	Sanitizer *message.Sanitizer // the last gate of every message
	// RenderPages lets Renderer fetch pages, too, that showed nothing in an anonymous
	// fetch without their scripts. Their scripts run then, in an anonymous context.
	RenderPages bool
	Store       Store       // nil: in memory
	Key         *Key        // protects the store; nil, without a store: one that is drawn
	Clock       clock.Clock // stamps events without time; nil: the system's
	Rand        io.Reader   // nil: crypto/rand. Nonces come from it: with a store that lasts, one that repeats itself gives records away
	Country     string      // of the person, as the embedder knows it; empty: not reported

	// Emit takes what may leave, and should put it into the outbox. What it
	// refuses is lost: a message is made at most once.
	Emit func(message.Record) error
	// Explain, if not nil, receives every decision with its trace. It is called
	// in order, and must not call the engine.
	Explain func(Trace)
	// Purge, if not nil, is called when the history is cleared and must remove
	// what waits in the outbox.
	Purge func(context.Context) error

	Questions []Question // that are answered on the device
	Facts     Facts
	Timing    Timing
}

// Facts are further messages that an engine may make of what it fetched
// anonymously. Messages of visits, of searches and of pages reached from a search
// are always made.
type Facts struct {
	Titles    bool // what a page is called
	Referrers bool // the site from which a page was reached, if that page was found public
	Results   bool // the results of a search
}

// Timing sets times and bounds; a zero field means its default.
type Timing struct {
	Delay    time.Duration // after the last visit of a page, before it is fetched: at least this, at most half as much more. 1 hour
	Interval time.Duration // at least, between two fetches. 1 minute
	Idle     time.Duration // without activity, after which a visit is over. 20 minutes
	Retry    time.Duration // after a failure of the network, before the next of three attempts. 10 minutes
	QueryMin time.Duration // at least, before a search is fetched. 1 minute
	QueryMax time.Duration // at most. 20 minutes
	TTL      time.Duration // after which a page that was never processed is forgotten. 7 days
	Pending  int           // pages and searches that may wait, a quarter of them of one site; what comes then is forgotten. 1000
}

// Bounds that are not for the embedder to set.
const (
	maxAttempts = 3  // of a fetch
	maxFetches  = 10 // for one page, in total
	maxChain    = 10 // referrers
	keptDays    = 30 // of what was reported
	maxTabs     = 2000
	maxRecent   = 4000
)

func (t *Timing) fill() error {
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&t.Delay, time.Hour},
		{&t.Interval, time.Minute},
		{&t.Idle, 20 * time.Minute},
		{&t.Retry, 10 * time.Minute},
		{&t.QueryMin, time.Minute},
		{&t.QueryMax, 20 * time.Minute},
		{&t.TTL, 7 * 24 * time.Hour},
	} {
		if *d.value == 0 {
			*d.value = d.or
		}
		if *d.value < 0 {
			return errors.New("a time below zero")
		}
	}
	if t.Pending == 0 {
		t.Pending = 1000
	}
	if t.Pending < 0 || t.QueryMax < t.QueryMin {
		return errors.New("bounds that nothing fits")
	}
	return nil
}

func (c *Config) check() error {
	switch {
	case c.Rules == nil || c.Fetcher == nil || c.Sanitizer == nil || c.Emit == nil:
		return errors.New("rules, fetcher, sanitizer and emit are required")
	case c.Store != nil && c.Key == nil:
		return errors.New("a store needs a key")
	case c.RenderPages && c.Renderer == nil:
		return errors.New("pages are to be rendered, and there is no renderer")
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Store == nil {
		c.Store = NewMemStore()
	}
	if c.Key == nil {
		c.Key = new(Key)
		if _, err := io.ReadFull(c.Rand, c.Key.secret[:]); err != nil {
			return fmt.Errorf("drawing a key: %w", err)
		}
	}
	if err := c.Timing.fill(); err != nil {
		return err
	}
	return checkQuestions(c.Questions)
}
