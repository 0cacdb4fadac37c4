// Package storetest holds the conformance suite of [credential.Store].
package storetest

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/spent"
)

// Run checks a store against the promises of [credential.Store]. reopen returns what another
// process, or one after a restart, sees of it.
func Run(t *testing.T, s credential.Store, reopen func() credential.Store) {
	key, other := bytes.Repeat([]byte{1}, 128), bytes.Repeat([]byte{2}, 128)
	if _, err := s.Key("a"); !errors.Is(err, credential.ErrNoKey) {
		t.Errorf("a slot without a key: %v", err)
	}
	for _, b := range [][]byte{key, other} {
		if got, err := s.Create("a", b, 100); err != nil || !bytes.Equal(got, key) {
			t.Fatalf("created %x, %v; want the first key", got, err)
		}
	}
	row := spent.RowOf([]byte("client"), []byte("request"))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := s.Spend("a", row); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = reopen()
	if got, err := s.Key("a"); err != nil || !bytes.Equal(got, key) {
		t.Errorf("after a restart %x, %v", got, err)
	}
	if err := s.Spend("a", row); err != nil {
		t.Errorf("the same request again: %v", err)
	}
	if err := s.Spend("a", spent.RowOf([]byte("client"), []byte("another"))); !errors.Is(err, spent.ErrSpent) {
		t.Errorf("another request of the client: %v", err)
	}
	if _, err := s.Create("b", other, 200); err != nil {
		t.Fatal(err)
	}
	if err := s.Spend("b", row); err != nil {
		t.Errorf("the client in another slot: %v", err)
	}
	if gone, err := s.Expire(99); err != nil || len(gone) > 0 {
		t.Errorf("before the time %v, %v", gone, err)
	}
	if gone, err := s.Expire(100); err != nil || !slices.Equal(gone, []string{"a"}) {
		t.Errorf("destroyed %v, %v", gone, err)
	}
	if _, err := s.Key("a"); !errors.Is(err, credential.ErrNoKey) {
		t.Errorf("a key that was destroyed: %v", err)
	}
	if got, err := s.Key("b"); err != nil || !bytes.Equal(got, other) {
		t.Errorf("the other key %x, %v", got, err)
	}
	if lost := s.Lost(); len(lost) > 0 {
		t.Errorf("lost %v", lost)
	}
}
