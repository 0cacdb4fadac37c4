package postgres

import (
	"testing"

	"github.com/shoal-project/shoal/internal/store/postgres/postgrestest"

	"github.com/shoal-project/shoal/internal/dap/ledger"
	ledgertest "github.com/shoal-project/shoal/internal/dap/ledger/storetest"
)

// For a figure that means something: SHOAL_PG_SYNC=on scripts/postgres go test ...
func BenchmarkCommit(b *testing.B) {
	ledgertest.Bench(b, func(b *testing.B) (ledger.Store, func() int64) {
		s := openHelper(b, postgrestest.Schema(b))
		return s, func() int64 {
			var n int64
			if _, err := s.pool.Exec(b.Context(), `VACUUM FULL dap_blocks, dap_sums`); err != nil {
				b.Fatal(err)
			}
			err := s.pool.QueryRow(b.Context(), `SELECT sum(pg_total_relation_size(c::regclass))::bigint FROM unnest(ARRAY['dap_blocks', 'dap_sums', 'dap_ledgers']) c`).Scan(&n)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	})
}
