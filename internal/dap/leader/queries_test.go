package leader_test

import (
	"context"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
)

// asked counts what a leader reads of jobs, logs and batches of its store. Only one
// goroutine may use the leader.
type asked struct {
	leader.Store
	n *int
}

func (a asked) As(c leader.Claim) leader.Store { return asked{a.Store.As(c), a.n} }

func (a asked) Work(ctx context.Context) (map[dap.TaskID]leader.Work, error) {
	*a.n++
	return a.Store.Work(ctx)
}

func (a asked) Jobs(ctx context.Context, task dap.TaskID) (jobs int, reports uint64, err error) {
	*a.n++
	return a.Store.Jobs(ctx, task)
}

func (a asked) LastLog(ctx context.Context, task dap.TaskID, upto uint64) (last uint64, undone int, err error) {
	*a.n++
	return a.Store.LastLog(ctx, task, upto)
}

// TestStatusAsksOnce: a status costs as many queries for twenty tasks as for one. It
// asked twice a task, each time that /readyz was.
func TestStatusAsksOnce(t *testing.T) {
	n := 0
	f := newFamily(t, 20, func(c *leader.Config) { c.Store = asked{c.Store, &n} })
	f[3].upload(t, f[3].report(t, 1, 0))
	must(t, f[0].leader.Tick(t.Context()))
	n = 0
	st, err := f[0].leader.Status(t.Context())
	must(t, err)
	if len(st.Tasks) != 20 || n != 1 {
		t.Errorf("a status of %d tasks asks %d times", len(st.Tasks), n)
	}
}

// TestWaitingCollectionsAreNotAsked: the driver looks at the collections of a task of
// which something has changed, not at those of all tasks that wait for reports.
func TestWaitingCollectionsAreNotAsked(t *testing.T) {
	n := 0
	f := newFamily(t, 20, func(c *leader.Config) { c.Store = asked{c.Store, &n} })
	q := f[0].unit(t, 1)
	for _, w := range f {
		w.collect(t, q)
	}
	f[0].clock.Advance(2 * precision)
	drive := func() int {
		n = 0
		must(t, f[0].leader.DriveCollections(t.Context()))
		return n
	}
	if got := drive(); got < len(f) {
		t.Errorf("%d queries for %d collections that are due", got, len(f))
	}
	if got := drive(); got != 0 {
		t.Errorf("%d queries although nothing has changed", got)
	}
	f[7].upload(t, f[7].report(t, 1, 0))
	f[0].clock.Advance(31 * time.Second)
	f[0].leader.TakeIn(t.Context())
	if got := drive(); got == 0 || got > 4 {
		t.Errorf("%d queries after the logs of one task were put into jobs", got)
	}
	f[0].clock.Advance(precision / 60) // other nodes may have done something
	if got := drive(); got < len(f)-1 {
		t.Errorf("%d queries a minute later", got)
	}
}
