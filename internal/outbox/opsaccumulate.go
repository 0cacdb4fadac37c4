package outbox

import (
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/metric/task"
)

// The changes of what accumulates and of what keeps its record.

// addKept is add for an entry that keeps its record.
type addKept struct{ e *Entry }

func (addKept) kind() opKind { return kindAddKept }
func (o addKept) encode(b *cryptobyte.Builder) {
	resealed := uint8(0)
	if o.e.Resealed {
		resealed = 1
	}
	b.AddUint8(resealed)
	add(o).encode(b)
}
func (o addKept) apply(s *state) { s.insert(o.e) }

func readAddKept(r *reader) op {
	resealed := r.uint8()
	r.check(resealed <= 1, "flag")
	o := readAdd(r).(add)
	o.e.Method, o.e.Resealed = task.Aggregate, resealed == 1
	return addKept(o)
}

// adding returns the op that brings an entry.
func adding(e *Entry) op {
	if e.Resealable() {
		return addKept{e}
	}
	return add{e}
}

// amend changes the record of an entry that is not sealed.
type amend struct {
	id       ID
	record   []byte
	recorded string
	encoded  string
}

func (amend) kind() opKind { return kindAmend }
func (o amend) encode(b *cryptobyte.Builder) {
	b.AddUint64(uint64(o.id))
	addBytes(b, o.record)
	addBytes(b, []byte(o.recorded))
	addBytes(b, []byte(o.encoded))
}
func (o amend) apply(s *state) { s.amend(o) }

// unseal makes an entry wait for a second seal.
type unseal struct{ id ID }

func (unseal) kind() opKind                   { return kindUnseal }
func (o unseal) encode(b *cryptobyte.Builder) { b.AddUint64(uint64(o.id)) }
func (o unseal) apply(s *state)               { s.unseal(o.id) }

// enrol makes the device take part in a task, in place of another of the same
// owner and metric.
type enrol struct {
	task          task.ID
	owner, metric string
	since         millis
}

func (enrol) kind() opKind { return kindEnrol }
func (o enrol) encode(b *cryptobyte.Builder) {
	b.AddBytes(o.task[:])
	addBytes(b, []byte(o.owner))
	addBytes(b, []byte(o.metric))
	b.AddUint64(uint64(o.since))
}
func (o enrol) apply(s *state) { s.enrolled[question{o.owner, o.metric}] = o }

// leave ends taking part.
type leave struct{ owner, metric string }

func (leave) kind() opKind { return kindLeave }
func (o leave) encode(b *cryptobyte.Builder) {
	addBytes(b, []byte(o.owner))
	addBytes(b, []byte(o.metric))
}
func (o leave) apply(s *state) { delete(s.enrolled, question(o)) }

// A question is what enrolments are counted by, as caps are.
type question struct{ owner, metric string }

func (m millis) time() time.Time { return time.UnixMilli(int64(m)).UTC() }
