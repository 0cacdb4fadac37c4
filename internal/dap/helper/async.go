package helper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// takeJob stores a job to be handled later, and answers that it is taken (section
// "Asynchronous Request Handling"). What makes the whole job fail before a key is
// used is reported at once.
func (h *Helper) takeJob(ctx context.Context, w http.ResponseWriter, s *tasks.Serving, req *dap.AggregationJobInitReq, job *Job) error {
	if err := s.Task.CheckInit(req); err != nil {
		return err
	}
	if !h.pending.room(peerOf(s)) {
		h.config.Metrics.Refused(&job.Task, QueueFull)
		return exchange.ErrBusy.After(h.config.Poll)
	}
	job.State, job.Made = Waiting, h.now()
	err := h.config.Store.BeginJob(ctx, job)
	if errors.Is(err, ErrExists) { // the same request came twice at once
		stored, err := h.config.Store.Job(ctx, job.Task, job.ID)
		if err != nil {
			return fmt.Errorf("looking for job %v: %w", job.ID, err)
		}
		return h.repeat(w, s, req, job.Digest, stored)
	}
	if err != nil {
		return fmt.Errorf("storing job %v: %w", job.ID, err)
	}
	h.pending.add(job.Key(), peerOf(s))
	locate(w, s.Task, dap.AggregationJobPath(job.Task, job.ID)+"?step=0")
	exchange.Later(w, http.StatusCreated, h.config.Poll)
	return nil
}

// finish handles a job that waits. A job that is not there, or not waiting any
// more, is nothing to do.
func (h *Helper) finish(ctx context.Context, k JobKey) error {
	began := h.config.Clock.Now()
	job, err := h.config.Store.Job(ctx, k.Task, k.ID)
	if errors.Is(err, ErrNone) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for job %v: %w", k.ID, err)
	}
	if job.State != Waiting {
		return nil
	}
	s, err := h.config.Registry.Lookup(ctx, k.Task)
	if errors.Is(err, tasks.ErrUnknown) { // it was removed, or this process has not heard of it
		if err := h.config.Registry.Refresh(ctx); err != nil {
			return fmt.Errorf("job %v: %w", k.ID, err)
		}
		s, err = h.config.Registry.Lookup(ctx, k.Task)
	}
	if errors.Is(err, tasks.ErrUnknown) {
		return h.fail(ctx, job, &dap.Abort{Type: dap.ProblemUnrecognizedTask, Detail: "the task was removed before the job was handled"})
	}
	if err != nil {
		return fmt.Errorf("job %v: %w", k.ID, err)
	}
	req, err := decodeJob(h.codec(s.Task), bytes.NewReader(job.Request))
	if err == nil {
		_, err = h.handleJob(ctx, s, req, job)
	}
	if errors.Is(err, ErrExists) {
		return nil // another process has done it, or the leader has deleted it
	}
	if abort := dap.AbortOf(err); abort != nil {
		return h.fail(ctx, job, abort)
	}
	if err != nil {
		return err
	}
	h.config.Metrics.Took(h.config.Clock.Now().Sub(began), len(req.VerifyInits))
	return nil
}

// fail stores that a job is refused as a whole.
func (h *Helper) fail(ctx context.Context, job *Job, abort *dap.Abort) error {
	h.config.Metrics.Refused(&job.Task, BadRequest)
	problem, err := abort.Document(http.StatusBadRequest, &job.Task)
	if err != nil {
		return fmt.Errorf("job %v: %w", job.ID, err)
	}
	err = h.config.Store.FailJob(ctx, &Job{Task: job.Task, ID: job.ID, State: Failed, Digest: job.Digest, Made: h.now(), Problem: problem})
	if err != nil && !errors.Is(err, ErrExists) && !errors.Is(err, ErrNone) {
		return fmt.Errorf("refusing job %v: %w", job.ID, err)
	}
	return nil
}

// orphaned is how long a job waits until other processes than the one that took
// it handle it too.
const orphaned = 2 * time.Minute

// adopt takes over the jobs that wait since before a time.
func (h *Helper) adopt(ctx context.Context, before time.Time) error {
	keys, err := h.config.Store.WaitingJobs(ctx, before, 1000)
	if err != nil {
		return fmt.Errorf("looking for jobs that wait: %w", err)
	}
	for _, k := range keys {
		peer := "" // of tasks that are not known here
		if s, err := h.config.Registry.Lookup(ctx, k.Task); err == nil {
			peer = peerOf(s)
		}
		h.pending.add(k, peer)
	}
	return nil
}
