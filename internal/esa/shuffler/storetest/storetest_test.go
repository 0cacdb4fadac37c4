package storetest

import (
	"errors"
	"testing"

	"github.com/shoal-project/shoal/internal/esa/shuffler"
	"github.com/shoal-project/shoal/metric/task"
)

func TestModel(t *testing.T) {
	Run(t, func(*testing.T) (shuffler.Store, func(*testing.T) shuffler.Store) {
		m := NewModel()
		return m, func(*testing.T) shuffler.Store {
			m = m.Restart()
			return m
		}
	})
}

func TestModelCrash(t *testing.T) {
	for _, after := range []bool{false, true} {
		m := NewModel()
		m.CrashAt(1, after)
		c := Way(task.ID{1}, 5)[0]
		if err := m.Apply(t.Context(), c); !errors.Is(err, ErrCrashed) {
			t.Fatalf("error %v, want ErrCrashed", err)
		}
		if _, err := m.Batches(t.Context()); !errors.Is(err, ErrCrashed) {
			t.Fatalf("error %v after the crash, want ErrCrashed", err)
		}
		if after {
			want(t, m.Restart(), c.To)
		} else {
			want(t, m.Restart())
		}
	}
}
