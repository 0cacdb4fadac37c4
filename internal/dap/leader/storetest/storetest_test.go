package storetest

import (
	"errors"
	"testing"

	"github.com/shoal-project/shoal/internal/dap/leader"
)

func TestModel(t *testing.T) {
	Run(t, func(*testing.T) (leader.Store, func(*testing.T) leader.Store) {
		m := NewModel()
		return m, func(*testing.T) leader.Store {
			m = m.Restart()
			return m
		}
	})
}

// A crash takes effect as a whole or not at all, and the store is dead then.
func TestModelCrashes(t *testing.T) {
	for _, after := range []bool{false, true} {
		m := NewModel()
		claim, err := m.Claim(t.Context(), leader.Claim{Node: "n1", Disk: "d1", Until: at(9)}, at(0))
		if err != nil {
			t.Fatal(err)
		}
		m.CrashAt(1, after)
		if _, err := m.As(claim).BeginLog(t.Context(), taskA, "n1"); err == nil {
			t.Fatal("no crash")
		}
		if _, err := m.Logs(t.Context(), "n1"); err == nil {
			t.Fatal("a store that crashed answers")
		}
		logs, err := m.Restart().Logs(t.Context(), "n1")
		if err != nil || len(logs) == 1 != after {
			t.Fatalf("after the crash %v, error %v", logs, err)
		}
		if errors.Is(err, leader.ErrConflict) {
			t.Fatal(err)
		}
	}
}
