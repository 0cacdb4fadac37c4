package leader

import (
	"context"
	"errors"
	"time"

	"github.com/shoal-project/shoal/dap"
)

// A Status is a picture of the leader for health checks and pages.
type Status struct {
	Tasks []TaskStatus // those in the registry
	// ClockUnsure is true while the clock is not trusted, after it has jumped
	// forward: nothing is collected or expires until it has proved right.
	ClockUnsure bool
	Node        NodeStatus
	Dropped     []Dropped           // given up with lost nodes, the oldest first
	Damaged     int64               // reports that the disk has lost, at least, as far as was noticed since the start
	Lost        map[LossCause]int64 // accepted reports that were given up since the start
}

// A NodeStatus is this process's claim on its node's name.
type NodeStatus struct {
	Name  string
	Until time.Time // when the lease lapses, by this process's clock
	Err   error     // why it could not be renewed, or is lost: no report is taken, from Until on at the latest
}

// A TaskStatus is one task in a [Status]. Its counts are exact: they are for the
// leader's own organisation.
type TaskStatus struct {
	Task        dap.TaskID
	Disabled    bool
	Stored      int64  // bytes of reports on this node
	Waiting     int64  // reports on this node that are in no job yet
	Jobs        int    // that have not ended, of all nodes
	InJobs      uint64 // reports in them
	Helper      HelperStatus
	Collections []CollectionStatus
}

// A HelperStatus is the work of a task that waits for a helper that does not
// answer.
type HelperStatus struct {
	URL     string
	Absence       // zero: nothing waits, as far as jobs are concerned
	Err     error // why this node has no answer, as of its last attempt; nil: it made none
}

// A CollectionStatus is a collection job that has not ended.
type CollectionStatus struct {
	ID       dap.CollectionJobID
	State    CollectionState
	Interval dap.Interval // zero in the leader-selected mode
	Missing  uint64       // reports, when this node last looked
	Attempts int          // to get the helper's share
	Nodes    []Holder     // that it waits for, when this node last looked
	Since    time.Time    // since when it waits for them
	Err      error        // the last failure that this node saw
}

// Status returns how the leader is.
func (l *Leader) Status(ctx context.Context) (Status, error) {
	_, sure := l.guard.Now()
	st := Status{Damaged: l.damaged.total(), ClockUnsure: !sure, Lost: map[LossCause]int64{}}
	for _, cause := range []LossCause{LostRefused, LostExpired, LostEarly} {
		if n := l.losses[cause].Load(); n > 0 {
			st.Lost[cause] = n
		}
	}
	st.Node = NodeStatus{Name: l.config.Node, Until: *l.claimed.held.Load(), Err: l.claimError()}
	pending, err := l.config.Store.Collections(ctx)
	errs := []error{err}
	st.Dropped, err = l.config.Store.Drops(ctx)
	errs = append(errs, err)
	collections := make(map[dap.TaskID][]Collection, len(pending))
	for _, c := range pending {
		collections[c.Task] = append(collections[c.Task], c)
	}
	work, err := l.config.Store.Work(ctx)
	errs = append(errs, err)
	for _, s := range l.config.Registry.List() {
		id := s.Task.ID()
		in := l.intake(id)
		t := TaskStatus{Task: id, Disabled: s.Entry.Disabled, Stored: in.stored.Load(), Waiting: max(0, in.waiting.Load())}
		t.Jobs, t.InJobs = work[id].Jobs, work[id].Reports
		t.Helper.URL, t.Helper.Absence = s.Task.Config().Helper, work[id].Unanswered
		l.mu.Lock()
		if t.Helper.Jobs > 0 {
			t.Helper.Err = l.missing[id]
		}
		for _, c := range collections[id] {
			p := l.progress[collectionKey{c.Task, c.ID}]
			t.Collections = append(t.Collections, CollectionStatus{c.ID, c.State, c.Interval, p.missing, c.Attempts, p.holders, p.since, p.err})
		}
		l.mu.Unlock()
		st.Tasks = append(st.Tasks, t)
	}
	return st, errors.Join(errs...)
}
