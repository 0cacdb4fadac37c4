package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/quorum/randomness"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/metric/task"
)

// A randomnessHost is the role randomness at work: the keys by which values of hardened
// quorums are evaluated, and the issuer of what clients show for an evaluation. All that
// it keeps is in one folder, in no database and in no backup.
type randomnessHost struct {
	server *Server
	dir    string
	party  *randomness.Server

	mu      sync.RWMutex // guards what follows; held for reading while a request is served
	tasks   map[task.ID]*task.Task
	issuer  *credential.Issuer // nil: no task
	handler http.Handler
}

const evaluationPath = "/tasks/{task}/evaluations/{epoch}"

func (s *Server) openRandomness(ctx context.Context) (role, error) {
	h := &randomnessHost{server: s, dir: filepath.Join(s.config.Data, task.Randomness.String())}
	if err := s.o.FS.MkdirAll(h.dir, 0o700); err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	var err error
	h.party, err = randomness.New(ctx, randomness.Config{
		Dir: filepath.Join(h.dir, "keys"), FS: s.o.FS, Admit: h.admit, Sign: h.announce,
		Clock: s.o.Clock, Rand: s.o.Rand, Since: s.restored,
	})
	if err != nil {
		return nil, err
	}
	if err := h.serve(s.tasksOf(task.Randomness)); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	s.states("evaluations", h)
	return h, nil
}

// announce signs the key of a task and epoch as a key statement, which a relay can sign,
// too. It is called while a request is served.
func (h *randomnessHost) announce(k randomness.KeySlot, announcement []byte) ([]byte, error) {
	t := h.tasks[k.Task]
	if t == nil {
		return nil, fmt.Errorf("task %v is not served", k.Task)
	}
	return relay.EvaluationSlot(t, k.Task, k.Epoch).Statement(announcement).Sign(h.server.identity)
}

// serve goes on with another list of tasks.
func (h *randomnessHost) serve(tasks []*task.Task) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	issuer, err := h.server.newIssuer(task.Randomness, h.dir, tasks)
	if err != nil {
		return err
	}
	if h.issuer != nil {
		if err := h.issuer.Close(); err != nil {
			return err
		}
	}
	hosted, byID := make([]randomness.Task, 0, len(tasks)), make(map[task.ID]*task.Task, len(tasks))
	for _, t := range tasks {
		id, err := t.ID()
		if err != nil {
			return err
		}
		hosted, byID[id] = append(hosted, randomness.Task{ID: id, Task: t}), t
	}
	h.party.SetTasks(hosted)
	mux := http.NewServeMux()
	mux.Handle("/tasks/{task}/evaluations/", h.party.Handler())
	mux.Handle("GET "+evaluationPath, h.announced(h.party.Handler()))
	if issuer != nil {
		mux.Handle("/tasks/{task}/credentials/", issuer.Handler())
	}
	h.tasks, h.issuer, h.handler = byID, issuer, mux
	return nil
}

// replace implements [replacer].
func (h *randomnessHost) replace(_ context.Context, tasks []*task.Task) error { return h.serve(tasks) }

// admit verifies the presentation of a request. It is called while the request is served.
func (h *randomnessHost) admit(_ context.Context, id task.ID, e task.Epoch, presentation []byte, request [32]byte) ([]byte, error) {
	t := h.tasks[id]
	if t == nil || h.issuer == nil {
		return nil, randomness.ErrPresentation
	}
	verifier, err := h.issuer.Verifier(id, e)
	if errors.Is(err, credential.ErrNoKey) { // nobody has a credential of it
		return nil, randomness.ErrPresentation
	}
	if err != nil {
		return nil, err
	}
	contexts := credential.ContextsOf(t, t.Protection.Randomness, e, nil)
	if len(contexts) != 1 {
		return nil, randomness.ErrPresentation
	}
	tag, err := verifier.Verify(contexts[0], presentation, credential.Binding(id, request))
	if err != nil {
		return nil, randomness.ErrPresentation
	}
	return tag[:], nil
}

// Name implements [role].
func (h *randomnessHost) Name() task.Role { return task.Randomness }

// Run implements [role]: it destroys keys when they are due.
func (h *randomnessHost) Run(ctx context.Context, report func(error)) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		next := func(error) time.Time { return h.server.o.Clock.Now().Add(h.server.config.Batches.Tick.D()) }
		_ = clock.Loop(ctx, h.server.o.Clock, nil, h.expire, next, report) // it ends with its context only
	}()
	err := h.party.Run(ctx, report)
	<-ended
	return err
}

// expire destroys what the issuer need not keep.
func (h *randomnessHost) expire(context.Context) error {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.issuer == nil {
		return nil
	}
	return h.issuer.Tick()
}

// Tick implements [ticker].
func (h *randomnessHost) Tick(ctx context.Context) error {
	return errors.Join(h.party.Tick(ctx), h.expire(ctx))
}

// Health implements [role].
func (h *randomnessHost) Health(ctx context.Context) Health {
	st, err := h.party.Status(ctx)
	out := randomnessHealth(st)
	if err != nil {
		out.Reasons, out.Err = append(out.Reasons, fmt.Sprintf(whyStore, task.Randomness)), err
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	var lost []string
	cut := int(st.Cut)
	if h.issuer != nil {
		lost = h.issuer.Lost()
		cut += h.issuer.Cut()
	}
	if len(lost) > 0 {
		out.Reasons = append(out.Reasons, fmt.Sprintf(whyCredentials, len(lost), lost[0]))
	}
	out.cut(cut)
	out.figure("credential_periods_lost", float64(len(lost)))
	out.figure("tasks", float64(len(h.tasks)))
	return out
}

// randomnessHealth shows the status of a randomness party.
func randomnessHealth(st randomness.Status) Health {
	var out Health
	if st.ClockUnsure {
		out.Reasons = append(out.Reasons, whyRandomnessTime)
	}
	if len(st.Lost) > 0 {
		out.Reasons = append(out.Reasons, fmt.Sprintf(whyEvaluations, len(st.Lost), st.Lost[0]))
	}
	if st.Overdue > 0 {
		out.Reasons = append(out.Reasons, fmt.Sprintf(whyOverdue, st.Overdue))
	}
	out.figure("evaluation_keys", float64(st.Keys))
	out.figure("evaluation_keys_lost", float64(len(st.Lost)))
	out.figure("evaluation_keys_overdue", float64(st.Overdue))
	out.figure("evaluation_keys_destroyed", float64(st.Destroyed))
	out.figure("evaluation_keys_undestroyed", float64(st.Undestroyed))
	out.figure("evaluations_disk_full", float64(st.Full))
	for cause, n := range st.Requests {
		out.Figures = append(out.Figures, Figure{"evaluations", cause, float64(n)})
	}
	return out
}

// Close implements [role].
func (h *randomnessHost) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := h.party.Close()
	if h.issuer != nil {
		err = errors.Join(err, h.issuer.Close())
	}
	return err
}

// Routes implements [responder].
func (h *randomnessHost) Routes() []publicRoute {
	return append([]publicRoute{
		{name: "evaluation_keys", pattern: "GET " + evaluationPath, admit: forKeys, limit: shortExchange, stores: true, clients: true, relayed: true},
		{name: "evaluations", pattern: "POST " + evaluationPath, admit: fromClients, limit: shortExchange, stores: true, clients: true, relayed: true},
	}, credentialRoutes(task.Randomness)...)
}

// Handler implements [responder].
func (h *randomnessHost) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.RLock()
		defer h.mu.RUnlock()
		h.handler.ServeHTTP(w, r)
	})
}
