package local

import (
	"errors"
	"testing"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/engine"
)

// TestScratch writes and reads at any place, and gives the space up.
func TestScratch(t *testing.T) {
	fs := durable.Mem()
	e, err := New("work", Options{FS: fs})
	if err != nil {
		t.Fatal(err)
	}
	s, err := e.Scratch(t.Context(), "scratch")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Scratch(t.Context(), "scratch"); !errors.Is(err, engine.ErrExists) {
		t.Errorf("a name that is taken: %v", err)
	}
	if _, err := s.WriteAt([]byte("later"), 100); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WriteAt([]byte("first"), 0); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := s.ReadAt(got, 100); err != nil || string(got) != "later" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := errors.Join(s.Close(), e.Remove(t.Context(), "scratch")); err != nil {
		t.Fatal(err)
	}
	if left, err := fs.ReadDir("work"); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
	if _, err := e.Scratch(t.Context(), "scratch"); err != nil {
		t.Errorf("a name that was given up: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Scratch(t.Context(), "other"); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
