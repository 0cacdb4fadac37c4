package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/internal/outbox"
)

// A life is what a sequence of processes on one disk has promised and done.
type life struct {
	post     *post
	accepted map[string]bool // Add returned Accepted
	dropped  map[string]bool // Drop was called
}

// work opens the outbox on disk and uses it until the disk crashes: it adds
// reports (those of an earlier life again), sends, fails to send, drops and
// lets an epoch pass.
func (l *life) work(ctx context.Context, disk durable.FS) error {
	c := clock.NewVirtual(epoch0)
	b, rec, err := outbox.Open("home/app/outbox", outbox.Options{FS: disk, Clock: c, Late: 100 * day})
	if err != nil {
		return err
	}
	if rec.Damaged != nil || rec.Dropped != 0 {
		return fmt.Errorf("a crash was taken for damage: %+v", rec)
	}
	defer b.Close()
	for i := range 3 {
		metric := fmt.Sprint("m", i%2)
		con := contribution(epoch0, metric, fmt.Sprint("a", i), fmt.Sprint("b", i))
		for j := range con.Reports {
			con.Reports[j].Crowd = []byte{byte(j)} // cap: one report a crowd
		}
		vs, err := b.Add(con)
		if err != nil {
			return err
		}
		for j, v := range vs {
			if v == outbox.Accepted {
				l.accepted[string(con.Reports[j].Record)] = true
			}
		}
		l.post.fail = nil
		if i == 0 {
			l.post.fail = func(outbox.Entry) error { return errors.New("down") }
		}
		if _, err := b.SendDue(ctx, epoch0.Add(3*time.Hour), l.post, l.post); err != nil {
			return err
		}
	}
	con := contribution(epoch0, "dropped", "x")
	if _, err := b.Add(con); err != nil {
		return err
	}
	if _, err := b.Drop(func(e outbox.Entry) bool { return e.Metric == "dropped" }); err != nil {
		return err
	}
	l.dropped["x"] = len(l.post.sent["x"]) == 0
	// The next epoch: what was counted in this one is forgotten.
	tomorrow := contribution(epoch0.Add(day), "m0", "tomorrow")
	vs, err := b.Add(tomorrow)
	if err != nil {
		return err
	}
	if vs[0] == outbox.Accepted {
		l.accepted["tomorrow"] = true
	}
	l.post.fail = nil
	_, err = b.SendDue(ctx, epoch0.Add(day+12*time.Hour), l.post, l.post)
	return err
}

func newLife() *life {
	return &life{post: newPost(), accepted: map[string]bool{}, dropped: map[string]bool{}}
}

// verify checks what must hold after a life that ended well.
func (l *life) verify(t *testing.T) {
	t.Helper()
	for r := range l.accepted {
		if !l.post.got[r] {
			t.Errorf("%s was accepted and never delivered", r)
		}
	}
	crowds := map[string]int{}
	for r, attempts := range l.post.sent {
		for _, a := range attempts {
			if !bytes.Equal(a, attempts[0]) {
				t.Errorf("%s was sent as two ciphertexts", r)
			}
		}
		var i int
		if n, _ := fmt.Sscanf(r[1:], "%d", &i); n == 1 {
			crowds[fmt.Sprintf("m%d %c", i%2, r[0])]++
		}
		if l.dropped[r] {
			t.Errorf("%s was dropped and yet sent", r)
		}
	}
	for c, n := range crowds {
		if n > 1 {
			t.Errorf("crowd %s: %d reports were sent, the cap is 1", c, n)
		}
	}
}

// Architecture, invariant 1, for the outbox: power fails at every call, and
// again at some call of the life after.
func TestCrashAtEveryCall(t *testing.T) {
	disk := crashfs.New(1)
	l := newLife()
	if err := l.work(t.Context(), disk); err != nil {
		t.Fatal(err)
	}
	l.verify(t)
	calls := disk.Calls()
	if calls < 30 || len(l.accepted) != 5 {
		t.Fatalf("%d calls, accepted %v", calls, l.accepted)
	}
	for n := 1; n <= calls; n++ {
		for seed := range uint64(12) {
			l := newLife()
			disk := crashfs.New(seed)
			disk.CrashAt(n)
			if err := l.work(t.Context(), disk); !errors.Is(err, crashfs.ErrCrashed) && err != nil {
				t.Fatalf("call %d, seed %d: %v", n, seed, err)
			}
			disk = disk.Restart()
			disk.CrashAt(1 + int(seed*7)%calls)
			if err := l.work(t.Context(), disk); !errors.Is(err, crashfs.ErrCrashed) && err != nil {
				t.Fatalf("call %d, seed %d, second life: %v", n, seed, err)
			}
			if err := l.work(t.Context(), disk.Restart()); err != nil {
				t.Fatalf("call %d, seed %d, third life: %v", n, seed, err)
			}
			l.verify(t)
			if t.Failed() {
				t.Fatalf("crash at call %d, seed %d", n, seed)
			}
		}
	}
}

// A full disk refuses reports, loses none, and heals by itself.
func TestDiskFull(t *testing.T) {
	disk := crashfs.New(3)
	b := open(t, "box", outbox.Options{FS: disk})
	addAll(t, b, contribution(epoch0, "m", "before"))
	for _, op := range []string{"write", "sync", "truncate", "create"} {
		disk.FailWith(func(o, _ string) error {
			if o == op || o == "write" {
				return syscall.ENOSPC
			}
			return nil
		})
		vs, err := b.Add(contribution(epoch0, "m", "during"))
		if !durable.IsFull(err) || vs[0] != outbox.Failed {
			t.Fatalf("%s fails: Add = %v, %v", op, vs, err)
		}
	}
	disk.FailWith(nil)
	addAll(t, b, contribution(epoch0, "m", "after"))
	_ = b.Close()
	b = open(t, "box", outbox.Options{FS: disk.Restart()})
	p := newPost()
	p.pump(t, b, epoch0, epoch0.Add(day))
	if len(p.got) != 2 || !p.got["before"] || !p.got["after"] {
		t.Errorf("delivered %v", p.got)
	}
}

// A sync that fails proves nothing about what a later one writes: what is
// acknowledged after it must be durable all the same.
func TestFailedSync(t *testing.T) {
	for seed := range uint64(50) {
		disk := crashfs.New(seed)
		b := open(t, "box", outbox.Options{FS: disk})
		addAll(t, b, contribution(epoch0, "m", "before"))
		failures := 1 + seed%3
		disk.FailWith(func(op, _ string) error {
			if op == "sync" && failures > 0 {
				failures--
				return syscall.EIO
			}
			return nil
		})
		for failures > 0 {
			if vs, err := b.Add(contribution(epoch0, "m", "during")); err == nil {
				t.Fatalf("Add = %v while the disk fails", vs)
			}
		}
		addAll(t, b, contribution(epoch0, "m", "after"))
		_ = b.Close()
		b = open(t, "box", outbox.Options{FS: disk.Restart()})
		p := newPost()
		p.pump(t, b, epoch0, epoch0.Add(day))
		if !p.got["before"] || !p.got["after"] {
			t.Fatalf("seed %d: delivered %v", seed, p.got)
		}
	}
}
