package lifecycle

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// An Engine follows one person's visits. It is safe for concurrent use: while
// one call waits for a fetch, others are served.
type Engine struct {
	config Config
	vault  *vault

	mu       sync.Mutex
	now      time.Time
	records  map[string]*record // by key: shown, and waiting
	pages    map[string]*record // those that wait, by URL
	private  *filter            // nil until something is private
	reported map[int]*filter    // by day
	memories map[string]*memory // of questions, by name
	fetched  time.Time          // the last time that something was fetched
	bundles  map[string]uint64  // the highest version seen of each series of bundles
	updated  bool               // bundles must outlast the clearing of the store

	tabs        map[int64]*tab
	sitemaps    map[string]misses // by site, in memory only
	recent      *recent
	off         bool           // private mode
	privateTabs map[int64]bool // tabs in private mode
	current     *record        // being fetched, over several ticks
	busy        bool           // a fetch is under way
	generation  uint64         // changes when what is under way must be forgotten
	uncleared   bool           // clearing the store failed
	forgotten   int            // how often everything was

	dirty  []item
	traces []Trace
	outbox []message.Record // to be emitted after the next commit
	stats  Stats
}

// New makes an engine and reads its store. Pages that were shown when an
// earlier engine ended count as closed. It returns ErrStore, wrapped, if the
// store does not open.
func New(ctx context.Context, c Config) (*Engine, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("making a discovery engine: %w", err)
	}
	v, err := newVault(c.Key, c.Rand)
	if err != nil {
		return nil, fmt.Errorf("making a discovery engine: %w", err)
	}
	e := &Engine{config: c, vault: v}
	e.forget()
	if err := e.load(ctx); err != nil {
		return nil, fmt.Errorf("making a discovery engine: %w", err)
	}
	if err := e.seenBundle(c.Bundle); err != nil {
		return nil, fmt.Errorf("making a discovery engine: %w", err)
	}
	for _, r := range e.sorted() {
		if r.Open {
			r.Open = false
			if err := e.wait(r); err != nil {
				return nil, fmt.Errorf("making a discovery engine: %w", err)
			}
			e.touch(labelRecord, r.id)
		}
		if old := e.pages[r.name()]; old != nil {
			due := old.Due
			if r.Due.After(due) {
				due = r.Due
			}
			e.merge(old, r)
			old.Due = due
			continue
		}
		e.index(r)
	}
	return e, nil
}

// SetBundle goes on with another bundle, for one that was downloaded and opened.
// It is refused with bundle.ErrDowngraded, wrapped, if a higher version of the
// series was seen by this engine or by an earlier one with its store: the version
// is stored before the bundle is used. (The version of Config.Bundle is stored with
// the next record of the engine: keep it, and give it to bundle.Open.) The bundle in use stays after any error.
func (e *Engine) SetBundle(ctx context.Context, b *bundle.Bundle) error {
	if b == nil {
		return errors.New("discovery: changing the bundle: the bundle is nil")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.seenBundle(b); err != nil {
		return fmt.Errorf("discovery: changing the bundle: %w", err)
	}
	e.updated = true
	e.touch(labelMeta, "")
	if err := e.commit(ctx); err != nil {
		return fmt.Errorf("discovery: changing the bundle: %w", err)
	}
	e.config.Bundle = b
	e.config.Sanitizer.SetBundle(b)
	return nil
}

// seenBundle remembers the version of a bundle, or refuses it as too old.
func (e *Engine) seenBundle(b *bundle.Bundle) error {
	if b == nil {
		return nil
	}
	newest := e.bundles[b.Name()]
	if b.Version() < newest {
		return fmt.Errorf("%w: %s version %d, after %d", bundle.ErrDowngraded, b.Name(), b.Version(), newest)
	}
	e.bundles[b.Name()] = b.Version()
	return nil
}

// forget drops all that the engine remembers in memory.
func (e *Engine) forget() {
	e.records, e.pages = make(map[string]*record), make(map[string]*record)
	e.private, e.reported, e.memories = nil, make(map[int]*filter), make(map[string]*memory)
	e.tabs, e.recent = make(map[int64]*tab), newRecent()
	e.sitemaps = make(map[string]misses)
	if e.bundles == nil {
		e.bundles = make(map[string]uint64) // reveals nothing of the history: it is kept
	}
	if e.privateTabs == nil {
		e.privateTabs = make(map[int64]bool)
	}
	e.current, e.dirty, e.traces, e.outbox = nil, nil, nil, nil
	e.generation++
	e.forgotten++
	e.stats = Stats{Reasons: make(map[string]int)}
}

// Handle takes an event: events of one person, one after the other. An event
// without time happens now. A Tick may fetch one page and takes as long as that;
// all other events are fast. An error means that the store, Emit or Purge
// failed, or that the event is not valid; nothing is reported that should not be, and
// the engine can go on.
func (e *Engine) Handle(ctx context.Context, ev Event) error {
	if ev.At.IsZero() {
		ev.At = e.config.Clock.Now()
	}
	if err := ev.Check(); err != nil {
		return fmt.Errorf("discovery: %w", err)
	}
	e.mu.Lock()
	if e.uncleared {
		if err := e.clearStore(ctx); err != nil {
			e.mu.Unlock()
			return fmt.Errorf("discovery: %w", err)
		}
	}
	e.setTime(ev.At)
	err := e.handle(ctx, ev)
	if err == nil || len(e.dirty) > 0 {
		err = errors.Join(err, e.commit(ctx))
	}
	var job *job
	if err == nil && ev.Kind == Tick && !e.off && !e.busy {
		if job, err = e.next(ctx); err != nil {
			e.outbox = nil // what is not stored as reported must not be emitted
		}
	}
	e.flush()
	if job != nil {
		e.busy = true
		e.mu.Unlock()
		response, failure := e.fetch(ctx, job)
		e.mu.Lock()
		e.busy = false
		err = e.conclude(ctx, job, response, failure)
		e.flush()
	}
	out, forgotten := e.outbox, e.forgotten
	e.outbox = nil
	e.mu.Unlock()
	return errors.Join(err, e.deliver(ctx, out, forgotten))
}

// deliver gives messages to the outbox. If the history is cleared meanwhile the
// rest is lost, and what came after the purge is purged.
func (e *Engine) deliver(ctx context.Context, out []message.Record, forgotten int) error {
	cleared := func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.forgotten != forgotten
	}
	var err error
	for _, r := range out {
		if cleared() {
			break
		}
		if emitErr := e.config.Emit(r); emitErr != nil {
			err = errors.Join(err, fmt.Errorf("discovery: giving a message to the outbox: %w", emitErr))
		}
	}
	if len(out) > 0 && e.config.Purge != nil && cleared() {
		if purgeErr := e.config.Purge(ctx); purgeErr != nil {
			err = errors.Join(err, fmt.Errorf("discovery: purging the outbox: %w", purgeErr))
		}
	}
	return err
}

func (e *Engine) handle(ctx context.Context, ev Event) error {
	switch {
	case ev.Kind == Cleared:
		return e.cleared(ctx, ev)
	case ev.Kind == Private:
		return e.privateMode(ev)
	case e.off:
		if ev.Kind == Closed {
			delete(e.privateTabs, ev.Tab)
		}
		return nil
	case ev.Tab != 0 && e.privateTabs[ev.Tab]:
		if ev.Kind == Closed {
			delete(e.privateTabs, ev.Tab)
		}
		return nil
	}
	switch ev.Kind {
	case Navigated:
		return e.navigated(ev)
	case Activity:
		return e.activity(ev)
	case Signature:
		return e.signature(ev)
	case Hidden:
		if t := e.tabs[ev.Tab]; t != nil && t.visit != nil && t.visit.id != "" {
			e.touch(labelRecord, t.visit.id)
		}
	case Closed:
		return e.closed(ev)
	case Tick:
		return e.sweep()
	}
	return nil
}

// setTime takes the time of an event. A clock that was set back makes nothing
// wait for longer than it would have waited from now.
func (e *Engine) setTime(now time.Time) {
	e.now = now.UTC().Round(0)
	if e.fetched.After(e.now) {
		e.fetched = e.now
	}
}

// explain records a decision; flush passes it to Config.Explain.
func (e *Engine) explain(s Stage, o Outcome, url, reason string, d discovery.Decision) {
	if reason != "" {
		e.stats.Reasons[reason]++
	}
	if e.config.Explain != nil {
		e.traces = append(e.traces, Trace{e.now, s, o, url, reason, d})
	}
}

func (e *Engine) flush() {
	for _, t := range e.traces {
		e.config.Explain(t)
	}
	e.traces = e.traces[:0]
}

// Stats returns what the engine did since it was made or the history cleared.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	s.Pending = len(e.pages)
	s.PrivateRate = e.private.rate()
	s.Reasons = make(map[string]int, len(e.stats.Reasons))
	for k, v := range e.stats.Reasons {
		s.Reasons[k] = v
	}
	return s
}

// A Waiter is a page or a search that waits, for the person to see.
type Waiter struct {
	URL   string
	Query bool // it is a search
	Last  time.Time
	Due   time.Time
}

// Pending returns what waits, in the order in which it is due.
func (e *Engine) Pending() []Waiter {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []Waiter
	for _, r := range e.sorted() {
		if !r.Open {
			all = append(all, Waiter{r.URL, r.Query, r.Last, r.Due})
		}
	}
	return all
}

// sorted returns the records in the order in which they are due.
func (e *Engine) sorted() []*record {
	all := make([]*record, 0, len(e.records))
	for _, r := range e.records {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *record) int {
		if c := a.Due.Compare(b.Due); c != 0 {
			return c
		}
		return strings.Compare(a.id, b.id)
	})
	return all
}

// uniform draws a duration below limit, in milliseconds.
func (e *Engine) uniform(limit time.Duration) (time.Duration, error) {
	n := uint64(limit / time.Millisecond)
	if n == 0 {
		return 0, nil
	}
	var b [8]byte
	for {
		if _, err := io.ReadFull(e.config.Rand, b[:]); err != nil {
			return 0, fmt.Errorf("drawing a time: %w", err)
		}
		// Reject the values that would make some results likelier.
		if v := binary.BigEndian.Uint64(b[:]); v < (1<<64-1)/n*n {
			return time.Duration(v%n) * time.Millisecond, nil
		}
	}
}

func day(t time.Time) int { return int(t.Unix() / (24 * 60 * 60)) }
