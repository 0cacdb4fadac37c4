package helper

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/dap/ledger"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// errBusy is what requests get that the queue sends away.
var errBusy error = exchange.ErrBusy.After(time.Second)

// postJob creates an aggregation job whose ID is made of the request.
func (h *Helper) postJob(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error {
	if s.Task.Variant().ClientChoosesIDs() {
		w.Header().Set("Allow", "PUT")
		return exchange.ErrMethod
	}
	return h.createJob(w, r, s, nil)
}

// putJob creates an aggregation job whose ID the leader has chosen.
func (h *Helper) putJob(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error {
	if !s.Task.Variant().ClientChoosesIDs() {
		w.Header().Set("Allow", "POST, GET, DELETE")
		return exchange.ErrMethod
	}
	id, err := dap.ParseAggregationJobID(r.PathValue("id"))
	if err != nil {
		return &dap.Abort{Type: dap.ProblemInvalidMessage, Detail: err.Error()}
	}
	return h.createJob(w, r, s, &id)
}

// createJob answers a request that creates a job (section "Helper
// Initialization"). chosen is the ID if the leader chooses it.
func (h *Helper) createJob(w http.ResponseWriter, r *http.Request, s *tasks.Serving, chosen *dap.AggregationJobID) error {
	began := h.config.Clock.Now()
	task := s.Task.ID()
	if err := h.admit(s, began); err != nil {
		return err
	}
	if err := exchange.CheckType(r, dap.TypeAggregationJobInitReq); err != nil {
		return err
	}
	body, err := h.beginBody(w, r, s)
	if err != nil {
		return err
	}
	defer body.end()
	req, job, err := h.readJob(w, r, s, chosen, body)
	if err != nil {
		h.refusedBody(task, err)
		return err
	}
	if len(req.VerifyInits) == 0 && !s.Task.Variant().ClientChoosesIDs() {
		// The answer would have no bytes, which means that it is not ready.
		err := &dap.Abort{Type: dap.ProblemInvalidMessage, Detail: "the job has no reports"}
		h.refusedBody(task, err)
		return err
	}
	body.read()
	leave, err := h.queue.enter(r.Context(), peerOf(s)) // not before: a sender that is slow must not have a worker
	if err != nil {
		h.config.Metrics.Refused(&task, QueueFull)
		return err
	}
	defer leave()
	h.spend(s, len(req.VerifyInits))
	stored, err := h.config.Store.Job(r.Context(), task, job.ID)
	if err == nil {
		h.config.Metrics.Repeated(task)
		return h.repeat(w, s, req, job.Digest, stored)
	}
	if !errors.Is(err, ErrNone) {
		return fmt.Errorf("looking for job %v: %w", job.ID, err)
	}
	// From here on a leader that goes away must not leave the store in doubt.
	ctx := context.WithoutCancel(r.Context())
	if h.config.Async {
		return h.takeJob(ctx, w, s, req, job)
	}
	resp, err := h.handleJob(ctx, s, req, job)
	if errors.Is(err, ErrExists) { // the same request came twice at once
		if stored, err = h.config.Store.Job(ctx, task, job.ID); err != nil {
			return fmt.Errorf("looking for job %v: %w", job.ID, err)
		}
		h.config.Metrics.Repeated(task)
		return h.repeat(w, s, req, job.Digest, stored)
	}
	if err != nil {
		return err
	}
	h.config.Metrics.Took(h.config.Clock.Now().Sub(began), len(req.VerifyInits))
	locate(w, s.Task, dap.AggregationJobPath(task, job.ID))
	exchange.Send(w, http.StatusCreated, dap.TypeAggregationJobResp, resp)
	return nil
}

// refusedBody counts a request that could not be read.
func (h *Helper) refusedBody(task dap.TaskID, err error) {
	switch p, ours := exchange.ProblemOf(err); {
	case p.Is(errBusy):
		h.config.Metrics.Refused(&task, QueueFull)
	case !ours && p.Status < http.StatusInternalServerError:
		h.config.Metrics.Refused(&task, BadRequest)
	}
}

// admit refuses a request whose task or leader has sent too much.
func (h *Helper) admit(s *tasks.Serving, now time.Time) error {
	task := s.Task.ID()
	if wait := h.perTask.check(task, now); wait > 0 {
		h.config.Metrics.Refused(&task, TaskLimit)
		return exchange.ErrBusy.After(wait)
	}
	if wait := h.perPeer.check(peerOf(s), now); wait > 0 {
		h.config.Metrics.Refused(&task, PeerLimit)
		return exchange.ErrBusy.After(wait)
	}
	return nil
}

// peerOf is the leader that has sent a request, for limits and fairness: the
// endpoint that the task names, whose token the request carries. Addresses do not
// matter.
func peerOf(s *tasks.Serving) string { return s.Task.Config().Leader }

func (h *Helper) spend(s *tasks.Serving, reports int) {
	now := h.config.Clock.Now()
	h.perTask.spend(s.Task.ID(), reports, now)
	h.perPeer.spend(peerOf(s), reports, now)
}

// readJob reads a request as it arrives: what is malformed or too large ends it
// there. The job has its ID and digest, and in the asynchronous mode the request.
func (h *Helper) readJob(w http.ResponseWriter, r *http.Request, s *tasks.Serving, chosen *dap.AggregationJobID, one *body) (*dap.AggregationJobInitReq, *Job, error) {
	codec := h.codec(s.Task)
	digest := sha256.New()
	if chosen == nil {
		digest = h.config.Registry.ResourceKey().AggregationJobHash(s.Task.ID())
	}
	body, err := exchange.Body(w, r, codec.Limits().Body)
	if err != nil {
		return nil, nil, err
	}
	body = io.TeeReader(one.meter(body), digest)
	var kept bytes.Buffer
	if h.config.Async {
		body = io.TeeReader(body, &kept)
	}
	req, err := decodeJob(codec, body)
	if err != nil {
		return nil, nil, err
	}
	job := &Job{Task: s.Task.ID(), Digest: Digest(digest.Sum(nil)), Request: kept.Bytes()}
	if chosen != nil {
		job.ID = *chosen
	} else {
		job.ID = dap.AggregationJobID(job.Digest[:len(job.ID)])
	}
	return req, job, nil
}

func decodeJob(c dap.Codec, body io.Reader) (*dap.AggregationJobInitReq, error) {
	header, stream, err := c.ReadAggregationJobInitReq(body)
	if err != nil {
		return nil, err
	}
	req := &dap.AggregationJobInitReq{AggregationJobHeader: header}
	for init, err := range stream.All() {
		if err != nil {
			return nil, err
		}
		req.VerifyInits = append(req.VerifyInits, init)
	}
	return req, nil
}

// handleJob verifies the reports of a request, commits those that are valid, and
// returns the answer. It fails with ErrExists if the job is there in the
// meantime, and with a [dap.Abort] if the job fails as a whole.
func (h *Helper) handleJob(ctx context.Context, s *tasks.Serving, req *dap.AggregationJobInitReq, job *Job) ([]byte, error) {
	verified, err := s.Aggregator.HelperInit(req, h.config.Clock.Now(), h.config.Registry.Keyring())
	if err != nil {
		return nil, err
	}
	taskLedger, err := h.ledger(ctx, s)
	if err != nil {
		return nil, err
	}
	spent, err := h.spent(ctx, s)
	if err != nil {
		return nil, err
	}
	codec := s.Task.Codec()
	var answer []byte
	var resp *dap.AggregationJobResp
	_, err = taskLedger.CommitSpending(ctx, &verified.Outcome, spent, func(ctx context.Context, c ledger.Change, verdicts []dap.ReportError) error {
		if resp, err = verified.Response(verdicts); err != nil {
			return err
		}
		if answer, err = codec.Encode(resp); err != nil {
			return err
		}
		done := &Job{Task: job.Task, ID: job.ID, State: Done, Digest: job.Digest, Made: h.now()}
		if done.Verdicts, err = verdictsOf(codec, resp); err != nil {
			return err
		}
		if job.State == Waiting {
			done.Response = answer
		}
		return h.config.Store.CommitJob(ctx, c, done)
	})
	if err != nil {
		return nil, fmt.Errorf("committing job %v: %w", job.ID, err)
	}
	h.config.Metrics.Reports(job.Task, causes(resp))
	return answer, nil
}

// causes counts the answers of a response by report error.
func causes(resp *dap.AggregationJobResp) map[dap.ReportError]int {
	n := make(map[dap.ReportError]int)
	for i := range resp.VerifyResps {
		n[resp.VerifyResps[i].Error]++
	}
	return n
}

// repeat answers a request that creates a job that is there. Nothing changes.
func (h *Helper) repeat(w http.ResponseWriter, s *tasks.Serving, req *dap.AggregationJobInitReq, digest Digest, job *Job) error {
	if job.Digest != digest {
		return exchange.ErrMutation
	}
	locate(w, s.Task, dap.AggregationJobPath(job.Task, job.ID))
	if job.State != Done || job.Response != nil {
		return h.represent(w, s, job)
	}
	verified, err := s.Aggregator.HelperInit(req, h.config.Clock.Now(), h.config.Registry.Keyring())
	if err != nil && dap.AbortOf(err) == nil { // on credentials, say, nothing can be said now
		return fmt.Errorf("answering job %v again: %w", job.ID, err)
	}
	if err != nil {
		return exchange.ErrNoLongerKept.Because("the job was handled, and its answer cannot be made again: %v", err)
	}
	resp, err := verified.Response(make([]dap.ReportError, len(verified.Candidates())))
	if err != nil {
		return err
	}
	codec := s.Task.Codec()
	if err := apply(codec, job.Verdicts, resp); err != nil {
		return exchange.ErrNoLongerKept.Because("the job was handled, and its answer cannot be made again: %v", err)
	}
	answer, err := codec.Encode(resp)
	if err != nil {
		return err
	}
	exchange.Send(w, http.StatusOK, dap.TypeAggregationJobResp, answer)
	return nil
}
