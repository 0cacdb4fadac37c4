package vdaf

import (
	"encoding/binary"
	"fmt"
)

// The types of a ping-pong message (VDAF draft, section "The Ping-Pong
// Topology"). Continue occurs in VDAFs of two rounds or more; Prio3 has one.
const (
	typeInitialize = 0
	typeContinue   = 1
	typeFinish     = 2
)

// messageHeader is the length of a message's type and first length prefix.
const messageHeader = 5

// A Message is a decoded message between leader and helper. One of its
// concrete types is [Initialize], [Continue] or [Finish].
type Message interface{ appendTo(b []byte) []byte }

// Initialize is the leader's first message.
type Initialize struct{ VerifierShare []byte }

// Continue is a message in the middle of a verification of more than one round.
// Prio3 never sends it and rejects it.
type Continue struct{ VerifierMessage, VerifierShare []byte }

// Finish is the last message.
type Finish struct{ VerifierMessage []byte }

func (m Initialize) appendTo(b []byte) []byte {
	return appendOpaque(append(b, typeInitialize), m.VerifierShare)
}

func (m Continue) appendTo(b []byte) []byte {
	b = appendOpaque(append(b, typeContinue), m.VerifierMessage)
	return appendOpaque(b, m.VerifierShare)
}

func (m Finish) appendTo(b []byte) []byte {
	return appendOpaque(append(b, typeFinish), m.VerifierMessage)
}

// EncodeMessage returns the wire form of m.
func EncodeMessage(m Message) []byte { return m.appendTo(nil) }

// ParseMessage reads the wire form of a message. The result refers to b. It
// fails with [ErrEncoding].
func ParseMessage(b []byte) (Message, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: empty ping-pong message", ErrEncoding)
	}
	typ := b[0]
	if typ > typeFinish {
		return nil, fmt.Errorf("%w: ping-pong message of type %d", ErrEncoding, typ)
	}
	first, rest, err := opaque(b[1:])
	if err != nil {
		return nil, err
	}
	var second []byte
	if typ == typeContinue {
		if second, rest, err = opaque(rest); err != nil {
			return nil, err
		}
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes after a ping-pong message", ErrEncoding, len(rest))
	}
	switch typ {
	case typeInitialize:
		return Initialize{first}, nil
	case typeContinue:
		return Continue{first, second}, nil
	}
	return Finish{first}, nil
}

// only returns the single field of a message of the type, without allocation.
func only(b []byte, typ byte) ([]byte, error) {
	if len(b) < messageHeader {
		return nil, fmt.Errorf("%w: ping-pong message of %d bytes", ErrEncoding, len(b))
	}
	if b[0] != typ {
		return nil, fmt.Errorf("%w: ping-pong message of type %d, want %d", ErrEncoding, b[0], typ)
	}
	if n := binary.BigEndian.Uint32(b[1:]); uint64(n) != uint64(len(b)-messageHeader) {
		return nil, fmt.Errorf("%w: length in a ping-pong message", ErrEncoding)
	}
	return b[messageHeader:], nil
}

func putMessageHeader(b []byte, typ byte, n int) {
	b[0] = typ
	binary.BigEndian.PutUint32(b[1:], uint32(n))
}

func appendOpaque(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
}

func opaque(b []byte) (v, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, fmt.Errorf("%w: truncated ping-pong message", ErrEncoding)
	}
	n := uint64(binary.BigEndian.Uint32(b))
	if n > uint64(len(b)-4) {
		return nil, nil, fmt.Errorf("%w: truncated ping-pong message", ErrEncoding)
	}
	return b[4 : 4+n], b[4+n:], nil
}
