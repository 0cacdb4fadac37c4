// Package storetest holds the conformance suite of [tasks.Store] and a model of
// a store that can crash.
//
// An implementation's test calls [Run] with a function that opens a fresh store.
// Tests of what uses a store take a [Model].
package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// Run checks a store against the promises of [tasks.Store]. Open returns an
// empty store; reopen closes it and opens what it has left behind.
func Run(t *testing.T, open func(t *testing.T) (store tasks.Store, reopen func(t *testing.T) tasks.Store)) {
	for name, test := range map[string]func(*testing.T, tasks.Store, func(*testing.T) tasks.Store){
		"tasks": testTasks, "secrets": testSecrets, "one of many wins": testConcurrent, "no revision is missed": testFollow,
	} {
		t.Run(name, func(t *testing.T) {
			store, reopen := open(t)
			test(t, store, reopen)
		})
	}
}

func put(t *testing.T, s tasks.Store, id byte, revision uint64, sealed string) uint64 {
	t.Helper()
	r, err := s.PutTask(t.Context(), dap.TaskID{id}, revision, []byte(sealed))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantTasks(t *testing.T, s tasks.Store, since uint64, want ...tasks.Record) {
	t.Helper()
	have, err := s.Tasks(t.Context(), since)
	if err != nil {
		t.Fatal(err)
	}
	if len(have)+len(want) > 0 && !reflect.DeepEqual(have, want) {
		t.Fatalf("tasks since %d: %v, want %v", since, have, want)
	}
}

func testTasks(t *testing.T, s tasks.Store, reopen func(*testing.T) tasks.Store) {
	wantTasks(t, s, 0)
	one := put(t, s, 1, 0, "one")
	two := put(t, s, 2, 0, "two")
	again := put(t, s, 1, one, "one, again")
	if one >= two || two >= again {
		t.Fatalf("revisions %d, %d, %d do not increase", one, two, again)
	}
	s = reopen(t)
	second := tasks.Record{Task: dap.TaskID{2}, Revision: two, Sealed: []byte("two")}
	first := tasks.Record{Task: dap.TaskID{1}, Revision: again, Sealed: []byte("one, again")}
	wantTasks(t, s, 0, second, first)
	wantTasks(t, s, one, second, first)
	wantTasks(t, s, two, first)
	wantTasks(t, s, again)
	for _, revision := range []uint64{0, one, two, again + 1} {
		if _, err := s.PutTask(t.Context(), dap.TaskID{1}, revision, []byte("wrong")); !errors.Is(err, tasks.ErrConflict) {
			t.Errorf("over revision %d: %v, want ErrConflict", revision, err)
		}
	}
	if _, err := s.PutTask(t.Context(), dap.TaskID{3}, again, []byte("wrong")); !errors.Is(err, tasks.ErrConflict) {
		t.Errorf("a new task over a revision: %v, want ErrConflict", err)
	}
	wantTasks(t, s, 0, second, first)
	if third := put(t, s, 3, 0, "three"); third <= again {
		t.Errorf("revision %d after %d", third, again)
	}
}

func testSecrets(t *testing.T, s tasks.Store, reopen func(*testing.T) tasks.Store) {
	want := func(name string, revision uint64, sealed string) {
		t.Helper()
		have, err := s.Secret(t.Context(), name)
		if err != nil || have.Revision != revision || !bytes.Equal(have.Sealed, []byte(sealed)) {
			t.Fatalf("secret %s: revision %d %q, %v, want revision %d %q", name, have.Revision, have.Sealed, err, revision, sealed)
		}
	}
	want("a", 0, "")
	for i, text := range []string{"first", "second", "third"} {
		revision, err := s.PutSecret(t.Context(), "a", uint64(i), []byte(text))
		if err != nil || revision != uint64(i+1) {
			t.Fatalf("revision %d, %v", revision, err)
		}
		want("a", uint64(i+1), text)
		want("b", 0, "")
	}
	for _, revision := range []uint64{0, 2, 4} {
		if _, err := s.PutSecret(t.Context(), "a", revision, []byte("wrong")); !errors.Is(err, tasks.ErrConflict) {
			t.Errorf("over revision %d: %v, want ErrConflict", revision, err)
		}
	}
	if _, err := s.PutSecret(t.Context(), "b", 1, []byte("wrong")); !errors.Is(err, tasks.ErrConflict) {
		t.Errorf("a new secret over a revision: %v, want ErrConflict", err)
	}
	s = reopen(t)
	want("a", 3, "third")
	want("b", 0, "")
}

func testConcurrent(t *testing.T, s tasks.Store, _ func(*testing.T) tasks.Store) {
	var wg sync.WaitGroup
	var taskStore, secrets atomic.Int32
	for range 8 {
		wg.Go(func() {
			for _, try := range []struct {
				won *atomic.Int32
				put func() (uint64, error)
			}{
				{&taskStore, func() (uint64, error) { return s.PutTask(t.Context(), dap.TaskID{1}, 0, []byte("x")) }},
				{&secrets, func() (uint64, error) { return s.PutSecret(t.Context(), "a", 0, []byte("x")) }},
			} {
				if _, err := try.put(); err == nil {
					try.won.Add(1)
				} else if !errors.Is(err, tasks.ErrConflict) {
					t.Errorf("%v, want ErrConflict", err)
				}
			}
		})
	}
	wg.Wait()
	if taskStore.Load() != 1 || secrets.Load() != 1 {
		t.Errorf("%d tasks and %d secrets of 8 were stored, want 1 and 1", taskStore.Load(), secrets.Load())
	}
}

// A reader that only asks for what is newer than the newest it has seen sees
// every task, while others are being stored.
func testFollow(t *testing.T, s tasks.Store, _ func(*testing.T) tasks.Store) {
	const writers, each = 4, 8
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := s.PutTask(t.Context(), dap.TaskID{byte(w), byte(i)}, 0, []byte(fmt.Sprint(w, i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	seen := make(map[dap.TaskID]bool)
	var newest uint64
	for over := false; ; {
		records, err := s.Tasks(t.Context(), newest)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if r.Revision <= newest {
				t.Fatalf("revision %d after %d", r.Revision, newest)
			}
			seen[r.Task], newest = true, r.Revision
		}
		if over {
			break
		}
		select {
		case <-done:
			over = true
		default:
		}
	}
	if len(seen) != writers*each {
		t.Errorf("%d of %d tasks were seen", len(seen), writers*each)
	}
}
