package helper

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/dap/tasks"
)

// job returns the job that a request names.
func (h *Helper) job(r *http.Request, s *tasks.Serving) (*Job, error) {
	id, err := dap.ParseAggregationJobID(r.PathValue("id"))
	if err != nil {
		return nil, unrecognizedJob()
	}
	job, err := h.config.Store.Job(r.Context(), s.Task.ID(), id)
	if errors.Is(err, ErrNone) {
		return nil, unrecognizedJob()
	}
	if err != nil {
		return nil, fmt.Errorf("looking for job %v: %w", id, err)
	}
	return job, nil
}

func unrecognizedJob() error {
	return &dap.Abort{Type: dap.ProblemUnrecognizedAggregationJob, Detail: "it was not created here, or is forgotten"}
}

// getJob answers a leader that asks for the result of a job that was taken. The
// parameter step is the step that the leader is at; there is no step but 0 with
// Prio3.
func (h *Helper) getJob(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error {
	job, err := h.job(r, s)
	if err != nil {
		return err
	}
	step := r.URL.Query()["step"]
	if len(step) != 1 || step[0] == "" {
		return &dap.Abort{Type: dap.ProblemInvalidMessage, Detail: "want the parameter step once"}
	}
	if step[0] != "0" {
		return &dap.Abort{Type: dap.ProblemStepMismatch, Detail: "the job is at step 0"}
	}
	return h.represent(w, s, job)
}

// represent answers with the state of a job.
func (h *Helper) represent(w http.ResponseWriter, s *tasks.Serving, job *Job) error {
	switch job.State {
	case Waiting:
		locate(w, s.Task, dap.AggregationJobPath(job.Task, job.ID)+"?step=0")
		exchange.Later(w, http.StatusOK, h.config.Poll)
		return nil
	case Failed:
		abort, err := dap.ParseDocument(job.Problem)
		if err != nil {
			return fmt.Errorf("job %v: %w", job.ID, err)
		}
		return abort
	case Deleted:
		return exchange.ErrDeleted
	case Done:
		if job.Response == nil {
			return exchange.ErrNoLongerKept.Because("the job is done; send the request that created it again to have the answer")
		}
		exchange.Send(w, http.StatusOK, dap.TypeAggregationJobResp, job.Response)
		return nil
	}
	return fmt.Errorf("job %v is in %v", job.ID, job.State)
}

// continueJob refuses to take a job to its next step: with Prio3 no report waits
// for one (section "Helper Continuation").
func (h *Helper) continueJob(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error {
	job, err := h.job(r, s)
	if err != nil {
		return err
	}
	if err := exchange.CheckType(r, dap.TypeAggregationJobContinueReq); err != nil {
		return err
	}
	codec := h.codec(s.Task)
	body, err := exchange.Body(w, r, codec.Limits().Body)
	if err != nil {
		return err
	}
	step, reports, err := codec.ReadAggregationJobContinueReq(body)
	if err != nil {
		return err
	}
	n := 0
	for _, err := range reports.All() {
		if err != nil {
			return err
		}
		n++
	}
	switch {
	case step == 0:
		return &dap.Abort{Type: dap.ProblemInvalidMessage, Detail: "step 0 is not one to continue to"}
	case n > 0:
		return &dap.Abort{Type: dap.ProblemInvalidMessage, Detail: "no report of the job waits to be continued"}
	case job.State == Deleted:
		return exchange.ErrDeleted
	}
	return &dap.Abort{Type: dap.ProblemStepMismatch, Detail: "the job ended with step 0"}
}

// deleteJob forgets a job but not its reports (section "Aggregation Job
// Abandonment and Deletion"). One that waits is not handled any more.
func (h *Helper) deleteJob(w http.ResponseWriter, r *http.Request, s *tasks.Serving) error {
	job, err := h.job(r, s)
	if err != nil {
		return err
	}
	err = h.config.Store.DeleteJob(r.Context(), job.Key(), h.now())
	if errors.Is(err, ErrNone) {
		return unrecognizedJob()
	}
	if err != nil {
		return fmt.Errorf("deleting job %v: %w", job.ID, err)
	}
	exchange.Done(w)
	return nil
}
