package storetest

import (
	"errors"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

func TestModel(t *testing.T) {
	Run(t, func(*testing.T) (tasks.Store, func(*testing.T) tasks.Store) {
		m := NewModel()
		return m, func(*testing.T) tasks.Store {
			m = m.Restart()
			return m
		}
	})
}

func TestModelCrash(t *testing.T) {
	for _, after := range []bool{false, true} {
		m := NewModel()
		m.CrashAt(1, after)
		if _, err := m.PutTask(t.Context(), dap.TaskID{1}, 0, []byte("x")); !errors.Is(err, ErrCrashed) {
			t.Fatalf("%v, want ErrCrashed", err)
		}
		if _, err := m.Tasks(t.Context(), 0); !errors.Is(err, ErrCrashed) {
			t.Fatalf("%v after the crash, want ErrCrashed", err)
		}
		records, err := m.Restart().Tasks(t.Context(), 0)
		if err != nil || (len(records) == 1) != after {
			t.Errorf("%d tasks after the restart, %v", len(records), err)
		}
	}
}
