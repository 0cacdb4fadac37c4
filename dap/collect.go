package dap

import (
	"crypto/subtle"
	"fmt"
)

// CheckCollection validates a collector's request at the leader, and again at
// the helper (section "Collection Job Initialization"). The error is an [Abort].
func (t *Task) CheckCollection(job *CollectionJobReq) error {
	if job.Query.Mode != t.config.BatchMode {
		return &Abort{Type: ProblemInvalidMessage, Detail: fmt.Sprintf("query of %v, the task has %v", job.Query.Mode, t.config.BatchMode)}
	}
	if len(job.AggParam) > 0 {
		return &Abort{Type: ProblemInvalidAggregationParameter, Detail: "the VDAF has only the empty one"}
	}
	if err := t.checkQuery(&job.Query); err != nil {
		return err
	}
	return CheckCollectionExtensions(job.Extensions)
}

func (t *Task) checkQuery(q *Query) error {
	if q.Mode == LeaderSelectedMode {
		if len(q.Config) > 0 {
			return &Abort{Type: ProblemInvalidMessage, Detail: fmt.Sprintf("query for the next batch with %d bytes, want none", len(q.Config))}
		}
		return nil
	}
	i, err := q.Interval()
	if err != nil {
		return &Abort{Type: ProblemInvalidMessage, Detail: err.Error()}
	}
	if err := i.Validate(); err != nil {
		return &Abort{Type: ProblemBatchInvalid, Detail: err.Error()}
	}
	return nil
}

// CheckSelector validates a leader's request at the helper as far as it goes
// without the batch (section "Obtaining Aggregate Shares"). The error is an
// [Abort].
func (t *Task) CheckSelector(req *AggregateShareReq) error {
	if req.Selector.Mode != t.config.BatchMode {
		return &Abort{Type: ProblemInvalidMessage, Detail: fmt.Sprintf("selector of %v, the task has %v", req.Selector.Mode, t.config.BatchMode)}
	}
	if err := t.CheckCollection(&req.Job); err != nil {
		return err
	}
	if req.Selector.Mode == LeaderSelectedMode {
		if _, err := req.Selector.BatchID(); err != nil {
			return &Abort{Type: ProblemInvalidMessage, Detail: err.Error()}
		}
		return nil
	}
	selected, err := req.Selector.Interval()
	if err != nil {
		return &Abort{Type: ProblemInvalidMessage, Detail: err.Error()}
	}
	query, err := req.Job.Query.Interval()
	if err != nil {
		return &Abort{Type: ProblemInvalidMessage, Detail: err.Error()}
	}
	if !query.Covers(selected) {
		return &Abort{Type: ProblemBatchInvalid, Detail: fmt.Sprintf("selector %v is not within the query %v", selected, query)}
	}
	return nil
}

// Selects reports whether a bucket is part of the batch that a selector, which
// [Task.CheckSelector] has accepted, names.
func (t *Task) Selects(s BatchSelector, b Bucket) bool {
	if t.config.BatchMode == LeaderSelectedMode {
		id, err := s.BatchID()
		return err == nil && id == b.Batch
	}
	i, err := s.Interval()
	return err == nil && i.Contains(b.Unit)
}

// CheckBatch decides whether a batch may be collected, at the leader before it
// asks the helper and at the helper before it answers (section "Obtaining
// Aggregate Shares"). collected is true if one of its buckets was collected for
// another request. The error is an [Abort]; its detail does not reveal how many
// reports there are. Check and the mark that the buckets are collected must be one
// atomic step.
func (t *Task) CheckBatch(total *Total, collected bool) error {
	if collected {
		return &Abort{Type: ProblemBatchOverlap, Detail: "a part of the batch was collected before"}
	}
	if total.Count < t.config.MinBatchSize {
		return &Abort{Type: ProblemInvalidBatchSize, Detail: fmt.Sprintf("fewer reports than the task's minimum of %d", t.config.MinBatchSize)}
	}
	return nil
}

// CheckAgreement decides at the helper whether the leader aggregated the same
// reports. The error is an [Abort].
func (m *AggregateShareReq) CheckAgreement(total *Total) error {
	same := subtle.ConstantTimeCompare(m.Checksum[:], total.Checksum[:]) == 1
	if m.ReportCount != total.Count || !same {
		return &Abort{Type: ProblemBatchMismatch, Detail: "leader and helper have different reports in the batch"}
	}
	return nil
}

// OpenCollection opens the answer to a collection job at the collector: the
// aggregate shares of leader and helper, in the order in which the VDAF takes
// them, each of them by the key that it names. An interval outside of the query is an
// error.
func (t *Task) OpenCollection(leaderKey, helperKey Opener, job *CollectionJobReq, resp *CollectionJobResp) ([][]byte, error) {
	if job.Query.Mode == TimeIntervalMode {
		query, err := job.Query.Interval()
		if err != nil {
			return nil, err
		}
		if !query.Covers(resp.Interval) {
			return nil, fmt.Errorf("%w: the reports are of %v, the query was for %v", ErrMalformed, resp.Interval, query)
		}
	}
	leader, err := t.OpenAggregateShare(leaderKey, Leader, job, &resp.LeaderShare)
	if err != nil {
		return nil, err
	}
	helper, err := t.OpenAggregateShare(helperKey, Helper, job, &resp.HelperShare)
	if err != nil {
		return nil, err
	}
	return [][]byte{leader, helper}, nil
}
