package leader_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	leadertest "github.com/shoal-project/shoal/internal/dap/leader/storetest"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/internal/segment"
)

// The reports of all tasks are in one log, and are counted each in its own task.
// Nothing of them is left.
func TestTasksShareALog(t *testing.T) {
	const tasks = 20
	f := newFamily(t, tasks, nil)
	q := f[0].unit(t, 1)
	for round := range 3 {
		for i, w := range f {
			w.upload(t, w.report(t, (i+round)%buckets, 0))
		}
	}
	if n := f.folders(t, "leader/shared"); n != 1 {
		t.Errorf("%d shared logs", n)
	}
	st, err := f[0].leader.Status(t.Context())
	must(t, err)
	for _, s := range st.Tasks {
		if s.Waiting != 3 || s.Stored == 0 {
			t.Errorf("task %v: %+v", s.Task, s)
		}
	}
	for i, got := range f.collectAll(t, q) {
		want := make([]uint64, buckets)
		for round := range 3 {
			want[(i+round)%buckets]++
		}
		if !slices.Equal(got, want) {
			t.Errorf("task %d: %v", i, got)
		}
	}
	f[0].clock.Advance(time.Hour)
	must(t, f[0].leader.Tick(t.Context()))
	for _, w := range f {
		if n := f.folders(t, fmt.Sprintf("leader/%x", [32]byte(w.task.ID()))); n > 0 {
			t.Errorf("%d logs are left of task %v", n, w.task.ID())
		}
	}
	if n := f.folders(t, "leader/shared"); n > 0 {
		t.Errorf("%d shared logs are left", n)
	}
	if st, err = f[0].leader.Status(t.Context()); err != nil || st.Tasks[0].Stored != 0 || st.Tasks[0].Waiting != 0 {
		t.Errorf("status %+v, error %v", st.Tasks[0], err)
	}
}

// A crash at each call to the disk, and before and after each change of the store,
// loses no report of any task and counts none twice.
func TestCrashWithTasks(t *testing.T) {
	const tasks, each = 3, 3
	run := func(crash func(*crashfs.FS, *leadertest.Model), what string) (disk *crashfs.FS, model *leadertest.Model) {
		f := newFamily(t, tasks, nil)
		f[0].leader.Close()
		use := func(d *crashfs.FS, m *leadertest.Model) {
			m.Stopped, m.OnCrash = d.Crashed, func() { d.Restart() }
			disk, model = d, m
			f[0].fs, f[0].store = d, m
		}
		repair := func() {
			if disk.Crashed() || model.Crashed() {
				f[0].leader.Close() // its error is that the disk has gone
				use(disk.Restart(), model.Restart())
				f.start(t)
			}
		}
		use(crashfs.New(7), leadertest.NewModel())
		f.start(t)
		if crash != nil {
			crash(disk, model)
		}
		q := f[0].unit(t, 1)
		for round := range each {
			for i, w := range f {
				r := w.report(t, round, 0)
				for w.post(t, r).Code != 200 {
					repair()
				}
				if round == 1 && i == 1 {
					f[0].clock.Advance(time.Minute)
					_ = f[0].leader.Tick(t.Context())
					repair()
				}
			}
		}
		f[0].clock.Advance(precision + 10*time.Minute)
		at := make([]string, tasks)
		for range 30 {
			left := 0
			for i, w := range f {
				rec := w.ask(t, dap.CollectionJobReq{Query: q}, dap.CollectionJobID{1})
				if rec.Code/100 == 2 && rec.Body.Len() > 0 {
					if got := w.open(t, rec.Body.Bytes(), q); !slices.Equal(got, histogram(1, 1, 1)) {
						t.Fatalf("%s: task %d: %v", what, i, got)
					}
					at[i] = "done"
				}
				if at[i] == "" {
					left++
				}
			}
			if left == 0 {
				return disk, model
			}
			_ = f[0].leader.Tick(t.Context())
			repair()
			f[0].clock.Advance(time.Minute)
		}
		t.Fatalf("%s: no result of some tasks: %v", what, f[0].seen.errs)
		return nil, nil
	}
	disk, model := run(nil, "without a crash")
	calls, changes := disk.Calls(), model.Calls()
	if calls < 40 || changes < 40 {
		t.Fatalf("%d calls to the disk, %d changes of the store: too few to be the whole way", calls, changes)
	}
	for n := range calls {
		run(func(d *crashfs.FS, _ *leadertest.Model) { d.CrashAt(n + 1 - min(n, d.Calls())) }, fmt.Sprintf("disk call %d", n))
	}
	for n := range changes {
		for _, after := range []bool{false, true} {
			run(func(_ *crashfs.FS, m *leadertest.Model) { m.CrashAt(n+1, after) }, fmt.Sprintf("change %d of the store, after it: %v", n, after))
		}
	}
}

// Logs that a process before shared logs has written, one a task, are counted:
// those that took reports, those that waited for their jobs, and those whose jobs had
// not ended.
func TestLogsOfOneTask(t *testing.T) {
	f := newFamily(t, 3, nil)
	ctx := t.Context()
	f[0].leader.Close()
	claim, err := f[0].store.Claim(ctx, leader.Claim{Node: "leader", Disk: "former", Until: f[0].clock.Now()}, f[0].clock.Now())
	must(t, err)
	store := f[0].store.As(claim)
	for i, w := range f {
		info, err := store.BeginLog(ctx, w.task.ID(), "leader")
		must(t, err)
		log, _, err := segment.Open(fmt.Sprintf("leader/%x/%d", [32]byte(w.task.ID()), info.Number), segment.Options{FS: f[0].fs, MaxRecord: 32 << 20})
		must(t, err)
		for k := range 5 {
			r := w.report(t, k, 0)
			record, err := w.task.Codec().Encode(&r)
			must(t, err)
			must(t, log.Append(ctx, record))
		}
		if i == 0 {
			must(t, log.Close())
			continue
		}
		must(t, log.Seal())
		must(t, log.Close())
		info.State, info.Records = leader.LogSealed, 5
		must(t, store.SealLog(ctx, info))
		if i == 1 {
			continue
		}
		info.State = leader.LogDone
		unit, err := w.unit(t, 1).Interval()
		must(t, err)
		must(t, store.CreateJobs(ctx, leader.JobCreation{Log: info, Jobs: []leader.Job{{
			Task: info.Task, Node: "leader", Log: info.Number, From: 0, To: 5, Reports: 5, Span: unit, Key: 4, Created: w.clock.Now(), Due: w.clock.Now(),
		}}}))
	}
	q := f[0].unit(t, 1)
	f.start(t)
	for _, w := range f {
		w.upload(t, w.report(t, 5, 0))
	}
	for i, got := range f.collectAll(t, q) {
		if !slices.Equal(got, ones(6)) {
			t.Errorf("task %d: %v", i, got)
		}
	}
}

// A mark that a process before shared logs has left says that nothing is missing of a
// log without files. Without it the leader does not start.
func TestLogOfOneTaskThatWasBeginning(t *testing.T) {
	for _, marked := range []bool{true, false} {
		w := newWorld(t, dap.DAP18(), nil, nil)
		ctx := t.Context()
		w.leader.Close()
		claim, err := w.store.Claim(ctx, leader.Claim{Node: "leader", Disk: "former", Until: w.clock.Now()}, w.clock.Now())
		must(t, err)
		_, err = w.store.As(claim).BeginLog(ctx, w.task.ID(), "leader")
		must(t, err)
		mark := fmt.Sprintf("leader/%x/beginning", [32]byte(w.task.ID()))
		if marked {
			must(t, w.fs.MkdirAll(fmt.Sprintf("leader/%x", [32]byte(w.task.ID())), 0o700))
			must(t, durable.WriteFile(w.fs, mark, nil, 0o600))
		}
		if err := w.start(); marked != (err == nil) {
			t.Fatalf("marked %v: %v", marked, err)
		}
		if !marked {
			continue
		}
		at, q := w.uploadAndCollect(t, 4)
		w.tick(t)
		if got := w.result(t, at, q); !slices.Equal(got, ones(4)) {
			t.Errorf("result %v", got)
		}
		if _, err := w.fs.Stat(mark); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the mark is left: %v", err)
		}
	}
}

// A leader that is closed takes no report, also of a task that has a log.
func TestNothingIsTakenAfterClose(t *testing.T) {
	f := newFamily(t, 2, nil)
	f[0].upload(t, f[0].report(t, 0, 0))
	must(t, f[0].leader.Close())
	for i, w := range f {
		if rec := w.post(t, w.report(t, 1, 0)); rec.Code != 503 {
			t.Errorf("task %d: upload answered %d", i, rec.Code)
		}
	}
	if n := f.folders(t, "leader/shared"); n != 1 {
		t.Errorf("%d shared logs", n)
	}
}

// stuck is a store that does not answer when a log of one task is begun.
type stuck struct {
	leader.Store
	task  dap.TaskID
	until chan struct{}
	calls *atomic.Int64
}

func (s *stuck) As(c leader.Claim) leader.Store {
	o := *s
	o.Store = s.Store.As(c)
	return &o
}

func (s *stuck) BeginLog(ctx context.Context, task dap.TaskID, node string) (leader.Log, error) {
	if task == s.task {
		s.calls.Add(1)
		<-s.until
	}
	return s.Store.BeginLog(ctx, task, node)
}

// A task for which the store does not answer does not hold up the others, although
// they share logs.
func TestStuckTask(t *testing.T) {
	f := newFamily(t, 2, nil)
	f[0].leader.Close()
	slow := &stuck{Store: f[0].store, task: f[1].task.ID(), until: make(chan struct{}), calls: new(atomic.Int64)}
	f[0].store = slow
	f.start(t)
	q := f[0].unit(t, 1)
	late := f[1].report(t, 0, 0)
	answered := make(chan int)
	go func() { answered <- f[1].post(t, late).Code }()
	for slow.calls.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for k := range 3 {
		f[0].upload(t, f[0].report(t, k, 0))
		f[0].clock.Advance(time.Minute)
		must(t, f[0].leader.Tick(t.Context()))
	}
	if f[0].seen.aggregated != 3 {
		t.Errorf("%d reports aggregated while the other task is stuck", f[0].seen.aggregated)
	}
	close(slow.until)
	if code := <-answered; code != 200 {
		t.Fatalf("upload answered %d", code)
	}
	got := f.collectAll(t, q)
	if !slices.Equal(got[0], ones(3)) || !slices.Equal(got[1], ones(1)) {
		t.Errorf("results %v", got)
	}
	f[0].clock.Advance(time.Minute)
	must(t, f[0].leader.Tick(t.Context()))
	if n := f.folders(t, "leader/shared"); n > 0 {
		t.Errorf("%d shared logs are left", n)
	}
}

// Shared logs that cannot be distributed are bounded in number, take nothing from
// anybody, and are distributed later.
func TestLogsThatCannotBeDistributed(t *testing.T) {
	f := newFamily(t, 3, nil)
	f[0].leader.Close()
	disk := crashfs.New(1)
	f[0].fs = disk
	f.start(t)
	q := f[0].unit(t, 1)
	broken := true
	disk.FailWith(func(op, name string) error {
		if broken && op == "mkdir" && !strings.Contains(name, "shared") {
			return syscall.ENOSPC
		}
		return nil
	})
	const rounds = 12
	for k := range rounds {
		for _, w := range f {
			w.upload(t, w.report(t, k, 0))
		}
		f[0].clock.Advance(time.Minute)
		if err := f[0].leader.Tick(t.Context()); err == nil {
			t.Fatal("no error")
		}
	}
	if n := f.folders(t, "leader/shared"); n < 2 || n > 9 {
		t.Errorf("%d shared logs", n)
	}
	broken = false
	for i, got := range f.collectAll(t, q) {
		if !slices.Equal(got, ones(rounds)) {
			t.Errorf("task %d: %v", i, got)
		}
	}
}

// counting counts what the leader asks of its store.
type counting struct {
	leader.Store
	calls *atomic.Int64
}

func (c *counting) As(claim leader.Claim) leader.Store {
	return &counting{c.Store.As(claim), c.calls}
}

func (c *counting) Logs(ctx context.Context, node string) ([]leader.Log, error) {
	all, err := c.Store.Logs(ctx, node)
	c.calls.Add(1 + int64(len(all)))
	return all, err
}

func (c *counting) Log(ctx context.Context, task dap.TaskID, number uint64) (leader.Log, bool, error) {
	c.calls.Add(1)
	return c.Store.Log(ctx, task, number)
}

func (c *counting) SealLog(ctx context.Context, log leader.Log) error {
	c.calls.Add(1)
	return c.Store.SealLog(ctx, log)
}

func (c *counting) CreateJobs(ctx context.Context, creation leader.JobCreation) error {
	c.calls.Add(1)
	return c.Store.CreateJobs(ctx, creation)
}

func (c *counting) DropLog(ctx context.Context, task dap.TaskID, number uint64) error {
	c.calls.Add(1)
	return c.Store.DropLog(ctx, task, number)
}

func (c *counting) EndJob(ctx context.Context, e leader.End, change *ledger.Change) error {
	c.calls.Add(1)
	return c.Store.EndJob(ctx, e, change)
}

// What is done for one report does not depend on how many tasks have logs whose jobs
// wait for the helper.
func TestWorkDoesNotGrowWithTasks(t *testing.T) {
	work := func(tasks int) (calls, disk int64) {
		f := newFamily(t, tasks, nil)
		f[0].leader.Close()
		counted := &counting{f[0].store, new(atomic.Int64)}
		fs := crashfs.New(1)
		f[0].store, f[0].fs = counted, fs
		f.start(t)
		for _, w := range f[1:] {
			w.upload(t, w.report(t, 0, 0))
			w.helper.lose = 1000
		}
		tick := func() {
			f[0].clock.Advance(time.Minute)
			_ = f[0].leader.Tick(t.Context())
		}
		tick()
		before, begun := counted.calls.Load(), int64(fs.Calls())
		f[0].upload(t, f[0].report(t, 0, 0))
		f[0].clock.Advance(time.Minute)
		f[0].leader.TakeIn(t.Context())
		return counted.calls.Load() - before, int64(fs.Calls()) - begun
	}
	calls, disk := work(2)
	more, moreDisk := work(40)
	if more != calls || moreDisk != disk {
		t.Errorf("with 2 tasks %d calls of the store and %d of the disk, with 40 %d and %d", calls, disk, more, moreDisk)
	}
}

// Damage to a shared log costs the reports that it hits, and is reported for each task
// that lacks some.
func TestDamageOfASharedLog(t *testing.T) {
	const tasks, each = 3, 8
	for _, restarted := range []bool{true, false} {
		for _, c := range []struct {
			name   string
			damage func(t *testing.T, f durable.File, size int64)
			lost   int64 // reports, at least
			known  bool  // of which tasks they are, also after a restart
		}{
			{"one report of the second task", func(t *testing.T, f durable.File, size int64) { flipAt(t, f, size*10/24) }, 1, true},
			{"half", func(t *testing.T, f durable.File, size int64) { must(t, f.Truncate(size/2)) }, 11, false},
			{"nearly all", func(t *testing.T, f durable.File, _ int64) { must(t, f.Truncate(100)) }, 24, false},
		} {
			t.Run(fmt.Sprintf("%s, restarted %v", c.name, restarted), func(t *testing.T) {
				f := newFamily(t, tasks, nil)
				q := f[0].unit(t, 1)
				for k := range each {
					for _, w := range f {
						w.upload(t, w.report(t, k, 0))
					}
				}
				if restarted {
					f[0].leader.Close()
				}
				damageShared(t, f[0].fs, c.damage)
				if restarted {
					f.start(t)
				}
				f[0].clock.Advance(precision + 10*time.Minute)
				_ = f[0].leader.Tick(t.Context())
				st, err := f[0].leader.Status(t.Context())
				must(t, err)
				left := int64(0)
				for i, w := range f {
					have := w.counted(t, q)
					left += have
					place := fmt.Sprintf("log 1 of task %v", w.task.ID())
					l, reported := f[0].seen.damaged[place]
					lacks := each - have
					if lacks > 0 && !reported {
						t.Errorf("task %d lacks %d reports and no loss of it is reported: %v", i, lacks, f[0].seen.damaged)
					}
					if (c.known || !restarted) && l.Reports != lacks {
						t.Errorf("task %d lacks %d reports, reported %+v", i, lacks, l)
					}
					if l.Reports > lacks {
						t.Errorf("task %d lacks %d reports, reported %+v", i, lacks, l)
					}
				}
				if lost := tasks*each - left; lost < c.lost || st.Damaged != lost {
					t.Errorf("%d reports are lost, the status says %d: %v", lost, st.Damaged, f[0].seen.damaged)
				}
			})
		}
	}
}

// counted collects the unit of time of q, which is over, and returns how many reports
// were counted.
func (w *world) counted(t *testing.T, q dap.Query) int64 {
	t.Helper()
	at := w.collect(t, q)
	for range 5 {
		_ = w.leader.Tick(t.Context())
		w.clock.Advance(time.Minute)
		if got := w.result(t, at, q); got != nil {
			return int64(total(got))
		}
	}
	return 0
}

// damageShared damages the one file of the one shared log.
func damageShared(t *testing.T, fs durable.FS, damage func(*testing.T, durable.File, int64)) {
	t.Helper()
	all, err := fs.ReadDir("leader/shared/1")
	must(t, err)
	for _, e := range all {
		if segment.MovedName(1, e.Name()) == e.Name() {
			continue // not a segment
		}
		f, err := fs.OpenFile("leader/shared/1/"+e.Name(), os.O_RDWR, 0)
		must(t, err)
		info, err := f.Stat()
		must(t, err)
		damage(t, f, info.Size())
		must(t, f.Close())
		return
	}
	t.Fatal("no segment")
}

func flipAt(t *testing.T, f durable.File, at int64) {
	t.Helper()
	b := []byte{0}
	_, err := f.ReadAt(b, at)
	must(t, err)
	b[0] ^= 0x10
	_, err = f.WriteAt(b, at)
	must(t, err)
}
