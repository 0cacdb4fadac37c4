package testsite

import (
	"context"
	"fmt"
	"math/rand/v2" //nolint:depguard // a simulation draws from a seed and keeps no secret
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// A Play configures how a population browses, each person with an engine of their
// own. The zero value is of use.
type Play struct {
	Visits int       // of each person, at least; 100 if 0
	Start  time.Time // of the simulated time; 2026-12-01 8:00 UTC if zero
	Crowd  int       // people whose engines must report the same before it counts as released; 20 if 0

	// Fetcher makes the anonymous requests of a person; nil for Site.Direct.
	Fetcher func(person int) discovery.Fetcher
	// Told, if not nil, gets every message that an engine lets go, from several
	// goroutines at once.
	Told func(person int, r message.Record) error
	// Progress, if not nil, is called with how many people are done.
	Progress func(done, total int)
}

// longest is how long after their last visit people's engines go on.
const longest = 72 * time.Hour

// Play lets everybody browse and every engine decide, and compares what was
// reported with the truth. People are independent of each other, so that they take
// their turns on all cores.
func (s *Site) Play(ctx context.Context, p Play) (*Result, error) {
	if p.Visits == 0 {
		p.Visits = 100
	}
	if p.Start.IsZero() {
		p.Start = time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	}
	if p.Crowd == 0 {
		p.Crowd = 20
	}
	if p.Fetcher == nil {
		p.Fetcher = s.Direct
	}
	rules, err := discovery.NewRules()
	if err != nil {
		return nil, err
	}
	b, err := Rules(p.Start)
	if err != nil {
		return nil, err
	}
	population := s.Population()
	t := newTally(s, b)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	done := 0
	for person := range population.Size() {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			one := t.person()
			err := s.live(ctx, &p, rules, b, person, population.Walk(person, p.Visits, p.Start), one)
			if err != nil {
				return fmt.Errorf("person %d: %w", person, err)
			}
			mu.Lock()
			defer mu.Unlock()
			t.merge(one)
			done++
			if p.Progress != nil {
				p.Progress(done, population.Size())
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("playing the test site: %w", err)
	}
	return t.result(p.Crowd), nil
}

// live lets one person browse.
func (s *Site) live(ctx context.Context, p *Play, rules *discovery.Rules, b *bundle.Bundle, person int, walk []Visit, one *oneTally) error {
	var seed [32]byte
	for i := range 8 {
		seed[i], seed[8+i] = byte(s.seed>>(8*i)), byte(person>>(8*i))
	}
	random := rand.NewChaCha8(seed)
	sanitizer, err := message.NewSanitizer(message.Config{Rules: rules, Bundle: b, Rand: random})
	if err != nil {
		return err
	}
	fetcher := p.Fetcher(person)
	renderer, renders := fetcher.(discovery.Renderer) // as a browser can
	engine, err := lifecycle.New(ctx, lifecycle.Config{
		Rules: rules, Bundle: b, Fetcher: fetcher, Renderer: renderer, RenderPages: renders, Sanitizer: sanitizer, Rand: random,
		Emit: func(r message.Record) error {
			one.tell(r)
			if p.Told == nil {
				return nil
			}
			return p.Told(person, r)
		},
		Explain: one.explain,
	})
	if err != nil {
		return err
	}
	for _, v := range walk {
		one.visit(v)
	}
	handle := func(e lifecycle.Event) error { return engine.Handle(ctx, e) }
	if err := s.Events(walk, handle); err != nil {
		return err
	}
	end := walk[len(walk)-1].Until
	for now := end; now.Before(end.Add(longest)) && (now.Before(end.Add(30*time.Minute)) || engine.Stats().Pending > 0); now = now.Add(time.Minute) {
		if err := handle(lifecycle.Event{At: now, Kind: lifecycle.Tick}); err != nil {
			return err
		}
	}
	one.finish(engine.Stats())
	return nil
}
