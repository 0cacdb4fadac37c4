package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/clock"
)

// TestExitCodes: what the user can fix by changing the configuration ends with 2
// and one line.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("roles: [shuffler\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(dir, "none.yaml")
	org := filepath.Join(dir, "org")
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"init", org, "--name", "One", "--role", "analyzer", "--url", "http://127.0.0.1:18470"}, 0},
		{[]string{"init", org, "--name", "One", "--role", "analyzer", "--url", "http://127.0.0.1:18470"}, 2},
		{[]string{"config", "check", filepath.Join(org, "shoal.yaml")}, 0},
		{[]string{"config", "check", bad}, 2},
		{[]string{"config", "print", none}, 2},
		{[]string{"serve", "--config", none}, 2},
		{[]string{"serve", "--config", bad}, 2},
		{[]string{"doctor", "--config", bad}, 2},
		{[]string{"token", "list", "--config", bad}, 2},
		{[]string{"export", "--config", filepath.Join(org, "shoal.yaml"), "fruit"}, 2},
		{[]string{"metrics", "check", none}, 2},
		{[]string{"plan", none}, 2},
	} {
		var stdout, stderr bytes.Buffer
		if got := run(c.args, &stdout, &stderr, clock.System()); got != c.want {
			t.Errorf("shoal %s: exit code %d, want %d: %s", strings.Join(c.args, " "), got, c.want, &stderr)
		}
		if lines := strings.Count(stderr.String(), "\n"); c.want != 0 && lines != 1 {
			t.Errorf("shoal %s: %d lines of error: %s", strings.Join(c.args, " "), lines, &stderr)
		}
	}
}
