package dap

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/vdaf"
)

// ErrMalformed means that bytes are not an encoding of the message that was asked
// for, or that a value has no encoding. A server answers it with
// [ProblemInvalidMessage].
var ErrMalformed = errors.New("malformed message")

// ErrLimit means that a message is larger than the [Limits] allow.
var ErrLimit = errors.New("message beyond the limit")

// errShort means that a message is cut off. It is always wrapped with
// [ErrMalformed]; a [Stream] then reads more.
var errShort = errors.New("ends early")

// Limits bound what a decoder accepts, before it allocates anything. Sizes are
// in bytes.
type Limits struct {
	Body        int64 // a whole message
	Reports     int   // elements of a message that carries many
	PublicShare int   // a public share
	Ciphertext  int   // the payload of an HPKE ciphertext
	Payload     int   // a VDAF message or input share, or an aggregation parameter
	Extensions  int   // each list of extensions
}

// DefaultLimits fit tasks with small and middling vectors: shares up to 16 MiB,
// 100,000 reports and 256 MiB a message.
func DefaultLimits() Limits {
	return Limits{
		Body:        256 << 20,
		Reports:     100_000,
		PublicShare: 1 << 16,
		Ciphertext:  16 << 20,
		Payload:     16 << 20,
		Extensions:  1 << 14,
	}
}

// limitSlack is what [LimitsFor] adds to the exact sizes, so that one report of
// the wrong size is refused by itself and not the message around it.
const limitSlack = 1 << 12

// LimitsFor returns limits that fit the messages of a VDAF, with at most this
// many reports in one.
func LimitsFor(in vdaf.Instance, reports int) Limits {
	s := in.Sizes()
	l := DefaultLimits()
	l.Reports = reports
	l.PublicShare = s.PublicShare + limitSlack
	l.Payload = max(s.LeaderShare, s.HelperShare, s.VerifierShare, s.VerifierMessage) + limitSlack
	l.Ciphertext = max(s.LeaderShare, s.HelperShare, s.AggregateShare) + l.Extensions + limitSlack
	perReport := int64(l.PublicShare) + 2*int64(l.Ciphertext) + int64(l.Payload) + int64(l.Extensions) + limitSlack
	l.Body = max(perReport, min(l.Body, int64(max(reports, 1))*perReport)) + limitSlack
	return l
}

// A Structure is a part of the protocol that has an encoding: a [Message], or one
// of the structures in it, by pointer. Only types of this package implement it.
type Structure interface {
	marshal(*writer)
	unmarshal(*reader)
}

// A Codec encodes and decodes in one variant, within limits. It is safe for
// concurrent use. The zero Codec is of no use; see [NewCodec].
type Codec struct {
	variant *Variant
	limits  Limits
}

// NewCodec returns a codec with the [DefaultLimits].
func NewCodec(v *Variant) Codec { return Codec{variant: v, limits: DefaultLimits()} }

// WithLimits returns a codec of the same variant with other limits.
func (c Codec) WithLimits(l Limits) Codec { return Codec{variant: c.variant, limits: l} }

// Limits returns the codec's limits.
func (c Codec) Limits() Limits { return c.limits }

// Variant returns the codec's variant.
func (c Codec) Variant() *Variant { return c.variant }

// Encode returns the encoding of m. It fails with [ErrMalformed] if a value of m
// has none in the variant.
func (c Codec) Encode(m Structure) ([]byte, error) { return c.Append(nil, m) }

// Append appends the encoding of m to b, like [Codec.Encode].
func (c Codec) Append(b []byte, m Structure) ([]byte, error) {
	if large, ok := m.(interface{ size() int }); ok {
		b = room(b, large.size())
	}
	w := &writer{Builder: builderOn(b), codec: c}
	m.marshal(w)
	out, err := w.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", structureName(m), err)
	}
	return out, nil
}

// room returns b with room for n bytes more. Where it must copy b it doubles it at
// least, while append would copy it each time that it is a quarter longer.
func room(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	return slices.Grow(b, max(n, len(b)))
}

// Decode reads m from b, all of it. What it stores in m refers to b. It fails
// with [ErrMalformed] or [ErrLimit]; m is then of no use.
func (c Codec) Decode(m Structure, b []byte) error {
	if int64(len(b)) > c.limits.Body {
		return fmt.Errorf("decoding %s: %w: %d bytes, want at most %d", structureName(m), ErrLimit, len(b), c.limits.Body)
	}
	r := &reader{s: b, codec: c, size: len(b)}
	m.unmarshal(r)
	r.end()
	if r.err != nil {
		return fmt.Errorf("decoding %s: %w", structureName(m), r.err)
	}
	return nil
}

// structureName returns the name of the message or the Go type of m.
func structureName(m Structure) string {
	if message, ok := m.(Message); ok {
		return string(message.Type())
	}
	return fmt.Sprintf("%T", m)
}

// A reader reads fields one after another. After the first error it reads only
// zeros, so that callers look at err once.
type reader struct {
	s     cryptobyte.String
	codec Codec
	size  int // of the whole message, for positions in errors
	err   error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.s = nil
}

func (r *reader) malformed(field, why string) {
	r.fail(fmt.Errorf("%w: %s: %s", ErrMalformed, field, why))
}

func (r *reader) short(field string) {
	r.fail(fmt.Errorf("%w: %s at byte %d %w", ErrMalformed, field, r.size-len(r.s), errShort))
}

func (r *reader) end() {
	if r.err == nil && !r.s.Empty() {
		r.fail(fmt.Errorf("%w: %d bytes after the end", ErrMalformed, len(r.s)))
	}
}

func (r *reader) u8(field string) uint8 {
	var v uint8
	if r.err == nil && !r.s.ReadUint8(&v) {
		r.short(field)
	}
	return v
}

func (r *reader) u16(field string) uint16 {
	var v uint16
	if r.err == nil && !r.s.ReadUint16(&v) {
		r.short(field)
	}
	return v
}

func (r *reader) u32(field string) uint32 {
	var v uint32
	if r.err == nil && !r.s.ReadUint32(&v) {
		r.short(field)
	}
	return v
}

func (r *reader) u64(field string) uint64 {
	var v uint64
	if r.err == nil && !r.s.ReadUint64(&v) {
		r.short(field)
	}
	return v
}

// fixed fills out.
func (r *reader) fixed(field string, out []byte) {
	if r.err == nil && !r.s.CopyBytes(out) {
		r.short(field)
	}
}

// opaque8 reads opaque field<least..2^8-1>.
func (r *reader) opaque8(field string, least int) []byte {
	return r.opaque(field, uint32(r.u8(field)), least, 1<<8-1)
}

// opaque16 reads opaque field<least..2^16-1>, of limit bytes at most.
func (r *reader) opaque16(field string, least, limit int) []byte {
	return r.opaque(field, uint32(r.u16(field)), least, limit)
}

// opaque32 reads opaque field<least..2^32-1>, of limit bytes at most.
func (r *reader) opaque32(field string, least, limit int) []byte {
	return r.opaque(field, r.u32(field), least, limit)
}

// opaque checks the length before the bytes are there, so that a stream stops at
// a vector that is too long instead of waiting for it.
func (r *reader) opaque(field string, n uint32, least, limit int) []byte {
	if r.err != nil {
		return nil
	}
	if uint64(n) < uint64(least) {
		r.malformed(field, fmt.Sprintf("%d bytes, want at least %d", n, least))
		return nil
	}
	if uint64(n) > uint64(limit) {
		r.fail(fmt.Errorf("%w: %s: %d bytes, want at most %d", ErrLimit, field, n, limit))
		return nil
	}
	var out []byte
	if !r.s.ReadBytes(&out, int(n)) {
		r.short(field)
	}
	return out
}

// list16 reads the elements of a vector with a length of two bytes.
func (r *reader) list16(field string, least, limit int, element func(*reader)) {
	body := r.opaque16(field, least, limit)
	if r.err != nil {
		return
	}
	sub := &reader{s: body, codec: r.codec, size: r.size - len(r.s)}
	for sub.err == nil && !sub.s.Empty() {
		element(sub)
	}
	if sub.err == nil {
		return
	}
	// The vector is complete: more bytes after it do not help, so this is not
	// the errShort that makes a stream read on.
	if errors.Is(sub.err, errShort) {
		r.malformed(field, "its last element does not fill it")
		return
	}
	r.fail(sub.err)
}

// A writer writes fields one after another; the builder keeps the first error.
type writer struct {
	*cryptobyte.Builder
	codec Codec
}

func (w *writer) fail(field, why string) {
	w.SetError(fmt.Errorf("%w: %s: %s", ErrMalformed, field, why))
}

func (w *writer) u8(v uint8)     { w.AddUint8(v) }
func (w *writer) u16(v uint16)   { w.AddUint16(v) }
func (w *writer) u32(v uint32)   { w.AddUint32(v) }
func (w *writer) u64(v uint64)   { w.AddUint64(v) }
func (w *writer) fixed(b []byte) { w.AddBytes(b) }

func (w *writer) opaque8(field string, least int, b []byte) {
	if w.inRange(field, b, least, 1<<8-1) {
		w.u8(uint8(len(b)))
		w.fixed(b)
	}
}

func (w *writer) opaque16(field string, least int, b []byte) {
	if w.inRange(field, b, least, 1<<16-1) {
		w.u16(uint16(len(b)))
		w.fixed(b)
	}
}

func (w *writer) opaque32(field string, least int, b []byte) {
	if w.inRange(field, b, least, 1<<32-1) {
		w.u32(uint32(len(b)))
		w.fixed(b)
	}
}

func (w *writer) inRange(field string, b []byte, least int, most uint64) bool {
	if len(b) < least || uint64(len(b)) > most {
		w.fail(field, fmt.Sprintf("%d bytes, want %d to %d", len(b), least, most))
		return false
	}
	return true
}

// list16 writes a vector with a length of two bytes.
func (w *writer) list16(field string, elements func(*writer)) {
	sub := &writer{Builder: newBuilder(), codec: w.codec}
	elements(sub)
	body, err := sub.Bytes()
	if err != nil {
		w.SetError(err)
		return
	}
	w.opaque16(field, 0, body)
}

func newBuilder() *cryptobyte.Builder { return cryptobyte.NewBuilder(nil) }

func builderOn(b []byte) *cryptobyte.Builder { return cryptobyte.NewBuilder(b) }
