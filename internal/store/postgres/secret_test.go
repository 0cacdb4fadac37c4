package postgres

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/store/postgres/postgrestest"

	"github.com/jackc/pgx/v5"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	taskstest "github.com/shoal-project/shoal/internal/dap/tasks/storetest"
)

// No secret of a registry is in the tables.
func TestRegistrySecretsAreNotInTheTables(t *testing.T) {
	t.Parallel()
	s, err := OpenLeader(t.Context(), postgrestest.Schema(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	keys, err := atrest.New(atrest.Key{1})
	if err != nil {
		t.Fatal(err)
	}
	now := clock.NewVirtual(time.Unix(1_800_000_000, 0))
	secrets, err := taskstest.Secrets(t.Context(), s, dap.Leader, keys, now, rand.NewChaCha8([32]byte{4}))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.pool.Query(t.Context(), `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) < 6 {
		t.Fatalf("tables %v, %v", tables, err)
	}
	var all []byte
	for _, table := range tables {
		rows, err := s.pool.Query(t.Context(), `SELECT t::text FROM `+pgx.Identifier{table}.Sanitize()+` t`)
		if err != nil {
			t.Fatal(err)
		}
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			all = append(all, text...)
		}
	}
	if len(secrets) < 5 || !bytes.Contains(all, []byte("resource key")) {
		t.Fatal("nothing was searched")
	}
	for name, secret := range secrets { // bytea as text is hexadecimal
		if bytes.Contains(all, secret) || bytes.Contains(all, []byte(hex.EncodeToString(secret))) {
			t.Errorf("the %s is in the tables", name)
		}
	}
}
