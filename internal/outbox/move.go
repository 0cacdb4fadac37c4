package outbox

import (
	"fmt"
	"time"
)

// Unmoved is the cause of an entry that waited for its evaluation until its epoch ended, and
// that the next epoch has no room for: its caps are used up or not known.
const Unmoved Cause = "unmoved"

// Move gives an entry that was not sealed to another epoch, that of c, durably: it counts
// against the caps of that epoch, too, and is sent at a time drawn from its window. Of c's
// reports it takes the crowd of the first and nothing else. If the verdict is not
// [Accepted] the entry is dropped and counted under [Unmoved]. It returns false, and
// changes nothing, if the entry is gone or sealed.
func (b *Box) Move(id ID, c Contribution) (Verdict, bool, error) {
	if err := c.validate(); err != nil {
		return Failed, false, err
	}
	if len(c.Reports) != 1 {
		return Failed, false, fmt.Errorf("moving entry %d: %d reports, want one", id, len(c.Reports))
	}
	verdict, found := Failed, false
	err := b.locked(func(s *session) error {
		e := s.b.state.entries[id]
		if e == nil || e.Stage != Waiting || e.Task != c.Task {
			return nil
		}
		found = true
		var err error
		verdict, err = s.move(e, &c)
		return err
	})
	if err != nil {
		return Failed, false, fmt.Errorf("moving entry %d: %w", id, err)
	}
	return verdict, found, nil
}

func (s *session) move(e *Entry, c *Contribution) (Verdict, error) {
	to := s.b.tags.charge(c, c.Reports[0].Crowd)
	v := s.b.state.caps.allow(to, c.PerEpoch, c.PerCrowd)
	if !c.NotAfter.After(c.At) {
		v = Closed
	}
	if v != Accepted {
		s.do(done{e.ID, Unmoved})
		return v, nil
	}
	at, err := s.b.plan(c)
	if err != nil {
		return Failed, err
	}
	moved := *e
	moved.Epoch, moved.NotBefore, moved.SendBy, moved.NotAfter, moved.Attempts = c.Epoch, at, c.SendBy, c.NotAfter, 0
	s.do(adding(&moved), chargeOp{to, 1}) // in place of the entry with the same ID
	return Accepted, nil
}

// plan draws when a report of a contribution is sent.
func (b *Box) plan(c *Contribution) (at time.Time, err error) {
	earliest := c.At
	if !c.From.IsZero() {
		earliest = c.From // past or not: see Contribution.From
	}
	latest := earliest.Add(max(0, c.MaxDelay))
	if latest.After(c.SendBy) {
		latest = c.SendBy
	}
	return b.draw(earliest, latest)
}
