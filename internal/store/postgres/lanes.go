package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-project/shoal/dap"
)

// lanes divide the connections of a pool between the tasks, so that a lock on a
// row of one task, held by whatever transaction, does not stop the others. A
// quarter of the pool, 2 connections at least, is kept for what is not a change of
// a task. Of the rest one task has half at most; and the tasks whose last change
// has waited too long share a quarter of it, one connection each.
type lanes struct {
	total, perTask, slow int

	mu      sync.Mutex
	running int
	held    map[dap.TaskID]int
	late    map[dap.TaskID]time.Time // since when; no entry once a change has gone well
	waiting []*laneWaiter            // the longest wait first
}

type laneWaiter struct {
	task dap.TaskID
	done chan struct{} // closed when the waiter may run
}

func newLanes(conns int) *lanes {
	total := conns - max(2, conns/4)
	return &lanes{
		total: total, perTask: max(1, total/2), slow: max(1, total/4),
		held: make(map[dap.TaskID]int), late: make(map[dap.TaskID]time.Time),
	}
}

// free reports whether a change of a task may run. mu is held.
func (l *lanes) free(task dap.TaskID) bool {
	if l.running == l.total || l.held[task] == l.perTask {
		return false
	}
	if _, late := l.late[task]; !late {
		return true
	}
	running := 0
	for other := range l.late {
		running += l.held[other]
	}
	return l.held[task] == 0 && running < l.slow
}

// enter waits until a change of a task may run.
func (l *lanes) enter(ctx context.Context, task dap.TaskID) error {
	l.mu.Lock()
	if l.free(task) {
		l.take(task)
		l.mu.Unlock()
		return nil
	}
	w := &laneWaiter{task, make(chan struct{})}
	l.waiting = append(l.waiting, w)
	l.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.waiting, w); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		return fmt.Errorf("waiting for a connection for task %v: %w", task, ctx.Err())
	}
	return nil // it was let in meanwhile
}

// take counts a change that runs. mu is held.
func (l *lanes) take(task dap.TaskID) {
	l.running++
	l.held[task]++
}

// leave ends a change of a task, which has waited too long or not.
func (l *lanes) leave(task dap.TaskID, late bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	if l.held[task]--; l.held[task] == 0 {
		delete(l.held, task)
	}
	if !late {
		delete(l.late, task)
	} else if _, already := l.late[task]; !already {
		l.late[task] = time.Now()
	}
	l.waiting = slices.DeleteFunc(l.waiting, func(w *laneWaiter) bool {
		if !l.free(w.task) {
			return false
		}
		l.take(w.task)
		close(w.done)
		return true
	})
}

// blockedTasks lists which tasks wait for locks, "" if none does.
func (l *lanes) blockedTasks() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.late) == 0 {
		return ""
	}
	var first dap.TaskID
	var since time.Time
	for task, at := range l.late {
		if since.IsZero() || at.Before(since) {
			first, since = task, at
		}
	}
	return fmt.Sprintf("changes of %d tasks wait longer than lock_timeout or statement_timeout, those of task %v since %s: pg_blocking_pids shows which transaction holds the lock",
		len(l.late), first, since.UTC().Format(time.RFC3339))
}

// A fault is why the database could not be used the last time, and since when.
type fault struct {
	mu    sync.Mutex
	err   error
	since time.Time
}

func (f *fault) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.since = time.Now()
	}
	f.err = err
}

func (f *fault) clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = nil
}

func (f *fault) text() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		return ""
	}
	return fmt.Sprintf("since %s: %v", f.since.UTC().Format(time.RFC3339), f.err)
}

// probeTimeout is how long a database may take to answer a probe.
const probeTimeout = 2 * time.Second

// Unready returns why the database cannot be used as it should be, "" if it can: it
// is away, it is slow, or changes of tasks wait for locks. It asks the server.
func (a *aggregator) Unready(ctx context.Context) string {
	probe, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var reasons []string
	if err := a.pool.Pool.Ping(probe); err != nil {
		why := a.pool.down.text()
		if why == "" {
			why = fmt.Sprintf("no answer in %v", probeTimeout)
		}
		reasons = append(reasons, why)
	}
	if why := a.pool.lanes.blockedTasks(); why != "" {
		reasons = append(reasons, why)
	}
	return strings.Join(reasons, "; ")
}
