package task

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
)

// bundleMagic begins a bundle, so that another file in its place is noticed.
const bundleMagic = "shoal bundle v1\n"

// maxBundle bounds the tasks of a bundle.
const maxBundle = 1024

// A Bundle is the file of signed tasks that an app embeds.
type Bundle struct{ Tasks []*Signed }

// An Opened is a task of a bundle after its signatures were checked.
type Opened struct {
	Task   *Task
	ID     ID
	Signed *Signed
}

// Encode returns the bundle's bytes: the 16 bytes "shoal bundle v1\n", then
// each [Signed] with its length in three bytes.
func (b *Bundle) Encode() ([]byte, error) {
	if len(b.Tasks) > maxBundle {
		return nil, fmt.Errorf("encoding bundle: %d tasks, want at most %d", len(b.Tasks), maxBundle)
	}
	var out cryptobyte.Builder
	out.AddBytes([]byte(bundleMagic))
	for _, s := range b.Tasks {
		one, err := s.Encode()
		if err != nil {
			return nil, fmt.Errorf("encoding bundle: %w", err)
		}
		out.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(one) })
	}
	return out.Bytes()
}

// ParseBundle reads what [Bundle.Encode] writes. It checks the form alone;
// [Bundle.Open] checks the signatures.
func ParseBundle(b []byte) (*Bundle, error) {
	rest, ok := bytes.CutPrefix(b, []byte(bundleMagic))
	if !ok {
		return nil, errors.New("parsing bundle: this is no task bundle; `shoal metrics build` writes one")
	}
	in := cryptobyte.String(rest)
	var out Bundle
	for !in.Empty() {
		var one cryptobyte.String
		if !in.ReadUint24LengthPrefixed(&one) {
			return nil, fmt.Errorf("parsing bundle: task %d: %w", len(out.Tasks)+1, errMalformed)
		}
		s, err := ParseSigned(one)
		if err != nil {
			return nil, fmt.Errorf("parsing bundle: task %d: %w", len(out.Tasks)+1, err)
		}
		if len(out.Tasks) == maxBundle {
			return nil, fmt.Errorf("parsing bundle: more than %d tasks", maxBundle)
		}
		out.Tasks = append(out.Tasks, s)
	}
	return &out, nil
}

// Open checks every task as [Signed.Open] does and that no owner has two tasks
// of one metric name. One task that fails fails the bundle: it is a build
// product, not input from outside.
func (b *Bundle) Open(owners []ed25519.PublicKey) ([]Opened, error) {
	type name struct{ owner, metric string }
	seen := make(map[name]bool, len(b.Tasks))
	out := make([]Opened, 0, len(b.Tasks))
	for i, s := range b.Tasks {
		t, id, err := s.Open(owners)
		if err != nil {
			return nil, fmt.Errorf("opening bundle: task %d: %w", i+1, err)
		}
		n := name{string(t.Owner), t.Metric}
		if seen[n] {
			return nil, fmt.Errorf("opening bundle: task %d: metric %q stands twice", i+1, t.Metric)
		}
		seen[n] = true
		out = append(out, Opened{t, id, s})
	}
	return out, nil
}
