package testsite

import (
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
)

// Events returns what a browser reports to the engine of visits: each page, its
// signature as the person sees it, what the person did there, private mode, and a
// tick every minute, until the last visit is over. All of it happens in one tab, except
// private mode; it is closed wherever the person rests for more than a minute.
func (s *Site) Events(visits []Visit, each func(lifecycle.Event) error) error {
	if len(visits) == 0 {
		return nil
	}
	clock := visits[0].At.Truncate(time.Minute)
	ticks := func(until time.Time) error {
		for ; clock.Before(until); clock = clock.Add(time.Minute) {
			if err := each(lifecycle.Event{At: clock, Kind: lifecycle.Tick}); err != nil {
				return err
			}
		}
		return nil
	}
	for i, v := range visits {
		// Some browsers have a private mode as a whole, some have it for a tab.
		tab, mode := int64(1), int64(0)
		if v.Secretly && v.View.Person%2 == 0 {
			tab, mode = 2, 2
		}
		n := lifecycle.Event{At: v.At, Kind: lifecycle.Navigated, Tab: tab, URL: v.URL, Referrer: v.Referrer, Transition: lifecycle.Typed}
		if v.Referrer != "" {
			n.Transition = lifecycle.Link
		}
		events := []lifecycle.Event{n}
		if page, ok := s.shown(v); ok {
			events = append(events, lifecycle.Event{At: v.At.Add(2 * time.Second), Kind: lifecycle.Signature, Tab: tab, URL: v.URL, Page: &page})
		}
		if v.Secretly {
			// The mode begins before the page is shown and ends with it.
			events = append([]lifecycle.Event{{At: v.At, Kind: lifecycle.Private, Tab: mode, On: true}}, events...)
		}
		counts := &lifecycle.Counts{Seconds: int(v.Until.Sub(v.At) / time.Second), Scrolls: v.Scrolls, Mouse: v.Pointer, Keys: v.Keys, Copies: v.Copies}
		if i+1 < len(visits) && visits[i+1].Referrer == v.URL {
			counts.Links = 1
		}
		events = append(events, lifecycle.Event{At: v.Until, Kind: lifecycle.Activity, Tab: tab, URL: v.URL, Counts: counts})
		if i+1 == len(visits) || visits[i+1].At.Sub(v.Until) > time.Minute || v.Secretly {
			events = append(events, lifecycle.Event{At: v.Until, Kind: lifecycle.Closed, Tab: tab})
		}
		if v.Secretly {
			events = append(events, lifecycle.Event{At: v.Until, Kind: lifecycle.Private, Tab: mode})
		}
		for _, e := range events {
			if err := ticks(e.At); err != nil {
				return err
			}
			if err := each(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// shown signs what the person of a visit was shown; false if that exceeds what
// a signature takes.
func (s *Site) shown(v Visit) (discovery.Signature, bool) {
	u, err := discovery.ParseURL(v.URL)
	if err != nil {
		return discovery.Signature{}, false
	}
	r := s.Show(v)
	var robots []string
	if r.Robots != "" {
		robots = []string{r.Robots}
	}
	sig, err := discovery.Sign(u, robots, r.Body)
	return sig, err == nil
}
