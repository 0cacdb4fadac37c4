package sqlite

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/atrest"
	taskstest "github.com/shoal-project/shoal/internal/dap/tasks/storetest"
)

// No secret of a registry is in the files, also not in the log.
func TestRegistrySecretsAreNotInTheFiles(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenLeader(t.Context(), filepath.Join(dir, "leader.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	keys, err := atrest.New(atrest.Key{1})
	if err != nil {
		t.Fatal(err)
	}
	now := clock.NewVirtual(time.Unix(1_800_000_000, 0))
	secrets, err := taskstest.Secrets(t.Context(), s, dap.Leader, keys, now, rand.NewChaCha8([32]byte{4}))
	if err != nil {
		t.Fatal(err)
	}
	if len(secrets) < 5 {
		t.Fatalf("only %d secrets", len(secrets))
	}
	for name, secret := range secrets {
		if inFiles(t, dir, secret) {
			t.Errorf("the %s is in the files", name)
		}
	}
	if !inFiles(t, dir, []byte("dap_tasks")) {
		t.Error("the files were not searched")
	}
}
