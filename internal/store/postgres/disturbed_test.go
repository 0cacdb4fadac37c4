package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/dap/ledger"
	ledgertest "github.com/shoal-project/shoal/internal/dap/ledger/storetest"
	"github.com/shoal-project/shoal/internal/store/postgres/postgrestest"
)

func passing(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ledger.ErrConflict)
}

// disturb calls do again and again until the test's work is done.
func disturb(t *testing.T, pause time.Duration, do func() error) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			if err := do(); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}()
	return func() { cancel(); <-ended }
}

// Connections are ended by the server in the middle of commits.
func TestKilledConnections(t *testing.T) {
	t.Parallel()
	connection := postgrestest.Schema(t)
	s := openHelper(t, connection)
	stop := disturb(t, 40*time.Millisecond, func() error {
		_, err := postgrestest.Terminate(t.Context(), connection)
		return err
	})
	ledgertest.Disturbed(t, s, passing, stop)
}

// The server crashes and comes back in the middle of commits, and readiness reports
// that it is away.
func TestRestarts(t *testing.T) {
	t.Parallel()
	server := postgrestest.NewServer(t)
	s := openHelper(t, server.Schema(t))
	stop := disturb(t, 400*time.Millisecond, server.Restart)
	ledgertest.Disturbed(t, s, passing, stop)
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := commitJob(t.Context(), s, [32]byte{1}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("without a server: %v", err)
	}
	if why := s.Unready(t.Context()); why == "" || strings.Contains(why, "password") {
		t.Errorf("without a server readiness is %q", why)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if why := s.Unready(t.Context()); why != "" {
		t.Errorf("with the server readiness is %q", why)
	}
	version, _, err := Check(t.Context(), server.Connection)
	if err != nil || version == "" {
		t.Errorf("check: %q, %v", version, err)
	}
}
