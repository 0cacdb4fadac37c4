package dap

import (
	"errors"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/vdaf"
)

// ErrAbandon means that the helper's answer does not fit the leader's request:
// the leader must abandon the aggregation job. Its reports were not aggregated
// by the leader and may be part of other jobs.
var ErrAbandon = errors.New("aggregation job must be abandoned")

// An Aggregator verifies the reports of one task as leader or helper. It keeps
// no state of jobs and is safe for concurrent use.
type Aggregator struct {
	task      *Task
	role      Role
	verifiers map[VerificationKeyID]*vdaf.Verifier
	leeway    time.Duration
	known     []uint16
	admission Admission // nil: reports are counted by ID alone
}

// NewAggregator returns an aggregator with the task's verification keys. leeway
// is how far ahead of the clock a report may be, some minutes. known are the
// types of report extensions that the caller handles.
func NewAggregator(t *Task, role Role, keys map[VerificationKeyID]*vdaf.VerifyKey, leeway time.Duration, known ...uint16) (*Aggregator, error) {
	if err := aggregator(role); err != nil {
		return nil, err
	}
	if len(keys) == 0 || leeway < 0 {
		return nil, errors.New("an aggregator needs a verification key and a leeway that is not negative")
	}
	a := &Aggregator{task: t, role: role, verifiers: make(map[VerificationKeyID]*vdaf.Verifier), leeway: leeway, known: known}
	for id, key := range keys {
		v, err := t.instance.NewVerifier(key, t.context, int(role-Leader))
		if err != nil {
			return nil, fmt.Errorf("verification key %d: %w", id, err)
		}
		a.verifiers[id] = v
	}
	return a, nil
}

// CheckTime returns the error for a report of this time in an aggregation job, 0
// if it is right (section "Input Share Validation").
func (a *Aggregator) CheckTime(report Time, now time.Time) ReportError {
	latest, err := a.task.config.TimePrecision.Time(now.Add(a.leeway))
	if err != nil {
		return ReportTooEarly
	}
	return a.checkTime(report, latest)
}

// checkTime is CheckTime where latest is the last time that is not too early.
func (a *Aggregator) checkTime(report, latest Time) ReportError {
	if report > latest {
		return ReportTooEarly
	}
	if !a.task.hasInterval {
		return 0
	}
	return a.task.Variant().AggregateIntervalError(a.task.interval, report)
}

// CheckUpload returns the error for an uploaded report as far as the leader can
// decide without opening it, 0 if it may be stored (section "Leader Behavior").
// Whether its ID was used and its batch collected is for [Admit].
func (a *Aggregator) CheckUpload(r *Report, now time.Time, keys Keys) ReportError {
	v := a.task.Variant()
	if e := a.CheckTime(r.Metadata.Time, now); e == ReportTooEarly {
		return e
	}
	if a.task.hasInterval {
		if e := v.UploadIntervalError(a.task.interval, r.Metadata.Time); e != 0 {
			return e
		}
	}
	if keys.Find(r.LeaderShare.ConfigID, now) == nil {
		return v.UploadConfigError()
	}
	if len(r.PublicShare) != a.task.instance.Sizes().PublicShare {
		return InvalidMessage
	}
	return v.CheckReportExtensions(r.Metadata.PublicExtensions, nil, a.known...)
}

// CheckOpen opens uploaded reports that [Aggregator.CheckUpload] has let pass, and
// returns the error of each as [Aggregator.LeaderInit] would find it before it
// verifies, 0 if it has no error. It retains nothing.
func (a *Aggregator) CheckOpen(reports []Report, now time.Time, keys Keys) []ReportError {
	shares := make([]sealedShare, len(reports))
	for i := range reports {
		r := &reports[i]
		shares[i] = sealedShare{&r.Metadata, r.PublicShare, &r.LeaderShare}
	}
	opened, _, errs, _ := a.openMany(shares, now, keys) // on what cannot be decided now a job decides
	for i := range opened {
		clear(opened[i].InputShare)
	}
	return errs
}

// CheckJob validates the part before the reports of an aggregation job, and
// returns the job's batch, zero in the time-interval mode (sections "Helper
// Initialization" and "Leader-selected Batch Mode"). The error is an [Abort].
func (t *Task) CheckJob(h *AggregationJobHeader) (BatchID, error) {
	if len(h.AggParam) > 0 {
		return BatchID{}, &Abort{Type: ProblemInvalidAggregationParameter, Detail: "the VDAF has only the empty one"}
	}
	if t.Variant().selector {
		return t.selected(&h.Selector)
	}
	if err := increasing(h.Extensions); err != nil {
		return BatchID{}, &Abort{Type: ProblemInvalidMessage, Detail: err.Error()}
	}
	var unknown []Extension
	var batch []byte
	named := false
	for _, e := range h.Extensions {
		if e.Type != LeaderSelectedBatchID {
			unknown = append(unknown, e)
			continue
		}
		batch, named = e.Data, true
	}
	if err := unsupported(unknown); err != nil {
		return BatchID{}, err
	}
	if named != (t.config.BatchMode == LeaderSelectedMode) {
		return BatchID{}, &Abort{Type: ProblemInvalidMessage, Detail: fmt.Sprintf("leader_selected_batch_id does not fit the task's mode %v", t.config.BatchMode)}
	}
	return t.batchOf(batch)
}

func (t *Task) selected(s *PartialBatchSelector) (BatchID, error) {
	if s.Mode != t.config.BatchMode {
		return BatchID{}, &Abort{Type: ProblemInvalidMessage, Detail: fmt.Sprintf("%v, the task has %v", s.Mode, t.config.BatchMode)}
	}
	return t.batchOf(s.Config)
}

func (t *Task) batchOf(b []byte) (BatchID, error) {
	want := 0
	if t.config.BatchMode == LeaderSelectedMode {
		want = len(BatchID{})
	}
	if len(b) != want {
		return BatchID{}, &Abort{Type: ProblemInvalidMessage, Detail: fmt.Sprintf("batch ID of %d bytes, want %d", len(b), want)}
	}
	if want == 0 {
		return BatchID{}, nil
	}
	return BatchID(b), nil
}

// JobHeader returns what a leader writes before the reports of a job. The batch
// counts only in the leader-selected mode.
func (t *Task) JobHeader(key VerificationKeyID, batch BatchID) AggregationJobHeader {
	h := AggregationJobHeader{VerificationKey: key}
	leader := t.config.BatchMode == LeaderSelectedMode
	if t.Variant().selector {
		h.Selector.Mode = t.config.BatchMode
		if leader {
			h.Selector.Config = batch[:]
		}
		return h
	}
	if leader {
		h.Extensions = []Extension{{Type: LeaderSelectedBatchID, Data: batch[:]}}
	}
	return h
}

// distinct fails with an [Abort] if two report IDs are equal.
func distinct(n int, id func(int) ReportID) error {
	seen := make(map[ReportID]bool, n)
	for i := range n {
		if seen[id(i)] {
			return &Abort{Type: ProblemInvalidMessage, Detail: fmt.Sprintf("duplicate report %v", id(i))}
		}
		seen[id(i)] = true
	}
	return nil
}
