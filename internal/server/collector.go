package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

// A collectorHost runs the collector of an organisation.
type collectorHost struct {
	server *Server
	store  io.Closer
	c      *collector.Collector

	mu      sync.Mutex
	ring    *roleKeys[*dapkey.PrivateKey]
	ended   []Note                 // of peers that seal to a key that has ended
	served  int                    // of the tasks that do not wait how many there are
	tokens  map[task.ID]auth.Token // of the tasks that are served
	waiting map[task.ID]string     // for what the others wait
}

func (s *Server) openCollector(ctx context.Context) (role, error) {
	ring, err := newCollectorKeys(s.config, s.collector, s.o.Rand)
	if err != nil {
		return nil, err
	}
	if err := ring.open(); err != nil {
		return nil, err
	}
	ring.guard = clock.NewStrictGuard(s.o.Clock, settle)
	store, err := sqlite.OpenCollector(ctx, s.config.collectorStore())
	if err != nil {
		return nil, err
	}
	if err := s.confirm(ctx, task.Collector, store); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	c, err := collector.New(collector.Config{
		Store: store, FS: s.o.FS, Dir: s.config.collectorDir(), Clock: s.o.Clock, Keys: ring.keys(), HTTP: s.o.Client,
		Metrics: collectorMetrics{s.metrics, s.collectorAsk},
	})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &collectorHost{server: s, ring: ring, store: store, c: c, tokens: map[task.ID]auth.Token{}, waiting: map[task.ID]string{}}, nil
}

// rotateKeys makes keys that are due, destroys those that nothing needs any more, and
// takes up what "shoal keys rotate" has made. It is called with mu held.
func (g *collectorHost) rotateKeys(ctx context.Context) error {
	s := g.server
	uses, err := g.c.KeyUse(ctx)
	if err != nil {
		return err
	}
	now := s.o.Clock.Now()
	changed, err := g.ring.rotate(now, func(k dapkey.Held) time.Time { return g.neededUntil(uses, k) })
	if err != nil {
		return err
	}
	g.ended = g.sealedToEnded(uses, now)
	if !changed {
		return nil
	}
	g.c.SetKeys(g.ring.keys())
	return s.pairSelf()
}

// RenewKeys implements [keyHolder].
func (g *collectorHost) RenewKeys(context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.ring.renew(g.server.o.Clock.Now()); err != nil {
		return err
	}
	g.c.SetKeys(g.ring.keys())
	return g.server.pairSelf()
}

// neededUntil returns until when a key may have to open a share. A leader or helper that
// asks for the keys seals to the key for as long as its announcement is good after the
// end, and the answer may come as long as the question is open. One that goes by the
// card, because it is of a version before or cannot reach this server, seals to it until
// an answer has shown a newer key.
func (g *collectorHost) neededUntil(uses []collector.KeyUse, k dapkey.Held) time.Time {
	end := k.Until.Add(g.ring.plan.Announce)
	for _, u := range uses {
		open := !u.Oldest.IsZero() && !u.Oldest.After(end)
		if open || !u.Known || !g.newer(u.Leader, k) || !g.newer(u.Helper, k) {
			return farFuture
		}
	}
	return end.Add(g.server.config.Keys.Grace.D())
}

// newer reports whether the key of an ID was made after another.
func (g *collectorHost) newer(id dap.HpkeConfigID, than dapkey.Held) bool {
	for key := range g.ring.ring.All() {
		if key.Key.ID() == id {
			return key.From.After(than.From)
		}
	}
	return false
}

// warnEndedEvery is how often a line says that a peer seals to a key that has ended.
const warnEndedEvery = 24 * time.Hour

// sealedToEnded returns a note for each leader or helper that seals to a key that is not
// announced any more.
func (g *collectorHost) sealedToEnded(uses []collector.KeyUse, now time.Time) []Note {
	var notes []Note
	for key := range g.ring.ring.All() {
		if !now.After(key.Until.Add(g.ring.plan.Announce)) {
			continue
		}
		sealed := func(r task.Role) bool {
			return slices.ContainsFunc(uses, func(u collector.KeyUse) bool {
				return u.Known && (r == task.Leader && u.Leader == key.Key.ID() || r == task.Helper && u.Helper == key.Key.ID())
			})
		}
		for _, r := range []task.Role{task.Leader, task.Helper} {
			if !sealed(r) {
				continue
			}
			notes = append(notes, Note{
				Key: fmt.Sprint("key ", key.Key.ID(), " ", r), Every: warnEndedEvery,
				Text: "a peer seals to a key of the collector that has ended, which is kept for it: " +
					"it is of a version before, or cannot reach this server at keys/collector",
				Attrs: []any{"peer", r, "key", key.Key.ID(), "ended", key.Until.Format(time.DateOnly)},
			})
		}
	}
	return notes
}

// Name implements [role].
func (g *collectorHost) Name() task.Role { return task.Collector }

// Handler implements [responder].
func (g *collectorHost) Handler() http.Handler { return g }

// Routes implements [responder].
func (g *collectorHost) Routes() []publicRoute {
	return []publicRoute{{name: "keys", pattern: "GET /keys/collector", admit: forKeys, limit: shortExchange}}
}

// Health implements [role].
func (g *collectorHost) Health(context.Context) Health {
	g.mu.Lock()
	defer g.mu.Unlock()
	h := Health{Notes: slices.Clone(g.ended)}
	h.figure("tasks", float64(g.served))
	h.figure(keyFigure, g.ring.ring.Left(g.server.o.Clock.Now()).Seconds())
	return h
}

// Keys implements [keyHolder].
func (g *collectorHost) Keys(now time.Time) []keyView {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ring.view(task.Collector, now)
}

// ServeHTTP answers with the keys that the collector announces.
func (g *collectorHost) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	config := g.ring.config
	g.mu.Unlock()
	keyring.Serve(w, keyring.ConfigType, config)
}

// Sync implements [syncer]: it rotates the keys, and lets the collector ask for what the organisation's tasks and pairings allow.
func (g *collectorHost) Sync(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	errs := []error{g.rotateKeys(ctx)}
	waiting := map[task.ID]string{}
	all := g.server.tasksWith(task.Collector)
	for _, t := range all {
		leader := t.Task.Leader()
		p, ok, err := g.server.pairings.Find(task.FormatPublic(leader.Identity), task.Leader.String())
		switch {
		case err != nil:
			errs = append(errs, err)
		case !ok || p.CollectorToken.IsZero():
			waiting[t.ID] = waitsFor(leader)
		case !g.tokens[t.ID].Equal(p.CollectorToken):
			if err := g.serve(ctx, t, p.CollectorToken); err != nil {
				errs = append(errs, fmt.Errorf("task %q: %w", t.Task.Metric, err))
				waiting[t.ID] = err.Error()
			}
		}
	}
	g.server.logWaiting(task.Collector, g.waiting, waiting)
	g.waiting, g.served = waiting, len(all)-len(waiting)
	return errors.Join(errs...)
}

// serve is called with mu held.
func (g *collectorHost) serve(ctx context.Context, t Task, token auth.Token) error {
	made, err := taskconfig.New(t.Task, t.ID)
	if err != nil {
		return err
	}
	if err := g.c.Serve(ctx, collector.Question{Task: made, Leader: token, Shoal: t.Task}); err != nil {
		return err
	}
	g.tokens[t.ID] = token
	return nil
}

// TaskState implements [stater].
func (g *collectorHost) TaskState(_ context.Context, t Task) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if wait := g.waiting[t.ID]; wait != "" {
		return wait
	}
	return stateServed
}

// Tick implements [ticker].
func (g *collectorHost) Tick(ctx context.Context) error {
	return errors.Join(g.Sync(ctx), g.c.Tick(ctx))
}

// Run implements [role].
func (g *collectorHost) Run(ctx context.Context, report func(error)) error {
	return g.c.Run(ctx, report)
}

// Close implements [role].
func (g *collectorHost) Close() error { return g.store.Close() }

// A CollectionView is a batch that a collector has asked for and that is not
// released.
type CollectionView struct {
	Task    task.ID
	Start   time.Time // zero where the leader chooses
	End     time.Time
	State   string
	Missing string    // coarsely, what the leader still needs
	Reason  string    // why there will be no answer
	Next    time.Time // when the leader is asked again
	Failed  string    // why the last try failed
}

// DAPTask returns the DAP task that follows from a task of the aggregate route.
func (s *Server) DAPTask(t Task) (dap.TaskID, error) {
	if id, ok := s.dapTasks.Load(t.ID); ok {
		return id.(dap.TaskID), nil
	}
	made, err := taskconfig.New(t.Task, t.ID)
	if err != nil {
		return dap.TaskID{}, err
	}
	s.dapTasks.Store(t.ID, made.ID())
	return made.ID(), nil
}

// Pending returns what the collector waits for, or had to give up, of one task, the
// newest.
func (s *Server) Pending(ctx context.Context, t Task) ([]CollectionView, error) {
	g := roleOf[*collectorHost](s)
	if g == nil {
		return nil, nil
	}
	id, err := s.DAPTask(t)
	if err != nil {
		return nil, err
	}
	all, err := g.c.Status(ctx, id, mostEpochs)
	if err != nil {
		return nil, err
	}
	var views []CollectionView
	for _, p := range all {
		v := CollectionView{Task: t.ID, Start: p.Start, End: p.End, State: p.State.String(), Reason: p.Reason, Next: p.Next}
		if p.State == collector.Asked {
			v.Missing = p.Missing
		}
		if p.Err != nil {
			v.Failed = p.Err.Error()
		}
		views = append(views, v)
	}
	return views, nil
}

// Collect asks for a batch of a task by hand.
func (s *Server) Collect(ctx context.Context, t Task, start, end time.Time) error {
	g := roleOf[*collectorHost](s)
	if g == nil {
		return errors.New("this organisation is not a collector")
	}
	id, err := s.DAPTask(t)
	if err != nil {
		return err
	}
	_, err = g.c.Collect(ctx, id, start, end)
	return err
}

func (s *Server) collectorAsk(state collector.State) {
	switch state {
	case collector.Released:
		s.o.Logger.Info("a batch was released", "role", task.Collector)
	case collector.Abandoned:
		s.o.Logger.Warn("a batch will not be released: see shoal task show and the console for the reason", "role", task.Collector)
	}
}

const collectorLabel = "collector"

// collectorMetrics counts what a collector reports.
type collectorMetrics struct {
	m   *metrics
	ask func(collector.State) // called for each ask
}

// Ask counts an ask that has come to a state.
func (c collectorMetrics) Ask(s collector.State) {
	c.m.batches.WithLabelValues(collectorLabel, s.String()).Inc()
	c.ask(s)
}

// Request counts a request to a leader.
func (c collectorMetrics) Request(outcome string) {
	c.m.jobs.WithLabelValues(collectorLabel, outcome).Inc()
}
