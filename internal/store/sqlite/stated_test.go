package sqlite

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// TestShufflerOfBeforeStatements: of the past of a file that a version without statements
// has written nothing is known; a new file, or one without a batch, has no past.
func TestShufflerOfBeforeStatements(t *testing.T) {
	batch := fmt.Sprintf(`INSERT INTO batches (task, epoch, state, into_epoch, batch, seed, input, output, counts)
		VALUES (x'%064x', 5, 7, 0, x'%064x', NULL, x'%064x', x'%064x', '{}')`, 1, 2, 3, 4)
	for name, statements := range map[string][]string{"used": {batch}, "not used": nil, "new": nil} {
		file := filepath.Join(t.TempDir(), "shuffler.db")
		if name != "new" {
			former(t, file, "shuffler", 2, statements...)
		}
		s, err := OpenShuffler(t.Context(), file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		h, known, err := s.History(t.Context())
		if err != nil || known != (name == "used") || known && h.Since != -1 {
			t.Errorf("%s: history %+v, %v, %v", name, h, known, err)
		}
		if all, err := s.Batches(t.Context()); err != nil || len(all) != len(statements) {
			t.Errorf("%s: %d batches, %v", name, len(all), err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestAnalyzerOfBeforeStatements: a file of a version without statements takes them.
func TestAnalyzerOfBeforeStatements(t *testing.T) {
	file := filepath.Join(t.TempDir(), "analyzer.db")
	former(t, file, "analyzer", 3)
	s, err := OpenAnalyzer(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := esa.Coverage{Complete: esa.EpochsOf(esa.Span{First: 3, Last: 4})}
	if have, err := s.Stated(t.Context(), task.ID{1}); err != nil || !have.Equal(esa.Coverage{}) {
		t.Errorf("stated is %+v, %v", have, err)
	}
	if err := s.Learn(t.Context(), task.ID{1}, c); err != nil {
		t.Fatal(err)
	}
	if have, err := s.Stated(t.Context(), task.ID{1}); err != nil || !have.Equal(c) {
		t.Errorf("stated is %+v, %v, want %+v", have, err, c)
	}
	if _, err := s.db.Exec(`UPDATE stated SET coverage = '{'`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stated(t.Context(), task.ID{1}); !IsDamaged(err) {
		t.Errorf("a damaged row is answered %v", err)
	}
}
