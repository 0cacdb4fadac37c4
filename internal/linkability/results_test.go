package linkability_test

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/linkability"
)

// results are written to a file as they are found, so that a run that ends early has
// lost little, and to stderr as progress.
type results struct {
	t     testing.TB
	mu    sync.Mutex
	began time.Time
	file  *os.File // nil: none
}

// newResults begins the table of a run.
func newResults(t testing.TB, name string) *results {
	t.Helper()
	r := &results{t: t, began: time.Now()}
	if name != "" {
		var err error
		r.file, err = os.Create(name)
		must(t, err)
	}
	r.write("| trial | view | people | pairs | real | ideal | difference, corrected interval | detectable | after |\n" +
		"|---|---|---|---|---|---|---|---|---|\n")
	t.Cleanup(func() {
		r.write(fmt.Sprintf("\nIn all %v.\n", time.Since(r.began).Round(time.Second)))
		if r.file != nil {
			must(t, r.file.Close())
		}
	})
	return r
}

// add writes what was found.
func (r *results) add(trial string, f linkability.Finding) {
	r.write(fmt.Sprintf("| %s | %s | %d | %d | %.4f | %.4f | %.4f ± %.4f | %.4f | %v |\n", trial, f.View, f.People, f.Pairs,
		f.Real, f.Ideal, f.Difference, (f.High-f.Low)/2, f.Detectable, time.Since(r.began).Round(time.Second)))
}

func (r *results) write(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprint(os.Stderr, text)
	if r.file != nil {
		if _, err := r.file.WriteString(text); err != nil {
			r.t.Errorf("writing results: %v", err)
		}
	}
}
