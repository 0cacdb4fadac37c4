package shuffler_test

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
	analyzertest "github.com/shoal-project/shoal/internal/esa/analyzer/storetest"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	shufflertest "github.com/shoal-project/shoal/internal/esa/shuffler/storetest"
	"github.com/shoal-project/shoal/internal/segment"
	"github.com/shoal-project/shoal/metric/task"
)

// A counted file system counts open files and syncs. While held, syncs wait.
type counted struct {
	durable.FS
	mu    sync.Mutex
	open  int
	most  int // open at a time
	syncs int
	held  chan struct{}
}

type countedFile struct {
	durable.File
	fs   *counted
	once sync.Once
}

func (c *counted) OpenFile(name string, flag int, perm fs.FileMode) (durable.File, error) {
	f, err := c.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	c.most = max(c.most, c.open)
	return &countedFile{File: f, fs: c}, nil
}

func (f *countedFile) Close() error {
	f.once.Do(func() {
		f.fs.mu.Lock()
		defer f.fs.mu.Unlock()
		f.fs.open--
	})
	return f.File.Close()
}

func (f *countedFile) Sync() error {
	f.fs.mu.Lock()
	f.fs.syncs++
	held := f.fs.held
	f.fs.mu.Unlock()
	if held != nil {
		<-held
	}
	return f.File.Sync()
}

// many starts a chain that serves several tasks on one disk.
func many(t testing.TB, c *chain, worlds []*hoptest.World) {
	t.Helper()
	p := c.Parties[0]
	var tasks []*task.Task
	for _, w := range worlds {
		tasks = append(tasks, w.Task)
	}
	c.seeds++
	s, err := shuffler.New(t.Context(), shuffler.Config{
		Store: c.store, FS: c.fs, Dir: "shuffler", Engine: c.engine, Clock: c.Clock, Rand: hoptest.Random(c.seeds),
		Identity: p.ID, Keys: p.Keys, Tasks: tasks, Client: c.Net.Client(), MaxReports: 1 << 20, Workers: 2, Metrics: &c.metrics,
	})
	must(t, err)
	c.s = s
	c.Net.Serve(p, s.Handler())
	last := c.Parties[len(c.Parties)-1]
	a, err := analyzer.New(t.Context(), analyzer.Config{
		Store: c.aStore, FS: c.aFS, Dir: "analyzer", Clock: c.Clock, Engine: hoptest.NewEngine(),
		Identity: last.ID.Public(), Keys: last.Keys, Tasks: tasks, Workers: 2,
	})
	must(t, err)
	c.a = a
	c.Net.Serve(last, a.Handler())
}

func tasksOf(t testing.TB, c *chain, n int) []*hoptest.World {
	worlds := []*hoptest.World{c.World}
	for i := 1; i < n; i++ {
		worlds = append(worlds, c.With(t, func(t *task.Task) { t.Metric = fmt.Sprint("words", i) }))
	}
	return worlds
}

// newMany returns a chain of n tasks.
func newMany(t testing.TB, disk durable.FS, n int) (*chain, []*hoptest.World) {
	t.Helper()
	c := &chain{
		World: hoptest.New(t, 1, func(t *task.Task) { t.Threshold.T = 1 }), engine: hoptest.NewEngine(), store: newModel(), fs: disk,
		aStore: analyzertest.NewModel(), aFS: durable.Mem(),
	}
	worlds := tasksOf(t, c, n)
	many(t, c, worlds)
	return c, worlds
}

// wantAll checks that each number below n was released once.
func wantAll(t testing.TB, c *chain, n int) {
	t.Helper()
	times := make([]int, n)
	for _, numbers := range c.released(t) {
		for _, i := range numbers {
			times[i]++
		}
	}
	for i, k := range times {
		if k != 1 {
			t.Fatalf("report %d was released %d times", i, k)
		}
	}
}

// Reports of 200 tasks that arrive at once wait for a few syncs, not for one a task,
// and keep a few files open.
func TestTasksShareSyncs(t *testing.T) {
	const tasks = 200
	disk := &counted{FS: durable.Mem()}
	c, worlds := newMany(t, disk, tasks)
	for i, w := range worlds { // opens the batches
		if code := w.Post(t, w.Report(t, w.Epoch(0), "word", int64(i))); code != 201 {
			t.Fatal(code)
		}
	}
	held := make(chan struct{})
	disk.mu.Lock()
	disk.syncs, disk.held = 0, held
	disk.mu.Unlock()
	var wg sync.WaitGroup
	for i, w := range worlds {
		wg.Go(func() {
			if code := w.Post(t, w.Report(t, w.Epoch(0), "word", int64(tasks+i))); code != 201 {
				t.Errorf("task %d: %d", i, code)
			}
		})
	}
	for waiting, try := int64(0), 0; waiting < 2*tasks && try < 10_000; try++ { // until all are on their way
		time.Sleep(time.Millisecond)
		waiting = 0
		for _, b := range c.s.Status().Batches {
			waiting += b.Reports
		}
	}
	close(held)
	wg.Wait()
	if disk.syncs > tasks/4 || disk.most > 20 {
		t.Errorf("%d syncs and %d open files for a report of each of %d tasks", disk.syncs, disk.most, tasks)
	}
	c.closeEpoch(0)
	c.finish(t)
	wantAll(t, c, 2*tasks)
	if disk.open != 0 {
		t.Errorf("%d files are still open", disk.open)
	}
}

// Reports of 100 epochs, forged or late, keep a few files open, and each is
// released once.
func TestForgedEpochsKeepFewFiles(t *testing.T) {
	const epochs = 100
	disk := &counted{FS: durable.Mem()}
	c := &chain{
		World:  hoptest.New(t, 1, func(t *task.Task) { t.Threshold.T, t.EpochSeconds, t.MaxDelay = 1, 600, 7*86400 }),
		engine: hoptest.NewEngine(), store: newModel(), fs: disk, aStore: analyzertest.NewModel(), aFS: durable.Mem(),
	}
	must(t, c.startShuffler(t))
	must(t, c.startAnalyzer(t))
	c.Clock.Forward(c.Task.Start(c.Epoch(epochs)))
	for n := range 2 * epochs {
		if code := c.Post(t, c.Report(t, c.Epoch(n%epochs), "word", int64(n))); code != 201 {
			t.Fatal(code)
		}
	}
	if disk.most > 2*16+8 {
		t.Errorf("%d files were open at a time for %d epochs", disk.most, epochs)
	}
	if st := c.s.Status(); len(st.Batches) != epochs || st.Batches[7].Reports != 2 {
		t.Errorf("%d batches, the eighth %+v", len(st.Batches), st.Batches[7])
	}
	for n := range epochs { // one closes after the other, reports of the others arrive in between
		c.closeEpoch(n)
		c.finish(t)
		if n%30 == 0 && n > 0 {
			must(t, c.s.Close())
			must(t, c.startShuffler(t))
		}
		if code := c.Post(t, c.Report(t, c.Epoch(epochs), "word", int64(2*epochs+n))); code != 201 {
			t.Fatal(code)
		}
	}
	c.closeEpoch(epochs)
	c.finish(t)
	wantAll(t, c, 3*epochs)
	if disk.most > 2*16+8 || disk.open != 0 {
		t.Errorf("%d files were open at a time, %d still are", disk.most, disk.open)
	}
}

// Reports that an earlier version stored in a log of the batch's own are counted,
// with those that follow in a shared one.
func TestOwnLogsOfEarlierVersion(t *testing.T) {
	for _, sealed := range []bool{false, true} { // whether that version was stopped or killed
		c := newChain(t, func(t *task.Task) { t.Threshold.T = 1 })
		must(t, c.s.Close())
		k := shuffler.Key{Task: c.ID, Epoch: c.Epoch(0)}
		must(t, c.store.Apply(t.Context(), shuffler.Change{To: shuffler.Batch{Task: k.Task, Epoch: k.Epoch, State: shuffler.Open}}))
		dir := fmt.Sprintf("shuffler/%x-%d/reports", k.Task[:8], k.Epoch)
		log, _, err := segment.Open(dir, segment.Options{FS: c.fs})
		must(t, err)
		for n := range 5 {
			must(t, log.Append(t.Context(), c.Report(t, k.Epoch, "word", int64(n))))
		}
		if sealed {
			must(t, log.Close())
		}
		must(t, c.startShuffler(t))
		if st := c.s.Status(); len(st.Batches) != 1 || st.Batches[0].Reports != 5 {
			t.Errorf("status %+v", st)
		}
		for n := range 5 {
			if code := c.Post(t, c.Report(t, k.Epoch, "word", int64(5+n))); code != 201 {
				t.Fatal(code)
			}
		}
		must(t, c.s.Close())
		must(t, c.startShuffler(t))
		if st := c.s.Status(); st.Batches[0].Reports != 10 {
			t.Errorf("status %+v", st)
		}
		c.closeEpoch(0)
		c.finish(t)
		wantAll(t, c, 10)
	}
}

// Reports of a batch that the store does not know go where all reports of a batch
// are, so that an operator can find them.
func TestSharedReportsOfUnknownBatch(t *testing.T) {
	c := newChain(t, nil)
	for n := range 4 {
		c.Post(t, c.Report(t, c.Epoch(0), "word", int64(n)))
	}
	must(t, c.s.Close())
	c.store = newModel() // lost
	must(t, c.startShuffler(t))
	log, found, err := segment.Open(fmt.Sprintf("shuffler/%x-%d/reports", c.ID[:8], c.Epoch(0)), segment.Options{FS: c.fs})
	must(t, err)
	defer log.Close()
	if found.Records != 4 {
		t.Errorf("%d reports, want 4", found.Records)
	}
	if logs, err := c.fs.ReadDir("shuffler/shared"); err != nil || len(logs) != 0 {
		t.Errorf("logs are left: %v, %v", logs, err)
	}
}

// A full disk while reports are distributed holds a batch up until there is space.
func TestDistributeOnFullDisk(t *testing.T) {
	disk := crashfs.New(1)
	c, worlds := newMany(t, disk, 5)
	for n := range 50 {
		w := worlds[n%5]
		if code := w.Post(t, w.Report(t, w.Epoch(0), "word", int64(n))); code != 201 {
			t.Fatal(code)
		}
	}
	c.closeEpoch(0)
	for n := range 40 {
		calls := 0
		disk.FailWith(func(op, name string) error {
			if calls++; calls > n && op != "remove" {
				return errFull
			}
			return nil
		})
		if err := c.s.Tick(t.Context()); err == nil && calls > n {
			t.Fatalf("call %d: no error", n)
		}
		if calls <= n { // all was done before
			break
		}
		c.Clock.Advance(10 * time.Minute)
	}
	disk.FailWith(nil)
	c.Clock.Advance(10 * time.Minute)
	c.finish(t)
	wantAll(t, c, 50)
}

var errFull = &fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}

// A loss of power at each call to the disk while the reports of several tasks are
// distributed, processed and handed over loses none of them and doubles none.
func TestCrashWhileDistributing(t *testing.T) {
	world := hoptest.New(t, 1, func(t *task.Task) { t.Threshold.T = 1 })
	c := &chain{World: world}
	worlds := tasksOf(t, c, 3)
	var reports [][]byte
	for n := range 9 {
		w := worlds[n%3]
		reports = append(reports, w.Report(t, w.Epoch(0), "word", int64(n)))
	}
	for n := 1; ; n++ {
		world.Clock.Set(hoptest.Begin)
		world.Net.Forget()
		disk, store := crashfs.New(uint64(n)), shufflertest.NewModel()
		store.Crashed = disk.Crashed
		c := &chain{World: world, engine: hoptest.NewEngine(), store: store, fs: disk, aStore: analyzertest.NewModel(), aFS: durable.Mem()}
		many(t, c, worlds)
		for i, report := range reports {
			if code := worlds[i%3].Post(t, report); code != 201 {
				t.Fatal(code)
			}
		}
		c.closeEpoch(0)
		disk.CrashAt(n)
		_ = c.s.Tick(t.Context())
		crashed := disk.Crashed()
		_ = c.s.Close()
		c.fs, c.store, c.engine = disk.Restart(), store.Restart(), hoptest.NewEngine()
		many(t, c, worlds)
		c.Clock.Advance(10 * time.Minute)
		c.finish(t)
		wantAll(t, c, len(reports))
		if v := c.Net.Variants(); v != 1 {
			t.Fatalf("crash at %d: %d different batches were handed over", n, v)
		}
		if !crashed {
			if n < 40 {
				t.Fatalf("%d calls are too few to be the whole way", n)
			}
			return
		}
	}
}

// Reports of other batches arrive while one closes: none is lost or doubled.
func TestAppendWhileOthersClose(t *testing.T) {
	c := &chain{
		World: hoptest.New(t, 1, func(t *task.Task) { t.Threshold.T = 1 }), engine: hoptest.NewEngine(), store: newModel(), fs: durable.Mem(),
		aStore: analyzertest.NewModel(), aFS: durable.Mem(),
	}
	worlds := tasksOf(t, c, 4)
	for i := range 3 { // 20 and more different times of closing, so that logs are shared by them
		worlds = append(worlds, c.With(t, func(t *task.Task) { t.Metric, t.EpochSeconds, t.MaxDelay = fmt.Sprint("often", i), 600, uint32(100*i) }))
	}
	many(t, c, worlds)
	const senders, each = 4, 60
	var wg sync.WaitGroup
	for g := range senders {
		wg.Go(func() {
			for i := range each {
				n := g*each + i
				w := worlds[n%len(worlds)]
				for try := 0; ; try++ {
					now := c.Clock.Now()
					code := w.Post(t, w.Report(t, w.Task.EpochAt(now), "word", int64(n)))
					if code == 201 {
						break
					}
					if code != 409 && code != 503 || try == 50 { // its epoch closed in between
						t.Errorf("report %d: %d", n, code)
						return
					}
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			c.Clock.Advance(5 * time.Minute)
			must(t, errors.Join(c.s.Tick(t.Context()), c.a.Tick(t.Context())))
		}
	}
	c.Clock.Advance(2 * time.Hour)
	c.finish(t)
	wantAll(t, c, senders*each)
}

// What the work on the largest batch needs is reported until the batch is processed.
func TestNeed(t *testing.T) {
	c, worlds := newMany(t, durable.Mem(), 2)
	size := int64(0)
	for n := range 7 {
		w := worlds[min(n, 1)] // one report of the first task, six of the second
		report := w.Report(t, w.Epoch(0), "word", int64(n))
		size = int64(len(report))
		if code := w.Post(t, report); code != 201 {
			t.Fatal(code)
		}
	}
	if need := c.s.Need(); need < 4*6*size || need > 5*6*size {
		t.Errorf("need %d for 6 reports of %d bytes", need, size)
	}
	c.closeEpoch(0)
	c.finish(t)
	if need := c.s.Need(); need != 0 {
		t.Errorf("need %d for nothing", need)
	}
}
