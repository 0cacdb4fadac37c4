package esa

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/metric/task"
)

func statementOf(w *world) *Statement {
	return &Statement{Task: w.id, Hop: 1, Coverage: Coverage{
		Complete: EpochsOf(Span{5, 9}, Span{12, 12}), Lost: EpochsOf(Span{10, 11}),
	}}
}

// TestGoldenStatement: the bytes do not change.
func TestGoldenStatement(t *testing.T) {
	w := newWorld(t, X25519, X25519, X25519)
	s := statementOf(w)
	s.Task = task.ID{0xaa}
	b, err := s.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	want := "01" + "aa" + strings.Repeat("00", 31) + "01" +
		"0020" + "0000000000000005" + "0000000000000009" + "000000000000000c" + "000000000000000c" +
		"0010" + "000000000000000a" + "000000000000000b"
	if have := hex.EncodeToString(b); have != want {
		t.Errorf("statement %s, want %s", have, want)
	}
}

// TestStatementIsTheHops: a statement is believed as it was signed, by that hop and of
// that task alone.
func TestStatementIsTheHops(t *testing.T) {
	w := newWorld(t, X25519, X25519, X25519)
	s := statementOf(w)
	signed, err := s.Sign(w.identities[1])
	if err != nil {
		t.Fatal(err)
	}
	have, err := OpenStatement(signed, w.task, w.id, 1)
	if err != nil || have.Task != s.Task || !have.Equal(s.Coverage) {
		t.Fatalf("opened %+v, %v, want %+v", have, err, s)
	}
	for i := range signed {
		flipped := bytes.Clone(signed)
		flipped[i] ^= 1
		if _, err := OpenStatement(flipped, w.task, w.id, 1); err == nil {
			t.Fatalf("byte %d can be changed", i)
		}
		if _, err := OpenStatement(signed[:i], w.task, w.id, 1); err == nil {
			t.Fatalf("%d bytes of it are believed", i)
		}
	}
	if _, err := OpenStatement(signed, w.task, w.id, 0); err == nil {
		t.Error("another hop's statement is believed")
	}
	if _, err := OpenStatement(signed, w.task, task.ID{1}, 1); err == nil {
		t.Error("another task's statement is believed")
	}
	other, err := s.Sign(w.identities[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStatement(other, w.task, w.id, 1); err == nil {
		t.Error("another identity's statement is believed")
	}
	if _, err := s.Sign(task.IdentityKey{}); err == nil {
		t.Error("signed without a key")
	}
}

// TestStatementHasOneForm: what a correct hop never signs is refused, also signed.
func TestStatementHasOneForm(t *testing.T) {
	w := newWorld(t, X25519, X25519, X25519)
	many := func(n int) (s Epochs) {
		for i := range n {
			s = append(s, Span{task.Epoch(3 * i), task.Epoch(3*i + 1)})
		}
		return s
	}
	for name, c := range map[string]Coverage{
		"backwards":          {Complete: Epochs{{9, 5}}},
		"not in order":       {Complete: Epochs{{9, 9}, {5, 5}}},
		"overlapping":        {Lost: Epochs{{5, 9}, {9, 10}}},
		"touching":           {Lost: Epochs{{5, 9}, {10, 10}}},
		"both":               {Complete: Epochs{{5, 9}}, Lost: Epochs{{9, 9}}},
		"beyond all epochs":  {Complete: Epochs{{5, 1<<62 + 1}}},
		"more than there is": {Complete: many(maxSpans + 1)},
	} {
		s := &Statement{Task: w.id, Hop: 1, Coverage: c}
		if _, err := s.Sign(w.identities[1]); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	s := &Statement{Task: w.id, Hop: 1, Coverage: Coverage{Complete: many(maxSpans)}}
	signed, err := s.Sign(w.identities[1])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenStatement(signed, w.task, w.id, 1); err != nil || len(signed) > MaxStatement {
		t.Errorf("the longest statement, of %d bytes: %v", len(signed), err)
	}
}

// FuzzStatement: what is read is written as it was, and nothing makes the reader fail
// in another way than by an error.
func FuzzStatement(f *testing.F) {
	w := newWorld(f, X25519, X25519, X25519)
	for _, c := range []Coverage{{}, statementOf(w).Coverage, {Complete: Epochs{{0, 1 << 62}}}, {Lost: Epochs{{0, 0}}}} {
		b, err := (&Statement{Task: w.id, Coverage: c}).Bytes()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)-1])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseStatement(b)
		if err != nil {
			return
		}
		again, err := s.Bytes()
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is read and written as %x, %v", b, again, err)
		}
	})
}
