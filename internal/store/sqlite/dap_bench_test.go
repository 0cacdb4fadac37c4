package sqlite

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/shoal-project/shoal/internal/dap/ledger"
	ledgertest "github.com/shoal-project/shoal/internal/dap/ledger/storetest"
)

func BenchmarkCommit(b *testing.B) {
	ledgertest.Bench(b, func(b *testing.B) (ledger.Store, func() int64) {
		name := filepath.Join(b.TempDir(), "helper.db")
		s, err := OpenHelper(b.Context(), name)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		return s, func() int64 {
			if _, err := s.db.ExecContext(b.Context(), `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
				b.Fatal(err)
			}
			info, err := os.Stat(name)
			if err != nil {
				b.Fatal(err)
			}
			return info.Size()
		}
	})
}
