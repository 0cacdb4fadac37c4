package leader_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	leadertest "github.com/shoal-project/shoal/internal/dap/leader/storetest"
	"github.com/shoal-project/shoal/internal/durable/crashfs"
)

// A machine is a world whose leader's disk and store stop together.
type machine struct {
	*world
	disk  *crashfs.FS
	model *leadertest.Model
}

func newMachine(t testing.TB, seed uint64, change func(*dap.TaskConfiguration)) *machine {
	t.Helper()
	m := &machine{world: newWorld(t, dap.DAP18(), change, nil)}
	m.leader.Close()
	m.use(crashfs.New(seed), leadertest.NewModel())
	must(t, m.start())
	return m
}

func (m *machine) use(disk *crashfs.FS, model *leadertest.Model) {
	model.Stopped, model.OnCrash = disk.Crashed, func() { disk.Restart() }
	m.disk, m.model = disk, model
	m.fs, m.store = disk, model
}

// repair starts the leader on what a crash has left. It may crash again.
func (m *machine) repair(t testing.TB) {
	t.Helper()
	if !m.disk.Crashed() && !m.model.Crashed() {
		return
	}
	m.leader.Close() // its error is that the disk has gone
	m.use(m.disk.Restart(), m.model.Restart())
	must(t, m.start())
}

// run sends a report to each bucket, and collects them. It returns which were
// acknowledged, and how often each was counted.
func (m *machine) run(t testing.TB, reports []dap.Report, what string) ([]bool, []uint64) {
	t.Helper()
	acknowledged := make([]bool, len(reports))
	q := m.unit(t, 1)
	if m.task.Config().BatchMode == dap.LeaderSelectedMode {
		q = dap.NextBatchQuery()
	}
	for i, r := range reports {
		acknowledged[i] = m.post(t, r).Code == 200
		if !acknowledged[i] {
			m.repair(t)
			if i%2 == 0 { // the others give up
				acknowledged[i] = m.post(t, r).Code == 200
				if !acknowledged[i] {
					t.Fatalf("%s: report %d was refused after the restart", what, i)
				}
			}
		}
		if i == len(reports)/2 {
			m.clock.Advance(time.Minute) // so that two logs are cut
			m.leader.Tick(t.Context())
			m.repair(t)
		}
	}
	m.clock.Advance(precision + 10*time.Minute)
	sums := make([]uint64, buckets)
	m.collectAll(t, q, sums, what)
	return acknowledged, sums
}

// driveCollections collects what there is, and adds it to sums.
func (m *machine) collectAll(t testing.TB, q dap.Query, sums []uint64, what string) {
	t.Helper()
	counted := make(map[string]bool)
	for range 30 {
		rec := m.ask(t, dap.CollectionJobReq{Query: q}, dap.CollectionJobID{1})
		if rec.Code/100 == 2 && rec.Body.Len() > 0 {
			// A deletion that a crash undid leaves the same result.
			for k, n := range m.open(t, rec.Body.Bytes(), q) {
				if !counted[m.at(rec)] {
					sums[k] += n
				}
			}
			counted[m.at(rec)] = true
			if q.Mode == dap.TimeIntervalMode {
				return
			}
			m.do("DELETE", m.at(rec), "", nil, m.token)
		} else if rec.Code/100 == 4 {
			t.Fatalf("%s: collection answered %d: %s", what, rec.Code, rec.Body)
		}
		m.leader.Tick(t.Context())
		m.repair(t)
		m.clock.Advance(time.Minute)
	}
	if q.Mode == dap.TimeIntervalMode {
		t.Fatalf("%s: no result", what)
	}
}

func (m *machine) check(t testing.TB, acknowledged []bool, sums []uint64, what string) {
	t.Helper()
	for k, n := range sums {
		if n > 1 || k < len(acknowledged) && acknowledged[k] && n != 1 || k >= len(acknowledged) && n > 0 {
			t.Fatalf("%s: acknowledged %v, counted %v", what, acknowledged, sums)
		}
	}
}

// A crash at each call to the disk and at each change of the store, before and
// after it, loses no acknowledged report and counts none twice (invariants
// "acknowledged is durable" and "at most once").
func TestCrashAnywhere(t *testing.T) {
	for name, change := range map[string]func(*dap.TaskConfiguration){"interval": nil, "selected": func(c *dap.TaskConfiguration) {
		leaderSelected(c)
		c.MinBatchSize = 2
	}} {
		t.Run(name, func(t *testing.T) {
			const n = 6
			start := func(seed uint64) (*machine, []dap.Report) {
				m := newMachine(t, seed, change)
				var reports []dap.Report
				for i := range n {
					reports = append(reports, m.report(t, i, 0))
				}
				return m, reports
			}
			calm, reports := start(1)
			acknowledged, sums := calm.run(t, reports, "without a crash")
			calm.check(t, acknowledged, sums, "without a crash")
			if total(sums) != n {
				t.Fatalf("without a crash %v", sums)
			}
			calls, changes := calm.disk.Calls(), calm.model.Calls()
			t.Logf("%d calls to the disk, %d changes of the store", calls, changes)
			if calls < 10 || changes < 10 {
				t.Fatal("too few to be the whole way")
			}
			for c := range calls {
				m, reports := start(uint64(c))
				m.disk.CrashAt(c + 1 - min(c, m.disk.Calls()))
				what := fmt.Sprintf("disk call %d", c)
				acknowledged, sums := m.run(t, reports, what)
				m.checkUnlessShort(t, acknowledged, sums, what)
			}
			for c := range changes {
				for _, after := range []bool{false, true} {
					m, reports := start(uint64(c))
					m.model.CrashAt(c+1, after)
					what := fmt.Sprintf("change %d of the store, after it: %v", c, after)
					acknowledged, sums := m.run(t, reports, what)
					m.checkUnlessShort(t, acknowledged, sums, what)
				}
			}
		})
	}
}

// checkUnlessShort is check, except for reports that wait for a batch to be full,
// because a report before them was not acknowledged or came twice. They are counted
// when others come.
func (m *machine) checkUnlessShort(t testing.TB, acknowledged []bool, sums []uint64, what string) {
	t.Helper()
	if m.task.Config().BatchMode == dap.LeaderSelectedMode {
		var more []dap.Report
		for k, ok := range acknowledged {
			if ok && sums[k] == 0 {
				more = append(more, m.report(t, buckets-1, 0))
			}
		}
		if len(more) > 2 {
			t.Fatalf("%s: acknowledged %v, counted %v", what, acknowledged, sums)
		}
		if len(more) > 0 {
			m.upload(t, more...)
			m.clock.Advance(precision + 10*time.Minute)
			m.collectAll(t, dap.NextBatchQuery(), sums, what)
			sums[buckets-1] = 0
		}
	}
	m.check(t, acknowledged, sums, what)
}
