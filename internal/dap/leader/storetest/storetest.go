// Package storetest holds the conformance suite of [leader.Store] and a model of
// a store that can crash.
//
// An implementation's test calls [Run] with a function that opens a fresh store.
// Tests of what uses a store take a [Model].
package storetest

import (
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
)

// Run checks a store against the promises of [leader.Store] that go beyond
// [ledger.Store], which has a suite of its own. Open returns an empty store;
// reopen closes it and opens what it has left behind.
func Run(t *testing.T, open func(t *testing.T) (store leader.Store, reopen func(t *testing.T) leader.Store)) {
	for name, test := range map[string]func(*suite){
		"logs": (*suite).logs, "cut": (*suite).cut, "lease": (*suite).lease, "lease of many": (*suite).leases,
		"update": (*suite).update, "end": (*suite).end, "end and ledger": (*suite).endWithLedger, "batches": (*suite).batches,
		"collections": (*suite).collections, "ways": (*suite).ways, "drain": (*suite).drain, "drain of a batch": (*suite).drainBatch,
		"end of a collection": (*suite).endCollection, "many drain": (*suite).drains,
		"claim": (*suite).claims, "fence": (*suite).fence, "fence under load": (*suite).fenceUnderLoad,
		"drop of a node": (*suite).dropNode, "order of selection": (*suite).order, "losses": (*suite).losses,
	} {
		t.Run(name, func(t *testing.T) {
			s := &suite{T: t}
			s.plain, s.reopen = open(t)
			claim, err := s.plain.Claim(t.Context(), leader.Claim{Node: "n1", Disk: "d1", Until: at(1000)}, at(0))
			s.must(err)
			s.claim, s.Store = claim, s.plain.As(claim)
			test(s)
		})
	}
}

type suite struct {
	*testing.T
	leader.Store              // as the node n1 sees it
	plain        leader.Store // without a claim
	claim        leader.Claim
	reopen       func(*testing.T) leader.Store
}

var (
	taskA = dap.TaskID{1}
	taskB = dap.TaskID{2}
)

// at is some time, n seconds later.
func at(n int64) time.Time { return time.Unix(1_700_000_000+n, 0).UTC() }

func (s *suite) again() {
	s.plain = s.reopen(s.T)
	s.Store = s.plain.As(s.claim)
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) want(err, target error, what string) {
	s.Helper()
	if !errors.Is(err, target) {
		s.Fatalf("%s: error %v, want %v", what, err, target)
	}
}

func (s *suite) equal(have, want any, what string) {
	s.Helper()
	if !reflect.DeepEqual(have, want) {
		s.Fatalf("%s: %+v, want %+v", what, have, want)
	}
}

// sealed begins a log and seals it.
func (s *suite) sealed(task dap.TaskID) leader.Log {
	s.Helper()
	log, err := s.BeginLog(s.Context(), task, "n1")
	s.must(err)
	log.State, log.Records = leader.LogSealed, 10
	s.must(s.SealLog(s.Context(), log))
	return log
}

func job(log leader.Log, first int64, batch dap.BatchID) leader.Job {
	return leader.Job{
		Task: log.Task, Node: log.Node, Log: log.Number, From: first, To: first + 4, Skip: leader.Bitmap{2}, Reports: 3,
		Span: dap.Interval{Start: 100, Duration: 2}, Batch: batch, Key: 5, Created: at(0), Due: at(first), Round: 1, Turned: true, Refused: 1,
	}
}

// jobs makes jobs that are due at 0, 1, 2, ....
func (s *suite) jobs(task dap.TaskID, n int) leader.Log {
	s.Helper()
	log := s.sealed(task)
	creation := leader.JobCreation{Log: log}
	for i := range n {
		creation.Jobs = append(creation.Jobs, job(log, int64(i), dap.BatchID{}))
	}
	s.must(s.CreateJobs(s.Context(), creation))
	return log
}

func (s *suite) logs() {
	ctx := s.Context()
	var first leader.Log
	for i := range uint64(3) {
		log, err := s.BeginLog(ctx, taskA, "n1")
		s.must(err)
		if i == 0 {
			first = log
		} else if log.Number <= first.Number {
			s.Fatalf("log %d after log %d", log.Number, first.Number)
		}
	}
	other, err := s.BeginLog(ctx, taskB, "n2")
	s.must(err)
	first.Records, first.State = 7, leader.LogSealed
	s.must(s.SealLog(ctx, first))
	s.want(s.SealLog(ctx, first), leader.ErrConflict, "sealing twice")
	s.want(s.SealLog(ctx, leader.Log{Task: taskA, Number: 99, Node: "n1"}), leader.ErrConflict, "sealing what is not there")
	s.again()
	all, err := s.Logs(ctx, "n1")
	s.must(err)
	if len(all) != 3 || all[0] != first || all[1].State != leader.LogOpen || all[1].Number >= all[2].Number {
		s.Fatalf("logs %+v", all)
	}
	for _, want := range append(all, other) {
		if got, found, err := s.Log(ctx, want.Task, want.Number); err != nil || !found || got != want {
			s.Fatalf("log %+v, found %v, error %v, want %+v", got, found, err, want)
		}
	}
	if got, found, err := s.Log(ctx, taskA, 99); err != nil || found {
		s.Fatalf("a log that is not there: %+v, error %v", got, err)
	}
	elsewhere, err := s.Logs(ctx, "n2")
	s.must(err)
	s.equal(elsewhere, []leader.Log{other}, "logs of the other node")
	last, undone, err := s.LastLog(ctx, taskA, all[1].Number)
	s.must(err)
	if last != all[2].Number || undone != 2 {
		s.Fatalf("last log %d, %d not cut", last, undone)
	}
	s.want(s.DropLog(ctx, taskA, first.Number), leader.ErrConflict, "dropping a log that is not cut")
	s.must(s.CreateJobs(ctx, leader.JobCreation{Log: first}))
	s.must(s.DropLog(ctx, taskA, first.Number))
	s.must(s.DropLog(ctx, taskA, first.Number))
	if last, undone, err = s.LastLog(ctx, taskA, all[2].Number); err != nil || last != all[2].Number || undone != 2 {
		s.Fatalf("last log %d, %d not cut, error %v", last, undone, err)
	}
	if last, _, err = s.LastLog(ctx, dap.TaskID{9}, 5); err != nil || last != 0 {
		s.Fatalf("last log of a task without logs: %d, error %v", last, err)
	}
}

func (s *suite) cut() {
	ctx := s.Context()
	log := s.sealed(taskA)
	open, err := s.BeginLog(ctx, taskA, "n1")
	s.must(err)
	s.want(s.CreateJobs(ctx, leader.JobCreation{Log: open}), leader.ErrConflict, "cutting an open log")
	creation := leader.JobCreation{Log: log, Jobs: []leader.Job{job(log, 0, dap.BatchID{}), job(log, 4, dap.BatchID{})}}
	s.must(s.CreateJobs(ctx, creation))
	s.want(s.CreateJobs(ctx, creation), leader.ErrConflict, "cutting twice")
	s.again()
	jobs, reports, err := s.Jobs(ctx, taskA)
	if err != nil || jobs != 2 || reports != 6 {
		s.Fatalf("%d jobs of %d reports, error %v", jobs, reports, err)
	}
	if got, _, err := s.Log(ctx, taskA, log.Number); err != nil || got.State != leader.LogDone || got.Jobs != 2 {
		s.Fatalf("log %+v, error %v", got, err)
	}
	logs, err := s.Logs(ctx, "n1")
	s.must(err)
	if logs[0].Jobs != 2 || logs[0].State != leader.LogDone || logs[0].Records != 10 {
		s.Fatalf("log %+v", logs[0])
	}
	s.want(s.DropLog(ctx, taskA, log.Number), leader.ErrBusy, "dropping a log with jobs")
	leased, err := s.Lease(ctx, "n1", at(9), at(60), 9)
	s.must(err)
	for i, j := range leased {
		want := creation.Jobs[i]
		want.Number, want.Attempts, want.Lease = j.Number, 1, at(60)
		s.equal(j, want, "a job")
	}
}

func (s *suite) lease() {
	ctx := s.Context()
	s.jobs(taskA, 3)
	due, err := s.NextDue(ctx, "n1")
	if err != nil || !due.Equal(at(0)) {
		s.Fatalf("due at %v, error %v", due, err)
	}
	none, err := s.Lease(ctx, "n1", at(-1), at(50), 9)
	if err != nil || len(none) > 0 {
		s.Fatalf("%d jobs before they are due, error %v", len(none), err)
	}
	if none, err = s.Lease(ctx, "n2", at(9), at(50), 9); err != nil || len(none) > 0 {
		s.Fatalf("%d jobs of another node, error %v", len(none), err)
	}
	first, err := s.Lease(ctx, "n1", at(9), at(50), 2)
	s.must(err)
	if len(first) != 2 || !first[0].Due.Equal(at(0)) || !first[1].Due.Equal(at(1)) {
		s.Fatalf("leased %+v", first)
	}
	s.again()
	second, err := s.Lease(ctx, "n1", at(9), at(60), 9)
	s.must(err)
	if len(second) != 1 || !second[0].Due.Equal(at(2)) {
		s.Fatalf("leased %+v", second)
	}
	if due, err = s.NextDue(ctx, "n1"); err != nil || !due.Equal(at(50)) {
		s.Fatalf("the first lease ends at %v, error %v", due, err)
	}
	third, err := s.Lease(ctx, "n1", at(50), at(90), 9) // two leases have ended
	s.must(err)
	if len(third) != 2 || third[0].Attempts != 2 {
		s.Fatalf("leased %+v", third)
	}
	s.want(s.EndJob(ctx, leader.End{Job: first[0]}, nil), leader.ErrConflict, "ending with a lease that has ended")
	s.must(s.Release(ctx, "n1"))
	all, err := s.Lease(ctx, "n1", at(50), at(91), 9)
	if err != nil || len(all) != 3 {
		s.Fatalf("%d jobs after the release, error %v", len(all), err)
	}
	for _, j := range all {
		s.must(s.EndJob(ctx, leader.End{Job: j}, nil))
	}
	if due, err = s.NextDue(ctx, "n1"); err != nil || !due.IsZero() {
		s.Fatalf("due at %v without jobs, error %v", due, err)
	}
}

// leases has many workers lease at once: each job goes to one.
func (s *suite) leases() {
	s.jobs(taskA, 20)
	var mu sync.Mutex
	taken := make(map[uint64]int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				jobs, err := s.Lease(s.Context(), "n1", at(99), at(200), 3)
				if err != nil {
					s.Error(err)
					return
				}
				if len(jobs) == 0 {
					return
				}
				mu.Lock()
				for _, j := range jobs {
					taken[j.Number]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for number, n := range taken {
		if n != 1 {
			s.Errorf("job %d was leased %d times", number, n)
		}
	}
	if len(taken) != 20 {
		s.Errorf("%d of 20 jobs were leased", len(taken))
	}
}

func (s *suite) update() {
	ctx := s.Context()
	s.jobs(taskA, 1)
	jobs, err := s.Lease(ctx, "n1", at(0), at(50), 1)
	s.must(err)
	j := jobs[0]
	held := j.Lease
	none, err := s.Work(ctx)
	s.must(err)
	s.equal(none, map[dap.TaskID]leader.Work{taskA: {Jobs: 1, Reports: 3}}, "before an attempt has failed")
	j.Digest, j.Location, j.Attempts, j.Since, j.Due = [32]byte{7}, "https://h/x?step=0", 4, at(15), at(20)
	s.must(s.UpdateJob(ctx, j, held))
	j.Lease = time.Time{}
	s.must(s.UpdateJob(ctx, j, held))
	s.want(s.UpdateJob(ctx, j, held), leader.ErrConflict, "updating without the lease")
	s.again()
	jobs, err = s.Lease(ctx, "n1", at(20), at(60), 1)
	s.must(err)
	j.Attempts, j.Lease = 5, at(60)
	s.equal(jobs[0], j, "the job")
	s.unanswered(j)
	s.must(s.EndJob(ctx, leader.End{Job: jobs[0]}, nil))
	s.want(s.UpdateJob(ctx, j, at(60)), leader.ErrConflict, "updating a job that has ended")
}

// unanswered checks what waits for the helper, with j, one of task A, since 15.
func (s *suite) unanswered(j leader.Job) {
	ctx := s.Context()
	s.jobs(taskB, 1) // of another task, and nothing of it has failed
	s.jobs(taskA, 2)
	jobs, err := s.Lease(ctx, "n1", at(30), at(60), 9)
	s.must(err)
	for _, o := range jobs {
		if o.Task == taskA && o.Due.Equal(at(1)) {
			o.Since = at(12)
			s.must(s.UpdateJob(ctx, o, o.Lease))
		}
	}
	have, err := s.Work(ctx)
	s.must(err)
	s.equal(have, map[dap.TaskID]leader.Work{
		taskA: {Jobs: 3, Reports: 9, Unanswered: leader.Absence{Jobs: 2, Reports: 6, Since: at(12)}}, taskB: {Jobs: 1, Reports: 3},
	}, "what waits")
	j.Since = time.Time{}
	s.must(s.UpdateJob(ctx, j, j.Lease))
	s.again()
	have, err = s.Work(ctx)
	s.must(err)
	s.equal(have[taskA].Unanswered, leader.Absence{Jobs: 1, Reports: 3, Since: at(12)}, "what waits after an answer")
}

func (s *suite) end() {
	ctx := s.Context()
	log := s.jobs(taskA, 1)
	jobs, err := s.Lease(ctx, "n1", at(0), at(50), 1)
	s.must(err)
	next := job(log, 2, dap.BatchID{})
	s.must(s.EndJob(ctx, leader.End{Job: jobs[0], Next: []leader.Job{next}}, nil))
	s.want(s.EndJob(ctx, leader.End{Job: jobs[0]}, nil), leader.ErrConflict, "ending twice")
	s.want(s.DropLog(ctx, taskA, log.Number), leader.ErrBusy, "dropping a log with a later job")
	s.again()
	after, err := s.Lease(ctx, "n1", at(2), at(50), 9)
	s.must(err)
	if len(after) != 1 || after[0].Number <= jobs[0].Number || after[0].From != 2 {
		s.Fatalf("jobs %+v", after)
	}
	s.must(s.EndJob(ctx, leader.End{Job: after[0]}, nil))
	s.must(s.DropLog(ctx, taskA, log.Number))
}

// change appends a block to a ledger.
func change(task dap.TaskID, seq uint32) *ledger.Change {
	return &ledger.Change{Task: task, Blocks: []ledger.Block{{Page: ledger.Page{Window: 1}, Seq: seq, IDs: make([]byte, ledger.IDSize)}}}
}

func (s *suite) endWithLedger() {
	ctx := s.Context()
	_, err := s.Begin(ctx, taskA, ledger.Layout{Window: 10, Shards: 1})
	s.must(err)
	s.jobs(taskA, 1)
	jobs, err := s.Lease(ctx, "n1", at(0), at(50), 1)
	s.must(err)
	s.want(s.EndJob(ctx, leader.End{Job: jobs[0]}, change(taskA, 2)), ledger.ErrConflict, "a block that does not follow")
	if n, _, err := s.Jobs(ctx, taskA); err != nil || n != 1 {
		s.Fatalf("%d jobs after the ledger's conflict, error %v", n, err)
	}
	lost := jobs[0]
	lost.Lease = at(49)
	s.want(s.EndJob(ctx, leader.End{Job: lost}, change(taskA, 1)), leader.ErrConflict, "another's lease")
	blocks, err := s.Blocks(ctx, taskA, ledger.Page{Window: 1}, 0)
	if err != nil || len(blocks) > 0 {
		s.Fatalf("%d blocks after the job's conflict, error %v", len(blocks), err)
	}
	s.must(s.EndJob(ctx, leader.End{Job: jobs[0], Counted: 1}, change(taskA, 1)))
	s.again()
	if blocks, err = s.Blocks(ctx, taskA, ledger.Page{Window: 1}, 0); err != nil || len(blocks) != 1 {
		s.Fatalf("%d blocks after the end, error %v", len(blocks), err)
	}
	if n, _, err := s.Jobs(ctx, taskA); err != nil || n != 0 {
		s.Fatalf("%d jobs after the end, error %v", n, err)
	}
}

func (s *suite) batches() {
	ctx := s.Context()
	log := s.sealed(taskA)
	one, two := dap.BatchID{1}, dap.BatchID{2}
	s.must(s.CreateJobs(ctx, leader.JobCreation{
		Log: log, Jobs: []leader.Job{job(log, 0, one), job(log, 1, two)},
		Batches: []leader.Batch{{Task: taskA, ID: two, Window: 7}, {Task: taskA, ID: one}},
	}))
	s.again()
	jobs, err := s.Lease(ctx, "n1", at(9), at(50), 1)
	s.must(err)
	s.must(s.EndJob(ctx, leader.End{Job: jobs[0], Counted: 2, Next: []leader.Job{job(log, 5, one)}}, nil))
	have, err := s.Batches(ctx, taskA)
	s.must(err)
	s.equal(have, []leader.Batch{
		{Task: taskA, ID: two, Window: 7, Assigned: 3},
		{Task: taskA, ID: one, Assigned: 3, Count: 2},
	}, "batches")
	if others, err := s.Batches(ctx, taskB); err != nil || len(others) > 0 {
		s.Fatalf("batches of another task: %v, error %v", others, err)
	}
	more := s.sealed(taskA)
	s.want(s.CreateJobs(ctx, leader.JobCreation{Log: more, Jobs: []leader.Job{job(more, 0, dap.BatchID{3})}}), leader.ErrConflict, "a job for a batch that is not there")
	s.must(s.CreateJobs(ctx, leader.JobCreation{Log: more, Jobs: []leader.Job{job(more, 0, one)}}))
	if have, err = s.Batches(ctx, taskA); err != nil || have[1].Assigned != 6 {
		s.Fatalf("batches %+v, error %v", have, err)
	}
}
