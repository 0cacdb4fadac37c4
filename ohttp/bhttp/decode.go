package bhttp

import (
	"fmt"
)

// DecodeRequest decodes a request of either mode. Errors wrap [ErrInvalid] or
// [ErrTooLarge]. Content may be a part of b.
func DecodeRequest(b []byte, l Limits) (*Request, error) {
	m, err := decodeRequest(b, l)
	if err != nil {
		return nil, fmt.Errorf("decoding request: %w", err)
	}
	return m, nil
}

func decodeRequest(b []byte, l Limits) (*Request, error) {
	d, framing, err := newDecoder(b, l)
	if err != nil {
		return nil, err
	}
	switch framing {
	case framingRequest:
	case framingRequestIndeterminate:
		d.mode = IndeterminateLength
	default:
		return nil, invalid("framing indicator %d is not of a request", framing)
	}
	var m Request
	for _, part := range []struct {
		name string
		to   *string
	}{{"method", &m.Method}, {"scheme", &m.Scheme}, {"authority", &m.Authority}, {"path", &m.Path}} {
		s, err := d.chunk(part.name)
		if err != nil {
			return nil, err
		}
		if err := d.countBytes(len(s)); err != nil {
			return nil, err
		}
		*part.to = string(s)
	}
	if m.Header, m.Content, m.Trailer, err = d.sections(); err != nil {
		return nil, err
	}
	return &m, m.check()
}

// DecodeResponse decodes a response of either mode. Errors wrap [ErrInvalid] or
// [ErrTooLarge]. Content may be a part of b.
func DecodeResponse(b []byte, l Limits) (*Response, error) {
	m, err := decodeResponse(b, l)
	if err != nil {
		return nil, fmt.Errorf("decoding response: %w", err)
	}
	return m, nil
}

func decodeResponse(b []byte, l Limits) (*Response, error) {
	d, framing, err := newDecoder(b, l)
	if err != nil {
		return nil, err
	}
	switch framing {
	case framingResponse:
	case framingResponseIndeterminate:
		d.mode = IndeterminateLength
	default:
		return nil, invalid("framing indicator %d is not of a response", framing)
	}
	var m Response
	for {
		status, err := d.varint("status")
		if err != nil {
			return nil, err
		}
		if status < 100 || status > 599 {
			return nil, invalid("status %d is not in 100 to 599", status)
		}
		if status >= 200 {
			m.Status = int(status)
			break
		}
		if len(m.Informational) == l.Informational {
			return nil, tooLarge("informational responses", len(m.Informational)+1, l.Informational)
		}
		header, err := d.fields("header")
		if err != nil {
			return nil, err
		}
		m.Informational = append(m.Informational, Informational{int(status), header})
	}
	if m.Header, m.Content, m.Trailer, err = d.sections(); err != nil {
		return nil, err
	}
	return &m, m.check()
}

// A decoder reads one message.
type decoder struct {
	rest       []byte
	mode       Mode
	limits     Limits
	lines      int // field lines read
	fieldBytes int // bytes of names, values and control data read
}

func newDecoder(b []byte, l Limits) (*decoder, uint64, error) {
	if err := l.check(); err != nil {
		return nil, 0, err
	}
	if len(b) > l.Size {
		return nil, 0, tooLarge("bytes", len(b), l.Size)
	}
	d := &decoder{rest: b, limits: l}
	framing, err := d.varint("framing indicator")
	return d, framing, err
}

// varint reads an integer of variable length (RFC 9000, section 16).
func (d *decoder) varint(what string) (uint64, error) {
	if len(d.rest) == 0 {
		return 0, invalid("the message ends where %s is expected", what)
	}
	n := 1 << (d.rest[0] >> 6)
	if len(d.rest) < n {
		return 0, invalid("the message ends within the integer of %s", what)
	}
	v := uint64(d.rest[0] & 0x3f)
	for _, c := range d.rest[1:n] {
		v = v<<8 | uint64(c)
	}
	d.rest = d.rest[n:]
	return v, nil
}

// take reads n bytes.
func (d *decoder) take(what string, n uint64) ([]byte, error) {
	if n > uint64(len(d.rest)) {
		return nil, invalid("%s has length %d, the message only %d more bytes", what, n, len(d.rest))
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b, nil
}

// chunk reads bytes with their length before them.
func (d *decoder) chunk(what string) ([]byte, error) {
	n, err := d.varint(what)
	if err != nil {
		return nil, err
	}
	return d.take(what, n)
}

// sections reads header, content, trailer and padding. The message may end
// before any of them (RFC 9292, section 3.1 and 3.2).
func (d *decoder) sections() (header []Field, content []byte, trailer []Field, err error) {
	if len(d.rest) == 0 {
		return nil, nil, nil, nil
	}
	if header, err = d.fields("header"); err != nil {
		return nil, nil, nil, err
	}
	if len(d.rest) == 0 {
		return header, nil, nil, nil
	}
	if content, err = d.content(); err != nil {
		return nil, nil, nil, err
	}
	if len(d.rest) == 0 {
		return header, content, nil, nil
	}
	if trailer, err = d.fields("trailer"); err != nil {
		return nil, nil, nil, err
	}
	for _, c := range d.rest {
		if c != 0 {
			return nil, nil, nil, invalid("a byte of the padding is not zero")
		}
	}
	return header, content, trailer, nil
}

func (d *decoder) content() ([]byte, error) {
	first, err := d.chunk("content")
	if err != nil || d.mode == KnownLength || len(first) == 0 {
		return first, err
	}
	content := first
	for {
		next, err := d.chunk("content")
		if err != nil || len(next) == 0 {
			return content, err
		}
		content = append(content, next...) // first has no spare capacity: b is not written to
	}
}

// fields reads a section of field lines.
func (d *decoder) fields(section string) ([]Field, error) {
	if d.mode == IndeterminateLength {
		return d.fieldsUntilZero(section)
	}
	b, err := d.chunk(section)
	if err != nil {
		return nil, err
	}
	rest := d.rest
	defer func() { d.rest = rest }()
	d.rest = b
	var fields []Field
	for len(d.rest) > 0 {
		n, err := d.varint("name of a " + section + " field")
		if err != nil {
			return nil, err
		}
		if fields, err = d.field(fields, n, section); err != nil {
			return nil, err
		}
	}
	return fields, nil
}

func (d *decoder) fieldsUntilZero(section string) ([]Field, error) {
	var fields []Field
	for {
		n, err := d.varint("name of a " + section + " field")
		if err != nil || n == 0 {
			return fields, err
		}
		if fields, err = d.field(fields, n, section); err != nil {
			return nil, err
		}
	}
}

// field reads the rest of a line whose name has n bytes.
func (d *decoder) field(fields []Field, n uint64, section string) ([]Field, error) {
	if d.lines++; d.lines > d.limits.Fields {
		return nil, tooLarge("field lines", d.lines, d.limits.Fields)
	}
	name, err := d.take("name of a "+section+" field", n)
	if err != nil {
		return nil, err
	}
	value, err := d.chunk("value of a " + section + " field")
	if err != nil {
		return nil, err
	}
	if err := d.countBytes(len(name) + len(value)); err != nil {
		return nil, err
	}
	return append(fields, Field{string(name), string(value)}), nil
}

func (d *decoder) countBytes(n int) error {
	if d.fieldBytes += n; d.fieldBytes > d.limits.FieldBytes {
		return tooLarge("bytes of names and values", d.fieldBytes, d.limits.FieldBytes)
	}
	return nil
}
