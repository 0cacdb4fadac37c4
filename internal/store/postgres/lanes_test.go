package postgres

import (
	"context"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/shoal-project/shoal/dap"
)

func hexOf(id dap.TaskID) string { return hex.EncodeToString(id[:]) }

func TestLanes(t *testing.T) {
	l := newLanes(10) // 8 lanes, 4 for a task, 2 for those that are late
	task := func(n byte) dap.TaskID { return dap.TaskID{n} }
	now, cancel := context.WithCancel(t.Context())
	cancel()
	enter := func(n byte) bool { // without waiting
		err := l.enter(now, task(n))
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		return err == nil
	}
	many := func(n byte) (in int) {
		for enter(n) {
			in++
		}
		return in
	}
	if in := many(1); in != 4 {
		t.Fatalf("one task has %d lanes, want 4", in)
	}
	if in := many(2); in != 4 {
		t.Fatalf("another one has %d lanes, want 4", in)
	}
	// One that waits is let in when there is a place for its task.
	got := make(chan error, 1)
	go func() { got <- l.enter(t.Context(), task(4)) }()
	for waits := 0; waits == 0; {
		l.mu.Lock()
		waits = len(l.waiting)
		l.mu.Unlock()
	}
	l.leave(task(1), true)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l.leave(task(1), true)
		l.leave(task(2), true)
	}
	l.leave(task(2), true)
	l.leave(task(4), true)
	// Tasks that are late have two lanes in all, one each.
	if first, second := enter(1), enter(2); !first || !second || enter(1) || enter(4) {
		t.Error("late tasks do not have one lane each, and two in all")
	}
	l.leave(task(1), false) // no longer late
	if in := many(1); in == 0 {
		t.Error("a task that has recovered has no lane")
	}
	if l.blockedTasks() == "" {
		t.Error("no blocked task is named")
	}
}
