package outbox

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/shoal-project/shoal/metric/task"
)

// maxCauses bounds how many causes are distinguished.
const maxCauses = 32

// state is what the journal adds up to.
type state struct {
	entries  map[ID]*Entry
	tasks    map[task.ID][]byte
	caps     caps
	next     ID
	sent     uint64
	dropped  map[Cause]uint64
	enrolled map[question]enrol
	bytes    int64     // of the entries
	expires  time.Time // no entry expires earlier; zero without entries
}

func newState() *state {
	return &state{
		entries:  map[ID]*Entry{},
		tasks:    map[task.ID][]byte{},
		caps:     newCaps(),
		next:     1,
		dropped:  map[Cause]uint64{},
		enrolled: map[question]enrol{},
	}
}

func (s *state) insert(e *Entry) {
	if old := s.entries[e.ID]; old != nil {
		s.bytes -= old.size()
	}
	s.entries[e.ID] = e
	s.bytes += e.size()
	s.next = max(s.next, e.ID+1)
	if s.expires.IsZero() || e.NotAfter.Before(s.expires) {
		s.expires = e.NotAfter
	}
}

// seal has no effect on an entry that is sealed: the first ciphertext stays.
func (s *state) seal(id ID, report []byte) {
	e := s.entries[id]
	if e == nil || e.Stage != Waiting {
		return
	}
	s.bytes -= e.size()
	e.Stage, e.Report = Sealed, report
	if !e.Resealable() {
		e.Record = nil
	}
	s.bytes += e.size()
}

// unseal has no effect on an entry that was unsealed before.
func (s *state) unseal(id ID) {
	e := s.entries[id]
	if e == nil || e.Stage != Sealed || !e.Resealable() || e.Resealed {
		return
	}
	s.bytes -= e.size()
	e.Stage, e.Report, e.Resealed = Waiting, nil, true
	s.bytes += e.size()
}

// amend has no effect on an entry that is sealed, nor on one that was.
func (s *state) amend(o amend) {
	e := s.entries[o.id]
	if e == nil || !e.amendable() {
		return
	}
	s.bytes -= e.size()
	e.Record, e.Recorded, e.Encoded = o.record, o.recorded, o.encoded
	s.bytes += e.size()
}

func (e *Entry) amendable() bool { return e.Stage != Sealed && !e.Resealed }

func (s *state) hold(id ID) {
	e := s.entries[id]
	if e == nil {
		return
	}
	s.bytes -= e.size()
	e.Stage, e.Report = Held, nil
	s.bytes += e.size()
}

func (s *state) remove(id ID, cause Cause) {
	e := s.entries[id]
	if e == nil {
		return
	}
	s.bytes -= e.size()
	delete(s.entries, id)
	s.count(cause, 1)
}

func (s *state) count(cause Cause, n uint64) {
	if cause == "" {
		s.sent += n
		return
	}
	if _, known := s.dropped[cause]; !known && (!cause.valid() || len(s.dropped) >= maxCauses) {
		cause = Other
	}
	s.dropped[cause] += n
}

func (c Cause) valid() bool {
	for _, r := range []byte(c) {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && !('0' <= r && r <= '9') && r != '-' {
			return false
		}
	}
	return len(c) >= 1 && len(c) <= 32
}

// sorted returns the entries for which want holds, by planned time.
func (s *state) sorted(want func(*Entry) bool) []*Entry {
	var list []*Entry
	for _, e := range s.entries {
		if want(e) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b *Entry) int {
		return cmp.Or(a.NotBefore.Compare(b.NotBefore), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// expired returns the entries whose batch has closed.
func (s *state) expired(now time.Time) []*Entry {
	if s.expires.IsZero() || s.expires.After(now) {
		return nil
	}
	list := s.sorted(func(e *Entry) bool { return !e.NotAfter.After(now) })
	s.expires = time.Time{}
	for _, e := range s.entries {
		if e.NotAfter.After(now) && (s.expires.IsZero() || e.NotAfter.Before(s.expires)) {
			s.expires = e.NotAfter
		}
	}
	return list
}

// cost is what the state counts against Options.MaxBytes.
func (s *state) cost() int64 { return s.bytes + int64(s.caps.n)*chargeSize }

// snapshot yields the ops that make this state out of an empty one.
func (s *state) snapshot(yield func(op) bool) {
	ops := []op{next{s.next}, count{"", s.sent}}
	for cause, n := range s.dropped {
		ops = append(ops, count{cause, n})
	}
	if s.caps.frozen != 0 {
		ops = append(ops, freeze{s.caps.frozen})
	}
	for scope, at := range s.caps.horizon {
		ops = append(ops, horizonOp{scope, at})
	}
	for _, m := range s.caps.charges {
		for to, n := range m {
			ops = append(ops, chargeOp{to, n})
		}
	}
	for id, b := range s.tasks {
		ops = append(ops, taskBytes{id, b})
	}
	for _, o := range s.enrolled {
		ops = append(ops, o)
	}
	for _, id := range slices.Sorted(maps.Keys(s.entries)) {
		ops = append(ops, adding(s.entries[id]))
	}
	for _, o := range ops {
		if !yield(o) {
			return
		}
	}
}

// weight is roughly how long a journal of this state is: what no rewriting makes
// shorter.
func (s *state) weight() int64 {
	n := s.cost()
	for _, b := range s.tasks {
		n += int64(len(b))
	}
	return n
}

// forgetTasks lets go of the tasks that neither an entry nor an enrolment needs.
func (s *state) forgetTasks() {
	needed := map[task.ID]bool{}
	for _, o := range s.enrolled {
		needed[o.task] = true
	}
	for _, e := range s.entries {
		needed[e.Task] = true
	}
	maps.DeleteFunc(s.tasks, func(id task.ID, _ []byte) bool { return !needed[id] })
}
