package shuffler

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/esa/hop"
	"github.com/shoal-project/shoal/internal/segment"
	"github.com/shoal-project/shoal/metric/task"
)

// Media types of what the shuffler takes and serves.
const (
	ReportType = "application/shoal-report;v=1"
	KeysType   = "application/shoal-keys;v=1"
)

// postReport is the shell around accept: it reads no more of a request than
// the longest report of the task, and nothing of its sender.
func (s *Shuffler) postReport(w http.ResponseWriter, r *http.Request) {
	outcome := s.readReport(w, r)
	s.config.Metrics.Report(outcome)
	if outcome != Accepted {
		outcomes[outcome].problem.Write(w, 0)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

func (s *Shuffler) readReport(w http.ResponseWriter, r *http.Request) Outcome {
	h := s.hosted(r)
	if h == nil || h.hop != 0 || h.withdrawn {
		return UnknownTask
	}
	if !hop.HasType(r, ReportType) {
		return BadType
	}
	limit := h.opener.Load().MaxSize()
	if r.ContentLength > int64(limit) {
		return TooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(limit)))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return TooLarge
	}
	if err != nil {
		return Cut
	}
	return s.accept(r.Context(), h, body)
}

// hosted returns the task that the request's path names, or nil.
func (s *Shuffler) hosted(r *http.Request) *hosted {
	id, err := task.ParseID(r.PathValue("task"))
	if err != nil {
		return nil
	}
	return s.tasks[id]
}

// accept receives one report. It returns Accepted only when the report is
// durable. What it looks at is the report and the clock, nothing else.
func (s *Shuffler) accept(ctx context.Context, h *hosted, report []byte) Outcome {
	header, err := esa.ParseHeader(report)
	if err != nil {
		return Malformed
	}
	if err := h.opener.Load().Check(report, header.Epoch); err != nil {
		return outcomeOf(esa.CauseOf(err))
	}
	now, sure := s.guard.Now()
	if !isOpen(h.task, header.Epoch, now.Unix()) {
		switch {
		case !sure:
			return ClockUnsure
		case h.task.Covers(header.Epoch) && now.Before(h.task.Opens(header.Epoch)):
			return TooEarly
		}
		return WrongEpoch
	}
	key := Key{h.id, header.Epoch}
	in, outcome := s.intakeOf(ctx, key)
	if in == nil {
		return outcome
	}
	return s.append(ctx, h, key, in, report)
}

// isOpen reports whether reports of epoch e may arrive at the time now, in
// Unix seconds.
func isOpen(t *task.Task, e task.Epoch, now int64) bool {
	return t.Covers(e) && t.Opens(e).Unix() <= now && now < t.Closes(e).Unix()
}

// intakeOf returns the intake of an open batch, which it begins if it is the
// first report of its epoch, or the reason why it cannot.
func (s *Shuffler) intakeOf(ctx context.Context, k Key) (*intake, Outcome) {
	for range 2 {
		s.mu.Lock()
		in, state := s.intakes[k], s.live.batches[k].State
		if in == nil && state == Open {
			in = &intake{}
			s.intakes[k] = in
		}
		s.mu.Unlock()
		if in != nil {
			return in, Accepted
		}
		if state != None {
			return nil, WrongEpoch
		}
		// Not the request's context: a sender that goes away must not leave
		// the store in doubt.
		if outcome := s.openBatch(context.WithoutCancel(ctx), k); outcome != Accepted {
			return nil, outcome
		}
	}
	return nil, WrongEpoch // closed at once
}

// alert makes Run look at once.
func (s *Shuffler) alert() {
	s.wake.Set()
}

// reload makes the picture in memory that of the store, after a change whose
// result is in doubt. If it fails, the next change fails and comes here again.
// Callers hold s.mu.
func (s *Shuffler) reload(ctx context.Context) {
	all, err := s.config.Store.Live(ctx)
	if err != nil {
		return
	}
	held := map[Key]bool{}
	for _, b := range all {
		held[b.Key()] = true
		s.hold(b)
	}
	for _, key := range s.live.keys() {
		if !held[key] {
			s.live.put(Batch{Task: key.Task, Epoch: key.Epoch, State: Destroyed})
		}
	}
	for key := range s.intakes {
		if state := s.live.batches[key].State; state != Open && state != Closed { // it was closed although the store had failed
			delete(s.intakes, key)
		}
	}
}

func storageOutcome(err error) Outcome {
	if errors.Is(err, segment.ErrFull) || durable.IsFull(err) {
		return DiskFull
	}
	return Unavailable
}
