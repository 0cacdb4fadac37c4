package storetest

import (
	"errors"
	"testing"

	"github.com/shoal-project/shoal/internal/dap/collector"
)

func TestModel(t *testing.T) {
	Run(t, func(*testing.T) (collector.Store, func(*testing.T) collector.Store) {
		m := NewModel()
		return m, func(*testing.T) collector.Store {
			m = m.Restart()
			return m
		}
	})
}

func TestModelCrash(t *testing.T) {
	for _, after := range []bool{false, true} {
		m := NewModel()
		m.CrashAt(1, after)
		a := asked(1, 5)
		if _, err := m.Add(t.Context(), a); !errors.Is(err, ErrCrashed) {
			t.Fatalf("error %v, want ErrCrashed", err)
		}
		if _, err := m.Asks(t.Context()); !errors.Is(err, ErrCrashed) {
			t.Fatalf("error %v after the crash, want ErrCrashed", err)
		}
		if after {
			want(t, m.Restart(), a)
		} else {
			want(t, m.Restart())
		}
	}
}
