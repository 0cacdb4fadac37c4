package outbox

import (
	"fmt"
	"maps"
)

// List returns the entries by planned time.
func (b *Box) List() ([]Entry, error) {
	var list []Entry
	err := b.locked(func(s *session) error {
		for _, e := range s.b.state.sorted(func(*Entry) bool { return true }) {
			list = append(list, s.b.state.view(e.ID))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the outbox: %w", err)
	}
	return list, nil
}

// Stats returns the figures of the outbox.
func (b *Box) Stats() (Stats, error) {
	var st Stats
	err := b.locked(func(s *session) error {
		now := s.b.state
		st = Stats{Bytes: now.cost(), Sent: now.sent, Dropped: maps.Clone(now.dropped)}
		for _, e := range now.entries {
			switch e.Stage {
			case Waiting:
				st.Waiting++
			case Sealed:
				st.Sealed++
			case Held:
				st.Held++
			}
		}
		return nil
	})
	if err != nil {
		return Stats{}, fmt.Errorf("reading the outbox: %w", err)
	}
	return st, nil
}

// Drop removes the entries for which match holds, counts them as [Withdrawn]
// and returns how many they were. When it returns without an error they are
// gone from the journal as well. One that is being sent at this moment may
// still arrive. What was dropped stays counted against the caps.
func (b *Box) Drop(match func(Entry) bool) (int, error) {
	n, err := b.each(match, func(s *session, id ID) {
		s.erase = true
		s.do(done{id, Withdrawn})
	})
	if err != nil {
		return 0, fmt.Errorf("dropping from the outbox: %w", err)
	}
	return n, nil
}

// Hold keeps the entries for which match holds from ever being sent, and
// returns how many they were. One that is being sent at this moment may still
// arrive.
func (b *Box) Hold(match func(Entry) bool) (int, error) {
	unheld := func(e Entry) bool { return e.Stage != Held && match(e) }
	n, err := b.each(unheld, func(s *session, id ID) { s.do(hold{id}) })
	if err != nil {
		return 0, fmt.Errorf("holding what is in the outbox: %w", err)
	}
	return n, nil
}

func (b *Box) each(match func(Entry) bool, f func(*session, ID)) (int, error) {
	n := 0
	err := b.locked(func(s *session) error {
		for _, e := range s.b.state.sorted(func(e *Entry) bool { return match(s.b.state.view(e.ID)) }) {
			f(s, e.ID)
			n++
		}
		return nil
	})
	return n, err
}
