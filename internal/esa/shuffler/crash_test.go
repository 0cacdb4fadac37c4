package shuffler_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/durable/crashfs"
	analyzertest "github.com/shoal-project/shoal/internal/esa/analyzer/storetest"
	"github.com/shoal-project/shoal/internal/esa/hoptest"
	"github.com/shoal-project/shoal/internal/esa/shuffler"
	shufflertest "github.com/shoal-project/shoal/internal/esa/shuffler/storetest"
	"github.com/shoal-project/shoal/metric/task"
)

// A machine is a disk and a store that stop together.
type machine struct {
	disk *crashfs.FS
	stop func(n int, after bool) // makes the store crash at its nth change
	n    func() int              // changes of the store so far
}

// crashChain is a chain on machines that can lose power.
type crashChain struct {
	*chain
	machines [3]machine // of the shuffler, of the analyzer, and of a second shuffler if there is one
	second   *shuffler.Shuffler
	store2   *shufflertest.Model
}

func newCrashChain(t testing.TB, world *hoptest.World, seed uint64) *crashChain {
	t.Helper()
	world.Clock.Set(hoptest.Begin)
	world.Net.Forget()
	c := &crashChain{chain: &chain{World: world, engine: hoptest.NewEngine(), seeds: seed}}
	c.useShuffler(crashfs.New(seed), shufflertest.NewModel())
	c.useAnalyzer(crashfs.New(seed+1), analyzertest.NewModel())
	if len(world.Parties) > 2 {
		c.useSecond(crashfs.New(seed+2), shufflertest.NewModel())
	}
	return c
}

func (c *crashChain) useSecond(disk *crashfs.FS, store *shufflertest.Model) {
	store.Crashed, store.OnCrash = disk.Crashed, func() { disk.Restart() }
	c.store2 = store
	c.machines[2] = machine{disk, store.CrashAt, store.Calls}
}

// startSecond starts the second shuffler, if there is one.
func (c *crashChain) startSecond(t testing.TB) {
	t.Helper()
	if c.store2 == nil {
		return
	}
	c.seeds++
	p := c.Parties[1]
	s, err := shuffler.New(t.Context(), shuffler.Config{
		Store: c.store2, FS: c.machines[2].disk, Dir: "second", Engine: hoptest.NewEngine(), Clock: c.Clock, Rand: hoptest.Random(c.seeds),
		Identity: p.ID, Keys: p.Keys, Tasks: []*task.Task{c.Task}, Client: c.Net.Client(), Workers: 2,
		Stage: c.stage, Memory: c.memory,
	})
	must(t, err)
	c.second = s
	c.Net.Serve(p, s.Handler())
}

// tick lets everything happen that is due.
func (c *crashChain) tick(t testing.TB) error {
	err := c.s.Tick(t.Context())
	if c.second != nil {
		err = errors.Join(err, c.second.Tick(t.Context()))
	}
	return errors.Join(err, c.a.Tick(t.Context()))
}

func (c *crashChain) crashed() bool {
	for _, m := range c.machines {
		if m.disk != nil && m.disk.Crashed() {
			return true
		}
	}
	return false
}

func (c *crashChain) useShuffler(disk *crashfs.FS, store *shufflertest.Model) {
	store.Crashed, store.OnCrash = disk.Crashed, func() { disk.Restart() }
	c.fs, c.store = disk, store
	c.machines[0] = machine{disk, store.CrashAt, store.Calls}
}

func (c *crashChain) useAnalyzer(disk *crashfs.FS, store *analyzertest.Model) {
	store.Crashed, store.OnCrash = disk.Crashed, func() { disk.Restart() }
	c.aFS, c.aStore = disk, store
	c.machines[1] = machine{disk, store.CrashAt, store.Calls}
}

// repair starts what has crashed again, on what the crash has left.
func (c *crashChain) repair(t testing.TB) {
	t.Helper()
	if c.machines[0].disk.Crashed() {
		c.s.Close() // its error is that the disk has gone
		c.useShuffler(c.machines[0].disk.Restart(), c.store.(*shufflertest.Model).Restart())
		c.engine = hoptest.NewEngine()
		must(t, c.startShuffler(t))
	}
	if c.machines[1].disk.Crashed() {
		c.useAnalyzer(c.machines[1].disk.Restart(), c.aStore.(*analyzertest.Model).Restart())
		must(t, c.startAnalyzer(t))
	}
	if c.second != nil && c.machines[2].disk.Crashed() {
		c.second.Close() // its error is that the disk has gone
		c.useSecond(c.machines[2].disk.Restart(), c.store2.Restart())
		c.startSecond(t)
	}
}

// scenario sends the reports, one by one, and then lets the batch go its way.
// It returns which reports were acknowledged. Every second sender tries again
// once when it gets no answer; the others give up.
func (c *crashChain) scenario(t testing.TB, reports [][]byte) []bool {
	t.Helper()
	acknowledged := make([]bool, len(reports))
	for i, report := range reports {
		acknowledged[i] = c.Post(t, report) == 201
		if acknowledged[i] {
			continue
		}
		c.repair(t)
		if i%2 == 0 {
			acknowledged[i] = c.Post(t, report) == 201
			if !acknowledged[i] {
				t.Fatalf("report %d was refused after the restart", i)
			}
		}
	}
	c.closeEpoch(0)
	var err error
	for range 12 {
		if err = c.tick(t); err == nil && !c.crashed() {
			return acknowledged
		}
		c.repair(t)
		c.Clock.Advance(10 * time.Minute)
	}
	t.Fatalf("the batch does not arrive: %v", err)
	return nil
}

// check compares the released numbers, which are the indexes of the reports,
// with what was acknowledged: that exactly once, and nothing twice.
func (c *crashChain) check(t testing.TB, acknowledged []bool, what string) {
	t.Helper()
	times := make([]int, len(acknowledged))
	for _, numbers := range c.released(t) {
		for _, n := range numbers {
			times[n]++
		}
	}
	for i, n := range times {
		if n > 1 || acknowledged[i] && n != 1 {
			t.Fatalf("%s: report %d (acknowledged: %v) was counted %d times", what, i, acknowledged[i], n)
		}
	}
	if v := c.Net.Variants(); v != 1 {
		t.Fatalf("%s: %d different batches were handed over", what, v)
	}
	for _, s := range c.states(t) {
		if s != shuffler.Destroyed {
			t.Fatalf("%s: a batch is %v in the end", what, s)
		}
	}
}

// A crash at each call to the disk and to the store, of the shuffler or of the
// analyzer, loses no acknowledged report and counts none twice (invariant
// "acknowledged is durable" and "at most once").
func TestCrashAnywhere(t *testing.T) {
	world := hoptest.New(t, 1, func(t *task.Task) { t.Threshold.T = 1 })
	eachStage(t, 2000, func(t *testing.T, use func(*chain)) { crashAnywhere(t, world, use, "shuffler", "analyzer") })
}

// The same with blinded crowds: of the first shuffler the exponent is erased on the way, the second
// one computes tags.
func TestCrashBlinded(t *testing.T) {
	world := hoptest.New(t, 2, func(t *task.Task) { t.Threshold.T, t.Protection.Blinded = 1, true })
	eachStage(t, 2400, func(t *testing.T, use func(*chain)) {
		crashAnywhere(t, world, use, "shuffler 1", "analyzer", "shuffler 2")
	})
}

func crashAnywhere(t *testing.T, world *hoptest.World, use func(*chain), names ...string) {
	t.Helper()
	var reports [][]byte
	for n := range 8 {
		reports = append(reports, world.Report(t, world.Epoch(0), fmt.Sprint("word", n%3), int64(n)))
	}
	start := func(seed uint64) *crashChain {
		c := newCrashChain(t, world, seed)
		use(c.chain)
		must(t, c.startShuffler(t))
		c.startSecond(t)
		must(t, c.startAnalyzer(t))
		return c
	}
	calm := start(1)
	calm.check(t, calm.scenario(t, reports), "without a crash")
	for m, name := range names {
		calls, changes := calm.machines[m].disk.Calls(), calm.machines[m].n()
		t.Logf("%s: %d calls to the disk, %d changes of the store", name, calls, changes)
		if calls < 10 || changes < 2 {
			t.Fatalf("%s: too few calls to be the whole way", name)
		}
		for n := range calls {
			for seed := range uint64(3) {
				c := start(100*uint64(n) + 10*seed)
				c.machines[m].disk.CrashAt(n + 1 - min(n, c.machines[m].disk.Calls()))
				c.check(t, c.scenario(t, reports), fmt.Sprintf("%s, disk call %d, outcome %d", name, n, seed))
			}
		}
		for n := range changes {
			for _, after := range []bool{false, true} {
				c := start(uint64(n))
				c.machines[m].stop(n+1, after)
				c.check(t, c.scenario(t, reports), fmt.Sprintf("%s, change %d of the store, after it: %v", name, n, after))
			}
		}
	}
}

// A crash while starting, with an open batch on the disk.
func TestCrashAtStart(t *testing.T) {
	world := hoptest.New(t, 1, func(t *task.Task) { t.Threshold.T = 1 })
	reports := [][]byte{world.Report(t, world.Epoch(0), "word", 0), world.Report(t, world.Epoch(0), "word", 1)}
	for n := 1; n <= 12; n++ {
		c := newCrashChain(t, world, uint64(n))
		must(t, c.startShuffler(t))
		must(t, c.startAnalyzer(t))
		if c.Post(t, reports[0]) != 201 {
			t.Fatal("report was not accepted")
		}
		again := c.machines[0].disk.Restart()
		again.CrashAt(n)
		c.useShuffler(again, c.store.(*shufflertest.Model).Restart())
		if err := c.startShuffler(t); err != nil {
			c.repair(t)
		}
		done := c.scenario(t, reports[1:])
		c.check(t, []bool{true, done[0]}, fmt.Sprintf("call %d of the start", n))
	}
}
