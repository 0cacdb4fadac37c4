package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/metric/task"
)

// accumulating is the one report of an epoch, which accumulates until it ends.
func accumulating(at time.Time, metric, record string) outbox.Contribution {
	c := contribution(at, metric, record)
	c.PerEpoch, c.Method, c.From, c.MaxDelay = 1, task.Aggregate, c.End, 12*time.Hour
	c.Reports[0].Crowd = []byte("all")
	return c
}

// set returns a function that makes a record of another.
func set(record string) func(outbox.Entry) (outbox.Report, error) {
	return func(outbox.Entry) (outbox.Report, error) {
		return outbox.Report{Record: []byte(record), Recorded: "recorded " + record, Encoded: "encoded"}, nil
	}
}

func amend(t *testing.T, b *outbox.Box, c outbox.Contribution, record string) bool {
	t.Helper()
	ok, err := b.Amend(c.Task, c.Epoch, c.Held, set(record))
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// What accumulates is sent after its epoch, once, with what was amended last.
func TestAccumulats(t *testing.T) {
	fsys := durable.Mem()
	b := open(t, "box", outbox.Options{FS: fsys})
	c := accumulating(epoch0.Add(time.Hour), "m", "zero")
	addAll(t, b, c)
	if vs, err := b.Add(c); err != nil || vs[0] != outbox.CapReached {
		t.Errorf("a second one: %v, %v", vs, err)
	}
	if !amend(t, b, c, "one") || !amend(t, b, c, "two") {
		t.Fatal("not amended")
	}
	other := c
	other.Epoch++
	if amend(t, b, other, "wrong epoch") {
		t.Error("the entry of another epoch was amended")
	}
	broken := errors.New("broken")
	if ok, err := b.Amend(c.Task, c.Epoch, false, func(outbox.Entry) (outbox.Report, error) { return outbox.Report{}, broken }); ok || !errors.Is(err, broken) {
		t.Errorf("%v, %v", ok, err)
	}
	_ = b.Close()
	b = open(t, "box", outbox.Options{FS: fsys})
	list, err := b.List()
	if err != nil || len(list) != 1 || string(list[0].Record) != "two" || list[0].Recorded != "recorded two" {
		t.Fatalf("%+v, %v", list, err)
	}
	if at := list[0].NotBefore; at.Before(c.End) || at.After(c.SendBy) {
		t.Errorf("to be sent at %v, the epoch ends at %v", at, c.End)
	}
	p := newPost()
	p.pump(t, b, epoch0.Add(2*time.Hour), epoch0.Add(3*day))
	if len(p.got) != 1 || !p.got["two"] || len(p.sent["two"]) != 1 {
		t.Errorf("delivered %v", p.got)
	}
	if amend(t, b, c, "late") {
		t.Error("what was sent is amended")
	}
}

// Threat: that a report of an epoch was made up for later, because the program did
// not run, shows in when it is sent. The time is drawn as if it had been there.
func TestMadeUpLater(t *testing.T) {
	for _, after := range []time.Duration{2 * time.Hour, 11 * time.Hour} { // of the delay's 12 hours
		var sent [2][]time.Time
		for i, late := range []bool{false, true} {
			fsys := durable.Mem()
			for k := range 40 {
				b := open(t, fmt.Sprint("box", k), outbox.Options{FS: fsys, Rand: rand.NewChaCha8([32]byte{byte(k)})})
				c := accumulating(epoch0.Add(time.Hour), "m", "zero")
				now := c.End.Add(after)
				if late {
					c.At = now
				}
				addAll(t, b, c)
				p := newPost()
				p.pump(t, b, now, now.Add(day))
				if len(p.times) != 1 {
					t.Fatalf("sent %d times", len(p.times))
				}
				for _, at := range p.times {
					sent[i] = append(sent[i], at)
				}
			}
		}
		if !slices.EqualFunc(sent[0], sent[1], time.Time.Equal) {
			t.Errorf("%v into the delay: sent at %v if made in time, at %v if made up", after, sent[0], sent[1])
		}
	}
}

// Concurrent amendments share a sync, and none is lost; one that fails does
// not affect the others.
func TestConcurrentAmendments(t *testing.T) {
	disk := crashfs.New(1)
	b := open(t, "box", outbox.Options{FS: disk})
	c := accumulating(epoch0, "m", "0")
	addAll(t, b, c)
	before := disk.Calls()
	broken := errors.New("broken")
	const workers, each = 8, 40
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for i := range each {
				fails := i%10 == 9
				ok, err := b.Amend(c.Task, c.Epoch, false, func(e outbox.Entry) (outbox.Report, error) {
					n := 0
					_, err := fmt.Sscan(string(e.Record), &n)
					if fails {
						err = broken
					}
					return outbox.Report{Record: fmt.Append(nil, n+1)}, err
				})
				if fails == ok || fails != errors.Is(err, broken) || !fails && err != nil {
					t.Errorf("%v, %v", ok, err)
				}
			}
		})
	}
	all.Wait()
	list, err := b.List()
	if want := fmt.Sprint(workers * each * 9 / 10); err != nil || len(list) != 1 || string(list[0].Record) != want {
		t.Errorf("%+v, %v, want %s", list, err, want)
	}
	t.Logf("%d calls to the disk for %d amendments", disk.Calls()-before, workers*each)
}

// Nothing changes what was sealed, also if it is to be sealed again.
func TestSealedIsNotAmended(t *testing.T) {
	b := open(t, "box", outbox.Options{FS: durable.Mem()})
	c := accumulating(epoch0, "m", "zero")
	addAll(t, b, c)
	p := newPost()
	p.fail = func(outbox.Entry) error { return errors.New("down") }
	due := func(at time.Time) {
		t.Helper()
		list, err := b.List()
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if at.IsZero() {
			at = list[0].NotBefore
		}
		if _, err := b.SendDue(t.Context(), at, p, p); err != nil {
			t.Fatal(err)
		}
	}
	due(time.Time{})
	if amend(t, b, c, "late") {
		t.Error("a sealed record is amended")
	}
	p.fail = func(outbox.Entry) error { return &outbox.Stale{Err: errors.New("old keys")} }
	due(time.Time{})
	if amend(t, b, c, "late") {
		t.Error("a record that was sealed once is amended")
	}
	p.fail = nil
	due(time.Time{})
	sent := p.sent["zero"]
	if len(sent) != 3 || string(sent[0]) != string(sent[1]) || string(sent[1]) == string(sent[2]) || !p.got["zero"] {
		t.Errorf("%d sends, as %x", len(sent), sent)
	}
}

// sealer is a function as a Sealer.
type sealer func(context.Context, outbox.Entry) ([]byte, error)

func (f sealer) Seal(ctx context.Context, e outbox.Entry) ([]byte, error) { return f(ctx, e) }

// What is amended while the sealer works is not lost: the older bytes are not
// sent.
func TestAmendedWhileSealed(t *testing.T) {
	b := open(t, "box", outbox.Options{FS: durable.Mem()})
	c := accumulating(epoch0, "m", "old")
	addAll(t, b, c)
	p := newPost()
	seals := 0
	slow := sealer(func(ctx context.Context, e outbox.Entry) ([]byte, error) {
		if seals++; seals == 1 && !amend(t, b, c, "new") {
			t.Error("not amended")
		}
		return p.Seal(ctx, e)
	})
	for range 2 {
		list, err := b.List()
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if _, err := b.SendDue(t.Context(), list[0].NotBefore, slow, p); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.sent) != 1 || !p.got["new"] || seals != 2 {
		t.Errorf("sent %q after %d seals", p.sent, seals)
	}
}

// A receiver that always asks for new keys gets two ciphertexts, no more; and one
// only of a record that does not keep.
func TestStaleKeys(t *testing.T) {
	for _, method := range []task.Method{task.Aggregate, task.Crowd} {
		fsys := durable.Mem()
		b := open(t, "box", outbox.Options{FS: fsys})
		c := contribution(epoch0, "m", "x")
		c.Method = method
		addAll(t, b, c)
		p := newPost()
		p.fail = func(outbox.Entry) error { return &outbox.Stale{Err: errors.New("old keys")} }
		for i := 0; ; i++ {
			list, err := b.List()
			if err != nil || i > 5 {
				t.Fatal(list, err)
			}
			if len(list) == 0 {
				break
			}
			if _, err := b.SendDue(t.Context(), list[0].NotBefore, p, p); err != nil {
				t.Fatal(err)
			}
			_ = b.Close() // what was sealed twice is remembered
			b = open(t, "box", outbox.Options{FS: fsys})
		}
		want := 1
		if method == task.Aggregate {
			want = 2
		}
		different := slices.CompactFunc(p.sent["x"], func(a, b []byte) bool { return string(a) == string(b) })
		if len(different) != want {
			t.Errorf("method %v: %d ciphertexts, want %d", method, len(different), want)
		}
		if st, err := b.Stats(); err != nil || st.Dropped[outbox.Outdated] != 1 {
			t.Errorf("%+v, %v", st, err)
		}
	}
}

func TestEnrolments(t *testing.T) {
	fsys := durable.Mem()
	b := open(t, "box", outbox.Options{FS: fsys})
	enrol := func(id byte, metric string, since time.Time) {
		t.Helper()
		e := outbox.Enrolment{Task: [32]byte{id}, TaskBytes: []byte{id}, Owner: "o", Metric: metric, Since: since}
		if err := b.Enrol(e); err != nil {
			t.Fatal(err)
		}
	}
	show := func() string {
		t.Helper()
		list, err := b.Enrolments()
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range list {
			out = append(out, fmt.Sprintf("%s %d %x %s", e.Metric, e.Task[0], e.TaskBytes, e.Since.Format("15:04")))
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	}
	enrol(1, "a", epoch0.Add(time.Hour))
	enrol(2, "b", epoch0.Add(2*time.Hour))
	enrol(1, "a", epoch0.Add(5*time.Hour))
	enrol(3, "a", epoch0.Add(6*time.Hour)) // signed again
	enrol(2, "b", epoch0)                  // the clock was wrong before
	const want = "a 3 03 01:00, b 2 02 00:00"
	if got := show(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if _, err := b.Drop(func(outbox.Entry) bool { return true }); err != nil { // rewrites nothing, or all
		t.Fatal(err)
	}
	addAll(t, b, contribution(epoch0, "m", "x"))
	if _, err := b.Drop(func(outbox.Entry) bool { return true }); err != nil {
		t.Fatal(err)
	}
	_ = b.Close()
	b = open(t, "box", outbox.Options{FS: fsys})
	if got := show(); got != want {
		t.Errorf("after a restart and a rewrite: %s", got)
	}
	if n, err := b.Leave(func(e outbox.Enrolment) bool { return e.Metric == "a" }); err != nil || n != 1 {
		t.Error(n, err)
	}
	_ = b.Close()
	b = open(t, "box", outbox.Options{FS: fsys})
	if got := show(); got != "b 2 02 00:00" {
		t.Errorf("after leaving: %s", got)
	}
}

// Invariant 1 for what accumulates: whatever call the power fails at, an amendment
// that was acknowledged is in what is sent, and one report is sent.
func TestAccumulatingCrashAtEveryCall(t *testing.T) {
	c := accumulating(epoch0, "m", "0")
	work := func(disk durable.FS, done *int, p *post) error {
		b, _, err := outbox.Open("box", outbox.Options{FS: disk, Clock: clock.NewVirtual(epoch0)})
		if err != nil {
			return err
		}
		defer b.Close()
		if err := b.Enrol(outbox.Enrolment{Task: c.Task, TaskBytes: c.TaskBytes, Owner: c.Owner, Metric: c.Metric, Since: epoch0}); err != nil {
			return err
		}
		if _, err := b.Add(c); err != nil {
			return err
		}
		for range 4 {
			next := 0
			ok, err := b.Amend(c.Task, c.Epoch, false, func(e outbox.Entry) (outbox.Report, error) {
				_, err := fmt.Sscan(string(e.Record), &next)
				next++
				return outbox.Report{Record: []byte(fmt.Sprint(next)), Recorded: e.Recorded}, err
			})
			if err != nil {
				return err
			}
			if ok {
				*done = max(*done, next)
			}
		}
		list, err := b.List()
		if err != nil || len(list) != 1 {
			return err
		}
		_, err = b.SendDue(t.Context(), list[0].NotBefore, p, p)
		return err
	}
	disk := crashfs.New(1)
	var done int
	if err := work(disk, &done, newPost()); err != nil || done != 4 {
		t.Fatal(done, err)
	}
	for n := 1; n <= disk.Calls(); n++ {
		for seed := range uint64(6) {
			disk, done, p := crashfs.New(seed), 0, newPost()
			disk.CrashAt(n)
			if err := work(disk, &done, p); !errors.Is(err, crashfs.ErrCrashed) && err != nil {
				t.Fatalf("call %d: %v", n, err)
			}
			before := done
			disk = disk.Restart()
			if err := work(disk, &done, p); err != nil {
				t.Fatalf("call %d, after the crash: %v", n, err)
			}
			if len(p.got) != 1 {
				t.Fatalf("call %d, seed %d: %d reports were sent", n, seed, len(p.got))
			}
			for record := range p.got {
				var got int
				if _, err := fmt.Sscan(record, &got); err != nil || got < before {
					t.Fatalf("call %d, seed %d: %s was sent, %d had been acknowledged", n, seed, record, before)
				}
			}
		}
	}
}
