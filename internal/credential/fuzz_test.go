package credential

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/metric/task"
)

// FuzzApplication: what parses is what encodes to the same bytes.
func FuzzApplication(f *testing.F) {
	f.Add((&application{request: make([]byte, arc.RequestSize), work: 7, admission: []byte("code")}).encode())
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseApplication(Slot{}, b)
		if err == nil && !bytes.Equal(a.encode(), b) {
			t.Errorf("parsed from another encoding than its own: %x", b)
		}
	})
}

// FuzzAnnouncement: the same.
func FuzzAnnouncement(f *testing.F) {
	key, err := arc.GenerateKey(zeros{})
	if err == nil {
		f.Add((&announcement{public: key.Public(), gates: gateWork, workBits: 4}).encode())
	}
	f.Add(make([]byte, 102))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAnnouncement(b)
		if err == nil && !bytes.Equal(a.encode(), b) {
			t.Errorf("parsed from another encoding than its own: %x", b)
		}
	})
}

// zeros is a source that is good enough for a corpus.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(i + 1)
	}
	return len(b), nil
}

// FuzzInvitation: no text is admitted that no key has signed, and none panics.
func FuzzInvitation(f *testing.F) {
	f.Add("shoal-invitation:AAAA")
	f.Add("")
	f.Fuzz(func(t *testing.T, code string) {
		w := Invitations{make([]byte, 32)}
		if _, err := w.admit(t.Context(), &application{admission: []byte(code)}, time.Unix(0, 0)); err == nil {
			t.Error("a code is admitted that nobody signed")
		}
	})
}

// FuzzContents: what parses encodes, and parses again to as much.
func FuzzContents(f *testing.F) {
	c := newContents()
	c.admission = []byte("code")
	h := &held{slot: Slot{Role: 1, Metric: "words", Start: 1, End: 2}, until: 3, next: 4, failure: "x", request: []byte{1}}
	c.held[h.key()] = h
	c.used[nonceKey{1}] = used{2, 3}
	b, err := c.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte{1, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseContents(b)
		if err != nil {
			return
		}
		again, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		d, err := parseContents(again)
		if err != nil || len(d.held) != len(c.held) || len(d.used) != len(c.used) || len(d.tasks) != len(c.tasks) {
			t.Errorf("it does not parse again: %v", err)
		}
	})
}

// TestWalletOfVersion1: what an earlier version has written is read; its credentials were
// fetched without a relay.
func TestWalletOfVersion1(t *testing.T) {
	c := newContents()
	h := &held{slot: Slot{Party: [32]byte{1}, Role: task.Shuffler, Metric: "words", Start: 86400, End: 2 * 86400}, until: 3, next: 4, gates: gateWork, credential: []byte("credential")}
	c.held[h.key()] = h
	b, err := c.encode()
	must(t, err)
	// version, admission, no tasks, length of what is held; then up to the relay.
	from := 1 + 2 + 3 + 3
	at := from + 32 + 1 + 32 + 1 + len("words") + 4*8 + 4 + 1 + 8 + 1
	old := append(bytes.Clone(b[:at]), b[at+32:]...)
	old[0], old[from-1] = 1, old[from-1]-32
	got, err := parseContents(old)
	must(t, err)
	if again := got.held[h.key()]; len(got.held) != 1 || again == nil || !reflect.DeepEqual(again, h) {
		t.Errorf("read %+v, want %+v", again, h)
	}
	for _, version := range []byte{0, walletVersion + 1} {
		b[0] = version
		if _, err := parseContents(b); !errors.Is(err, errContents) {
			t.Errorf("version %d: %v", version, err)
		}
	}
}
