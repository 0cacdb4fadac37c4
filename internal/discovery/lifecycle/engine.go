package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// An Engine follows one person's visits. It is safe for concurrent use: while
// one call waits for a fetch, others are served.
//
// It gives each event to the part that it is for: visits is what the tabs show,
// queue what waits, examiner fetches and compares, reporter makes messages, memory
// is what is known of the past, and journal stores what the parts have changed.
type Engine struct {
	mu       sync.Mutex
	scene    *scene
	trail    *trail
	journal  *journal
	meta     *meta
	memory   *memory
	queue    *queue
	visits   *visits
	reporter *reporter
	examiner *examiner

	busy      bool // a fetch is under way
	uncleared bool // clearing the store failed
	forgotten int  // how often everything was
}

// New makes an engine and reads its store. Pages that were shown when an
// earlier engine ended count as closed. It returns ErrStore, wrapped, if the
// store does not open.
func New(ctx context.Context, c Config) (*Engine, error) {
	e, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("making a discovery engine: %w", err)
	}
	return e, nil
}

func open(ctx context.Context, c Config) (*Engine, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	v, err := newVault(c.Key, c.Rand)
	if err != nil {
		return nil, err
	}
	e := assemble(&scene{config: c, vault: v})
	if err := e.journal.load(ctx); err != nil {
		return nil, err
	}
	if !e.memory.whole() {
		return nil, ErrStore
	}
	if err := e.meta.admit(c.Bundle); err != nil {
		return nil, err
	}
	if err := e.queue.resume(); err != nil {
		return nil, err
	}
	return e, nil
}

// assemble joins the parts of an engine.
func assemble(s *scene) *Engine {
	t := &trail{scene: s}
	j := &journal{store: s.config.Store, vault: s.vault}
	known := &meta{Bundles: make(map[string]uint64)}
	m := newMemory(s, j)
	q := &queue{scene: s, journal: j, trail: t, memory: m}
	p := &planner{scene: s, memory: m}
	v := &visits{scene: s, trail: t, memory: m, queue: q, planner: p, mode: mode{tabs: make(map[int64]bool)}}
	r := &reporter{scene: s, trail: t, memory: m, queue: q}
	x := &examiner{scene: s, trail: t, journal: j, meta: known, memory: m, queue: q, visits: v, planner: p, reporter: r}
	j.parts = map[string]part{
		labelRecord: q, labelMeta: known, labelPrivate: m.private, labelReported: m.reported, labelQuestion: m.questions,
	}
	e := &Engine{scene: s, trail: t, journal: j, meta: known, memory: m, queue: q, visits: v, reporter: r, examiner: x}
	e.reset()
	return e
}

// reset drops all that the engine remembers in memory. What it knows of bundles,
// of the time of the last fetch and of private mode is not of the history: it stays.
func (e *Engine) reset() {
	e.trail.reset()
	e.memory.reset()
	e.queue.reset()
	e.visits.reset()
	e.examiner.planner.reset()
	e.reporter.outbox = nil
	e.forgotten++
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
	if err := e.meta.admit(b); err != nil {
		return fmt.Errorf("discovery: changing the bundle: %w", err)
	}
	e.meta.updated = true
	e.journal.touch(labelMeta, "")
	if err := e.journal.commit(ctx); err != nil {
		return fmt.Errorf("discovery: changing the bundle: %w", err)
	}
	e.scene.config.Bundle = b
	e.scene.config.Sanitizer.SetBundle(b)
	return nil
}

// Handle takes an event: events of one person, one after the other. An event
// without time happens now. A Tick may fetch one page and takes as long as that;
// all other events are fast. An error means that the store, Emit or Purge
// failed, or that the event is not valid; nothing is reported that should not be, and
// the engine can go on.
func (e *Engine) Handle(ctx context.Context, ev Event) error {
	if ev.At.IsZero() {
		ev.At = e.scene.config.Clock.Now()
	}
	if err := ev.Check(); err != nil {
		return fmt.Errorf("discovery: %w", err)
	}
	e.mu.Lock()
	if e.uncleared {
		if err := e.clear(ctx); err != nil {
			e.mu.Unlock()
			return fmt.Errorf("discovery: %w", err)
		}
	}
	e.setTime(ev.At)
	err := e.handle(ctx, ev)
	if err == nil || len(e.journal.dirty) > 0 {
		err = errors.Join(err, e.journal.commit(ctx))
	}
	var job *job
	if err == nil && ev.Kind == Tick && !e.visits.mode.off && !e.busy {
		if job, err = e.examiner.next(ctx); err != nil {
			e.reporter.outbox = nil // what is not remembered as reported must not be reported
		}
	}
	e.trail.flush()
	if job != nil {
		e.busy = true
		e.mu.Unlock()
		response, failure := job.fetch(ctx, e.scene.config.Fetcher, e.scene.config.Renderer)
		e.mu.Lock()
		e.busy = false
		err = e.examiner.conclude(ctx, job, response, failure)
		e.trail.flush()
	}
	out, forgotten := e.reporter.take(), e.forgotten
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
		if emitErr := e.scene.config.Emit(r); emitErr != nil {
			err = errors.Join(err, fmt.Errorf("discovery: giving a message to the outbox: %w", emitErr))
		}
	}
	if len(out) > 0 && e.scene.config.Purge != nil && cleared() {
		if purgeErr := e.scene.config.Purge(ctx); purgeErr != nil {
			err = errors.Join(err, fmt.Errorf("discovery: purging the outbox: %w", purgeErr))
		}
	}
	return err
}

// handle gives an event to the part that it is for.
func (e *Engine) handle(ctx context.Context, ev Event) error {
	switch {
	case ev.Kind == Cleared && ev.URL == "":
		return e.clearAll(ctx)
	case ev.Kind == Cleared:
		e.clearPage(ev.URL)
		return nil
	case ev.Kind == Private:
		e.visits.private(ev)
		return nil
	case e.visits.mode.ignores(ev):
		return nil
	case ev.Kind != Tick:
		return e.visits.handle(ev)
	}
	if err := e.visits.sweep(); err != nil {
		return err
	}
	e.memory.reported.expire()
	e.queue.expire()
	e.memory.questions.expire()
	return nil
}

// clearAll forgets the history, and what waits in the outbox.
func (e *Engine) clearAll(ctx context.Context) error {
	err := e.clear(ctx)
	if purge := e.scene.config.Purge; purge != nil {
		if purgeErr := purge(ctx); purgeErr != nil {
			err = errors.Join(err, fmt.Errorf("purging the outbox: %w", purgeErr))
		}
	}
	e.trail.text(StageCleared, Ignored, "", "", discovery.Decision{})
	return err
}

// clear forgets everything, on the disk too. If that fails the next event
// tries again before anything else is done.
func (e *Engine) clear(ctx context.Context) error {
	e.reset()
	e.uncleared = true
	if err := e.journal.clear(ctx); err != nil {
		return err
	}
	e.uncleared = false
	if e.meta.updated {
		e.journal.touch(labelMeta, "") // the versions of bundles are not of the history
	}
	return nil
}

// clearPage forgets one page of the history.
func (e *Engine) clearPage(url string) {
	u, err := discovery.ParseURL(url)
	if err != nil {
		return // it was never kept
	}
	u = u.WithoutFragment()
	clean := u // of a search, whatever else its URL holds, and whether the bundle has expired or not
	if b := e.scene.config.Bundle; b != nil {
		if s, ok := b.SearchPage(u); ok {
			clean = s.Clean
		}
	}
	holds := func(r *record) bool {
		return r.url == u || r.source == u || r.search != nil && r.search.Clean == clean
	}
	e.visits.remove(u, clean, holds)
	e.queue.remove(holds)
	e.trail.text(StageCleared, Ignored, url, "", discovery.Decision{})
}

// setTime takes the time of an event. A clock that was set back makes nothing
// wait for longer than it would have waited from now.
func (e *Engine) setTime(now time.Time) {
	e.scene.now = now.UTC().Round(0)
	if e.meta.Fetched.After(e.scene.now) {
		e.meta.Fetched = e.scene.now
	}
}

// Stats returns what the engine did since it was made or the history cleared.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.trail.stats
	s.Pending = len(e.queue.waiting)
	s.PrivateRate = e.memory.private.filter.rate()
	s.Reasons = make(map[string]int, len(e.trail.stats.Reasons))
	for k, v := range e.trail.stats.Reasons {
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
	for _, r := range e.queue.sorted() {
		if !r.open {
			all = append(all, Waiter{r.url.String(), r.query, r.last, r.due})
		}
	}
	return all
}
