package postgres_test

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
)

func systemClock() clock.Clock { return clock.System() }

// collect collects all that a task has, and compares it with what was acknowledged.
func (c *chaos) collect(t *chaosTask) {
	if t.task.Config().BatchMode == dap.LeaderSelectedMode {
		c.collectSelected(t)
		return
	}
	units := slices.Sorted(maps.Keys(t.truth))
	last, err := t.task.Config().TimePrecision.Start(units[len(units)-1] + 1)
	c.must(err)
	time.Sleep(time.Until(last)) // no result comes before
	for start := 0; start < len(units); {
		var want []uint64
		next := start
		for ; next < len(units) && (sum(want) < chaosMinBatch || sum(rest(t, units[next:])) < chaosMinBatch); next++ {
			want = add(want, t.truth[units[next]])
		}
		first := units[start]
		q := dap.IntervalQuery(dap.Interval{Start: first, Duration: dap.Duration(units[next-1] + 1 - first)})
		c.compare(want, c.result(t, q, nil))
		start = next
	}
}

// rest adds up what is left.
func rest(t *chaosTask, units []dap.Time) []uint64 {
	var all []uint64
	for _, u := range units {
		all = add(all, t.truth[u])
	}
	return all
}

// collectSelected collects batches until as much was collected as acknowledged.
// Reports are uploaded to fill the batches that are begun: two leaders may have begun
// several, none of which is full although together they have a whole batch.
func (c *chaos) collectSelected(t *chaosTask) {
	const mostExtra = 4
	missing := func() int { return t.acked - int(sum(t.got)) }
	idle, extra := 0, 0
	fill := func() {
		idle++
		if n := missing() % chaosMinBatch; n > 0 {
			c.must(c.upload(t, chaosMinBatch-n))
		} else if idle%4 == 0 && extra < mostExtra {
			extra++
			c.t.Logf("%d reports wait in %s", missing(), c.begun(t))
			c.must(c.upload(t, chaosMinBatch))
		}
	}
	c.t.Logf("%s begins with %s", t.name, c.begun(t))
	for missing() > 0 {
		got := c.result(t, dap.NextBatchQuery(), fill)
		if got == nil {
			break // what is missing then is lost
		}
		t.got = add(t.got, got)
	}
	c.compare(rest(t, slices.Collect(maps.Keys(t.truth))), t.got)
}

// begun describes the batches of a task that are not taken.
func (c *chaos) begun(t *chaosTask) string {
	batches, err := c.store.Batches(c.ctx, t.task.ID())
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("%d batches:", len(batches))
	for _, b := range batches {
		text += fmt.Sprintf(" %d counted and %d on the way,", b.Count, b.Assigned)
	}
	return text
}

// compare counts what is lost and what was counted twice.
func (c *chaos) compare(want, got []uint64) {
	got = add(got, nil)
	for i, n := range want {
		c.lost += int(n - min(n, got[i]))
		c.twice += int(got[i] - min(n, got[i]))
	}
}

// result asks for a batch until it is there. While it is not, idle is called every
// few seconds, if it is not nil.
func (c *chaos) result(t *chaosTask, q dap.Query, idle func()) []uint64 {
	const wait = 3 * time.Minute
	looked := time.Now()
	req := dap.CollectionJobReq{Query: q}
	body, err := t.task.Codec().Encode(&req)
	c.must(err)
	_, path := t.task.Variant().CreateCollectionJob(t.task.ID(), dap.CollectionJobID{})
	at := ""
	for end := time.Now().Add(wait); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if idle != nil && time.Since(looked) > 4*time.Second {
			looked = time.Now()
			idle()
		}
		if at == "" {
			answer, status := c.send(http.MethodPost, path, dap.TypeCollectionJobReq, body)
			if status == http.StatusCreated && len(answer) < 200 {
				at = string(answer)
			} else if status/100 == 4 {
				c.t.Errorf("a collection of %s was answered %d: %s", t.name, status, answer)
				return nil
			}
			continue
		}
		answer, status := c.send(http.MethodGet, at, "", nil)
		if status/100 == 4 {
			c.t.Errorf("a collection of %s ended with %d: %s", t.name, status, answer)
			return nil
		}
		if status/100 != 2 || len(answer) == 0 {
			continue
		}
		var resp dap.CollectionJobResp
		c.must(t.task.Codec().Decode(&resp, answer))
		shares, err := t.task.OpenCollection(c.collector, c.collector, &req, &resp)
		c.must(err)
		vector, err := t.hist.Unshard(shares, resp.ReportCount)
		c.must(err)
		if sum(vector) != resp.ReportCount {
			c.t.Errorf("a result of %d reports adds up to %d", resp.ReportCount, sum(vector))
		}
		c.results++
		if q.Mode == dap.LeaderSelectedMode { // so that the next request gets the next batch
			for range 50 {
				if _, status := c.send(http.MethodDelete, at, "", nil); status/100 == 2 || status/100 == 4 {
					break
				}
			}
		}
		return vector
	}
	c.t.Errorf("%s: no result for %v in %v", t.name, q, wait)
	return nil
}

func sum(v []uint64) (n uint64) {
	for _, x := range v {
		n += x
	}
	return n
}

// add returns the sum of two vectors; nil is zero.
func add(a, b []uint64) []uint64 {
	out := make([]uint64, chaosBuckets)
	for _, v := range [][]uint64{a, b} {
		for i, x := range v {
			out[i] += x
		}
	}
	return out
}

// line prints what goes on, if somebody looks.
func (c *chaos) line(what string) {
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s: %d reports acknowledged, %d restarts of the database, %d kills ", what, c.acked(), c.restarts.Load(), c.kills.Load())
	}
}

func (c *chaos) show(end time.Time) {
	for time.Now().Before(end) {
		c.line(time.Until(end).Round(time.Second).String() + " left")
		time.Sleep(time.Second)
	}
}

// table prints the figures.
func (c *chaos) table(long time.Duration) {
	rows := []struct {
		what  string
		value any
	}{
		{"time", long},
		{"restarts of the database", c.restarts.Load()},
		{"kills of leaders and helpers", c.kills.Load()},
		{"uploads acknowledged", c.uploads.Load()},
		{"uploads repeated", c.repeated.Load()},
		{"reports acknowledged", c.acked()},
		{"results", c.results},
		{"reports lost", c.lost},
		{"reports counted twice", c.twice},
	}
	text := ""
	for _, r := range rows {
		text += fmt.Sprintf("\n%-30s %10v", r.what, r.value)
	}
	for _, t := range slices.SortedFunc(slices.Values(c.tasks), func(a, b *chaosTask) int { return cmp.Compare(a.name, b.name) }) {
		text += fmt.Sprintf("\n%-30s %10d", "acknowledged, "+t.name, t.acked)
	}
	c.t.Log(text)
}
