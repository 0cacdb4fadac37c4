package storetest

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/dap/ledger"
)

// Disturbed commits from several ledgers at once while the caller disturbs the store
// until stop (it ends connections, restarts the database), tries each commit again as long as
// it fails, and checks that nothing is lost and nothing counts twice. Every error
// must be one that passing allows.
func Disturbed(t *testing.T, s ledger.Store, passing func(error) bool, stop func()) {
	c, err := newCrowd()
	if err != nil {
		t.Fatal(err)
	}
	all := make([]int, crowdReports)
	acknowledged := make(map[int]bool)
	for i := range all {
		all[i] = i
		acknowledged[i] = true
	}
	jobs := make(chan []int, crowdReports)
	for job := range slices.Chunk(all, crowdJob) {
		jobs <- job
	}
	close(jobs)
	var wg sync.WaitGroup
	var mu sync.Mutex
	failed := 0
	for range 3 {
		wg.Go(func() {
			for job := range jobs {
				for try := 0; ; try++ {
					taskLedger, err := c.ledger(t.Context(), s) // knows nothing, as after a start
					if err == nil {
						err = commitAll(t, c, taskLedger, job)
					}
					if err == nil {
						break
					}
					if !passing(err) || try == 1000 {
						t.Errorf("attempt %d: %v", try+1, err)
						return
					}
					mu.Lock()
					failed++
					mu.Unlock()
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d attempts failed", failed)
	stop()
	for try := 0; try < 100; try++ { // connections that have ended meanwhile are noticed by their next use
		if _, err := c.ledger(t.Context(), s); err == nil {
			break
		} else if !passing(err) {
			t.Fatal(err)
		}
	}
	if !t.Failed() {
		c.check(t, s, acknowledged)
	}
}

func commitAll(t *testing.T, c *crowd, taskLedger *ledger.Ledger, job []int) error {
	o, err := c.job(job)
	if err != nil {
		return err
	}
	_, err = taskLedger.Commit(t.Context(), o, nil)
	return err
}
