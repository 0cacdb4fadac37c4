package shuffler

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

const (
	// statementDelay is how long after its close an epoch is stated as complete: longer
	// than the decision about a small batch takes, so that the moment of a statement does
	// not show whether there was one.
	statementDelay = 10 * time.Minute
	// undecidedFor is how long a batch that has closed may be undecided before statements
	// go on without it, with a gap.
	undecidedFor = 24 * time.Hour
	// statementTimeout bounds one exchange.
	statementTimeout = 30 * time.Second
)

// stating is what statements are made from. Its mutex mu is taken after [Shuffler].mu.
type stating struct {
	keeping sync.Mutex // held while the history is changed in the store; taken before the others

	mu      sync.Mutex
	history History          // as it is in the store
	places  map[string]bool  // of gaps, also of those in found
	found   []foundGap       // not in the store yet
	spoilt  map[Key]struct{} // batches that wait for the next hop and whose files are damaged
	queue   queue            // when the next epoch of a task has closed; Key.Epoch is not used
	dirty   map[task.ID]bool // tasks whose statements may have changed
	refused map[task.ID]bool // of which the next hop takes no statement
	retry   map[task.ID]attempt
	late    map[Key]time.Time // batches that have closed and are undecided; since when that is known
}

func newStating() stating {
	return stating{
		places: map[string]bool{}, spoilt: map[Key]struct{}{}, dirty: map[task.ID]bool{},
		refused: map[task.ID]bool{}, retry: map[task.ID]attempt{}, late: map[Key]time.Time{},
	}
}

// openHistory reads the history, or begins one. It is called by New.
func (s *Shuffler) openHistory(ctx context.Context) error {
	h, known, err := s.config.Store.History(ctx)
	if err != nil {
		return err
	}
	h.Through = min(h.Through, statedThrough(s.config.Clock.Now())) // a clock may have been wrong
	if !known {
		h.Since = min(0, -int64(len(s.strays))) // reports of which a new store does not know
		h.Through = statedThrough(s.config.Clock.Now())
	}
	changed := !known || h.Since < 0
	if h.Since < 0 {
		h.Since = s.config.Clock.Now().Unix()
	}
	if since := s.config.Since; !since.IsZero() && since.Unix() > h.Since {
		h.Since, changed = since.Unix(), true
	}
	if changed {
		if err := s.config.Store.Keep(ctx, History{Since: h.Since, Through: h.Through}); err != nil {
			return err
		}
	}
	st := &s.stating
	st.mu.Lock()
	st.history = h
	for _, g := range h.Gaps {
		st.places[g.Place] = true
	}
	st.found = slices.DeleteFunc(st.found, func(f foundGap) bool {
		return slices.ContainsFunc(h.Gaps, func(g Gap) bool { return g.Place == f.place })
	})
	for id, t := range s.tasks {
		st.dirty[id] = true
		st.queue = append(st.queue, look{nextClose(t.task, h.Through), Key{Task: id}})
	}
	heap.Init(&st.queue)
	st.mu.Unlock()
	return s.recordGaps(ctx)
}

// statedThrough returns until when epochs have closed that are stated now.
func statedThrough(now time.Time) int64 {
	return now.Add(-statementDelay).Truncate(time.Minute).Unix()
}

// openAt returns the first epoch of a task that had not closed at a time in Unix seconds.
func openAt(t *task.Task, at int64) task.Epoch {
	return t.EpochAt(time.Unix(at, 0).Add(-t.Grace()))
}

// before cuts a span to the epochs before e.
func before(s esa.Span, e task.Epoch) esa.Span {
	if e == 0 {
		return esa.Span{First: 1} // none
	}
	return esa.Span{First: s.First, Last: min(s.Last, e-1)}
}

// nextClose returns when the next epoch after a time closes.
func nextClose(t *task.Task, at int64) time.Time {
	return t.Closes(max(openAt(t, at), t.EpochAt(time.Unix(t.NotBefore, 0))))
}

// life returns the epochs that a task has, which may be none.
func life(t *task.Task) esa.Span {
	first := t.EpochAt(time.Unix(t.NotBefore, 0))
	if !t.Covers(first) {
		first++
	}
	last := t.EpochAt(time.Unix(t.Expires, 0))
	for last > first && !t.Covers(last) {
		last--
	}
	if !t.Covers(first) || !t.Covers(last) {
		return esa.Span{First: 1} // none
	}
	return esa.Span{First: first, Last: last}
}

// undecided reports whether it is not known yet whether a batch goes on, or whether that
// is known here and must not show: of a decision without noise it would tell the exact
// number of reports apart.
func (h *hosted) undecided(b Batch) bool {
	return b.State == Open || b.State == Closed || b.State == Processed && !h.shows()
}

// shows reports whether the next hop may know that a batch has enough reports before it
// has it.
func (h *hosted) shows() bool { return h.threshold != nil || h.total != nil }

// state sends to the next hops what has changed about the epochs of the tasks. It is
// called with tickMu held, when batches have gone as far as they can.
func (s *Shuffler) state(ctx context.Context) error {
	if err := s.advance(ctx); err != nil {
		return err
	}
	return s.sendStatements(ctx)
}

// noteLate notes whether a batch has closed and is undecided. Callers hold s.mu.
func (s *Shuffler) noteLate(k Key, now time.Time) {
	h, b := s.tasks[k.Task], s.live.batches[k]
	st := &s.stating
	st.mu.Lock()
	defer st.mu.Unlock()
	if h == nil || !h.undecided(b) || h.task.Closes(k.Epoch).After(now) {
		delete(st.late, k)
	} else if _, known := st.late[k]; !known {
		st.late[k] = now
	}
}

// advance moves the time on until which epochs are stated.
func (s *Shuffler) advance(ctx context.Context) error {
	now, sure := s.guard.Now()
	if waits := s.waitsForLate(now); waits || !sure {
		return s.recordGaps(ctx)
	}
	if err := s.recordGaps(ctx); err != nil {
		return err
	}
	st := &s.stating
	st.keeping.Lock()
	defer st.keeping.Unlock()
	st.mu.Lock()
	h := History{Since: st.history.Since, Through: statedThrough(now)}
	through := time.Unix(h.Through, 0)
	due := len(st.queue) > 0 && !st.queue[0].at.After(through)
	back := h.Through < st.history.Through // the clock was wrong
	st.mu.Unlock()
	if !due && !back {
		return nil
	}
	if err := s.config.Store.Keep(ctx, h); err != nil {
		return err
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.history.Through = h.Through
	if back {
		for i := range st.queue {
			st.queue[i].at = nextClose(s.tasks[st.queue[i].key.Task].task, h.Through)
		}
		heap.Init(&st.queue)
	}
	for len(st.queue) > 0 && !st.queue[0].at.After(through) {
		id := st.queue[0].key.Task
		st.dirty[id] = true
		st.queue[0].at = nextClose(s.tasks[id].task, h.Through)
		heap.Fix(&st.queue, 0)
	}
	return nil
}

// waitsForLate reports whether a batch of an epoch that would be stated is undecided. One
// that has been for too long becomes a gap instead.
func (s *Shuffler) waitsForLate(now time.Time) bool {
	st := &s.stating
	s.mu.Lock()
	defer s.mu.Unlock()
	st.mu.Lock()
	late := make(map[Key]time.Time, len(st.late))
	for k, seen := range st.late {
		if h := s.tasks[k.Task]; !h.undecided(s.live.batches[k]) {
			delete(st.late, k)
		} else if due := h.task.Closes(k.Epoch).Add(statementDelay); !due.After(now) && !st.inGap(h, k.Epoch) {
			late[k] = seen
		}
	}
	st.mu.Unlock()
	waits := false
	for k, seen := range late {
		if now.Sub(seen) < undecidedFor {
			waits = true
			continue
		}
		s.noteGap(foundGap{place: "undecided " + s.placeOf(s.dir(k)), of: []Key{k}})
	}
	return waits
}

// changed notes that batches have changed, of epochs that may have been stated. Callers
// hold s.mu.
func (st *stating) changed(h *hosted, b Batch) {
	if h == nil || b.State == Open {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if b.State != Processed {
		delete(st.spoilt, b.Key())
	}
	if h.task.Closes(b.Epoch).Unix() <= st.history.Through {
		st.dirty[h.id] = true
	}
}

// spoil notes that the file of a batch that waits for the next hop is damaged.
func (st *stating) spoil(k Key) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.spoilt[k] = struct{}{}
	st.dirty[k.Task] = true
}

// coverage returns what is known here of the epochs of a task, or false if a batch is
// undecided that the statement would be about.
func (s *Shuffler) coverage(h *hosted) (esa.Coverage, bool) {
	t, st := h.task, &s.stating
	s.mu.Lock()
	defer s.mu.Unlock()
	st.mu.Lock()
	defer st.mu.Unlock()
	alive := life(t)
	closed := before(esa.Span{Last: alive.Last}, openAt(t, st.history.Through))
	if since := st.history.Since; since > 0 { // from the first that began afterwards
		closed.First = t.EpochAt(time.Unix(since+int64(t.ClockSkew)-1, 0)) + 1
	}
	var lost, holes []esa.Span
	for _, g := range st.history.Gaps {
		lost = append(lost, g.concerns(h))
	}
	for _, b := range s.live.of(h.id) {
		one := esa.Span{First: b.Epoch, Last: b.Epoch}
		_, spoilt := st.spoilt[b.Key()]
		switch {
		case spoilt:
			lost = append(lost, one)
		case b.State == Processed && h.shows():
			holes = append(holes, one)
		case h.undecided(b) && t.Closes(b.Epoch).Unix() <= st.history.Through && !st.inGap(h, b.Epoch):
			return esa.Coverage{}, false
		}
	}
	c := esa.Coverage{Lost: esa.EpochsOf(lost...).Intersect(esa.EpochsOf(alive))}
	c.Complete = esa.EpochsOf(closed).Intersect(esa.EpochsOf(alive)).Without(c.Lost).Without(esa.EpochsOf(holes...))
	return c, true
}

// statement returns what is to be stated of a task, with what the hop before has stated,
// or false if there is nothing to be stated now.
func (s *Shuffler) statement(ctx context.Context, h *hosted) (*esa.Statement, bool, error) {
	var before esa.Coverage
	if h.hop > 0 { // read first: a batch comes before the statement that it has come
		var err error
		if before, err = s.config.Store.Stated(ctx, h.id); err != nil {
			return nil, false, err
		}
	}
	c, ok := s.coverage(h)
	if !ok {
		return nil, false, nil
	}
	if h.hop > 0 {
		c = before.Through(c)
	}
	return &esa.Statement{Task: h.id, Hop: uint8(h.hop), Coverage: c}, len(c.Complete)+len(c.Lost) > 0, nil
}
