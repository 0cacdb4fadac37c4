package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/shoal-project/shoal/internal/dap/collector"
	collectortest "github.com/shoal-project/shoal/internal/dap/collector/storetest"
)

func TestCollectorStore(t *testing.T) {
	collectortest.Run(t, func(t *testing.T) (collector.Store, func(*testing.T) collector.Store) {
		name := filepath.Join(t.TempDir(), "collector.db")
		open := func(t *testing.T) *Collector {
			s, err := OpenCollector(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		}
		s := open(t)
		return s, func(t *testing.T) collector.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t)
			return s
		}
	})
}
