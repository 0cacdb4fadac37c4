package bhttp

import (
	"errors"
	"fmt"
)

// MediaType is the media type of an encoded message.
const MediaType = "message/bhttp"

// A Mode is one of the two encodings of a message (RFC 9292, section 3).
type Mode int

// The modes. A decoder takes both.
const (
	KnownLength         Mode = iota // each section has its length before it
	IndeterminateLength             // each section ends by a zero
)

// A Field is one field line. The name is in lower case. Several lines may have
// one name.
type Field struct{ Name, Value string }

// A Request is an HTTP request.
type Request struct {
	Method    string
	Scheme    string // "https", "http"
	Authority string // host and port; empty if a field "host" has them
	Path      string // with the query: what follows the authority in a URL
	Header    []Field
	Content   []byte
	Trailer   []Field
}

// A Response is an HTTP response.
type Response struct {
	Informational []Informational // those that precede the final one
	Status        int             // 200 to 599
	Header        []Field
	Content       []byte
	Trailer       []Field
}

// An Informational is an interim response.
type Informational struct {
	Status int // 100 to 199, but not 101
	Header []Field
}

// Limits bound a message. All of them must be positive.
type Limits struct {
	Size          int // bytes of the encoded message with its padding
	Fields        int // field lines in all sections together
	FieldBytes    int // bytes of all names and values together
	Informational int // informational responses
}

// DefaultLimits suit messages of up to 1 MiB.
func DefaultLimits() Limits {
	return Limits{Size: 1<<20 + 1<<16, Fields: 64, FieldBytes: 16 << 10, Informational: 8}
}

func (l Limits) check() error {
	if l.Size <= 0 || l.Fields <= 0 || l.FieldBytes <= 0 || l.Informational <= 0 {
		return fmt.Errorf("limits of a binary HTTP message must be positive, got %+v", l)
	}
	return nil
}

// Errors by which a caller can distinguish causes. Others wrap ErrInvalid.
var (
	ErrInvalid  = errors.New("invalid binary HTTP message")
	ErrTooLarge = errors.New("binary HTTP message exceeds a limit")
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrInvalid, fmt.Errorf(format, args...))
}

func tooLarge(what string, n, limit int) error {
	return fmt.Errorf("%w: %s %d, limit %d", ErrTooLarge, what, n, limit)
}

// Framing indicators (RFC 9292, section 3.3).
const (
	framingRequest               = 0
	framingResponse              = 1
	framingRequestIndeterminate  = 2
	framingResponseIndeterminate = 3
)
