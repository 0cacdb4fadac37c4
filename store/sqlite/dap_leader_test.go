package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/shoal-project/shoal/dap/leader"
	leadertest "github.com/shoal-project/shoal/dap/leader/storetest"
)

func TestLeader(t *testing.T) {
	leadertest.Run(t, func(t *testing.T) (leader.Store, func(*testing.T) leader.Store) {
		name := filepath.Join(t.TempDir(), "leader.db")
		open := func(t *testing.T) *Leader {
			s, err := OpenLeader(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		}
		s := open(t)
		return s, func(t *testing.T) leader.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t)
			return s
		}
	})
}
