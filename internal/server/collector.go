package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/dap/collector"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/taskconfig"
	"github.com/shoal-project/shoal/internal/store/sqlite"
	"github.com/shoal-project/shoal/metric/task"
)

// A collectorHost runs the collector of an organisation.
type collectorHost struct {
	server *Server
	store  io.Closer
	c      *collector.Collector

	mu      sync.Mutex
	keys    []byte                 // the signed key config, by which a new key is noticed
	tokens  map[task.ID]auth.Token // of the tasks that are served
	waiting map[task.ID]string     // for what the others wait
}

func (s *Server) openCollector(ctx context.Context) (*collectorHost, error) {
	private, err := s.collectorKeys()
	if err != nil {
		return nil, err
	}
	store, err := sqlite.OpenCollector(ctx, s.config.collectorStore())
	if err != nil {
		return nil, err
	}
	if err := s.confirm(ctx, CollectorRole, store); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	c, err := collector.New(collector.Config{
		Store: store, FS: s.o.FS, Dir: s.config.collectorDir(), Clock: s.o.Clock, Keys: private, HTTP: s.o.Client,
		Metrics: collectorMetrics{s.metrics, s.collectorAsk},
	})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &collectorHost{server: s, store: store, c: c, tokens: map[task.ID]auth.Token{}, waiting: map[task.ID]string{}}, nil
}

func (s *Server) collectorKeys() ([]*dapkey.PrivateKey, error) {
	keys, err := readCollectorKeys(s.config)
	if err != nil {
		return nil, err
	}
	private := make([]*dapkey.PrivateKey, len(keys))
	for i, k := range keys {
		private[i] = k.PrivateKey
	}
	return private, nil
}

// syncKeys adds a key that was made while the server runs. It is called with
// mu held.
func (g *collectorHost) syncKeys() error {
	s := g.server
	config, err := collectorConfig(s.config, s.collector)
	if err != nil || bytes.Equal(config, g.keys) {
		return err
	}
	private, err := s.collectorKeys()
	if err != nil {
		return err
	}
	g.c.SetKeys(private)
	if err := s.pairSelf(); err != nil {
		return err
	}
	g.keys = config
	return nil
}

// sync lets the collector ask for what the organisation's tasks and pairings allow.
func (g *collectorHost) sync(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	errs := []error{g.syncKeys()}
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
