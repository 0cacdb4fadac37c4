package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
)

// TestInspect: what is no database, or is cut off, is damage; what is not there or new
// is not.
func TestInspect(t *testing.T) {
	ctx, name := t.Context(), filepath.Join(t.TempDir(), "shuffler.db")
	if err := Inspect(ctx, name, true); err != nil {
		t.Errorf("no file: %v", err)
	}
	s, err := OpenShuffler(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	for e := range task.Epoch(200) {
		if err := s.Apply(ctx, shuffler.Change{From: shuffler.None, To: shuffler.Batch{Task: task.ID{1}, Epoch: e, State: shuffler.Open}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := Inspect(ctx, name, true); err != nil { // beside its owner
		t.Errorf("a whole one: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{1, 99, 4096, len(whole) / 2, len(whole) - 4096, len(whole) - 1} {
		if err := os.WriteFile(name, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Inspect(ctx, name, false); !IsDamaged(err) {
			t.Errorf("cut to %d of %d bytes: %v", cut, len(whole), err)
		}
	}
	for range 2 {
		if err := os.WriteFile(name, whole[:99], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := SetAside(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, kept := range []string{name + ".damaged", name + ".damaged-2"} {
		if _, err := os.Stat(kept); err != nil {
			t.Error(err)
		}
	}
	if IsDamaged(nil) || IsDamaged(errors.New("disk full")) || IsDamaged(shuffler.ErrConflict) {
		t.Error("what is no damage is taken for it")
	}
}

// TestShortValues: a row whose values have other lengths is an error, not a panic.
func TestShortValues(t *testing.T) {
	ctx := t.Context()
	s, err := OpenShuffler(ctx, filepath.Join(t.TempDir(), "shuffler.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Apply(ctx, shuffler.Change{From: shuffler.None, To: shuffler.Batch{Task: task.ID{1}, State: shuffler.Open}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Exec(`PRAGMA ignore_check_constraints = ON`); err != nil {
		t.Fatal(err)
	}
	for _, column := range []string{"task", "batch", "input", "output", "seed"} {
		if _, err := s.db.Exec(`UPDATE batches SET ` + column + ` = x'010203'`); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Live(ctx); !IsDamaged(err) {
			t.Errorf("a short %s: %v", column, err)
		}
	}
}
