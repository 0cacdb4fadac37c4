package collector

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// A Question is a task that a collector asks for.
type Question struct {
	Task   *dap.Task
	Leader auth.Token // authenticates the collector to the leader
	// Shoal is the task that the DAP task was compiled from. Without one, of a
	// task that was agreed by other means, results are the bare sums and nothing
	// is scheduled.
	Shoal *task.Task

	meaning *kind.Measure // of Shoal
	begun   time.Time     // when the question was first served

	// Guarded by Collector.tickMu: what of the schedule is made.
	scheduled task.Epoch // of all epochs before there are asks
	read      bool       // no ask is left in the store that scheduled does not heed
}

// id is the task under which results are released.
func (q *Question) id() (task.ID, error) {
	if q.Shoal == nil {
		return task.ID(q.Task.ID()), nil
	}
	return q.Shoal.ID()
}

// metric is the name under which results are released.
func (q *Question) metric() string {
	if q.Shoal == nil {
		return "task." + q.Task.ID().String()[:8]
	}
	return q.Shoal.Metric
}

func (q *Question) validate() error {
	if q.Task == nil {
		return errors.New("question without a task")
	}
	if q.Leader.IsZero() {
		return fmt.Errorf("question %q: no token for the leader", q.metric())
	}
	if q.Shoal == nil {
		return nil
	}
	id, err := q.Shoal.ID()
	if err != nil {
		return fmt.Errorf("question %q: %w", q.metric(), err)
	}
	if bound, ok := q.Task.Config().ShoalTask(); !ok || bound != id {
		return fmt.Errorf("question %q: the DAP task belongs to another question", q.metric())
	}
	if uint64(q.Shoal.EpochSeconds)%uint64(q.Task.Config().TimePrecision) != 0 {
		return fmt.Errorf("question %q: its epoch is no multiple of the time precision", q.metric())
	}
	if q.meaning, err = q.Shoal.Aggregation.Measure(); err != nil {
		return fmt.Errorf("question %q: %w", q.metric(), err)
	}
	if m, in := q.meaning.Instance(), q.Task.Instance(); m.Name() != in.Name() {
		return fmt.Errorf("question %q: it is answered by %s, the DAP task has %s", q.metric(), m.Name(), in.Name())
	}
	return nil
}

// epoch returns the interval of an epoch.
func (q *Question) epoch(e task.Epoch) (dap.Interval, error) {
	p := q.Task.Config().TimePrecision
	start, err := p.Time(q.Shoal.Start(e))
	if err != nil {
		return dap.Interval{}, err
	}
	length, err := p.Duration(time.Duration(q.Shoal.EpochSeconds) * time.Second)
	return dap.Interval{Start: start, Duration: length}, err
}

// due returns the oldest epoch of the schedule, which is not before the one in
// which the collector was given the question, and the newest one that may be
// collected at now. It returns false if no epoch is due.
func (q *Question) due(now time.Time) (first, last task.Epoch, ok bool) {
	t := q.Shoal
	first = t.EpochAt(time.Unix(max(t.NotBefore, q.begun.Unix()), 0))
	grace := time.Duration(t.MaxDelay+t.ClockSkew) * time.Second
	closed := t.EpochAt(now.Add(-grace)) // the first one that is not closed
	end := t.EpochAt(time.Unix(t.Expires, 0))
	if closed <= first || end <= first {
		return 0, 0, false
	}
	return first, min(closed, end) - 1, true
}

// next returns when the first epoch closes that is not closed at now, zero if all
// are closed.
func (q *Question) next(now time.Time) time.Time {
	t := q.Shoal
	e := max(t.EpochAt(now.Add(-time.Duration(t.MaxDelay+t.ClockSkew)*time.Second)), t.EpochAt(time.Unix(t.NotBefore, 0)))
	if !t.Covers(e) {
		return time.Time{}
	}
	return t.Closes(e)
}

// newAsk makes an ask for a query. The same query gives the same ID and the same
// request, so that an ask whose record was lost finds its collection job again.
func (q *Question) newAsk(query dap.Query, number uint64, now time.Time) (Ask, error) {
	request, err := q.Task.Codec().Encode(&dap.CollectionJobReq{Query: query})
	if err != nil {
		return Ask{}, err
	}
	id := q.Task.ID()
	h := sha256.New()
	h.Write([]byte("shoal collection job"))
	h.Write(id[:])
	h.Write(request)
	if query.Mode == dap.LeaderSelectedMode { // all such queries are alike
		h.Write(binary.BigEndian.AppendUint64(nil, number))
	}
	a := Ask{Task: id, Number: number, Request: request, Created: now.Unix(), State: Asked}
	copy(a.ID[:], h.Sum(nil))
	return a, nil
}

// query decodes the query of an ask.
func (q *Question) query(a Ask) (dap.CollectionJobReq, error) {
	var req dap.CollectionJobReq
	err := q.Task.Codec().Decode(&req, a.Request)
	return req, err
}
