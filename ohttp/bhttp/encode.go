package bhttp

import (
	"fmt"
)

// appendVarint adds an integer below 2^62 (RFC 9000, section 16).
func appendVarint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(b, byte(v))
	case v < 1<<14:
		return append(b, 1<<6|byte(v>>8), byte(v))
	case v < 1<<30:
		return append(b, 2<<6|byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	return append(b, 3<<6|byte(v>>56), byte(v>>48), byte(v>>40), byte(v>>32),
		byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

func varintSize(v int) int {
	switch {
	case v < 1<<6:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<30:
		return 4
	}
	return 8
}

func appendString(b []byte, s string) []byte {
	return append(appendVarint(b, uint64(len(s))), s...)
}

// Append appends the encoding of the request to b. The request must be valid;
// limits are for its decoders.
func (m *Request) Append(b []byte, mode Mode) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("encoding request: %w", err)
	}
	framing := byte(framingRequest)
	if mode == IndeterminateLength {
		framing = framingRequestIndeterminate
	}
	b = append(b, framing)
	for _, s := range []string{m.Method, m.Scheme, m.Authority, m.Path} {
		b = appendString(b, s)
	}
	return appendSections(b, mode, m.Header, m.Content, m.Trailer), nil
}

// Append appends the encoding of the response to b. The response must be valid.
func (m *Response) Append(b []byte, mode Mode) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("encoding response: %w", err)
	}
	framing := byte(framingResponse)
	if mode == IndeterminateLength {
		framing = framingResponseIndeterminate
	}
	b = append(b, framing)
	for _, i := range m.Informational {
		b = appendVarint(b, uint64(i.Status))
		b = appendFields(b, mode, i.Header)
	}
	b = appendVarint(b, uint64(m.Status))
	return appendSections(b, mode, m.Header, m.Content, m.Trailer), nil
}

// appendSections writes what requests and responses have in common. Nothing is
// truncated: empty sections have their zero.
func appendSections(b []byte, mode Mode, header []Field, content []byte, trailer []Field) []byte {
	b = appendFields(b, mode, header)
	if mode == KnownLength || len(content) > 0 {
		b = appendVarint(b, uint64(len(content)))
		b = append(b, content...)
	}
	if mode == IndeterminateLength {
		b = append(b, 0)
	}
	return appendFields(b, mode, trailer)
}

func appendFields(b []byte, mode Mode, fields []Field) []byte {
	if mode == KnownLength {
		size := 0
		for _, f := range fields {
			size += varintSize(len(f.Name)) + len(f.Name) + varintSize(len(f.Value)) + len(f.Value)
		}
		b = appendVarint(b, uint64(size))
	}
	for _, f := range fields {
		b = appendString(appendString(b, f.Name), f.Value)
	}
	if mode == IndeterminateLength {
		b = append(b, 0)
	}
	return b
}

// Pad appends zero bytes to an encoded message until it has size bytes (RFC
// 9292, section 3.8). A message that is longer is an error, which wraps
// [ErrTooLarge].
func Pad(message []byte, size int) ([]byte, error) {
	if len(message) > size {
		return nil, tooLarge("bytes to be padded", len(message), size)
	}
	return append(message, make([]byte, size-len(message))...), nil
}
