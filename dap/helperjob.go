package dap

import (
	"fmt"
	"time"

	"github.com/shoal-project/shoal/vdaf"
)

// A HelperJob is an aggregation job at the helper after its only step: Prio3 is
// verified in one (section "Helper Initialization"). What is left is to commit
// the [Outcome], in one atomic step with the checks of [Admit], and to answer
// with [HelperJob.Response]. A job is stored together with its response, so that
// a repeated request changes nothing.
type HelperJob struct {
	Outcome
	resps []VerifyResp
	place []int // of the candidates in resps
}

// HelperInit verifies the reports of an [AggregationJobInitReq]. An error is an
// [Abort]: then the job fails as a whole. What is wrong with one report is in
// the response alone.
func (a *Aggregator) HelperInit(req *AggregationJobInitReq, now time.Time, keys Keys) (*HelperJob, error) {
	if err := a.is(Helper); err != nil {
		return nil, err
	}
	batch, err := a.task.checkInit(req)
	if err != nil {
		return nil, err
	}
	inits := req.VerifyInits
	job := &HelperJob{Outcome: Outcome{task: a.task}, resps: make([]VerifyResp, len(inits))}
	verifier := a.verifiers[req.VerificationKey]
	if verifier == nil && !a.task.Variant().keyPerReport {
		return nil, &Abort{Type: ProblemInvalidMessage, Detail: fmt.Sprintf("verification key %d is not known", req.VerificationKey)}
	}
	if verifier == nil {
		for i := range inits {
			job.reject(i, inits[i].Share.Metadata.ID, UnknownVerificationKey)
		}
		return job, nil
	}
	return job, a.helperVerify(job, verifier, inits, batch, now, keys)
}

// CheckInit validates an [AggregationJobInitReq] as far as it goes without keys:
// what [Aggregator.HelperInit] does first. The error is an [Abort].
func (t *Task) CheckInit(req *AggregationJobInitReq) error {
	_, err := t.checkInit(req)
	return err
}

// checkInit is CheckInit; it returns the job's batch.
func (t *Task) checkInit(req *AggregationJobInitReq) (BatchID, error) {
	batch, err := t.CheckJob(&req.AggregationJobHeader)
	if err != nil {
		return BatchID{}, err
	}
	inits := req.VerifyInits
	return batch, distinct(len(inits), func(i int) ReportID { return inits[i].Share.Metadata.ID })
}

// helperVerify fills the job.
func (a *Aggregator) helperVerify(job *HelperJob, verifier *vdaf.Verifier, inits []VerifyInit, batch BatchID, now time.Time, keys Keys) error {
	shares := make([]sealedShare, len(inits))
	for i := range inits {
		s := &inits[i].Share
		shares[i] = sealedShare{&s.Metadata, s.PublicShare, &s.InputShare}
	}
	opened, tags, errs, err := a.openMany(shares, now, keys)
	if err != nil {
		return fmt.Errorf("aggregation job: %w", err)
	}
	reports := opened[:0]
	inbound, place := make([][]byte, 0, len(inits)), make([]int, 0, len(inits))
	for i := range inits {
		if errs[i] != 0 {
			job.reject(i, inits[i].Share.Metadata.ID, errs[i])
			continue
		}
		reports, inbound, place = append(reports, opened[i]), append(inbound, inits[i].Payload), append(place, i)
	}
	verified, err := verifier.NewBatch()
	if err != nil {
		return fmt.Errorf("aggregation job: %w", err)
	}
	if err := verified.HelperInit(reports, inbound); err != nil {
		return fmt.Errorf("aggregation job: %w", err)
	}
	in := make([]int, 0, len(place)) // the candidates' places among those verified
	job.add = func(i int, s *vdaf.AggregateShare) error { return verified.AddTo(s, in[i]) }
	job.candidates, job.place = make([]Candidate, 0, len(place)), make([]int, 0, len(place))
	for k, i := range place {
		md := &inits[i].Share.Metadata
		// The shares have the right length, so what is left is the proof or the
		// leader's message.
		if verified.Err(k) != nil {
			job.reject(i, md.ID, VerifyError)
			continue
		}
		job.resps[i] = VerifyResp{ID: md.ID, Type: RespContinue, Payload: verified.Outbound(k)}
		job.place = append(job.place, i)
		job.candidates = append(job.candidates, Candidate{md.ID, md.Time, a.task.Bucket(md.Time, batch), tagAt(tags, i)})
		in = append(in, k)
	}
	return nil
}

func (j *HelperJob) reject(i int, id ReportID, e ReportError) {
	j.resps[i] = VerifyResp{ID: id, Type: RespReject, Error: e}
}

// Response returns the answer to the leader, with the verdicts on the
// candidates that [Admit] gave in the transaction that committed the others.
func (j *HelperJob) Response(verdicts []ReportError) (*AggregationJobResp, error) {
	if len(verdicts) != len(j.place) {
		return nil, fmt.Errorf("%d verdicts for %d reports", len(verdicts), len(j.place))
	}
	resp := &AggregationJobResp{VerifyResps: append([]VerifyResp(nil), j.resps...)}
	for k, e := range verdicts {
		if e != 0 {
			i := j.place[k]
			resp.VerifyResps[i] = VerifyResp{ID: j.resps[i].ID, Type: RespReject, Error: e}
		}
	}
	return resp, nil
}

// is reports whether the aggregator has a role.
func (a *Aggregator) is(r Role) error {
	if a.role != r {
		return fmt.Errorf("this is the %v, not the %v", a.role, r)
	}
	return nil
}
