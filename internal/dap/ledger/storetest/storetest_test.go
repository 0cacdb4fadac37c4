package storetest

import (
	"errors"
	"testing"

	"github.com/shoal-project/shoal/internal/dap/ledger"
)

func TestModel(t *testing.T) {
	Run(t, func(*testing.T) (ledger.Store, Reopen) {
		m := NewModel()
		return m, func(*testing.T) ledger.Store {
			m = m.Restart()
			return m
		}
	})
}

func TestModelCrash(t *testing.T) {
	for _, after := range []bool{false, true} {
		for _, flaky := range []bool{false, true} {
			m := NewModel()
			begin(t, m)
			m.Flaky = flaky
			m.CrashAt(1, after)
			c := ledger.Change{Task: task, Blocks: []ledger.Block{ids(1, 0, 1, 1)}}
			if err := m.Commit(t.Context(), c); !errors.Is(err, ErrCrashed) {
				t.Fatalf("%v, want ErrCrashed", err)
			}
			if _, err := m.Head(t.Context(), task, 0); (err == nil) != flaky {
				t.Fatalf("%v after the crash", err)
			}
			if !flaky {
				m = m.Restart()
			}
			if after {
				wantBlocks(t, m, c.Blocks[0].Page, 0, c.Blocks[0])
			} else {
				wantBlocks(t, m, c.Blocks[0].Page, 0)
			}
		}
	}
}
