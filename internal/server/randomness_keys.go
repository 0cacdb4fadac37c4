package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/internal/quorum/randomness"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// evaluated returns the epochs of a task whose keys are evaluated with at a time: the
// present one, and those before and after it while clocks may differ.
func evaluated(t *task.Task, now time.Time) []task.Epoch {
	skew := time.Duration(t.ClockSkew) * time.Second
	at := t.EpochAt(now)
	near := []task.Epoch{at, at + 1}
	if at > 0 {
		near = append(near, at-1)
	}
	return slices.DeleteFunc(near, func(e task.Epoch) bool {
		return !t.Covers(e) || now.Before(t.Start(e).Add(-skew)) || !now.Before(t.EvaluationEnds(e))
	})
}

// StateSlot implements [slotStater].
func (h *randomnessHost) StateSlot(_ context.Context, s witness.Slot) ([]byte, error) {
	if !strings.HasPrefix(s.Purpose, relay.Evaluation) {
		return nil, witness.ErrUnknown
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	for id, t := range h.tasks {
		for _, e := range evaluated(t, h.server.o.Clock.Now()) {
			if relay.EvaluationSlot(t, id, e).Slot != s {
				continue
			}
			b, err := h.party.Announced(id, e)
			if errors.Is(err, randomness.ErrNotNow) {
				return nil, witness.ErrUnknown
			}
			return b, err
		}
	}
	return nil, witness.ErrUnknown
}

// RelayedSlots implements [slotStater].
func (h *randomnessHost) RelayedSlots() []relay.Slot {
	h.mu.RLock()
	defer h.mu.RUnlock()
	var all []relay.Slot
	for id, t := range h.tasks {
		if !t.Relayed() {
			continue
		}
		for _, e := range evaluated(t, h.server.o.Clock.Now()) {
			all = append(all, relay.EvaluationSlot(t, id, e))
		}
	}
	return all
}

// problemUnsigned is the answer while a relay has not signed a key.
var problemUnsigned = problem.Problem{
	Status: http.StatusServiceUnavailable, Type: problem.Shoal("evaluationKeyUnsigned"),
	Title: "The relay has not signed the key of this epoch yet. Try again later.", Retry: time.Minute,
}

// announced serves the keys of tasks with a relay, which clients take with its signature
// alone, and leaves all else to next.
func (h *randomnessHost) announced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, e, ok := randomness.ParsePath(r.PathValue("task"), r.PathValue("epoch"))
		t := h.tasks[id]
		if r.Method != http.MethodGet || !ok || t == nil || !t.Relayed() || !slices.Contains(evaluated(t, h.server.o.Clock.Now()), e) {
			next.ServeHTTP(w, r)
			return
		}
		b := h.server.witnessed.Get(relay.EvaluationSlot(t, id, e))
		if b == nil {
			problemUnsigned.Write(w, 0)
			return
		}
		w.Header().Set("Content-Type", randomness.KeyType)
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(b) // the client has gone if this fails
	})
}
