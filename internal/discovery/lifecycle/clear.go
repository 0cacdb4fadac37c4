package lifecycle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/shoal-project/shoal/internal/discovery"
)

// cleared forgets the history, or one page of it.
func (e *Engine) cleared(ctx context.Context, ev Event) error {
	if ev.URL == "" {
		err := e.clearStore(ctx)
		if e.config.Purge != nil {
			if purgeErr := e.config.Purge(ctx); purgeErr != nil {
				err = errors.Join(err, fmt.Errorf("purging the outbox: %w", purgeErr))
			}
		}
		e.explain(StageCleared, Ignored, "", "", discovery.Decision{})
		return err
	}
	u, err := discovery.ParseURL(ev.URL)
	if err != nil {
		return nil // it was never kept
	}
	u = u.WithoutFragment()
	clean := u.String() // of a search, whatever else its URL holds, and whether the bundle has expired or not
	if b := e.config.Bundle; b != nil {
		if s, ok := b.SearchPage(u); ok {
			clean = s.Clean.String()
		}
	}
	holds := func(r *record) bool {
		return r.url == u || r.Source == u.String() || r.Search != nil && r.Search.Clean == clean
	}
	for _, t := range e.sortedTabs() {
		if t.visit != nil && holds(t.visit) {
			e.drop(t.visit)
			t.visit = nil
		}
		if t.place != nil && (t.place.url == u || t.place.search != nil && t.place.search.Clean == clean) {
			t.place = nil
		}
	}
	for _, r := range e.sorted() {
		if holds(r) {
			e.generation++
			e.drop(r)
		}
	}
	e.recent.remove(u)
	e.explain(StageCleared, Ignored, ev.URL, "", discovery.Decision{})
	return nil
}

// clearStore forgets everything, on the disk too. If that fails the next event
// tries again before anything else is done.
func (e *Engine) clearStore(ctx context.Context) error {
	e.forget()
	e.uncleared = true
	if err := e.config.Store.Clear(ctx); err != nil {
		return fmt.Errorf("clearing the store: %w", err)
	}
	e.uncleared = false
	if e.updated {
		e.touch(labelMeta, "") // the versions of bundles reveal nothing of the history
	}
	return nil
}

// privateMode begins or ends private mode, of all tabs or of one. What was
// shown when it began is forgotten: it is not known on which side of the change it was.
func (e *Engine) privateMode(ev Event) error {
	if ev.Tab != 0 {
		if !ev.On {
			delete(e.privateTabs, ev.Tab)
			return nil
		}
		if t := e.tabs[ev.Tab]; t != nil {
			e.hide(t)
			delete(e.tabs, ev.Tab)
		}
		e.privateTabs[ev.Tab] = true
		return nil
	}
	if ev.On && !e.off {
		for _, t := range e.sortedTabs() {
			e.hide(t)
		}
		clear(e.tabs)
		e.recent = newRecent()
		e.current = nil
		e.generation++
		for _, r := range e.pages {
			r.step = nil
		}
	}
	e.off = ev.On
	return nil
}

// hide forgets the page that a tab shows, because private mode begins.
func (e *Engine) hide(t *tab) {
	if t.visit != nil {
		e.explain(StageMode, Dropped, t.visit.URL, reasonOff, discovery.Decision{})
	}
	e.drop(t.visit)
}

// sortedTabs returns the tabs in the order of their numbers.
func (e *Engine) sortedTabs() []*tab {
	ids := slices.SortedFunc(maps.Keys(e.tabs), cmp.Compare)
	all := make([]*tab, len(ids))
	for i, id := range ids {
		all[i] = e.tabs[id]
	}
	return all
}

// expire forgets what is too old.
func (e *Engine) expire() {
	today := day(e.now)
	for _, d := range slices.Sorted(maps.Keys(e.reported)) {
		if d > today-keptDays {
			break
		}
		for i := range e.reported[d].chunks {
			e.touch(labelReported, dayName(d, i))
		}
		delete(e.reported, d)
	}
	var old []*record
	for _, r := range e.pages {
		if e.now.Sub(r.Last) > e.config.Timing.TTL {
			old = append(old, r)
		}
	}
	slices.SortFunc(old, func(a, b *record) int { return cmp.Compare(a.id, b.id) })
	for _, r := range old {
		e.explain(StageDue, Dropped, r.URL, reasonExpired, discovery.Decision{})
		e.drop(r)
	}
	for _, q := range e.config.Questions {
		if m := e.memories[q.Name]; m != nil && m.expire(e.now, q.Retention) {
			e.touch(labelQuestion, q.Name)
		}
	}
}
