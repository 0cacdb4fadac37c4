package leader_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
)

// A family is several tasks of one leader. The first of its worlds makes the leader.
type family []*world

func newFamily(t testing.TB, tasks int, tweak func(*leader.Config)) family {
	t.Helper()
	few := func(c *dap.TaskConfiguration) { c.MinBatchSize = 1 }
	all := family{newWorld(t, dap.DAP18(), few, tweak)}
	for i := range tasks - 1 {
		all = append(all, all.another(t, i+1))
	}
	all[0].wire.RoundTripper = all
	return all
}

// another makes a task of the same leader.
func (f family) another(t testing.TB, number int) *world {
	t.Helper()
	w := *f[0]
	config := *w.task.Config()
	config.TaskInfo = fmt.Appendf(nil, "task %d", number)
	encoded, err := w.task.Codec().Encode(&config)
	must(t, err)
	w.task, err = dap.NewTask(dap.DAP18(), dap.TaskprovID(encoded), encoded)
	must(t, err)
	w.token = w.newToken(t)
	was := w.wire
	w.enroll(t, dap.DAP18(), encoded)
	w.wire = was
	w.reports = uint32(number) << 12
	return &w
}

// RoundTrip leads to the helper of the task in the path.
func (f family) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, w := range f {
		if strings.Contains(r.URL.Path, w.task.ID().String()) {
			return w.helper.RoundTrip(r)
		}
	}
	return respond(404, "", nil), nil
}

// start starts the leader on what there is.
func (f family) start(t testing.TB) {
	t.Helper()
	must(t, f[0].start())
	for _, w := range f {
		w.leader = f[0].leader
	}
}

// folders returns how many entries a folder of the leader has.
func (f family) folders(t testing.TB, name string) int {
	t.Helper()
	all, err := f[0].fs.ReadDir(name)
	must(t, err)
	return len(all)
}

// collectAll collects the unit of time of q for all tasks, and returns their results.
func (f family) collectAll(t testing.TB, q dap.Query) [][]uint64 {
	t.Helper()
	at := make([]string, len(f))
	for i, w := range f {
		at[i] = w.collect(t, q)
	}
	f[0].clock.Advance(precision + 10*time.Minute)
	results := make([][]uint64, len(f))
	for range 30 {
		missing := 0
		for i, w := range f {
			if results[i] == nil {
				results[i] = w.result(t, at[i], q)
			}
			if results[i] == nil {
				missing++
			}
		}
		if missing == 0 {
			break
		}
		must(t, f[0].leader.Tick(t.Context()))
		f[0].clock.Advance(time.Minute)
	}
	return results
}
