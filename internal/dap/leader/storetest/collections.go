package storetest

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/leader"
	"github.com/shoal-project/shoal/internal/dap/ledger"
)

func collection(id byte, i dap.Interval) leader.Collection {
	return leader.Collection{
		Task: taskA, ID: dap.CollectionJobID{id}, State: leader.Waiting, Created: at(0), Due: at(1), Request: []byte{1, id}, Interval: i,
	}
}

// create adds a collection job and returns it as it is stored.
func (s *suite) create(c leader.Collection) leader.Collection {
	s.Helper()
	have, fresh, err := s.CreateCollection(s.Context(), c)
	s.must(err)
	if !fresh {
		s.Fatalf("collection job %v is there already", c.ID)
	}
	return have
}

func (s *suite) stored(c leader.Collection) leader.Collection {
	s.Helper()
	have, err := s.Collection(s.Context(), c.Task, c.ID)
	s.must(err)
	return have
}

func (s *suite) collections() {
	ctx := s.Context()
	first := s.create(collection(1, dap.Interval{Start: 5, Duration: 2}))
	second := s.create(collection(2, dap.Interval{}))
	again := collection(1, dap.Interval{Start: 9, Duration: 1})
	have, fresh, err := s.CreateCollection(ctx, again)
	s.must(err)
	if fresh {
		s.Fatal("an ID was given twice")
	}
	s.equal(have, first, "the one that was there")
	s.again()
	s.equal(s.stored(first), first, "stored")
	_, err = s.Collection(ctx, taskB, first.ID)
	s.want(err, leader.ErrUnknown, "of another task")
	all, err := s.Collections(ctx)
	s.must(err)
	s.equal(all, []leader.Collection{first, second}, "pending")

	changed := first
	changed.Upto, changed.Attempts, changed.Due, changed.Location, changed.Count, changed.Checksum = 9, 3, at(8), "somewhere", 12, dap.Checksum{4}
	s.must(s.UpdateCollection(ctx, changed))
	s.want(s.UpdateCollection(ctx, changed), leader.ErrConflict, "an old revision")
	s.again()
	changed.Rev++
	s.equal(s.stored(first), changed, "after the update")

	second.State, second.Problem, second.Detail = leader.Failed, dap.ProblemInvalidBatchSize, "too few"
	s.must(s.UpdateCollection(ctx, second))
	s.must(s.ForgetCollections(ctx, taskA, at(1)))
	s.must(s.ForgetCollections(ctx, taskB, at(5)))
	second.Rev++
	s.equal(s.stored(second), second, "failed")
	s.must(s.ForgetCollections(ctx, taskA, at(2)))
	_, err = s.Collection(ctx, taskA, second.ID)
	s.want(err, leader.ErrUnknown, "forgotten")
	if all, err = s.Collections(ctx); err != nil || len(all) != 1 {
		s.Fatalf("pending %v, error %v", all, err)
	}
}

// ways takes collection jobs where an update may and may not take them.
func (s *suite) ways() {
	ctx := s.Context()
	c := s.create(collection(1, dap.Interval{Start: 5, Duration: 2}))
	for _, to := range []leader.CollectionState{leader.Draining, leader.Done} {
		next := c
		next.State = to
		if err := s.UpdateCollection(ctx, next); err == nil {
			s.Fatalf("an update took a collection job to %v", to)
		}
	}
	c.State = leader.Deleted
	s.must(s.UpdateCollection(ctx, c))
	c.Rev++
	c.State = leader.Waiting
	if err := s.UpdateCollection(ctx, c); err == nil {
		s.Fatal("a deleted collection job waits again")
	}
}

func (s *suite) drain() {
	ctx := s.Context()
	log := s.sealed(taskA)
	c := s.create(collection(1, dap.Interval{Start: 101, Duration: 1}))
	c.State, c.Upto = leader.Draining, log.Number
	s.want(s.Drain(ctx, c), leader.ErrBusy, "a log is not cut")
	far := job(log, 0, dap.BatchID{})
	far.Span = dap.Interval{Start: 102, Duration: 5}
	s.must(s.CreateJobs(ctx, leader.JobCreation{Log: log, Jobs: []leader.Job{job(log, 0, dap.BatchID{}), far}}))
	s.want(s.Drain(ctx, c), leader.ErrBusy, "a job overlaps")
	jobs, err := s.Lease(ctx, "n1", at(9), at(50), 9)
	s.must(err)
	s.must(s.EndJob(ctx, leader.End{Job: jobs[0]}, nil))
	later := s.sealed(taskA)
	s.must(s.Drain(ctx, c)) // logs after Upto do not matter
	s.want(s.Drain(ctx, c), leader.ErrConflict, "an old revision")
	s.again()
	c.Rev++
	s.equal(s.stored(c), c, "frozen")
	s.want(s.Drain(ctx, c), leader.ErrConflict, "freezing twice")
	s.want(s.CreateJobs(ctx, leader.JobCreation{Log: later, Jobs: []leader.Job{job(later, 0, dap.BatchID{})}}), leader.ErrBusy, "a job for a frozen batch")
	after := job(later, 0, dap.BatchID{})
	after.Span = dap.Interval{Start: 102, Duration: 1}
	s.must(s.CreateJobs(ctx, leader.JobCreation{Log: later, Jobs: []leader.Job{after}}))

	o := s.create(collection(2, dap.Interval{Start: 100, Duration: 2}))
	o.State = leader.Draining
	s.want(s.Drain(ctx, o), leader.ErrBusy, "another that is frozen overlaps")
	c.State = leader.Failed
	s.must(s.UpdateCollection(ctx, c))
	s.must(s.Drain(ctx, o))
}

func (s *suite) drainBatch() {
	ctx := s.Context()
	log := s.sealed(taskA)
	one, two := dap.BatchID{1}, dap.BatchID{2}
	s.must(s.CreateJobs(ctx, leader.JobCreation{
		Log: log, Jobs: []leader.Job{job(log, 0, one)},
		Batches: []leader.Batch{{Task: taskA, ID: one}, {Task: taskA, ID: two}},
	}))
	c := s.create(collection(1, dap.Interval{}))
	c.State, c.Batch = leader.Draining, one
	s.want(s.Drain(ctx, c), leader.ErrBusy, "a job of the batch runs")
	c.Batch = dap.BatchID{9}
	s.want(s.Drain(ctx, c), leader.ErrConflict, "no such batch")
	c.Batch = two
	s.must(s.Drain(ctx, c))
	have, err := s.Batches(ctx, taskA)
	s.must(err)
	if len(have) != 1 || have[0].ID != one {
		s.Fatalf("batches that are not taken: %+v", have)
	}
	o := s.create(collection(2, dap.Interval{}))
	o.State, o.Batch = leader.Draining, two
	if err := s.Drain(ctx, o); !errors.Is(err, leader.ErrBusy) && !errors.Is(err, leader.ErrConflict) {
		s.Fatalf("a batch was taken twice: %v", err)
	}
	more := s.sealed(taskA)
	if err := s.CreateJobs(ctx, leader.JobCreation{Log: more, Jobs: []leader.Job{job(more, 0, two)}}); err == nil {
		s.Fatal("a job was made for a batch that is taken")
	}
	s.must(s.ForgetBatches(ctx, taskA, 1))
	s.again()
	c.Rev++
	s.equal(s.stored(c), c, "frozen")
}

func (s *suite) endCollection() {
	ctx := s.Context()
	_, err := s.Begin(ctx, taskA, ledger.Layout{Window: 10, Shards: 1})
	s.must(err)
	i := dap.Interval{Start: 5, Duration: 2}
	c := s.create(collection(1, i))
	done := c
	done.State, done.Response = leader.Done, []byte("sealed")
	mark := ledger.Collection{Task: taskA, Selector: dap.IntervalSelector(i)}
	s.want(s.EndCollection(ctx, done, mark), leader.ErrConflict, "ending one that waits")
	c.State = leader.Draining
	s.must(s.Drain(ctx, c))
	done.Rev++
	stale := mark
	stale.Generation = 4
	s.want(s.EndCollection(ctx, done, stale), ledger.ErrConflict, "a ledger that has moved on")
	if have := s.stored(c); have.State != leader.Draining {
		s.Fatalf("after the ledger's conflict the collection is %v", have.State)
	}
	s.must(s.EndCollection(ctx, done, mark))
	s.again()
	done.Rev++
	s.equal(s.stored(done), done, "ended")
	head, err := s.Head(ctx, taskA, 0)
	s.must(err)
	if head.Generation != 1 || len(head.Marks) != 1 {
		s.Fatalf("head %+v", head)
	}
	s.want(s.EndCollection(ctx, done, ledger.Collection{Task: taskA, Generation: 1, Selector: mark.Selector}), leader.ErrConflict, "ending twice")
	if pending, err := s.Collections(ctx); err != nil || len(pending) > 0 {
		s.Fatalf("pending %v, error %v", pending, err)
	}
	done.State, done.Response = leader.Deleted, nil
	s.must(s.UpdateCollection(ctx, done))
}

// drains has many freeze clashing batches at once: one does.
func (s *suite) drains() {
	var all []leader.Collection
	for n := range byte(6) {
		all = append(all, s.create(collection(n+1, dap.Interval{Start: 5, Duration: 2})))
	}
	var wg sync.WaitGroup
	var won atomic.Int32
	for _, c := range all {
		wg.Go(func() {
			c.State = leader.Draining
			err := s.Drain(s.Context(), c)
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, leader.ErrBusy) {
				s.Errorf("error %v, want ErrBusy", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		s.Errorf("%d of 6 batches that clash were frozen, want 1", won.Load())
	}
}
