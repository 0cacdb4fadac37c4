package outbox

import (
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/metric/task"
)

// An op is one change of the state, as the journal keeps it. Applying an op
// that speaks of an entry that is gone changes nothing.
type op interface {
	kind() opKind
	encode(b *cryptobyte.Builder)
	apply(s *state)
}

type opKind uint8

const (
	kindAdd      opKind = 1
	kindSeal     opKind = 2
	kindDone     opKind = 3
	kindSchedule opKind = 4
	kindHold     opKind = 5
	kindTask     opKind = 6
	kindCharge   opKind = 7
	kindPrune    opKind = 8
	kindHorizon  opKind = 9
	kindFreeze   opKind = 10
	kindCount    opKind = 11
	kindNext     opKind = 12
	kindAddKept  opKind = 13
	kindAmend    opKind = 14
	kindUnseal   opKind = 15
	kindEnrol    opKind = 16
	kindLeave    opKind = 17
)

// Limits of single fields, in bytes.
const (
	maxName  = math.MaxUint8
	maxWhere = 4 << 10
	maxShown = 64 << 10
	maxBytes = 1 << 20
)

// add brings an entry, with all that it has at the time.
type add struct{ e *Entry }

func (add) kind() opKind { return kindAdd }

func (o add) encode(b *cryptobyte.Builder) {
	e := o.e
	b.AddUint64(uint64(e.ID))
	b.AddBytes(e.Task[:])
	b.AddUint64(uint64(e.Epoch))
	b.AddUint8(uint8(e.Stage))
	for _, t := range []time.Time{e.At, e.NotBefore, e.SendBy, e.NotAfter} {
		addTime(b, t)
	}
	b.AddUint32(uint32(e.Attempts))
	addBytes(b, []byte(e.Owner))
	addBytes(b, []byte(e.Metric))
	addBytes(b, []byte(e.Destination))
	addBytes(b, e.Record)
	addBytes(b, []byte(e.Recorded))
	addBytes(b, []byte(e.Encoded))
	addBytes(b, e.Report)
}

func (o add) apply(s *state) { s.insert(o.e) }

func readAdd(s *reader) op {
	e := new(Entry)
	e.ID = ID(s.uint64())
	e.Method = task.Crowd // unless it is read as part of an addKept
	e.Task = task.ID(s.fixed(len(task.ID{})))
	e.Epoch = task.Epoch(s.uint64())
	e.Stage = Stage(s.uint8())
	e.At, e.NotBefore, e.SendBy, e.NotAfter = s.time(), s.time(), s.time(), s.time()
	e.Attempts = int(s.uint32() & math.MaxInt32)
	e.Owner = string(s.bytes(maxName))
	e.Metric = string(s.bytes(maxName))
	e.Destination = string(s.bytes(maxWhere))
	e.Record = s.bytes(maxBytes)
	e.Recorded = string(s.bytes(maxShown))
	e.Encoded = string(s.bytes(maxShown))
	e.Report = s.bytes(maxBytes)
	s.check(e.Stage >= Waiting && e.Stage <= Held, "stage")
	s.check((e.Stage == Sealed) == (len(e.Report) > 0), "stage")
	return add{e}
}

// seal replaces an entry's record by its sealed bytes.
type seal struct {
	id     ID
	report []byte
}

func (seal) kind() opKind { return kindSeal }
func (o seal) encode(b *cryptobyte.Builder) {
	b.AddUint64(uint64(o.id))
	addBytes(b, o.report)
}
func (o seal) apply(s *state) { s.seal(o.id, o.report) }

// done removes an entry: sent if the cause is empty, else dropped.
type done struct {
	id    ID
	cause Cause
}

func (done) kind() opKind { return kindDone }
func (o done) encode(b *cryptobyte.Builder) {
	b.AddUint64(uint64(o.id))
	addBytes(b, []byte(o.cause))
}
func (o done) apply(s *state) { s.remove(o.id, o.cause) }

// schedule gives an entry another time.
type schedule struct {
	id       ID
	at       time.Time
	attempts int
}

func (schedule) kind() opKind { return kindSchedule }
func (o schedule) encode(b *cryptobyte.Builder) {
	b.AddUint64(uint64(o.id))
	addTime(b, o.at)
	b.AddUint32(uint32(o.attempts))
}

func (o schedule) apply(s *state) {
	if e := s.entries[o.id]; e != nil {
		e.NotBefore, e.Attempts = o.at, o.attempts
	}
}

// hold keeps an entry from ever being sent.
type hold struct{ id ID }

func (hold) kind() opKind                   { return kindHold }
func (o hold) encode(b *cryptobyte.Builder) { b.AddUint64(uint64(o.id)) }
func (o hold) apply(s *state)               { s.hold(o.id) }

// taskBytes keeps what the sealer needs of a task.
type taskBytes struct {
	id    task.ID
	bytes []byte
}

func (taskBytes) kind() opKind { return kindTask }
func (o taskBytes) encode(b *cryptobyte.Builder) {
	b.AddBytes(o.id[:])
	addBytes(b, o.bytes)
}
func (o taskBytes) apply(s *state) { s.tasks[o.id] = o.bytes }

// chargeOp counts contributions.
type chargeOp struct {
	to charge
	n  uint32
}

func (chargeOp) kind() opKind { return kindCharge }
func (o chargeOp) encode(b *cryptobyte.Builder) {
	b.AddBytes(o.to.scope[:])
	b.AddBytes(o.to.crowd[:])
	b.AddUint64(uint64(o.to.start))
	b.AddUint64(uint64(o.to.end))
	b.AddUint32(o.n)
}
func (o chargeOp) apply(s *state) { s.caps.add(o.to, o.n) }

// prune forgets contributions to epochs that ended by then.
type prune struct{ by millis }

func (prune) kind() opKind                   { return kindPrune }
func (o prune) encode(b *cryptobyte.Builder) { b.AddUint64(uint64(o.by)) }
func (o prune) apply(s *state)               { s.caps.prune(o.by) }

// horizonOp refuses contributions of a scope to epochs that began before.
type horizonOp struct {
	scope tag
	at    millis
}

func (horizonOp) kind() opKind { return kindHorizon }
func (o horizonOp) encode(b *cryptobyte.Builder) {
	b.AddBytes(o.scope[:])
	b.AddUint64(uint64(o.at))
}
func (o horizonOp) apply(s *state) { s.caps.raise(o.scope, o.at) }

// freeze refuses contributions of all scopes to epochs that began by then.
type freeze struct{ at millis }

func (freeze) kind() opKind                   { return kindFreeze }
func (o freeze) encode(b *cryptobyte.Builder) { b.AddUint64(uint64(o.at)) }
func (o freeze) apply(s *state)               { s.caps.freeze(o.at) }

// count adds to the figures: sent if the cause is empty, else dropped.
type count struct {
	cause Cause
	n     uint64
}

func (count) kind() opKind { return kindCount }
func (o count) encode(b *cryptobyte.Builder) {
	addBytes(b, []byte(o.cause))
	b.AddUint64(o.n)
}
func (o count) apply(s *state) { s.count(o.cause, o.n) }

// next records which ID comes next, so that none is given twice.
type next struct{ id ID }

func (next) kind() opKind                   { return kindNext }
func (o next) encode(b *cryptobyte.Builder) { b.AddUint64(uint64(o.id)) }
func (o next) apply(s *state)               { s.next = max(s.next, o.id) }

// encodeOp appends an op to b.
func encodeOp(b *cryptobyte.Builder, o op) {
	b.AddUint8(uint8(o.kind()))
	o.encode(b)
}

// decodeOps reads what a frame holds. The ops share no memory with data.
func decodeOps(data []byte) ([]op, error) {
	r := &reader{s: cryptobyte.String(data)}
	var ops []op
	for !r.s.Empty() && r.err == nil {
		o, err := r.op()
		if err != nil {
			return nil, err
		}
		ops = append(ops, o)
	}
	return ops, r.err
}

func (r *reader) op() (op, error) {
	kind := opKind(r.uint8())
	var o op
	switch kind {
	case kindAdd:
		o = readAdd(r)
	case kindSeal:
		o = seal{ID(r.uint64()), r.bytes(maxBytes)}
	case kindDone:
		o = done{ID(r.uint64()), Cause(r.bytes(maxName))}
	case kindSchedule:
		o = schedule{ID(r.uint64()), r.time(), int(r.uint32() & math.MaxInt32)}
	case kindHold:
		o = hold{ID(r.uint64())}
	case kindTask:
		o = taskBytes{task.ID(r.fixed(len(task.ID{}))), r.bytes(maxBytes)}
	case kindCharge:
		o = chargeOp{charge{tag(r.fixed(len(tag{}))), tag(r.fixed(len(tag{}))), r.millis(), r.millis()}, r.uint32()}
	case kindPrune:
		o = prune{r.millis()}
	case kindHorizon:
		o = horizonOp{tag(r.fixed(len(tag{}))), r.millis()}
	case kindFreeze:
		o = freeze{r.millis()}
	case kindCount:
		o = count{Cause(r.bytes(maxName)), r.uint64()}
	case kindNext:
		o = next{ID(r.uint64())}
	case kindAddKept:
		o = readAddKept(r)
	case kindAmend:
		o = amend{ID(r.uint64()), r.bytes(maxBytes), string(r.bytes(maxShown)), string(r.bytes(maxShown))}
	case kindUnseal:
		o = unseal{ID(r.uint64())}
	case kindEnrol:
		o = enrol{task.ID(r.fixed(len(task.ID{}))), string(r.bytes(maxName)), string(r.bytes(maxName)), r.millis()}
	case kindLeave:
		o = leave{string(r.bytes(maxName)), string(r.bytes(maxName))}
	default:
		return nil, fmt.Errorf("journal: unknown change %d: written by a newer version?", kind)
	}
	return o, r.err
}

// Times are kept in milliseconds since the Unix epoch.
func addTime(b *cryptobyte.Builder, t time.Time) { b.AddUint64(uint64(t.UnixMilli())) }

// addBytes adds a length of 4 bytes and p.
func addBytes(b *cryptobyte.Builder, p []byte) {
	b.AddUint32(uint32(len(p)))
	b.AddBytes(p)
}

// errShort is the error of a change that is cut short or out of bounds.
var errShort = errors.New("journal: a change is cut short or out of bounds")

// A reader reads fields until the first error, which it keeps.
type reader struct {
	s   cryptobyte.String
	err error
}

func (r *reader) check(ok bool, what string) {
	if !ok && r.err == nil {
		r.err = fmt.Errorf("%w: %s", errShort, what)
	}
}

func (r *reader) uint8() uint8 {
	var v uint8
	r.check(r.s.ReadUint8(&v), "byte")
	return v
}

func (r *reader) uint32() uint32 {
	var v uint32
	r.check(r.s.ReadUint32(&v), "number")
	return v
}

func (r *reader) uint64() uint64 {
	var v uint64
	r.check(r.s.ReadUint64(&v), "number")
	return v
}

func (r *reader) millis() millis { return millis(r.uint64()) }

func (r *reader) time() time.Time { return time.UnixMilli(int64(r.uint64())).UTC() }

// fixed returns n bytes, zeros after an error.
func (r *reader) fixed(n int) []byte {
	p := make([]byte, n)
	r.check(r.s.CopyBytes(p), "bytes")
	return p
}

// bytes returns a copy of at most limit bytes, nil if there are none.
func (r *reader) bytes(limit int) []byte {
	n := r.uint32()
	var p []byte
	if r.err != nil || n > uint32(limit) || !r.s.ReadBytes(&p, int(n)) {
		r.check(false, "bytes")
		return nil
	}
	if n == 0 {
		return nil
	}
	return append([]byte(nil), p...)
}
