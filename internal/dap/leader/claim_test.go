package leader_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	leadertest "github.com/shoal-project/shoal/internal/dap/leader/storetest"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
)

// second starts another process with the name of the first, on a disk of its own.
func (w *world) second(t *testing.T, disk durable.FS) (*leader.Leader, error) {
	t.Helper()
	first, fs := w.leader, w.fs
	defer func() { w.leader, w.fs = first, fs }()
	w.fs = disk
	err := w.start()
	return w.leader, err
}

// A name that is leased is not given to another disk, not even when the lease has
// lapsed, as long as the store expects logs that the other disk does not have.
func TestNameIsLeased(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	_, err := w.second(t, durable.Mem())
	held, ok := errors.AsType[*leader.HeldError](err)
	if !ok || !held.Until.Equal(begin().Add(5*time.Minute)) {
		t.Fatalf("a second process with the name: %v", err)
	}
	w.useHelper(t, false)
	q := w.unit(t, 1)
	for i := range 3 {
		w.upload(t, w.report(t, i, 0))
	}
	w.clock.Advance(time.Hour) // the first is asleep
	if _, err := w.second(t, durable.Mem()); err == nil || !strings.Contains(err.Error(), "log 1 of task "+w.task.ID().String()) || !strings.Contains(err.Error(), "drop-node leader") {
		t.Fatalf("a second process without the logs: %v", err)
	}
	// The first was not harmed.
	at := w.collect(t, q)
	w.clock.Advance(10 * time.Minute)
	w.tick(t)
	if got := w.result(t, at, q); !slices.Equal(got, ones(3)) {
		t.Fatalf("result %v", got)
	}
}

// A process whose name was taken acknowledges nothing and changes nothing.
func TestNameIsTaken(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	w.useHelper(t, false)
	old := w.leader
	q := w.unit(t, 1)
	w.clock.Advance(6 * time.Minute) // the lease lapses: the store could not be reached
	young, err := w.second(t, durable.Mem())
	must(t, err)
	for range 2 {
		rec := w.post(t, w.report(t, 0, 0))
		if rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
			t.Fatalf("upload at the process whose name was taken: %d", rec.Code)
		}
	}
	if rec := w.ask(t, dap.CollectionJobReq{Query: q}, dap.CollectionJobID{1}); rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("collection at the process whose name was taken: %d %s", rec.Code, rec.Body)
	}
	if err := old.Tick(t.Context()); !errors.Is(err, leader.ErrFenced) {
		t.Errorf("work of the process whose name was taken: %v", err)
	}
	if len(w.seen.errs) != 1 || !errors.Is(w.seen.errs[0], leader.ErrFenced) {
		t.Errorf("logged: %v", w.seen.errs)
	}
	st, err := old.Status(t.Context())
	must(t, err)
	if !errors.Is(st.Node.Err, leader.ErrFenced) || st.Node.Name != "leader" {
		t.Errorf("status %+v", st.Node)
	}
	w.leader = young
	for i := range 3 {
		w.upload(t, w.report(t, i, 0))
	}
	at := w.collect(t, q)
	w.clock.Advance(precision + 10*time.Minute)
	w.tick(t)
	if got := w.result(t, at, q); !slices.Equal(got, ones(3)) {
		t.Fatalf("result %v", got)
	}
	must(t, old.Close())
	if st, err = young.Status(t.Context()); err != nil || st.Node.Err != nil {
		t.Errorf("the new process after the old one has closed: %+v, %v", st.Node, err)
	}
}

// A process that is closed gives its name up at once.
func TestNameIsGivenUp(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	must(t, w.leader.Close())
	other, err := w.second(t, durable.Mem())
	must(t, err)
	w.leader = other
}

// While the store cannot be reached, uploads go on until the lease has lapsed by
// the process's own clock, and go on again when it was renewed.
func TestLeaseLapses(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	store := &unreachable{Store: w.store}
	w.store = store
	w.restart(t)
	w.upload(t, w.report(t, 0, 0))
	store.away = errors.New("connection refused")
	w.clock.Advance(4 * time.Minute)
	w.upload(t, w.report(t, 1, 0))
	w.clock.Advance(time.Minute)
	for range 2 {
		if rec := w.post(t, w.report(t, 2, 0)); rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
			t.Fatalf("upload after the lease has lapsed: %d", rec.Code)
		}
	}
	if store.renewals != 1 {
		t.Errorf("two uploads tried %d renewals within a second, want 1", store.renewals)
	}
	st, _ := w.leader.Status(t.Context())
	if st.Node.Err == nil || st.Node.Until.After(w.clock.Now()) {
		t.Errorf("status %+v", st.Node)
	}
	store.away = nil
	w.clock.Advance(time.Second)
	w.upload(t, w.report(t, 2, 0))
	if st, err := w.leader.Status(t.Context()); err != nil || st.Node.Err != nil || !st.Node.Until.After(w.clock.Now()) {
		t.Errorf("status %+v, %v", st.Node, err)
	}
}

// unreachable is a store that answers claims with an error.
type unreachable struct {
	leader.Store
	away     error
	renewals int
}

func (u *unreachable) As(c leader.Claim) leader.Store { return &unreachableAs{u.Store.As(c), u} }

type unreachableAs struct {
	leader.Store
	of *unreachable
}

func (u *unreachableAs) Renew(ctx context.Context, c leader.Claim) error {
	if u.of.away != nil {
		u.of.renewals++
		return u.of.away
	}
	return u.Store.Renew(ctx, c)
}

// A log that the store knows and whose folder is gone is an error at start,
// whatever its state.
func TestFolderIsMissing(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, *world){
		"open": func(*testing.T, *world) {},
		"sealed": func(t *testing.T, w *world) {
			must(t, w.registry.Disable(t.Context(), w.task.ID()))
			w.clock.Advance(time.Minute)
			_ = w.leader.Tick(t.Context())
		},
		"cut": func(t *testing.T, w *world) {
			w.helper.refuse = func(*http.Request) *http.Response { return respond(503, "", nil) }
			w.clock.Advance(time.Minute)
			_ = w.leader.Tick(t.Context())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, dap.DAP18(), nil, nil)
			w.upload(t, w.report(t, 0, 0), w.report(t, 1, 0))
			prepare(t, w)
			w.leader.Close()
			w.fs = durable.Mem()
			err := w.start()
			if err == nil {
				t.Fatal("a leader starts without the folder of its log")
			}
			for _, want := range []string{"log 1 of task " + w.task.ID().String(), "is " + name, "restore the folder", "shoal leader drop-node leader"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not say %q", err, want)
				}
			}
		})
	}
}

// A crash anywhere around the beginning of a log leaves a leader that starts, and
// collections that do not wait for a log that no node has.
func TestCrashWhileLogBegins(t *testing.T) {
	crashes := 0
	for n := 1; n < 60; n++ {
		for _, kind := range []string{"disk", "before the store", "after the store"} {
			w := newWorld(t, dap.DAP18(), nil, nil)
			w.useHelper(t, false)
			w.leader.Close()
			disk, model := crashfs.New(uint64(n)), leadertest.NewModel()
			w.fs, w.store = disk, model
			must(t, w.start())
			if kind == "disk" {
				disk.CrashAt(n)
			} else {
				model.CrashAt(n, kind == "after the store")
			}
			rec := w.post(t, w.report(t, 0, 0))
			if !disk.Crashed() && !model.Crashed() {
				continue
			}
			crashes++
			if rec.Code == 200 && kind != "disk" {
				t.Fatalf("%s %d: acknowledged by a store that has crashed", kind, n)
			}
			w.leader.Close()
			w.fs, w.store = disk.Restart(), model.Restart()
			if err := w.start(); err != nil {
				t.Fatalf("%s %d: %v", kind, n, err)
			}
			q := w.unit(t, 1)
			for i := range 3 {
				w.upload(t, w.report(t, i+1, 0))
			}
			at := w.collect(t, q)
			w.clock.Advance(precision + 10*time.Minute)
			w.tick(t)
			if got := w.result(t, at, q); got == nil {
				t.Fatalf("%s %d: no result", kind, n)
			}
		}
	}
	if crashes < 5 {
		t.Errorf("%d crashes", crashes)
	}
}

// A log that the store has begun although it answered with an error is found
// again by the process that goes on: nothing waits for it.
func TestLogBegunInDoubt(t *testing.T) {
	w := newWorld(t, dap.DAP18(), nil, nil)
	w.useHelper(t, false)
	w.store = &doubtful{Store: w.store}
	w.restart(t)
	q := w.unit(t, 1)
	first := w.report(t, 0, 0)
	if rec := w.post(t, first); rec.Code != 500 {
		t.Fatalf("upload while the store fails: %d", rec.Code)
	}
	w.upload(t, first, w.report(t, 1, 0), w.report(t, 2, 0))
	if logs, err := w.store.Logs(t.Context(), "leader"); err != nil || len(logs) != 1 {
		t.Fatalf("logs %v, %v", logs, err)
	}
	at := w.collect(t, q)
	w.clock.Advance(precision + 10*time.Minute)
	w.tick(t)
	if got := w.result(t, at, q); !slices.Equal(got, ones(3)) {
		t.Fatalf("result %v", got)
	}
}

// doubtful is a store whose first BeginLog takes effect and fails.
type doubtful struct {
	leader.Store
	failed bool
}

func (d *doubtful) As(c leader.Claim) leader.Store { return &doubtful{Store: d.Store.As(c)} }

func (d *doubtful) BeginLog(ctx context.Context, task dap.TaskID, node string) (leader.Log, error) {
	log, err := d.Store.BeginLog(ctx, task, node)
	if !d.failed && err == nil {
		d.failed = true
		return leader.Log{}, errLost
	}
	return log, err
}
