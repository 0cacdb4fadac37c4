package storetest

import (
	"errors"
	"testing"

	"github.com/shoal-project/shoal/internal/esa/analyzer"
	"github.com/shoal-project/shoal/metric/task"
)

func TestModel(t *testing.T) {
	Run(t, func(*testing.T) (analyzer.Store, func(*testing.T) analyzer.Store) {
		m := NewModel()
		return m, func(*testing.T) analyzer.Store {
			m = m.Restart()
			return m
		}
	})
}

func TestModelCrash(t *testing.T) {
	for _, after := range []bool{false, true} {
		m := NewModel()
		m.CrashAt(1, after)
		b := received(task.ID{1}, 5)
		if _, err := m.Accept(t.Context(), b); !errors.Is(err, ErrCrashed) {
			t.Fatalf("error %v, want ErrCrashed", err)
		}
		if _, err := m.Batches(t.Context()); !errors.Is(err, ErrCrashed) {
			t.Fatalf("error %v after the crash, want ErrCrashed", err)
		}
		if after {
			want(t, m.Restart(), b)
		} else {
			want(t, m.Restart())
		}
	}
}
