package ledger_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/ledger/storetest"
)

// tagging gives each report a tag, by the byte that it returns for its metadata.
type tagging func(m *dap.ReportMetadata) byte

func (f tagging) Admit(shares []dap.Opened) ([]dap.Tag, []dap.ReportError, error) {
	tags := make([]dap.Tag, len(shares))
	for i, s := range shares {
		tags[i] = tagOf(f(s.Metadata), s.Metadata.ID)
	}
	return tags, make([]dap.ReportError, len(shares)), nil
}

func (tagging) Extensions() []uint16 { return nil }

func tagOf(of byte, id dap.ReportID) dap.Tag {
	return dap.Tag{Spent: [16]byte{1, of}, Report: [16]byte{2, of, id[0], id[1], id[2]}}
}

// tagged makes the helper of a world count reports by tags, of which report i of the world
// has i/each.
func tagged(w *world, each int) {
	of := map[dap.ReportID]byte{}
	for i := range w.inits {
		of[w.inits[i].Share.Metadata.ID] = byte(i / each)
	}
	w.helper = w.helper.Admitting(tagging(func(m *dap.ReportMetadata) byte { return of[m.ID] }))
}

var listName = [32]byte{7}

func spentList(t testing.TB, l *ledger.Ledgers, w *world, expiry time.Duration) *ledger.Spent {
	t.Helper()
	return must(l.OpenSpent(t.Context(), listName, w.task, expiry))(t)
}

// atFirst makes all reports of a world those of one epoch, as tags are.
func atFirst(t testing.TB, w *world, n int) {
	t.Helper()
	w.inits = nil
	for i := range n {
		w.inits = append(w.inits, w.init(t, dap.ReportMetadata{ID: dap.ReportID{byte(i + 1), 99}, Time: first}, i))
	}
}

// TestOneTagCountsOnce covers a client with one credential that makes many reports and
// sends them to a helper of many processes at once: one of them counts, its sum holds that
// one alone, and the others are replayed.
func TestOneTagCountsOnce(t *testing.T) {
	const n, each = 24, 4
	w := newWorld(t, dap.TimeIntervalMode, n)
	atFirst(t, w, n)
	tagged(w, each)
	store := storetest.NewModel()
	var accepted [n]atomic.Int32
	var wg sync.WaitGroup
	for process := range 3 {
		ledgers := w.ledgers(t, store)
		taskLedger, spent := must(ledgers.Open(t.Context(), w.task, 0))(t), spentList(t, ledgers, w, 0)
		for g := range 2 {
			order := rand.New(rand.NewPCG(uint64(process), uint64(g))).Perm(n)
			jobs := []*dap.Outcome{w.job(t, order[:n/2]...), w.job(t, order[n/2:]...)}
			wg.Go(func() {
				for k, job := range jobs {
					verdicts, err := taskLedger.CommitSpending(t.Context(), job, spent, nil)
					if err != nil {
						t.Error(err)
						return
					}
					for i, v := range verdicts {
						if v == 0 {
							accepted[order[n/2*k+i]].Add(1)
						} else if v != dap.ReportReplayed {
							t.Errorf("verdict %v", v)
						}
					}
				}
			})
		}
	}
	wg.Wait()
	var counted []int
	for tag := range n / each {
		times := 0
		for i := tag * each; i < (tag+1)*each; i++ {
			if times += int(accepted[i].Load()); accepted[i].Load() > 0 {
				counted = append(counted, i)
			}
		}
		if times != 1 {
			t.Errorf("tag %d was counted %d times", tag, times)
		}
	}
	total, _, err := w.open(t, store).Batch(t.Context(), whole(w))
	if err != nil {
		t.Fatal(err)
	}
	if total.Count != uint64(len(counted)) {
		t.Errorf("the total has %d reports, want %d", total.Count, len(counted))
	}
}

// TestTagsOfTwoVersions covers a metric that is signed again: a client that was
// counted in a task of it is not counted in the other. In the list of another metric it is.
func TestTagsOfTwoVersions(t *testing.T) {
	a, b := newWorld(t, dap.TimeIntervalMode, 1), newWorld(t, dap.LeaderSelectedMode, 1)
	one := tagging(func(*dap.ReportMetadata) byte { return 5 })
	a.helper, b.helper = a.helper.Admitting(one), b.helper.Admitting(one)
	store := storetest.NewModel()
	ledgers := a.ledgers(t, store)
	spent, other := spentList(t, ledgers, a, 0), must(ledgers.OpenSpent(t.Context(), [32]byte{8}, b.task, 0))(t)
	for _, step := range []struct {
		w     *world
		id    byte
		spent *ledger.Spent
		want  dap.ReportError
	}{
		{a, 1, spent, 0}, {a, 2, spent, dap.ReportReplayed}, {b, 3, spent, dap.ReportReplayed}, {b, 4, other, 0},
	} {
		taskLedger := must(ledgers.Open(t.Context(), step.w.task, 0))(t)
		v := must(taskLedger.CommitSpending(t.Context(), step.w.forged(t, dap.ReportID{step.id}), step.spent, nil))(t)
		if v[0] != step.want {
			t.Errorf("report %d: %v, want %v", step.id, v[0], step.want)
		}
	}
}

// TestRefusedReportsSpendNothing covers a report that is not counted, of a batch that was
// collected: its tag is not spent by it.
func TestRefusedReportsSpendNothing(t *testing.T) {
	w := newWorld(t, dap.TimeIntervalMode, 6)
	atFirst(t, w, 6)
	tagged(w, 1)
	store := storetest.NewModel()
	ledgers := w.ledgers(t, store)
	taskLedger, spent := must(ledgers.Open(t.Context(), w.task, 0))(t), spentList(t, ledgers, w, 0)
	must(taskLedger.CommitSpending(t.Context(), w.job(t, 0, 1), spent, nil))(t)
	if err := taskLedger.Collect(t.Context(), whole(w), nil); err != nil {
		t.Fatal(err)
	}
	if v := must(taskLedger.CommitSpending(t.Context(), w.job(t, 2), spent, nil))(t); v[0] != dap.BatchCollected {
		t.Fatalf("verdict %v", v[0])
	}
	if v := reserved(t, spent, w, 2); v[0] != 0 {
		t.Errorf("a report that was refused has spent its tag: %v", v[0])
	}
}

// reserved reserves for reports of the world, of which tag i/1 is report i's.
func reserved(t *testing.T, s *ledger.Spent, w *world, reports ...int) []dap.ReportError {
	t.Helper()
	return must(s.Reserve(t.Context(), w.task.Config().TimePrecision, w.job(t, reports...).Candidates()))(t)
}

// TestReserve covers a leader that asks the helper about a report again, after a restart or
// when it was refused: the tag is that report's, and no other's, also of another process.
func TestReserve(t *testing.T) {
	w := newWorld(t, dap.TimeIntervalMode, 6)
	atFirst(t, w, 6)
	tagged(w, 2)
	store := storetest.NewModel()
	for range 2 { // the second time after a restart
		one, two := spentList(t, w.ledgers(t, store), w, 0), spentList(t, w.ledgers(t, store), w, 0)
		for _, s := range []*ledger.Spent{one, two} {
			v := reserved(t, s, w, 0, 1, 2)
			if v[0] != 0 || v[1] != dap.ReportReplayed || v[2] != 0 {
				t.Errorf("verdicts %v", v)
			}
		}
		if v := reserved(t, two, w, 3, 2, 1, 0); v[0] != dap.ReportReplayed || v[1] != 0 || v[2] != dap.ReportReplayed || v[3] != 0 {
			t.Errorf("verdicts %v", v)
		}
	}
	if v := must(spentList(t, w.ledgers(t, store), w, 0).Reserve(t.Context(), 1, []dap.Candidate{{ID: dap.ReportID{1}}}))(t); v[0] != 0 {
		t.Errorf("a report without a tag: %v", v)
	}
}

// TestConcurrentReservations covers leaders of many processes that hold reports of one
// client: the tag goes to one of them.
func TestConcurrentReservations(t *testing.T) {
	const n, each = 12, 3
	w := newWorld(t, dap.TimeIntervalMode, n)
	atFirst(t, w, n)
	tagged(w, each)
	store := storetest.NewModel()
	var has [n]atomic.Int32
	var wg sync.WaitGroup
	for process := range 4 {
		spent := spentList(t, w.ledgers(t, store), w, 0)
		order := rand.New(rand.NewPCG(uint64(process), 3)).Perm(n)
		candidates := w.job(t, order...).Candidates()
		wg.Go(func() {
			for range 2 {
				verdicts, err := spent.Reserve(t.Context(), w.task.Config().TimePrecision, candidates)
				if err != nil {
					t.Error(err)
					return
				}
				for i, v := range verdicts {
					if v == 0 {
						has[order[i]].Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	for tag := range n / each {
		owners := 0
		for i := tag * each; i < (tag+1)*each; i++ {
			switch has[i].Load() {
			case 0:
			case 8: // every process, every time
				owners++
			default:
				t.Errorf("report %d has tag %d %d of 8 times", i, tag, has[i].Load())
			}
		}
		if owners != 1 {
			t.Errorf("tag %d is that of %d reports", tag, owners)
		}
	}
}

// TestSpentCrashes stops the process before and after each change of the store, or makes
// the change fail with the process alive: what is tried again is neither lost nor counted
// twice, and no tag is forgotten.
func TestSpentCrashes(t *testing.T) {
	const n = 8
	w := newWorld(t, dap.TimeIntervalMode, n)
	atFirst(t, w, n)
	tagged(w, 2)
	jobs := [][]int{{0, 2}, {1, 4, 5}, {3}, {7, 6}}
	for at := 1; ; at++ {
		crashed := false
		for _, after := range []bool{false, true} {
			for _, flaky := range []bool{false, true} {
				m := storetest.NewModel()
				m.Flaky = flaky
				m.CrashAt(at, after)
				crashed = spendAll(t, w, m, jobs) || crashed
			}
		}
		if !crashed {
			if at < 2*len(jobs) {
				t.Fatalf("only %d changes", at-1)
			}
			return
		}
	}
}

// spendAll does jobs over a store that crashes: it reserves and counts, as two roles in one
// would, until each is done.
func spendAll(t *testing.T, w *world, m *storetest.Model, jobs [][]int) (crashed bool) {
	t.Helper()
	leader, done := map[int]bool{}, map[int]bool{}
	counted := map[byte][]int{} // by tag
	had := map[byte]int{}
	for k := 0; k < len(jobs); {
		ledgers := w.ledgers(t, m)
		err := func() error {
			taskLedger, err := ledgers.Open(t.Context(), w.task, 0)
			if err != nil {
				return err
			}
			own, err := ledgers.OpenSpent(t.Context(), listName, w.task, 0)
			if err != nil {
				return err
			}
			helper, err := ledgers.OpenSpent(t.Context(), [32]byte{8}, w.task, 0)
			if err != nil {
				return err
			}
			for ; k < len(jobs); k++ {
				o := w.job(t, jobs[k]...)
				v, err := own.Reserve(t.Context(), w.task.Config().TimePrecision, o.Candidates())
				if err != nil {
					return err
				}
				for i, e := range v {
					tag, report := byte(jobs[k][i]/2), jobs[k][i]
					if before, ok := had[tag]; e == 0 && ok && before != report {
						t.Fatalf("tag %d is that of reports %d and %d", tag, before, report)
					}
					if e == 0 {
						had[tag] = report
					}
				}
				leader[k] = true
				if done[k] {
					continue
				}
				_, err = taskLedger.CommitSpending(t.Context(), o, helper, func(_ context.Context, c ledger.Change, verdicts []dap.ReportError) error {
					return m.Atomically(m.StepCommit(c), func() (func(), error) {
						return func() {
							done[k] = true
							for i, e := range verdicts {
								if e == 0 {
									counted[byte(jobs[k][i]/2)] = append(counted[byte(jobs[k][i]/2)], jobs[k][i])
								}
							}
						}, nil
					})
				})
				if err != nil {
					return err
				}
			}
			return nil
		}()
		if err != nil {
			if !errors.Is(err, storetest.ErrCrashed) {
				t.Fatal(err)
			}
			crashed = true
			if m.Crashed() {
				m = m.Restart()
			}
		}
	}
	for tag := range byte(4) {
		if len(counted[tag]) != 1 {
			t.Errorf("tag %d was counted for %v", tag, counted[tag])
		}
	}
	m.CrashAt(1<<20, false)
	total, _, err := w.open(t, m).Batch(t.Context(), whole(w))
	if err != nil || total.Count != 4 {
		t.Errorf("a total of %d reports, want 4: %v", total.Count, err)
	}
	return crashed
}

// TestTagsOutliveTheirReports covers a client that waits until its tag is forgotten, to
// spend it again: as long as a report can be counted its tag is kept, and afterwards the
// report is dropped. An epoch is longer than a page of tags here, and tasks of the list keep
// reports for different times.
func TestTagsOutliveTheirReports(t *testing.T) {
	w := newWorld(t, dap.TimeIntervalMode, 2)
	atFirst(t, w, 2)
	tagged(w, 2)
	const day = 24 * time.Hour
	store := storetest.NewModel()
	ledgers := w.ledgers(t, store)
	w.clock.Set(time.Unix(int64(first)*3600, 0).Add(time.Hour))
	taskLedger := must(ledgers.Open(t.Context(), w.task, 5*day))(t)
	spentList(t, ledgers, w, 5*day)
	spent := spentList(t, ledgers, w, day) // of another task that keeps less
	if v := must(taskLedger.CommitSpending(t.Context(), w.job(t, 0), spent, nil))(t); v[0] != 0 {
		t.Fatalf("verdict %v", v[0])
	}
	dropped := false
	for range 12 {
		if err := errors.Join(taskLedger.Expire(t.Context()), spent.Expire(t.Context())); err != nil {
			t.Fatal(err)
		}
		fresh := w.ledgers(t, store) // a process that has read nothing
		other := must(fresh.Open(t.Context(), w.task, 5*day))(t)
		v := must(other.CommitSpending(t.Context(), w.job(t, 1), spentList(t, fresh, w, 5*day), nil))(t)
		switch {
		case v[0] == 0:
			t.Fatal("a tag was forgotten before its reports are dropped")
		case v[0] == dap.ReportDropped:
			dropped = true
		case dropped:
			t.Fatalf("verdict %v after the report was dropped", v[0])
		}
		w.clock.Advance(day)
	}
	if !dropped {
		t.Error("tags are kept without end")
	}
	if blocks := must(store.Blocks(t.Context(), listName, ledger.Page{Window: uint64(first) * 3600 / 86400}, 0))(t); len(blocks) > 0 {
		t.Error("the page of tags is still there")
	}
}
