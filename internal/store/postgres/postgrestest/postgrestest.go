// Package postgrestest gives each test a place of its own on a PostgreSQL server.
//
// The server is the one that SHOAL_TEST_POSTGRES names; the script
// scripts/postgres starts one and sets it:
//
//	scripts/postgres go test ./internal/store/postgres
//
// Without it a test is skipped, and with CI=true it fails.
package postgrestest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Schema makes an empty schema and returns a connection string for it. It goes,
// with all that is in it, when the test ends.
func Schema(t testing.TB) string {
	t.Helper()
	server := os.Getenv("SHOAL_TEST_POSTGRES")
	if server == "" {
		if os.Getenv("CI") == "true" {
			t.Fatal("SHOAL_TEST_POSTGRES is not set: in CI these tests must run, by scripts/postgres go test")
		}
		t.Skip("needs a PostgreSQL server: run by scripts/postgres go test")
	}
	name := schemaName()
	do(t.Context(), t, server, "CREATE SCHEMA "+name)
	t.Cleanup(func() { do(context.Background(), t, server, "DROP SCHEMA "+name+" CASCADE") })
	return With(With(server, "search_path", name), "application_name", name)
}

func schemaName() string {
	var b [8]byte
	rand.Read(b[:])
	return "test_" + hex.EncodeToString(b[:])
}

func do(ctx context.Context, t testing.TB, server, query string) {
	t.Helper()
	c, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, query); err != nil {
		t.Fatal(err)
	}
}

// With adds a parameter to a connection string, a URL or keywords.
func With(connection, name, value string) string {
	if !strings.Contains(connection, "://") {
		return fmt.Sprintf("%s %s='%s'", connection, name, value)
	}
	separator := "?"
	if strings.Contains(connection, "?") {
		separator = "&"
	}
	return connection + separator + name + "=" + url.PathEscape(value)
}
