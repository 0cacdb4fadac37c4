package esa

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/metric/task"
)

// A Statement says what has become of the epochs of a task at one hop and those before
// it. It goes to the next hop, so that an epoch with too few reports, of which no batch
// comes, can be told from one that was lost.
//
// It holds no count, and does not show whether an epoch had few reports or none: both
// are complete. What is lost is not the epoch of a report, but all epochs that the loss
// may concern; only a batch whose existence shows anyway is named alone.
type Statement struct {
	Task task.ID
	Hop  uint8 // index into the task's hops of the one that states
	Coverage
}

const (
	statementVersion = 1

	// MaxStatement bounds the bytes of a signed statement.
	MaxStatement = 1 + 32 + 1 + 2*(2+16*maxSpans) + ed25519.SignatureSize
)

// Bytes returns what is signed:
//
//	struct {
//	    uint8 version = 1;
//	    opaque task[32];
//	    uint8 hop;
//	    Span complete<0..16000>;  /* ascending, with gaps between them */
//	    Span lost<0..16000>;      /* likewise; none in both */
//	} Statement;
//
//	struct { uint64 first; uint64 last; } Span;
func (s *Statement) Bytes() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	var b cryptobyte.Builder
	b.AddUint8(statementVersion)
	b.AddBytes(s.Task[:])
	b.AddUint8(s.Hop)
	for _, set := range []Epochs{s.Complete, s.Lost} {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
			for _, span := range set {
				b.AddUint64(uint64(span.First))
				b.AddUint64(uint64(span.Last))
			}
		})
	}
	return b.Bytes()
}

// Sign returns the bytes with the signature of the hop's identity key.
func (s *Statement) Sign(key task.IdentityKey) ([]byte, error) {
	if key.Public() == nil {
		return nil, errors.New("signing statement: no identity key")
	}
	body, err := s.Bytes()
	if err != nil {
		return nil, fmt.Errorf("signing %w", err)
	}
	return append(body, key.Sign(task.StatementDomain, body)...), nil
}

// OpenStatement returns the statement within signed, if hop i of the task t, whose ID
// is id, has made it.
func OpenStatement(signed []byte, t *task.Task, id task.ID, i int) (Statement, error) {
	body, sig := signed, []byte(nil)
	if n := len(signed) - ed25519.SignatureSize; n >= 0 {
		body, sig = signed[:n], signed[n:]
	}
	if !task.Verify(t.Hops[i].Identity, task.StatementDomain, body, sig) {
		return Statement{}, fmt.Errorf("opening statement: it is not signed by hop %d of task %q", i+1, t.Metric)
	}
	s, err := parseStatement(body)
	if err != nil {
		return Statement{}, fmt.Errorf("opening statement: %w", err)
	}
	if s.Task != id || int(s.Hop) != i {
		return Statement{}, fmt.Errorf("opening statement: it is by hop %d of task %v, want hop %d of task %v", s.Hop+1, s.Task, i+1, id)
	}
	return s, nil
}

// parseStatement reads what [Statement.Bytes] writes.
func parseStatement(body []byte) (Statement, error) {
	in := cryptobyte.String(body)
	var s Statement
	var version uint8
	if in.ReadUint8(&version) && version != statementVersion {
		return s, fmt.Errorf("version %d, want %d", version, statementVersion)
	}
	var complete, lost cryptobyte.String
	if !in.CopyBytes(s.Task[:]) || !in.ReadUint8(&s.Hop) || !in.ReadUint16LengthPrefixed(&complete) ||
		!in.ReadUint16LengthPrefixed(&lost) || !in.Empty() {
		return s, errors.New("not a statement")
	}
	for _, one := range []struct {
		from cryptobyte.String
		to   *Epochs
	}{{complete, &s.Complete}, {lost, &s.Lost}} {
		for !one.from.Empty() {
			var first, last uint64
			if len(*one.to) == maxSpans || !one.from.ReadUint64(&first) || !one.from.ReadUint64(&last) {
				return s, errors.New("not a statement")
			}
			*one.to = append(*one.to, Span{task.Epoch(first), task.Epoch(last)})
		}
	}
	return s, s.check()
}
