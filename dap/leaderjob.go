package dap

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shoal-project/shoal/vdaf"
)

// A LeaderJob is an aggregation job at the leader that waits for the helper's
// answer (section "Leader Initialization"). It holds output shares: treat it as
// secret.
type LeaderJob struct {
	task     *Task
	key      VerificationKeyID
	batch    BatchID
	pending  []pending
	rejected []ReportUploadStatus
}

// pending is a report in state Continued.
type pending struct {
	id    ReportID
	time  Time
	tag   Tag
	state *vdaf.VerifyState
}

// LeaderInit starts an aggregation job over reports that [Admit] has just
// admitted, and returns it with the message to the helper. The batch counts only
// in the leader-selected mode. Reports that are not valid are left out, see
// [LeaderJob.Rejected]. Store the job and the encoded message before it is sent:
// a retry must send the same bytes.
func (a *Aggregator) LeaderInit(key VerificationKeyID, batch BatchID, reports []Report, now time.Time, keys Keys) (*LeaderJob, *AggregationJobInitReq, error) {
	if err := a.is(Leader); err != nil {
		return nil, nil, err
	}
	verifier := a.verifiers[key]
	if verifier == nil {
		return nil, nil, fmt.Errorf("aggregation job: verification key %d is not known", key)
	}
	if err := distinct(len(reports), func(i int) ReportID { return reports[i].Metadata.ID }); err != nil {
		return nil, nil, fmt.Errorf("aggregation job: %w", err)
	}
	job := &LeaderJob{task: a.task, key: key, batch: batch}
	req := &AggregationJobInitReq{AggregationJobHeader: a.task.JobHeader(key, batch)}
	shares := make([]sealedShare, len(reports))
	for i := range reports {
		r := &reports[i]
		shares[i] = sealedShare{&r.Metadata, r.PublicShare, &r.LeaderShare}
	}
	all, tags, errs, err := a.openMany(shares, now, keys)
	if err != nil {
		return nil, nil, fmt.Errorf("aggregation job: %w", err)
	}
	opened, of, at := all[:0], make([]*Report, 0, len(reports)), make([]int, 0, len(reports))
	for i := range reports {
		if errs[i] != 0 {
			job.reject(reports[i].Metadata.ID, errs[i])
			continue
		}
		opened, of, at = append(opened, all[i]), append(of, &reports[i]), append(at, i)
	}
	verified, err := verifier.NewBatch()
	if err != nil {
		return nil, nil, fmt.Errorf("aggregation job: %w", err)
	}
	verified.VerifyInit(opened)
	for k, r := range of {
		if err := verified.Err(k); err != nil {
			job.reject(r.Metadata.ID, leaderError(err))
			continue
		}
		state, err := verified.State(k)
		if err != nil {
			return nil, nil, fmt.Errorf("aggregation job: %w", err)
		}
		job.pending = append(job.pending, pending{r.Metadata.ID, r.Metadata.Time, tagAt(tags, at[k]), state})
		req.VerifyInits = append(req.VerifyInits, VerifyInit{
			Share:   ReportShare{r.Metadata, r.PublicShare, r.HelperShare},
			Payload: append([]byte(nil), verified.Outbound(k)...),
		})
	}
	return job, req, nil
}

// leaderError distinguishes a share that cannot be decoded from one that is not
// valid.
func leaderError(err error) ReportError {
	if errors.Is(err, vdaf.ErrEncoding) {
		return InvalidMessage
	}
	return VerifyError
}

func (j *LeaderJob) reject(id ReportID, e ReportError) {
	j.rejected = append(j.rejected, ReportUploadStatus{id, e})
}

// Rejected returns the reports that the leader refused. They must not be part of
// another job, unless the error is [ReportError.Retryable].
func (j *LeaderJob) Rejected() []ReportUploadStatus { return j.rejected }

// LeaderResult is an aggregation job at the leader after the helper's answer.
// What is left is to commit the [Outcome], in one atomic step with the end of
// the job. The helper has committed these reports. That [Admit] finds one of them
// replayed means that it was in two jobs at once, and it counts once on both
// sides; that it finds a batch collected means that the leader collected before
// its jobs had ended, and the two sides disagree from then on.
type LeaderResult struct {
	Outcome
	Rejected []ReportUploadStatus // by the helper, or in the last step here

	outputs [][]byte // output shares of the candidates
}

// LeaderFinish takes the helper's answer. It fails with [ErrAbandon] if that does
// not have the same reports in the same order, or has a type that Prio3 cannot
// have.
func (a *Aggregator) LeaderFinish(j *LeaderJob, resp *AggregationJobResp) (*LeaderResult, error) {
	if err := a.is(Leader); err != nil {
		return nil, err
	}
	v := a.verifiers[j.key]
	if v == nil || a.task.id != j.task.id {
		return nil, errors.New("finishing an aggregation job: the aggregator is not of its task, or lacks its verification key")
	}
	if len(resp.VerifyResps) != len(j.pending) {
		return nil, fmt.Errorf("%w: %d answers for %d reports", ErrAbandon, len(resp.VerifyResps), len(j.pending))
	}
	for i := range resp.VerifyResps {
		r := &resp.VerifyResps[i]
		if r.ID != j.pending[i].id {
			return nil, fmt.Errorf("%w: answer %d is for report %v, want %v", ErrAbandon, i+1, r.ID, j.pending[i].id)
		}
		if r.Type != RespContinue && r.Type != RespReject {
			return nil, fmt.Errorf("%w: answer %d has type %d, which no report is ready for", ErrAbandon, i+1, r.Type)
		}
	}
	result := &LeaderResult{Outcome: Outcome{task: j.task}}
	result.add = func(i int, s *vdaf.AggregateShare) error { return s.Add(result.outputs[i]) }
	for i := range resp.VerifyResps {
		j.finish(&j.pending[i], &resp.VerifyResps[i], v, result)
	}
	return result, nil
}

func (j *LeaderJob) finish(p *pending, r *VerifyResp, v *vdaf.Verifier, result *LeaderResult) {
	if r.Type == RespReject {
		result.Rejected = append(result.Rejected, ReportUploadStatus{p.id, r.Error})
		return
	}
	output, err := v.LeaderFinish(p.state, r.Payload)
	if err != nil {
		result.Rejected = append(result.Rejected, ReportUploadStatus{p.id, VerifyError})
		return
	}
	result.candidates = append(result.candidates, j.candidate(p))
	result.outputs = append(result.outputs, output)
}

// Format hides the job under every verb.
func (j *LeaderJob) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "dap.LeaderJob(%d reports, redacted)", len(j.pending))
}

// The versions of a stored job: the second one has the tags of reports.
const (
	leaderJobVersion = 1
	leaderJobTagged  = 2
)

// MarshalBinary returns a form for storage: secret, and of no use to others.
func (j *LeaderJob) MarshalBinary() ([]byte, error) {
	w := &writer{Builder: newBuilder(), codec: j.task.codec}
	tagged := slices.ContainsFunc(j.pending, func(p pending) bool { return p.tag != Tag{} })
	if tagged {
		w.u8(leaderJobTagged)
	} else {
		w.u8(leaderJobVersion)
	}
	w.u8(uint8(j.key))
	w.fixed(j.batch[:])
	for i := range j.pending {
		p := &j.pending[i]
		state, err := p.state.MarshalBinary()
		if err != nil {
			return nil, fmt.Errorf("encoding an aggregation job: report %v: %w", p.id, err)
		}
		w.fixed(p.id[:])
		w.u64(uint64(p.time))
		if tagged {
			w.fixed(p.tag.Spent[:])
			w.fixed(p.tag.Report[:])
		}
		w.opaque32("state", 0, state)
	}
	b, err := w.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding an aggregation job: %w", err)
	}
	return b, nil
}

// ParseLeaderJob reads what [LeaderJob.MarshalBinary] wrote. The job's rejected
// reports are not part of it.
func (a *Aggregator) ParseLeaderJob(b []byte) (*LeaderJob, error) {
	r := &reader{s: b, codec: a.task.codec, size: len(b)}
	version := r.u8("version")
	if r.err == nil && version != leaderJobVersion && version != leaderJobTagged {
		return nil, fmt.Errorf("decoding an aggregation job: version %d, want %d or %d; a newer program made it", version, leaderJobVersion, leaderJobTagged)
	}
	j := &LeaderJob{task: a.task, key: VerificationKeyID(r.u8("verification key ID"))}
	r.fixed("batch", j.batch[:])
	v := a.verifiers[j.key]
	if r.err == nil && v == nil {
		return nil, fmt.Errorf("decoding an aggregation job: verification key %d is not known", j.key)
	}
	for r.err == nil && !r.s.Empty() {
		var p pending
		r.fixed("report ID", p.id[:])
		p.time = Time(r.u64("time"))
		if version == leaderJobTagged {
			r.fixed("tag", p.tag.Spent[:])
			r.fixed("tag", p.tag.Report[:])
		}
		state := r.opaque32("state", 0, len(b))
		if r.err != nil {
			break
		}
		var err error
		if p.state, err = v.ParseVerifyState(state); err != nil {
			return nil, fmt.Errorf("decoding an aggregation job: report %v: %w", p.id, err)
		}
		j.pending = append(j.pending, p)
	}
	if r.err != nil {
		return nil, fmt.Errorf("decoding an aggregation job: %w", r.err)
	}
	return j, nil
}
