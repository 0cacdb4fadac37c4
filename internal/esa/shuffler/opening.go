package shuffler

import (
	"context"
	"errors"
	"sync"
)

// opening collects the batches whose first report has arrived while the store was
// busy with others: at the beginning of an epoch all tasks have one, and a
// transaction each would hold up the reports of all.
type opening struct {
	order sync.Mutex // held while a group is stored

	mu   sync.Mutex // guards next
	next *openGroup
}

// An openGroup is stored in one transaction.
type openGroup struct {
	keys     map[Key]struct{}
	done     chan struct{} // closed when outcomes is complete
	outcomes map[Key]Outcome
}

// openBatch makes an open batch durable. It returns Accepted when it is.
func (s *Shuffler) openBatch(ctx context.Context, k Key) Outcome {
	o := &s.opening
	o.mu.Lock()
	g := o.next
	first := g == nil
	if first {
		g = &openGroup{keys: map[Key]struct{}{}, done: make(chan struct{}), outcomes: map[Key]Outcome{}}
		o.next = g
	}
	g.keys[k] = struct{}{}
	o.mu.Unlock()
	if first {
		o.order.Lock()
		o.mu.Lock()
		o.next = nil // later callers are in the next group
		o.mu.Unlock()
		s.storeGroup(ctx, g)
		o.order.Unlock()
		close(g.done)
	}
	<-g.done
	return g.outcomes[k]
}

// storeGroup stores all batches of a group, together or, if one cannot be, each
// alone.
func (s *Shuffler) storeGroup(ctx context.Context, g *openGroup) {
	s.mu.Lock()
	var changes []Change
	for k := range g.keys {
		if state := s.live.batches[k].State; state == None {
			changes = append(changes, Change{None, Batch{Task: k.Task, Epoch: k.Epoch, State: Open}})
		} else if state != Open {
			g.outcomes[k] = WrongEpoch
		}
	}
	s.mu.Unlock()
	if len(changes) == 0 {
		return
	}
	err := s.config.Store.Apply(ctx, changes...)
	if err != nil && len(changes) > 1 && errors.Is(err, ErrConflict) {
		for _, c := range changes {
			s.opened(ctx, g, s.config.Store.Apply(ctx, c), c)
		}
		return
	}
	s.opened(ctx, g, err, changes...)
}

// opened enters new batches, or finds out why they could not be stored. Run must
// look when they close, if that is before everything else that is due.
func (s *Shuffler) opened(ctx context.Context, g *openGroup, err error, changes ...Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		for _, c := range changes {
			g.outcomes[c.To.Key()] = s.notOpened(ctx, c.To.Key(), err)
		}
		s.reload(ctx)
		return
	}
	before, any := s.live.next()
	for _, c := range changes {
		s.hold(c.To)
		s.config.Metrics.Batch(c.To.State, c.To.Counts)
	}
	if first, ok := s.live.next(); ok && (!any || first.Before(before)) {
		s.alert()
	}
}

func (s *Shuffler) notOpened(ctx context.Context, k Key, err error) Outcome {
	if errors.Is(err, ErrConflict) { // destroyed batches are in the store only
		if have, err := s.config.Store.Batch(ctx, k); err == nil && have.State == Destroyed {
			return WrongEpoch
		}
	}
	return storageOutcome(err)
}
