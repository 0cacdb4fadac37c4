package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// Amend changes the record of the entry of a task and epoch: of the one that is
// held or of the one that is sent. f gets the entry and returns what it is to
// hold from then on; it runs on any goroutine, and must not call the box. When
// Amend returns, the change is durable. Concurrent calls share one sync. It
// returns false, and changes nothing, if there is no such entry, or it was sealed
// already; if f fails, its error.
func (b *Box) Amend(id task.ID, epoch task.Epoch, held bool, f func(Entry) (Report, error)) (bool, error) {
	m := &amendment{task: id, epoch: epoch, held: held, f: f}
	a := &addition{amends: m, done: make(chan struct{})}
	b.wait(a)
	return m.found && a.err == nil, a.err
}

// An amendment is a call of [Box.Amend].
type amendment struct {
	task  task.ID
	epoch task.Epoch
	held  bool
	f     func(Entry) (Report, error)
	found bool
}

// amendEntry applies an amendment. Its error concerns that one alone.
func (s *session) amendEntry(m *amendment) error {
	var e *Entry // the oldest, should there be more than one
	for _, x := range s.b.state.entries {
		fits := x.Task == m.task && x.Epoch == m.epoch && (x.Stage == Held) == m.held && x.amendable()
		if fits && (e == nil || x.ID < e.ID) {
			e = x
		}
	}
	if e == nil {
		return nil
	}
	m.found = true
	r, err := m.f(s.b.state.view(e.ID))
	if err != nil {
		return err
	}
	if len(r.Record) > maxBytes || len(r.Recorded) > maxShown || len(r.Encoded) > maxShown {
		return errors.New("amending an entry of the outbox: the report is too large")
	}
	if !bytes.Equal(r.Record, e.Record) || r.Recorded != e.Recorded || r.Encoded != e.Encoded {
		s.do(amend{e.ID, append([]byte(nil), r.Record...), r.Recorded, r.Encoded})
	}
	return nil
}

// An Enrolment records that this device takes part in a task of which it sends
// reports whether it has a value or not. The box only remembers it.
type Enrolment struct {
	Task      task.ID
	TaskBytes []byte // as in the Contribution
	Owner     string // 1 to 255 bytes
	Metric    string // 1 to 255 bytes
	Since     time.Time
}

// Enrol remembers an enrolment durably. Of an owner and a metric there is one: a
// task that was signed again takes the place of the other, and the earlier Since
// stays.
func (b *Box) Enrol(e Enrolment) error {
	if len(e.TaskBytes) > maxBytes || len(e.Owner) == 0 || len(e.Owner) > maxName || len(e.Metric) == 0 || len(e.Metric) > maxName {
		return fmt.Errorf("enrolling: owner and metric must have 1 to %d bytes, a task at most %d", maxName, maxBytes)
	}
	err := b.locked(func(s *session) error {
		st := s.b.state
		o := enrol{e.Task, e.Owner, e.Metric, millis(e.Since.UnixMilli())}
		old, known := st.enrolled[question{e.Owner, e.Metric}]
		if known {
			o.since = min(o.since, old.since)
		}
		if _, have := st.tasks[e.Task]; !have {
			s.do(taskBytes{e.Task, append([]byte(nil), e.TaskBytes...)})
		}
		if !known || o != old {
			s.do(o)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("enrolling: %w", err)
	}
	return nil
}

// Enrolments returns all enrolments, in no order.
func (b *Box) Enrolments() ([]Enrolment, error) {
	var list []Enrolment
	err := b.locked(func(s *session) error {
		list = s.b.state.enrolments()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the enrolments: %w", err)
	}
	return list, nil
}

func (s *state) enrolments() []Enrolment {
	var list []Enrolment
	for _, o := range s.enrolled {
		list = append(list, Enrolment{o.task, s.tasks[o.task], o.owner, o.metric, o.since.time()})
	}
	return list
}

// Leave forgets the enrolments for which match holds, and returns how many they
// were. Entries of theirs stay.
func (b *Box) Leave(match func(Enrolment) bool) (int, error) {
	n := 0
	err := b.locked(func(s *session) error {
		for _, e := range s.b.state.enrolments() {
			if match(e) {
				s.do(leave{e.Owner, e.Metric})
				n++
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("leaving: %w", err)
	}
	return n, nil
}
