package sqlite

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/dp"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	analyzertest "github.com/shoal-project/shoal/internal/esa/analyzer/storetest"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	shufflertest "github.com/shoal-project/shoal/internal/esa/shuffler/storetest"
	"github.com/shoal-project/shoal/metric/task"
)

// openShuffler opens a store that the test closes.
func openShuffler(t *testing.T, name string) *Shuffler {
	t.Helper()
	s, err := OpenShuffler(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func openAnalyzer(t *testing.T, name string) *Analyzer {
	t.Helper()
	s, err := OpenAnalyzer(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestShufflerStore(t *testing.T) {
	shufflertest.Run(t, func(t *testing.T) (shuffler.Store, func(*testing.T) shuffler.Store) {
		name := filepath.Join(t.TempDir(), "shuffler.db")
		s := openShuffler(t, name)
		return s, func(t *testing.T) shuffler.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openShuffler(t, name)
			return s
		}
	})
}

func TestAnalyzerStore(t *testing.T) {
	analyzertest.Run(t, func(t *testing.T) (analyzer.Store, func(*testing.T) analyzer.Store) {
		name := filepath.Join(t.TempDir(), "analyzer.db")
		s := openAnalyzer(t, name)
		return s, func(t *testing.T) analyzer.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openAnalyzer(t, name)
			return s
		}
	})
}

// A seed that has been forgotten could strip the noise off a released batch:
// it must be in no file any more, while the store is still open.
func TestSeedIsErased(t *testing.T) {
	dir := t.TempDir()
	s := openShuffler(t, filepath.Join(dir, "shuffler.db"))
	var seed dp.Seed
	copy(seed[:], "thirty-two bytes that stand out!")
	for _, c := range shufflertest.Way(task.ID{1}, 5) {
		if (c.To.Seed != dp.Seed{}) {
			c.To.Seed = seed
		}
		if err := s.Apply(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		held := c.To.State == shuffler.Closed || c.To.State == shuffler.Processed
		if found := inFiles(t, dir, seed[:]); found != held {
			t.Errorf("in state %v the files hold the seed: %v, want %v", c.To.State, found, held)
		}
	}
}

// inFiles reports whether any file below dir contains the bytes.
func inFiles(t *testing.T, dir string, want []byte) bool {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, want) {
			return true
		}
	}
	return false
}

func TestRolesDoNotShareAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "one.db")
	openShuffler(t, name)
	if _, err := OpenAnalyzer(t.Context(), name); err == nil || !strings.Contains(err.Error(), "belongs to a shuffler") {
		t.Errorf("error %v, want one that says whose file it is", err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new.db")
	s := openShuffler(t, name)
	if _, err := s.db.Exec(`UPDATE shoal SET version = 99`); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := OpenShuffler(t.Context(), name); err == nil || !strings.Contains(err.Error(), "run a newer one") {
		t.Errorf("error %v, want one that asks for a newer program", err)
	}
}

func TestFilesArePrivate(t *testing.T) {
	dir := t.TempDir()
	s := openShuffler(t, filepath.Join(dir, "shuffler db?#%.db")) // a name that needs escaping
	if err := s.Apply(t.Context(), shufflertest.Way(task.ID{1}, 5)[0]); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) == 0 {
		t.Error("the store is not where it was asked to be")
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v: others can read it", e.Name(), info.Mode())
		}
		if !strings.HasPrefix(e.Name(), "shuffler db?#%.db") {
			t.Errorf("unexpected file %s", e.Name())
		}
	}
}

func TestDurabilitySettings(t *testing.T) {
	s := openShuffler(t, filepath.Join(t.TempDir(), "s.db"))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "secure_delete": "1"} {
		var have string
		if err := s.db.QueryRow(`PRAGMA ` + pragma).Scan(&have); err != nil || have != want {
			t.Errorf("%s is %s (%v), want %s", pragma, have, err, want)
		}
	}
}
