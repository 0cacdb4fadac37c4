package dap

import (
	"crypto/sha256"
	"fmt"

	"github.com/shoal-project/shoal/vdaf"
)

// A Bucket identifies a batch bucket of a task (section "Batch Buckets"): by its
// unit of time, or in the leader-selected mode by the batch. The other is zero.
type Bucket struct {
	Unit  Time
	Batch BatchID
}

// Bucket returns the bucket of a report. The batch is that of the aggregation
// job, see [Task.CheckJob].
func (t *Task) Bucket(report Time, batch BatchID) Bucket {
	if t.config.BatchMode == LeaderSelectedMode {
		return Bucket{Batch: batch}
	}
	return Bucket{Unit: report}
}

// A Candidate is a report that an aggregator wants to commit.
type Candidate struct {
	ID     ReportID
	Time   Time
	Bucket Bucket
	Tag    Tag // what else it is counted by; [Admit] does not judge it
}

// A Ledger is what an aggregator's storage knows about a task, as [Admit] sees
// it. All answers of one ledger come from one state of the storage, and what is
// then admitted is stored in the same transaction: under concurrent jobs and
// after a crash, a report whose commit was acknowledged is seen, and a bucket
// that was marked is collected.
type Ledger interface {
	// Collected reports whether the bucket is part of a batch that was collected.
	Collected(Bucket) bool
	// Seen reports whether a report of this ID was committed in the task.
	Seen(ReportID) bool
	// Evicted reports whether the IDs of reports of this time are no longer kept,
	// so that Seen cannot decide.
	Evicted(Time) bool
}

// Admit decides which candidates may be committed, in their order (section
// "Batch Buckets"): 0 for those that may, else [BatchCollected],
// [ReportReplayed] or [ReportDropped]. Of two candidates with one ID the first
// is admitted.
func Admit(candidates []Candidate, l Ledger) []ReportError {
	verdicts := make([]ReportError, len(candidates))
	admitted := make(map[ReportID]bool, len(candidates))
	for i, c := range candidates {
		switch {
		case l.Collected(c.Bucket):
			verdicts[i] = BatchCollected
		case admitted[c.ID] || l.Seen(c.ID):
			verdicts[i] = ReportReplayed
		case l.Evicted(c.Time):
			verdicts[i] = ReportDropped
		default:
			admitted[c.ID] = true
		}
	}
	return verdicts
}

// A Total is what an aggregator has in a batch bucket, in a shard of one, or in
// a batch (section "Batch Buckets"). It is not safe for concurrent use.
type Total struct {
	Count    uint64
	Checksum Checksum
	Interval Interval             // the smallest that holds the times of all reports; zero without any
	Share    *vdaf.AggregateShare // secret
}

// NewTotal returns an empty total.
func (t *Task) NewTotal() *Total { return &Total{Share: t.instance.NewAggregateShare()} }

// add adds the report of candidate i, whose output share add adds to the
// aggregate share.
func (s *Total) add(c *Candidate, i int, add func(int, *vdaf.AggregateShare) error) error {
	interval, err := s.Interval.Extend(c.Time)
	if err != nil {
		return err
	}
	if err := add(i, s.Share); err != nil {
		return err
	}
	s.Interval = interval
	s.Count++
	digest := sha256.Sum256(c.ID[:])
	s.mix(&digest)
	return nil
}

// Merge adds another total of the same task and aggregator.
func (s *Total) Merge(other *Total) error {
	if other.Count == 0 {
		return nil
	}
	end, err := other.Interval.End()
	if err != nil {
		return err
	}
	interval, err := s.Interval.Extend(other.Interval.Start)
	if err != nil {
		return err
	}
	if interval, err = interval.Extend(end - 1); err != nil {
		return err
	}
	if err := s.Share.Merge(other.Share); err != nil {
		return fmt.Errorf("merging totals: %w", err)
	}
	s.Interval = interval
	s.Count += other.Count
	s.mix((*[32]byte)(&other.Checksum))
	return nil
}

func (s *Total) mix(digest *[32]byte) {
	for i := range s.Checksum {
		s.Checksum[i] ^= digest[i]
	}
}

// An Outcome is what an aggregator has of an aggregation job once all its
// reports are verified or rejected. It is not safe for concurrent use.
type Outcome struct {
	task       *Task
	candidates []Candidate
	add        func(i int, s *vdaf.AggregateShare) error // adds the output share of a candidate
}

// Candidates returns the reports that are valid, to be committed.
func (o *Outcome) Candidates() []Candidate { return o.candidates }

// Totals adds up the candidates whose verdict is 0, by bucket. It may be called
// again with other verdicts, when a transaction is tried again.
func (o *Outcome) Totals(verdicts []ReportError) (map[Bucket]*Total, error) {
	if len(verdicts) != len(o.candidates) {
		return nil, fmt.Errorf("%d verdicts for %d reports", len(verdicts), len(o.candidates))
	}
	totals := make(map[Bucket]*Total)
	for i := range o.candidates {
		c := &o.candidates[i]
		if verdicts[i] != 0 {
			continue
		}
		if totals[c.Bucket] == nil {
			totals[c.Bucket] = o.task.NewTotal()
		}
		if err := totals[c.Bucket].add(c, i, o.add); err != nil {
			return nil, fmt.Errorf("adding report %v: %w", c.ID, err)
		}
	}
	return totals, nil
}
