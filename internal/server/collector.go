package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	warned  time.Time              // when the log last named a peer that seals to a key that has ended
	tokens  map[task.ID]auth.Token // of the tasks that are served
	waiting map[task.ID]string     // for what the others wait
}

func (s *Server) openCollector(ctx context.Context) (*collectorHost, error) {
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
	if err := s.confirm(ctx, CollectorRole, store); err != nil {
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
	g.warnOfEnded(uses, now)
	if !changed {
		return nil
	}
	g.c.SetKeys(g.ring.keys())
	return s.pairSelf()
}

// renewKeys makes a new key before it is due.
func (g *collectorHost) renewKeys() error {
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

// warnOfEnded logs that a leader or helper seals to a key that is not announced any more.
func (g *collectorHost) warnOfEnded(uses []collector.KeyUse, now time.Time) {
	if now.Sub(g.warned) < warnEndedEvery && !g.warned.IsZero() {
		return
	}
	for key := range g.ring.ring.All() {
		for _, u := range uses {
			for role, id := range map[RoleName]dap.HpkeConfigID{LeaderRole: u.Leader, HelperRole: u.Helper} {
				if u.Known && id == key.Key.ID() && now.After(key.Until.Add(g.ring.plan.Announce)) {
					g.warned = now
					g.server.o.Logger.Warn("a peer seals to a key of the collector that has ended, which is kept for it: "+
						"it is of a version before, or cannot reach this server at keys/collector", "peer", role, "key", id, "ended", key.Until.Format(time.DateOnly))
				}
			}
		}
	}
}

// ServeHTTP answers with the keys that the collector announces.
func (g *collectorHost) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	g.mu.Lock()
	config := g.ring.config
	g.mu.Unlock()
	keyring.Serve(w, keyring.ConfigType, config)
}

// sync lets the collector ask for what the organisation's tasks and pairings allow.
func (g *collectorHost) sync(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	errs := []error{g.rotateKeys(ctx)}
	waiting := map[task.ID]string{}
	for _, t := range g.server.tasksWith(CollectorRole) {
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
	g.server.logWaiting(CollectorRole, g.waiting, waiting)
	g.waiting = waiting
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

func (g *collectorHost) state(t Task) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if wait := g.waiting[t.ID]; wait != "" {
		return wait
	}
	return stateServed
}

func (g *collectorHost) tick(ctx context.Context) error {
	return errors.Join(g.sync(ctx), g.c.Tick(ctx))
}

func (g *collectorHost) work(ctx context.Context) error {
	_ = g.c.Run(ctx, func(err error) { g.server.failed("collector", err) }) // it ends with its context only
	return nil
}

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
	if s.collectorHost == nil {
		return nil, nil
	}
	id, err := s.DAPTask(t)
	if err != nil {
		return nil, err
	}
	all, err := s.collectorHost.c.Status(ctx, id, mostEpochs)
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
	if s.collectorHost == nil {
		return errors.New("this organisation is not a collector")
	}
	id, err := s.DAPTask(t)
	if err != nil {
		return err
	}
	_, err = s.collectorHost.c.Collect(ctx, id, start, end)
	return err
}
