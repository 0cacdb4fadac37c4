package simulate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/shoal-project/shoal/cmd/shoal/internal/parties"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
)

// Config describes what is simulated.
type Config struct {
	File   *metric.File
	Values Values // complete, see [Values.Complete]
	People int
	Seed   uint64 // of people's answers

	Dir  string    // of all organisations; made if missing
	Now  time.Time // the questions are sound at this moment, and all that is simulated lies before it
	Rand io.Reader // keys, noise

	Console     func(*server.Server) (http.Handler, error) // nil for none
	ConsoleAddr string
	Progress    func(stage string, done, total int)
	Logger      *slog.Logger
}

// A Simulation runs all parties and has the answers.
type Simulation struct {
	Answers []*Answer

	config    Config
	parties   *parties.Parties
	questions []*question // by epoch length, then in the file's order
	ticked    time.Time
	every     time.Duration // how much time servers may miss
}

// settling is how long after a batch has closed its answer is waited for.
const settling = 3 * time.Hour

// Run lets everybody answer every question for one epoch and waits for the
// answers. The parties run until Close.
func Run(ctx context.Context, c Config) (*Simulation, error) {
	if c.Progress == nil {
		c.Progress = func(string, int, int) {}
	}
	s := &Simulation{config: c}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	for group := range byEpoch(s.questions) {
		if err := s.answer(ctx, group); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// start runs the parties, whose clock begins so early that all is over by
// Config.Now.
func (s *Simulation) start(ctx context.Context) error {
	s.config.Progress("setting up the organisations", 0, 0)
	rehearsal := s.config.File.Rehearsal(0)
	shufflers, aggregates := 0, false
	start := s.config.Now
	length := map[uint32]time.Duration{}
	longest := time.Duration(0)
	var notBefore int64
	for _, m := range rehearsal.Metrics {
		t := m.Task()
		if t.Method == task.Aggregate {
			aggregates = true
		} else {
			shufflers = max(1, len(s.config.File.Hops)-1)
		}
		notBefore = max(notBefore, t.NotBefore)
		length[t.EpochSeconds] = max(length[t.EpochSeconds], lasts(&t))
		longest = max(longest, lasts(&t))
	}
	for _, l := range length {
		start = start.Add(-l)
	}
	if earliest := time.Unix(notBefore, 0); start.Before(earliest) {
		start = earliest
	}
	s.every = min(6*time.Hour, max(step, longest/50))
	var err error
	s.parties, err = parties.Start(ctx, parties.Config{
		Dir: s.config.Dir, Start: start.UTC().Truncate(time.Minute), Now: s.config.Now, Rand: s.config.Rand,
		Shufflers: shufflers, Aggregates: aggregates,
		Questions: func([]task.Party) (*metric.File, error) { return rehearsal, nil },
		Configure: func(c *server.Config) { permit(c, longest) },
		Console:   s.config.Console, ConsoleAddr: s.config.ConsoleAddr, Logger: s.config.Logger,
	})
	if err != nil {
		return err
	}
	for i, o := range s.parties.Opened {
		m := s.config.File.Metrics[i]
		q, err := newQuestion(m, o, s.config.Values[m.Name])
		if err != nil {
			return errors.Join(fmt.Errorf("metric %s: %w", m.Name, err), s.Close())
		}
		s.questions = append(s.questions, q)
	}
	slices.SortStableFunc(s.questions, func(a, b *question) int { return cmp.Compare(a.task.EpochSeconds, b.task.EpochSeconds) })
	return nil
}

// lasts is how long the answer to a question takes: the wait for an epoch, the
// epoch, what comes after it.
func lasts(t *task.Task) time.Duration {
	return time.Duration(2*uint64(t.EpochSeconds))*time.Second + t.Grace() + settling
}

// permit lets a server accept what an owner may ask: its floors are set by the
// operators, and these are not simulated.
func permit(c *server.Config, longest time.Duration) {
	c.Floors = server.FloorsConfig{
		MinThreshold: 2, MinBatch: 2, MaxEpsilon: 16, MaxDelta: 1e-5, MaxPerEpoch: 1 << 20, MaxPerCrowd: 1 << 20, AllowNaive: true,
	}
	c.Aggregates.Expiry = max(c.Aggregates.Expiry, server.Duration(2*longest))
}

// byEpoch yields questions that are in the order of their epochs' lengths, those of
// one length together.
func byEpoch(all []*question) func(func([]*question) bool) {
	return func(yield func([]*question) bool) {
		for from := 0; from < len(all); {
			to := from
			for to < len(all) && all[to].task.EpochSeconds == all[from].task.EpochSeconds {
				to++
			}
			if !yield(all[from:to]) {
				return
			}
			from = to
		}
	}
}

// answer lets everybody answer questions of one epoch length.
func (s *Simulation) answer(ctx context.Context, asked []*question) error {
	first := asked[0].task
	now := s.parties.Clock.Now()
	begins := first.Start(first.EpochAt(now.Add(time.Duration(first.EpochSeconds)*time.Second - 1)))
	if err := s.forward(ctx, begins); err != nil {
		return err
	}
	c := &crew{clock: s.parties.Clock, forward: s.forward, asked: asked, progress: s.config.Progress}
	defer c.close()
	err := c.open(ctx, population{people: s.config.People, seed: s.config.Seed, bundle: s.parties.Bundle, owner: s.parties.Owner})
	if err != nil {
		return err
	}
	closes := time.Time{}
	for _, q := range asked {
		if at := q.task.Closes(q.epoch); at.After(closes) {
			closes = at
		}
	}
	if err := c.live(ctx, closes); err != nil {
		return err
	}
	return s.release(ctx, asked)
}

// forward moves the clock and lets servers work now and then.
func (s *Simulation) forward(ctx context.Context, to time.Time) error {
	for now := s.parties.Clock.Now(); now.Before(to); {
		now = now.Add(s.every)
		if now.After(to) {
			now = to
		}
		s.parties.Clock.Forward(now)
		if now.Sub(s.ticked) >= s.every {
			s.ticked = now
			if err := s.parties.Tick(ctx); err != nil && ctx.Err() != nil {
				return ctx.Err()
			} // what fails is tried again
		}
	}
	return ctx.Err()
}

// release lets servers work until all answers are there, or nothing more comes.
func (s *Simulation) release(ctx context.Context, asked []*question) error {
	s.config.Progress("shuffling, aggregating and analysing", 0, 0)
	now := s.parties.Clock.Now()
	var last error
	for end := now.Add(settling); now.Before(end); now = now.Add(step) {
		s.parties.Clock.Forward(now)
		if last = s.parties.Tick(ctx); ctx.Err() != nil {
			return ctx.Err()
		}
		missing := 0
		for _, q := range asked {
			found, err := s.released(ctx, q)
			if err != nil {
				return err
			}
			if found == nil {
				missing++
			}
		}
		if missing == 0 {
			break
		}
	}
	for _, q := range asked {
		a, err := s.read(ctx, q)
		if err != nil {
			return fmt.Errorf("metric %s: reading the answer: %w", q.metric.Name, err)
		}
		if !a.Released && last != nil {
			a.Reason += "; at last: " + last.Error()
		}
		s.Answers = append(s.Answers, a)
	}
	return nil
}

// ConsoleURL returns where the console is, or "".
func (s *Simulation) ConsoleURL() string { return s.parties.ConsoleURL() }

// Close stops the parties.
func (s *Simulation) Close() error { return s.parties.Close() }
