package shoal_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/metric/kind"
	"github.com/shoal-project/shoal/metric/task"
)

// life uses the app on a disk that may crash: three values in the first epoch,
// with a restart between, then two epochs of sending. It returns the values that
// were acknowledged; stage is where it goes on after a crash.
func life(ctx context.Context, a *aggregators, o shoal.Options, stage *int, said, tried *int64) error {
	for ; *stage < 4; *stage++ {
		now := []time.Time{midnight.Add(time.Hour), midnight.Add(20 * time.Hour), midnight.Add(day), midnight.Add(2 * day)}[*stage]
		a.clock.Forward(now)
		c, err := shoal.Open(ctx, o)
		if err != nil {
			return err
		}
		for range []int{2, 1, 0, 0}[*stage] {
			*tried++
			out := c.Add("m", 1)
			if !out.Queued() {
				return errors.Join(out.Err, c.Close())
			}
			*said++
		}
		for end := now.Add(43200 * time.Second); *stage >= 2; {
			pass, err := c.SendDue(ctx)
			if err != nil {
				return errors.Join(err, c.Close())
			}
			if pass.Next.IsZero() || pass.Next.After(end) {
				break
			}
			a.clock.Forward(pass.Next)
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Invariants 1 and 2 on the device: whatever call to the disk fails, there is one
// report for each epoch, it has one ciphertext, and it holds all that was
// acknowledged.
func TestOneReportWhateverCrashes(t *testing.T) {
	run := func(crash int, seed uint64) int {
		a := newAggregators(t)
		tk := a.ask("m", task.Aggregation{Kind: kind.Sum{Max: 100}})
		disk := crashfs.New(seed)
		if crash > 0 {
			disk.CrashAt(crash)
		}
		var said, tried int64
		stage := 0
		var calls int
		for i := 0; ; i++ {
			err := life(t.Context(), a, shoal.WithFS(a.options(tk), disk), &stage, &said, &tried)
			if err == nil {
				calls = disk.Calls()
				break
			}
			if !errors.Is(err, crashfs.ErrCrashed) || i > 1 {
				t.Fatalf("call %d, seed %d: %v", crash, seed, err)
			}
			disk = disk.Restart()
		}
		for e := range task.Epoch(2) {
			if n := a.reports(tk, epoch0+e); n != 1 {
				t.Fatalf("call %d, seed %d: %d reports for epoch %d", crash, seed, n, e)
			}
		}
		var sum int64
		if _, err := fmt.Sscanf(a.result(tk, epoch0), "sum %d", &sum); err != nil || sum < said || sum > tried {
			t.Fatalf("call %d, seed %d: %s, of %d acknowledged and %d tried", crash, seed, a.result(tk, epoch0), said, tried)
		}
		if n := len(a.know(tk).bodies); n != 2 {
			t.Fatalf("call %d, seed %d: %d ciphertexts for two epochs", crash, seed, n)
		}
		a.server.Close()
		return calls
	}
	calls := run(0, 1)
	if calls < 40 {
		t.Fatalf("only %d calls to the disk", calls)
	}
	for n := 1; n <= calls; n++ {
		run(n, uint64(n))
	}
}

// Whatever the person decides, wherever the clock jumps and whenever keys change,
// an epoch has one report at most, one ciphertext (two, if keys changed), and
// nothing in it that was recorded in another mode than On.
func TestOneReportWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := newAggregators(t)
		defer a.server.Close()
		tk := a.ask("m", task.Aggregation{Kind: kind.Sum{Max: 1000}})
		fsys := durable.Mem()
		o := shoal.WithFS(a.options(tk), fsys)
		mode := shoal.On
		said := map[task.Epoch]int64{}
		c := sdktest.Open(t, o)
		rotations := 1
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			before := a.posts
			switch rapid.SampledFrom([]string{"say", "say", "advance", "advance", "send", "restart", "mode", "back", "rotate"}).Draw(rt, "step") {
			case "say":
				out := c.Add("m", 1)
				if out.Queued() && mode == shoal.On {
					said[tk.EpochAt(a.clock.Now())]++
				}
			case "advance":
				a.clock.Advance(time.Duration(rapid.IntRange(1, 40*60).Draw(rt, "minutes")) * time.Minute)
			case "back":
				a.clock.Set(a.clock.Now().Add(-time.Duration(rapid.IntRange(1, 72).Draw(rt, "hours")) * time.Hour))
			case "rotate":
				rotations++
				a.rotate(dap.HpkeConfigID(rotations))
			case "send":
				for range 3 {
					pass, err := c.SendDue(t.Context())
					if err != nil {
						rt.Fatal(err)
					}
					if !pass.Next.IsZero() && rapid.Bool().Draw(rt, "wait") {
						a.clock.Forward(pass.Next)
					}
				}
			case "restart":
				if err := c.Close(); err != nil {
					rt.Fatal(err)
				}
				o.Mode = mode
				c = sdktest.Open(t, o)
			case "mode":
				mode = rapid.SampledFrom([]shoal.Mode{shoal.Off, shoal.Local, shoal.On}).Draw(rt, "mode")
				if err := c.SetMode(mode); err != nil {
					rt.Fatal(err)
				}
			}
			if mode != shoal.On && a.posts != before {
				rt.Fatalf("something was sent in mode %v", mode)
			}
		}
		for _, e := range a.epochs(tk) {
			n := a.reports(tk, task.Epoch(e))
			var sum int64
			if _, err := fmt.Sscanf(a.result(tk, task.Epoch(e)), "sum %d", &sum); err != nil || n != 1 || sum > said[task.Epoch(e)] {
				rt.Fatalf("epoch %d: %d reports with %s, said were %d", int(e)-int(epoch0), n, a.result(tk, task.Epoch(e)), said[task.Epoch(e)])
			}
		}
		ciphertexts := map[string]int{} // by report ID
		for body := range a.know(tk).bodies {
			if ciphertexts[body[:16]]++; ciphertexts[body[:16]] > min(rotations, 2) {
				rt.Fatalf("a report has %d ciphertexts after %d rotations of keys", ciphertexts[body[:16]], rotations-1)
			}
		}
		_ = c.Close()
	})
}

// As long as the program runs in the last hour of each window, every epoch of the
// task's life from the enrolment on has exactly one report, and no other has.
func TestEveryEpochHasItsReport(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 1))
		a := newAggregators(t)
		tk := a.ask("m", task.Aggregation{Kind: kind.Sum{Max: 1000}})
		fsys := durable.Mem()
		o := shoal.WithFS(a.options(tk), fsys)
		a.clock.Set(midnight.Add(time.Duration(r.IntN(24*60)) * time.Minute))
		enrolled := tk.EpochAt(a.clock.Now())
		said := map[task.Epoch]int64{}
		for a.clock.Now().Before(midnight.Add(13 * day)) {
			c, err := shoal.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			awake := a.clock.Now().Add(time.Duration(r.IntN(6*60)) * time.Minute)
			if end := windowEnd(a.clock.Now()); end.Sub(a.clock.Now()) <= lastHour && awake.Before(end) {
				awake = end.Add(time.Second)
			}
			for {
				if now := a.clock.Now(); r.IntN(2) == 0 && c.Add("m", 1).Queued() {
					said[tk.EpochAt(now)]++
				}
				pass, err := c.SendDue(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if pass.Next.IsZero() || pass.Next.After(awake) {
					break
				}
				a.clock.Forward(pass.Next)
			}
			a.clock.Forward(awake)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			wake := a.clock.Now().Add(time.Duration(r.IntN(8*60)) * time.Minute)
			if end := windowEnd(a.clock.Now()); end.Sub(wake) < lastHour {
				wake = end.Add(-lastHour)
			}
			a.clock.Forward(wake)
		}
		last := tk.EpochAt(time.Unix(tk.Expires, 0)) - 1
		missing := 0
		for e := enrolled - 2; e <= last+2; e++ {
			n := a.reports(tk, e)
			in := e >= enrolled && e <= last
			if n > 1 || n == 1 && !in {
				t.Errorf("seed %d: %d reports for epoch %d", seed, n, e-enrolled)
			}
			if in && n == 0 {
				missing++
			}
			if n == 1 {
				var sum int64
				if _, err := fmt.Sscanf(a.result(tk, e), "sum %d", &sum); err != nil || sum != said[e] {
					t.Errorf("seed %d, epoch %d: %s, said were %d", seed, e-enrolled, a.result(tk, e), said[e])
				}
			}
		}
		if missing > 0 {
			t.Errorf("seed %d: %d of %d epochs have no report", seed, missing, last-enrolled+1)
		}
		a.clock.Forward(midnight.Add(14 * day))
		c, err := shoal.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if list, err := c.Pending(); err != nil || len(list) != 0 {
			t.Errorf("after the task: %v, %v", list, err)
		}
		_ = c.Close()
		a.server.Close()
	}
}

// lastHour is how long before a window's end the program must run: what is
// overdue is spread over an hour.
const lastHour = time.Hour + time.Minute

// windowEnd returns when the next send window ends: half a day after midnight.
func windowEnd(now time.Time) time.Time {
	end := now.Truncate(day).Add(43200 * time.Second)
	if end.Before(now) {
		end = end.Add(day)
	}
	return end
}

// A clock that was ahead when the person agreed keeps nothing from being recorded.
func TestEnrolledWithAClockAhead(t *testing.T) {
	a := newAggregators(t)
	tk := a.ask("m", task.Aggregation{Kind: kind.Count{Max: 1}})
	a.clock.Set(midnight.Add(3*day + time.Hour))
	c := sdktest.Open(t, a.options(tk))
	a.clock.Set(midnight.Add(time.Hour))
	sdktest.Drain(t, c, a.clock, midnight.Add(2*day-time.Hour))
	if got := a.result(tk, epoch0); got != "count 0" {
		t.Errorf("the epoch under way: %s", got)
	}
}

// What consent means for what is accumulated.
func TestModesOfAggregates(t *testing.T) {
	a := newAggregators(t)
	tk := a.ask("m", task.Aggregation{Kind: kind.Sum{Max: 1000}})
	fsys := durable.Mem()
	c := sdktest.Open(t, shoal.WithFS(a.options(tk), fsys))
	pending := func() string {
		t.Helper()
		list, err := c.Pending()
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range list {
			out = append(out, fmt.Sprint(int(e.Epoch)-int(epoch0), " ", e.Stage, " ", e.Recorded))
		}
		return strings.Join(out, ", ")
	}
	mode := func(m shoal.Mode) {
		t.Helper()
		if err := c.SetMode(m); err != nil {
			t.Fatal(err)
		}
	}
	want := func(when, want string) {
		t.Helper()
		if got := pending(); got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
	}
	want("enrolled", "0 waiting nothing so far: counts as 0")
	c.Add("m", 4)
	want("said", "0 waiting 4")
	mode(shoal.Local)
	c.Add("m", 5)
	want("local", "0 held 9")
	mode(shoal.On)
	want("on again: this epoch's report stays held", "0 held 9")
	if got := c.Add("m", 1); got.Status != shoal.CapReached {
		t.Errorf("in an epoch whose report is held: %v", got)
	}
	a.clock.Forward(midnight.Add(day + time.Hour))
	if _, err := c.SendDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Add("m", 2)
	want("the next epoch", "0 held 9, 1 waiting 2")
	mode(shoal.Off)
	want("off", "")
	if got := c.Add("m", 2); got.Status != shoal.TurnedOff {
		t.Errorf("%v", got)
	}
	a.clock.Forward(midnight.Add(2*day + time.Hour))
	mode(shoal.On)
	want("on, two epochs later", "2 waiting nothing so far: counts as 0")
	sdktest.Drain(t, c, a.clock, midnight.Add(4*day))
	if got := fmt.Sprint(a.epochs(tk)); got != fmt.Sprintf("[%d]", epoch0+2) {
		t.Errorf("reports of epochs %s", got)
	}
}

// An agent sends for a program that has ended, also when the program is not run
// again.
func TestAgentServesEnrolments(t *testing.T) {
	a := newAggregators(t)
	tk := a.ask("m", task.Aggregation{Kind: kind.Sum{Max: 1000}})
	o := a.options(tk)
	o.Dir = t.TempDir()
	c := sdktest.Open(t, o)
	c.Add("m", 4)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	passes := make(chan shoal.Pass)
	ended := make(chan error, 1)
	go func() {
		ended <- shoal.Agent(ctx, shoal.AgentOptions{Dir: o.Dir, Clock: a.clock, Report: func(p shoal.Pass, err error) {
			if err != nil {
				t.Error(err)
			}
			select {
			case passes <- p:
			case <-ctx.Done():
			}
		}})
	}()
	for a.clock.Now().Before(midnight.Add(3*day + 13*time.Hour)) {
		p := <-passes
		next := a.clock.Now().Add(time.Hour)
		if !p.Next.IsZero() && p.Next.Before(next) {
			next = p.Next
		}
		a.clock.Forward(next)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	for e, want := range []string{"sum 4", "sum 0", "sum 0"} {
		if got := a.result(tk, epoch0+task.Epoch(e)); got != want {
			t.Errorf("epoch %d: %s, want %s", e, got, want)
		}
	}
}

// A task that is signed again goes on with the same epochs: no second report, no
// gap except the epoch under way.
func TestTaskSignedAgain(t *testing.T) {
	a := newAggregators(t)
	old := a.ask("m", task.Aggregation{Kind: kind.Sum{Max: 1000}})
	fsys := durable.Mem()
	c := sdktest.Open(t, shoal.WithFS(a.options(old), fsys))
	c.Add("m", 4)
	_ = c.Close()
	renewed := a.ask("m", task.Aggregation{Kind: kind.Sum{Max: 2000}})
	c = sdktest.Open(t, shoal.WithFS(a.options(renewed), fsys))
	if got := c.Add("m", 1); got.Status != shoal.CapReached {
		t.Errorf("the epoch has a report of the old task: %v", got)
	}
	sdktest.Drain(t, c, a.clock, midnight.Add(2*day+13*time.Hour))
	if got := a.result(old, epoch0); got != "sum 4" {
		t.Errorf("old task: %s", got)
	}
	if got := fmt.Sprint(a.epochs(old), a.epochs(renewed)); got != fmt.Sprintf("[%d] [%d]", epoch0, epoch0+1) {
		t.Errorf("epochs %s", got)
	}
}

// What an app no longer asks for ends with the version that asked for it; a program
// that shares an outbox with others ends nothing of theirs.
func TestMetricThatIsGone(t *testing.T) {
	for _, alone := range []bool{true, false} {
		a := newAggregators(t)
		first, second := a.ask("first", task.Aggregation{Kind: kind.Count{Max: 1}}), a.ask("second", task.Aggregation{Kind: kind.Count{Max: 1}})
		fsys := durable.Mem()
		c := sdktest.Open(t, shoal.WithFS(a.options(first, second), fsys))
		_ = c.Close()
		a.clock.Forward(midnight.Add(day + time.Hour))
		o := shoal.WithFS(a.options(second), fsys)
		if o.NoSender = !alone; alone {
			o.Transport = nobody{} // the background sender gets nowhere
		}
		_ = sdktest.Open(t, o).Close()
		o.NoSender, o.Transport = true, nil
		c = sdktest.Open(t, o)
		sdktest.Drain(t, c, a.clock, midnight.Add(3*day))
		want := fmt.Sprintf("[%d %d]", epoch0, epoch0+1)
		if alone {
			want = fmt.Sprintf("[%d]", epoch0) // what had begun is sent
		}
		if got := fmt.Sprint(a.epochs(first)); got != want {
			t.Errorf("alone %v: reports of the metric that is gone: %s, want %s", alone, got, want)
		}
		if got := fmt.Sprint(a.epochs(second)); got != fmt.Sprintf("[%d %d]", epoch0, epoch0+1) {
			t.Errorf("alone %v: reports of the other: %s", alone, got)
		}
	}
}

// A full disk, or a full outbox, is no reason to go without telemetry, and is made
// up for when there is room again.
func TestNoRoomToTakePart(t *testing.T) {
	a := newAggregators(t)
	tk := a.ask("m", task.Aggregation{Kind: kind.Sum{Max: 10}})
	disk := crashfs.New(1)
	o := shoal.WithFS(a.options(tk), disk)
	o.Mode = shoal.Local
	_ = sdktest.Open(t, o).Close() // makes the outbox
	o.Mode = shoal.On
	disk.FailWith(func(op, _ string) error {
		if op == "write" {
			return syscall.ENOSPC
		}
		return nil
	})
	c := sdktest.Open(t, o)
	if got := c.Add("m", 1); got.Status != shoal.Full {
		t.Errorf("on a full disk: %v", got)
	}
	disk.FailWith(nil)
	if got := c.Add("m", 2); !got.Queued() {
		t.Errorf("with room again: %v", got)
	}
	_ = c.Close()
	c = sdktest.Open(t, o)
	sdktest.Drain(t, c, a.clock, midnight.Add(day+43200*time.Second))
	if got := a.result(tk, epoch0); got != "sum 2" {
		t.Errorf("result %s", got)
	}

	other := a.ask("other", task.Aggregation{Kind: kind.Sum{Max: 10}})
	a.clock.Set(midnight.Add(5 * day))
	small := a.options(tk, other)
	small.MaxEntries = 1
	c = sdktest.Open(t, small)
	list, err := c.Pending()
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	sdktest.Drain(t, c, a.clock, midnight.Add(6*day+43200*time.Second))
	if a.reports(tk, epoch0+5)+a.reports(other, epoch0+5) < 1 {
		t.Error("nothing was sent")
	}
}

// nobody answers no request.
type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("nobody") }

// Values that are recorded while reports are sealed and sent are counted once, or
// refused: none is lost in between.
func TestSayingWhileSending(t *testing.T) {
	a := newAggregators(t)
	tk := a.ask("m", task.Aggregation{Kind: kind.Sum{Max: 1 << 20}})
	c := sdktest.Open(t, shoal.WithFS(a.options(tk), durable.Mem()))
	stop := make(chan struct{})
	var said, refused atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch o := c.Add("m", 1); o.Status {
				case shoal.Queued:
					said.Add(1)
				case shoal.CapReached:
					refused.Add(1)
				default:
					t.Errorf("%v", o)
					return
				}
			}
		})
	}
	for a.clock.Now().Before(midnight.Add(4 * day)) {
		pass, err := c.SendDue(t.Context())
		if err != nil {
			t.Error(err)
			break
		}
		next := a.clock.Now().Add(time.Hour)
		if !pass.Next.IsZero() && pass.Next.Before(next) {
			next = pass.Next
		}
		a.clock.Forward(next)
	}
	close(stop)
	all.Wait()
	sdktest.Drain(t, c, a.clock, midnight.Add(6*day))
	var sum int64
	for _, e := range a.epochs(tk) {
		var one int64
		if _, err := fmt.Sscanf(a.result(tk, task.Epoch(e)), "sum %d", &one); err != nil || a.reports(tk, task.Epoch(e)) != 1 {
			t.Errorf("epoch %d: %d reports, %s", e, a.reports(tk, task.Epoch(e)), a.result(tk, task.Epoch(e)))
		}
		sum += one
	}
	if sum != said.Load() || sum == 0 {
		t.Errorf("the sum of all reports is %d, acknowledged were %d (%d came too late)", sum, said.Load(), refused.Load())
	}
}
