package outbox

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
)

// A Sealer turns a record into the bytes that go out. It is called once for an
// entry that is sent; more often only if it fails or its result could not be
// stored. An error makes the entry wait; a [Refused] drops it.
type Sealer interface {
	Seal(ctx context.Context, e Entry) ([]byte, error)
}

// A Sender delivers sealed bytes to e.Destination, in one request, and nowhere
// else. It returns nil once the receiver has acknowledged them, a [Refused] if it
// refuses them permanently, and any other error if the entry is to be tried again.
type Sender interface {
	Send(ctx context.Context, e Entry, report []byte) error
}

// Refused is the error of a Sealer or Sender that settles an entry: it is
// dropped and counted under Cause.
type Refused struct {
	Cause Cause
	Err   error // what happened, for people; may be nil
}

func (r *Refused) Error() string {
	if r.Err == nil {
		return fmt.Sprintf("refused: %s", r.Cause)
	}
	return fmt.Sprintf("refused: %s: %v", r.Cause, r.Err)
}

func (r *Refused) Unwrap() error { return r.Err }

// Stale is the error of a Sender whose receiver cannot open the report, has not
// kept it, and answers that newer keys are to be used. An entry that keeps its record
// is sealed once more; any other, and one for which that was done before, is
// dropped and counted under [Outdated].
type Stale struct{ Err error }

func (s *Stale) Error() string { return fmt.Sprintf("sealed to old keys: %v", s.Err) }
func (s *Stale) Unwrap() error { return s.Err }

// A Pass reports what [Box.SendDue] did.
type Pass struct {
	Next    time.Time // when the next entry is due; zero if none waits
	Sent    int
	Refused int   // dropped because the receiver refuses them
	Waiting int   // due, but to be tried later
	Err     error // the last reason to wait or to drop, for people
}

// busy is how long a pass waits for another process that sends.
const busy = time.Minute

// SendDue sends what is due at now, one entry after another, and returns when
// the next one is. Call it again then, and after each Add. What is overdue by
// more than Options.Late is not sent but given a new time. The error is that of
// the journal, or of ctx; failures to deliver are in the pass.
//
// After a destination has failed, the other entries for it wait as well,
// without being tried.
func (b *Box) SendDue(ctx context.Context, now time.Time, sealer Sealer, sender Sender) (Pass, error) {
	b.sending.Lock()
	defer b.sending.Unlock()
	if b.shared {
		unlock, err := durable.TryLock(filepath.Join(b.dir, "sender"))
		if errors.Is(err, durable.ErrLocked) {
			return Pass{Next: now.Add(busy)}, nil
		}
		if err != nil {
			return Pass{}, fmt.Errorf("sending: %w", err)
		}
		defer func() { _ = unlock() }() // nothing depends on when the lock goes
	}
	p := &pass{b: b, now: now, sealer: sealer, sender: sender, down: map[string]bool{}}
	err := p.run(ctx)
	return p.Pass, err
}

// A pass is one run of SendDue.
type pass struct {
	Pass
	b      *Box
	now    time.Time
	sealer Sealer
	sender Sender
	down   map[string]bool // what has failed in this pass
}

func (p *pass) run(ctx context.Context) error {
	var due []ID
	err := p.b.locked(func(s *session) error {
		s.sweep(p.now)
		var err error
		due, err = s.due(p.now)
		p.Next = s.b.state.nextDue()
		return err
	})
	if err != nil {
		return fmt.Errorf("sending: %w", err)
	}
	if len(due) == 0 {
		return nil
	}
	for _, id := range due {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.send(ctx, id); err != nil {
			return fmt.Errorf("sending: %w", err)
		}
	}
	return p.b.locked(func(s *session) error {
		p.Next = s.b.state.nextDue()
		return nil
	})
}

// due returns the entries to send now, in the order of their times, and gives
// those that are overdue new ones.
func (s *session) due(now time.Time) ([]ID, error) {
	b := s.b
	var ids []ID
	list := b.state.sorted(func(e *Entry) bool { return e.Stage != Held && !e.NotBefore.After(now) })
	for _, e := range list {
		if now.Sub(e.NotBefore) <= b.o.Late {
			ids = append(ids, e.ID)
			continue
		}
		latest := now.Add(b.o.Spread)
		if latest.After(e.SendBy) {
			latest = e.SendBy
		}
		at, err := b.draw(now, latest)
		if err != nil {
			return nil, err
		}
		s.do(schedule{e.ID, at, e.Attempts})
	}
	return ids, nil
}

// nextDue returns the earliest planned time, zero if no send is planned.
func (s *state) nextDue() time.Time {
	var at time.Time
	for _, e := range s.entries {
		if e.Stage != Held && (at.IsZero() || e.NotBefore.Before(at)) {
			at = e.NotBefore
		}
	}
	return at
}

// send takes one entry as far as it gets. Its error is that of the journal or
// of ctx.
func (p *pass) send(ctx context.Context, id ID) error {
	e, err := p.b.entry(id)
	if err != nil || e.Stage == 0 || e.Stage == Held {
		return err
	}
	where, what := "to "+e.Destination, "task "+e.Task.String()
	if p.down[where] || p.down[what] {
		return p.postpone(e, false)
	}
	if e.Stage == Waiting {
		report, err := p.sealer.Seal(ctx, e)
		if err != nil {
			return p.failed(ctx, e, what, err)
		}
		if e, err = p.b.keep(e, report); err != nil || e.Stage != Sealed {
			return err
		}
	}
	if err := p.sender.Send(ctx, e, e.Report); err != nil {
		return p.failed(ctx, e, where, err)
	}
	p.Sent++
	return p.b.settle(id, "")
}

// failed settles or postpones an entry after an error of sealer or sender.
func (p *pass) failed(ctx context.Context, e Entry, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.Err = err
	if refused, ok := errors.AsType[*Refused](err); ok {
		p.Refused++
		if refused.Cause == "" {
			return p.b.settle(e.ID, Other)
		}
		return p.b.settle(e.ID, refused.Cause)
	}
	if _, ok := errors.AsType[*Stale](err); ok {
		again, err := p.b.unseal(e.ID)
		if err != nil || !again {
			return err
		}
	}
	p.down[what] = true
	return p.postpone(e, true)
}

// unseal lets an entry be sealed again, or drops it if that is not allowed.
func (b *Box) unseal(id ID) (bool, error) {
	again := false
	err := b.locked(func(s *session) error {
		if e := s.b.state.entries[id]; e != nil && e.Stage == Sealed && e.Resealable() && !e.Resealed {
			again = true
			s.do(unseal{id})
			return nil
		}
		s.do(done{id, Outdated})
		return nil
	})
	return again, err
}

// postpone gives an entry the time of its next attempt.
func (p *pass) postpone(e Entry, tried bool) error {
	p.Waiting++
	attempts := e.Attempts
	if tried {
		attempts++
	}
	at, err := p.b.retryAt(p.now, e.SendBy, attempts)
	if err != nil {
		return err
	}
	return p.b.locked(func(s *session) error {
		s.do(schedule{e.ID, at, attempts})
		return nil
	})
}

// retryAt draws the time of the next attempt: exponential backoff, each wait
// scattered over half to one and a half times its length, and a last attempt
// before sendBy.
func (b *Box) retryAt(now, sendBy time.Time, attempts int) (time.Time, error) {
	wait := clock.Backoff(attempts, b.o.Backoff, b.o.MaxBackoff)
	at, err := b.draw(now.Add(wait/2), now.Add(wait+wait/2))
	if err != nil {
		return time.Time{}, err
	}
	if at.After(sendBy) && sendBy.Sub(now) > b.o.Backoff {
		return b.draw(now.Add(b.o.Backoff/2), sendBy)
	}
	return at, nil
}

// entry returns a copy of an entry; its Stage is 0 if it is gone.
func (b *Box) entry(id ID) (Entry, error) {
	var e Entry
	err := b.locked(func(s *session) error {
		e = s.b.state.view(id)
		return nil
	})
	return e, err
}

// view returns a copy of an entry with its task's bytes.
func (s *state) view(id ID) Entry {
	e := s.entries[id]
	if e == nil {
		return Entry{}
	}
	v := *e
	v.TaskBytes = s.tasks[e.Task]
	return v
}

// keep stores the sealed bytes of an entry durably and returns the entry as it
// is then: with other bytes if another process was first, and still waiting if it
// was amended while it was sealed.
func (b *Box) keep(was Entry, report []byte) (Entry, error) {
	if len(report) == 0 || len(report) > maxBytes {
		return Entry{}, fmt.Errorf("sealing entry %d: got %d bytes", was.ID, len(report))
	}
	var e Entry
	err := b.locked(func(s *session) error {
		if now := s.b.state.entries[was.ID]; now != nil && now.Stage == Waiting && bytes.Equal(now.Record, was.Record) {
			s.do(seal{was.ID, append([]byte(nil), report...)})
		}
		e = s.b.state.view(was.ID)
		return nil
	})
	return e, err
}

// settle removes an entry: as sent if the cause is empty, else as dropped.
func (b *Box) settle(id ID, cause Cause) error {
	return b.locked(func(s *session) error {
		s.do(done{id, cause})
		return nil
	})
}

func randUint64(r io.Reader) (uint64, error) {
	var p [8]byte
	if _, err := io.ReadFull(r, p[:]); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(p[:]), nil
}
