package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/metric/task"
)

// postDisable ends a task at an aggregator: no uploads, jobs and collections any
// more.
func (s *Server) postDisable(w http.ResponseWriter, r *http.Request) {
	t, ok := s.named(w, r)
	if !ok {
		return
	}
	a, ok := s.role(t.Role()).(*aggregator)
	if !ok {
		problems.refused.Because("Only a leader or a helper can end a task before its time. A task of another role ends when its bundle is removed from tasks.bundles.").Write(w, 0)
		return
	}
	if state := a.TaskState(r.Context(), t); state != stateServed && state != stateDisabled {
		problems.refused.Because("The task is not served yet: it "+state+".").Write(w, 0)
		return
	}
	if err := a.disable(r.Context(), t); err != nil {
		s.failed("tasks", err)
		problems.unavailable.Because("The change could not be stored.").Write(w, 0)
		return
	}
	s.o.Logger.Info("a task was disabled", taskAttrs(t)...)
	writeJSON(w, http.StatusOK, s.viewTask(r.Context(), t))
}

// collectionView is a batch that was asked for, as the API shows it.
type collectionView struct {
	Start   *time.Time `json:"start,omitempty"`
	End     *time.Time `json:"end,omitempty"`
	State   string     `json:"state"`
	Missing string     `json:"missing,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	Next    *time.Time `json:"next,omitempty"`
	Failed  string     `json:"failed,omitempty"`
}

// collected is releasing, for what only a collector does.
func (s *Server) collected(w http.ResponseWriter, r *http.Request) (Task, bool) {
	t, ok := s.releasing(w, r)
	if ok && t.Role() != task.Collector {
		problems.notFound.Because("This organisation is not the task's collector.").Write(w, 0)
		return t, false
	}
	return t, ok
}

func (s *Server) getCollections(w http.ResponseWriter, r *http.Request) {
	t, ok := s.collected(w, r)
	if !ok {
		return
	}
	pending, err := s.Pending(r.Context(), t)
	if err != nil {
		s.failed("collections", err)
		problems.internal.Write(w, 0)
		return
	}
	views := []collectionView{}
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	for _, p := range pending {
		views = append(views, collectionView{at(p.Start), at(p.End), p.State, p.Missing, p.Reason, at(p.Next), p.Failed})
	}
	writeJSON(w, http.StatusOK, map[string][]collectionView{"collections": views})
}

// postCollection asks for a batch by hand.
func (s *Server) postCollection(w http.ResponseWriter, r *http.Request) {
	t, ok := s.collected(w, r)
	if !ok {
		return
	}
	var want struct {
		Start time.Time `json:"start"`
		End   time.Time `json:"end"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<12)).Decode(&want); err != nil {
		problems.malformed.Because("Send {\"start\": ..., \"end\": ...}, both as times of RFC 3339.").Write(w, 0)
		return
	}
	err := s.Collect(r.Context(), t, want.Start, want.End)
	switch {
	case errors.Is(err, collector.ErrUnknownTask):
		problems.refused.Because("The task "+s.TaskState(r.Context(), t)+".").Write(w, 0)
	case err != nil:
		problems.refused.Because(err.Error()).Write(w, 0)
	default:
		writeJSON(w, http.StatusAccepted, map[string]string{"status": "asked"})
	}
}

// keyView is a key as the API shows it.
type keyView struct {
	Role     string    `json:"role"`
	ID       string    `json:"id"`
	KEM      string    `json:"kem"`
	State    string    `json:"state"`
	NotAfter time.Time `json:"not_after"`
}

func (s *Server) getKeys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string][]keyView{"keys": s.keys()})
}

// postRotate makes new keys in every role.
func (s *Server) postRotate(w http.ResponseWriter, r *http.Request) {
	for _, h := range rolesOf[keyHolder](s) {
		if err := h.RenewKeys(r.Context()); err != nil {
			s.failed("keys", err)
			problems.unavailable.Because("A new key could not be stored.").Write(w, 0)
			return
		}
	}
	writeJSON(w, http.StatusOK, map[string][]keyView{"keys": s.keys()})
}
