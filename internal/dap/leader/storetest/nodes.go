package storetest

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
)

// claims takes names, renews them and gives them up.
func (s *suite) claims() {
	ctx := s.Context()
	other := leader.Claim{Node: "n1", Disk: "d2", Until: at(2000)}
	_, err := s.plain.Claim(ctx, other, at(999))
	s.want(err, leader.ErrHeld, "a name that is leased")
	if held, ok := errors.AsType[*leader.HeldError](err); !ok || !held.Until.Equal(at(1000)) || held.Node != "n1" {
		s.Fatalf("error %v, want it to name n1 and %v", err, at(1000))
	}
	renewed := s.claim
	renewed.Until = at(1500)
	s.must(s.plain.Renew(ctx, renewed))
	s.again()
	_, err = s.plain.Claim(ctx, other, at(1499))
	s.want(err, leader.ErrHeld, "a name whose lease was renewed, after a restart")
	second, err := s.plain.Claim(ctx, other, at(1500))
	s.must(err)
	if second.Token <= s.claim.Token || second.Node != "n1" || second.Disk != "d2" {
		s.Fatalf("claim %+v after %+v", second, s.claim)
	}
	s.want(s.plain.Renew(ctx, renewed), leader.ErrFenced, "renewing a claim that was taken")
	s.want(s.plain.Renew(ctx, leader.Claim{Node: "n9", Until: at(9)}), leader.ErrFenced, "renewing what was never claimed")

	same, err := s.plain.Claim(ctx, other, at(1501)) // the same disk: its last process has ended
	s.must(err)
	if same.Token <= second.Token {
		s.Fatalf("token %d after %d", same.Token, second.Token)
	}
	s.want(s.plain.Renew(ctx, second), leader.ErrFenced, "renewing the former process's claim")
	late := same
	late.Until = at(3000)
	s.must(s.plain.Renew(ctx, late)) // it had lapsed, and no other process has taken it
	late.Until = time.Time{}
	s.must(s.plain.Renew(ctx, late))
	third, err := s.plain.Claim(ctx, leader.Claim{Node: "n1", Disk: "d3", Until: at(1600)}, at(1502))
	s.must(err)
	if third.Token <= same.Token {
		s.Fatalf("token %d after %d", third.Token, same.Token)
	}
	nodes, err := s.plain.Nodes(ctx)
	s.must(err)
	s.equal(nodes, []leader.Claim{{Node: "n1", Disk: "d3", Token: third.Token, Until: at(1600)}}, "nodes")
}

// fence tries every change with a claim that was taken, and with none.
func (s *suite) fence() {
	ctx := s.Context()
	_, err := s.Begin(ctx, taskA, ledger.Layout{Window: 10, Shards: 1})
	s.must(err)
	log := s.jobs(taskA, 2)
	open, err := s.BeginLog(ctx, taskA, "n1")
	s.must(err)
	sealed := s.sealed(taskA)
	jobs, err := s.Lease(ctx, "n1", at(9), at(50), 1)
	s.must(err)
	waiting := s.create(collection(1, dap.Interval{Start: 900, Duration: 2}))
	draining := s.create(collection(2, dap.Interval{Start: 500, Duration: 2}))
	draining.State = leader.Draining
	s.must(s.Drain(ctx, draining))
	draining = s.stored(draining)

	taken, err := s.plain.Claim(ctx, leader.Claim{Node: "n1", Disk: "d2", Until: at(3000)}, at(1000))
	s.must(err)
	done, drains := draining, waiting
	done.State, drains.State = leader.Done, leader.Draining
	mark := ledger.Collection{Task: taskA, Selector: dap.IntervalSelector(done.Interval)}
	changes := map[string]func(leader.Store) error{
		"BeginLog":  func(st leader.Store) error { _, err := st.BeginLog(ctx, taskA, "n1"); return err },
		"SealLog":   func(st leader.Store) error { l := open; l.State = leader.LogSealed; return st.SealLog(ctx, l) },
		"Cut":       func(st leader.Store) error { return st.CreateJobs(ctx, leader.JobCreation{Log: sealed}) },
		"DropLog":   func(st leader.Store) error { return st.DropLog(ctx, taskA, log.Number) },
		"Lease":     func(st leader.Store) error { _, err := st.Lease(ctx, "n1", at(60), at(90), 9); return err },
		"Release":   func(st leader.Store) error { return st.Release(ctx, "n1") },
		"UpdateJob": func(st leader.Store) error { return st.UpdateJob(ctx, jobs[0], jobs[0].Lease) },
		"EndJob":    func(st leader.Store) error { return st.EndJob(ctx, leader.End{Job: jobs[0]}, nil) },
		"EndJob with the ledger": func(st leader.Store) error {
			return st.EndJob(ctx, leader.End{Job: jobs[0], Counted: 1}, change(taskA, 1))
		},
		"ForgetBatches": func(st leader.Store) error { return st.ForgetBatches(ctx, taskA, 9) },
		"ForgetLosses":  func(st leader.Store) error { return st.ForgetLosses(ctx, taskA, 9) },
		"CreateCollection": func(st leader.Store) error {
			_, _, err := st.CreateCollection(ctx, collection(3, dap.Interval{}))
			return err
		},
		"UpdateCollection":  func(st leader.Store) error { return st.UpdateCollection(ctx, waiting) },
		"Drain":             func(st leader.Store) error { return st.Drain(ctx, drains) },
		"EndCollection":     func(st leader.Store) error { return st.EndCollection(ctx, done, mark) },
		"ForgetCollections": func(st leader.Store) error { return st.ForgetCollections(ctx, taskA, at(9999)) },
	}
	before := s.everything()
	for name, change := range changes {
		s.want(change(s.Store), leader.ErrFenced, name+" with a claim that was taken")
		s.want(change(s.plain), leader.ErrFenced, name+" without a claim")
	}
	s.again()
	s.equal(s.everything(), before, "what the store holds after the changes that were refused")
	s.Store = s.plain.As(taken)
	if after, err := s.Lease(ctx, "n1", at(60), at(90), 9); err != nil || len(after) != 2 {
		s.Fatalf("the new process leases %d jobs, error %v", len(after), err)
	}
}

// everything is what a leader's store holds of task A, apart from its claims.
func (s *suite) everything() any {
	s.Helper()
	ctx := s.Context()
	logs, err := s.Logs(ctx, "n1")
	s.must(err)
	jobs, reports, err := s.Jobs(ctx, taskA)
	s.must(err)
	due, err := s.NextDue(ctx, "n1")
	s.must(err)
	pending, err := s.Collections(ctx)
	s.must(err)
	blocks, err := s.Blocks(ctx, taskA, ledger.Page{Window: 1}, 0)
	s.must(err)
	last, undone, err := s.LastLog(ctx, taskA, 99)
	s.must(err)
	return []any{logs, jobs, reports, due.Unix(), pending, len(blocks), last, undone}
}

// fenceUnderLoad takes a node's name while its process changes the store, many
// times, since a store that checks the claim too early is seen only if a change is
// just between the two.
func (s *suite) fenceUnderLoad() {
	process := s.Store
	for round := range 40 {
		claim := leader.Claim{Node: "n1", Disk: fmt.Sprint("disk", round), Until: at(int64(3000 + 3000*round))}
		process = s.takeUnderLoad(process, claim, at(int64(1000+3000*round)))
	}
}

// takeUnderLoad claims the name of a process and returns the store as the new one
// has it: when Claim has returned, nothing that the former does takes effect.
func (s *suite) takeUnderLoad(former leader.Store, claim leader.Claim, now time.Time) leader.Store {
	ctx := s.Context()
	first, _, err := s.LastLog(ctx, taskA, 0)
	s.must(err)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				if _, err := former.BeginLog(ctx, taskA, "n1"); err != nil {
					if !errors.Is(err, leader.ErrFenced) {
						s.Errorf("a change while the name is taken: %v", err)
					}
					return
				}
			}
		})
	}
	for { // until the changes have begun
		if last, _, err := s.LastLog(ctx, taskA, 0); err != nil || last > first+3 {
			s.must(err)
			break
		}
	}
	claim, err = s.plain.Claim(ctx, claim, now)
	s.must(err)
	last, _, err := s.LastLog(ctx, taskA, 0)
	s.must(err)
	wg.Wait()
	after, _, err := s.LastLog(ctx, taskA, 0)
	s.must(err)
	if after != last {
		s.Fatalf("log %d was begun after the claim was taken at %d", after, last)
	}
	return s.plain.As(claim)
}

// dropNode gives up what a lost node had.
func (s *suite) dropNode() {
	ctx := s.Context()
	lost, err := s.plain.Claim(ctx, leader.Claim{Node: "n2", Disk: "d9", Until: at(1000)}, at(0))
	s.must(err)
	theirs := s.plain.As(lost)
	begin := func(node string) leader.Log {
		log, err := theirs.BeginLog(ctx, taskA, node)
		s.must(err)
		return log
	}
	seal := func(log leader.Log) leader.Log {
		log.State, log.Records = leader.LogSealed, 10
		s.must(theirs.SealLog(ctx, log))
		return log
	}
	one := dap.BatchID{1}
	cut := seal(begin("n2"))
	s.must(theirs.CreateJobs(ctx, leader.JobCreation{Log: cut, Jobs: []leader.Job{job(cut, 0, one), job(cut, 4, one)}, Batches: []leader.Batch{{Task: taskA, ID: one}}}))
	seal(begin("n2"))
	open := begin("n2")
	mine := s.sealed(taskA)
	s.must(s.CreateJobs(ctx, leader.JobCreation{Log: mine, Jobs: []leader.Job{job(mine, 0, one)}}))

	c := s.create(collection(1, dap.Interval{Start: 100, Duration: 2}))
	c.Upto = open.Number
	s.must(s.UpdateCollection(ctx, c))
	c.Rev++
	holders, err := s.Holders(ctx, c)
	s.must(err)
	s.equal(holders, []leader.Holder{{Node: "n1", Jobs: 1, Until: at(1000)}, {Node: "n2", Logs: 2, Jobs: 2, Until: at(1000)}}, "holders")

	_, err = s.plain.DropNode(ctx, "n2", at(999))
	s.want(err, leader.ErrHeld, "dropping a node that holds its lease")
	d, err := s.plain.DropNode(ctx, "n2", at(1000))
	s.must(err)
	want := leader.Dropped{Node: "n2", At: at(1000), Logs: 3, Open: 1, Reports: 16}
	s.equal(d, want, "what was given up")
	s.again()
	_, err = s.plain.As(lost).BeginLog(ctx, taskA, "n2")
	s.want(err, leader.ErrFenced, "a change of the node that was dropped")
	s.want(s.plain.Renew(ctx, lost), leader.ErrFenced, "renewing the claim of the node that was dropped")
	drops, err := s.plain.Drops(ctx)
	s.must(err)
	s.equal(drops, []leader.Dropped{want}, "what was given up, read again")
	batches, err := s.Batches(ctx, taskA)
	s.must(err)
	s.equal(batches, []leader.Batch{{Task: taskA, ID: one, Assigned: 3}}, "batches")
	if logs, err := s.Logs(ctx, "n2"); err != nil || len(logs) > 0 {
		s.Fatalf("logs %v, error %v", logs, err)
	}
	if holders, err = s.Holders(ctx, c); err != nil || len(holders) != 1 || holders[0].Node != "n1" {
		s.Fatalf("holders %v, error %v", holders, err)
	}
	if logs, err := s.Logs(ctx, "n1"); err != nil || len(logs) != 1 || logs[0].Jobs != 1 {
		s.Fatalf("logs of the node that stays: %v, error %v", logs, err)
	}
	none, err := s.plain.DropNode(ctx, "n2", at(2000))
	s.must(err)
	s.equal(none, leader.Dropped{Node: "n2", At: at(2000)}, "what was given up the second time")
	again, err := s.plain.Claim(ctx, leader.Claim{Node: "n2", Disk: "d9", Until: at(3000)}, at(2000))
	s.must(err)
	if again.Token <= lost.Token+1 {
		s.Fatalf("token %d after %d and two drops", again.Token, lost.Token)
	}
}

// order selects batches for the collection that waits longest.
func (s *suite) order() {
	ctx := s.Context()
	log := s.sealed(taskA)
	s.must(s.CreateJobs(ctx, leader.JobCreation{Log: log, Batches: []leader.Batch{{Task: taskA, ID: dap.BatchID{1}}, {Task: taskA, ID: dap.BatchID{2}}}}))
	first, second := s.create(collection(7, dap.Interval{})), s.create(collection(3, dap.Interval{})) // in one second
	s.create(collection(1, dap.Interval{Start: 5, Duration: 1}))
	first.Batch, second.Batch = dap.BatchID{1}, dap.BatchID{2}
	first.State, second.State = leader.Draining, leader.Draining
	s.again()
	s.want(s.Drain(ctx, second), leader.ErrBusy, "selecting a batch while another waits longer")
	s.must(s.Drain(ctx, first))
	s.must(s.Drain(ctx, second))
}

// losses adds up what has expired.
func (s *suite) losses() {
	ctx := s.Context()
	log := s.sealed(taskA)
	s.must(s.CreateJobs(ctx, leader.JobCreation{Log: log, Jobs: []leader.Job{job(log, 0, dap.BatchID{})}, Lost: []leader.Loss{{Unit: 5, Reports: 2}, {Unit: 7, Reports: 1}}}))
	s.want(s.CreateJobs(ctx, leader.JobCreation{Log: log, Lost: []leader.Loss{{Unit: 5, Reports: 2}}}), leader.ErrConflict, "cutting twice")
	jobs, err := s.Lease(ctx, "n1", at(9), at(50), 1)
	s.must(err)
	s.must(s.EndJob(ctx, leader.End{Job: jobs[0], Lost: []leader.Loss{{Unit: 7, Reports: 4}}}, nil))
	s.again()
	for i, want := range map[dap.Interval]uint64{
		{Start: 5, Duration: 3}: 7, {Start: 5, Duration: 2}: 2, {Start: 6, Duration: 1}: 0, {Start: 7, Duration: 9}: 5, {Start: 8, Duration: 9}: 0,
	} {
		have, err := s.Losses(ctx, taskA, i)
		s.must(err)
		s.equal(have, want, "losses in "+i.String())
	}
	if have, err := s.Losses(ctx, taskB, dap.Interval{Duration: 99}); err != nil || have != 0 {
		s.Fatalf("losses of another task: %d, error %v", have, err)
	}
	s.must(s.ForgetLosses(ctx, taskB, 99))
	s.must(s.ForgetLosses(ctx, taskA, 7))
	s.again()
	for i, want := range map[dap.Interval]uint64{{Start: 5, Duration: 2}: 0, {Start: 7, Duration: 1}: 5} {
		have, err := s.Losses(ctx, taskA, i)
		s.must(err)
		s.equal(have, want, "losses in "+i.String()+" after those before 7 are forgotten")
	}
	c := s.create(collection(1, dap.Interval{Start: 5, Duration: 2}))
	c.Lost = 3
	s.must(s.UpdateCollection(ctx, c))
	s.again()
	c.Rev++
	s.equal(s.stored(c), c, "a collection with losses")
}
