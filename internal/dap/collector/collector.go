package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/dap/exchange"
	"github.com/shoal-project/shoal/internal/durable"
)

// A Config holds what a collector works with.
type Config struct {
	Store Store                // required
	FS    durable.FS           // default: the operating system's
	Dir   string               // of the released tables; required
	Clock clock.Clock          // default: the system's
	Keys  []*dapkey.PrivateKey // that open aggregate shares
	HTTP  *http.Client         // reaches leaders; default: one with a timeout of a minute
	// Poll is how long to wait before a leader is asked again that gave no
	// Retry-After; default 30 s.
	Poll time.Duration
	// CollectionTimeout is how long an ask goes on without an answer, from when it was
	// made; default a week. Then it is abandoned.
	CollectionTimeout time.Duration
	Metrics           Metrics // default: none
}

// Metrics counts events. Its methods must not block.
type Metrics interface {
	// Ask counts an ask that has come to a state.
	Ask(State)
	// Request counts a request to a leader by its outcome: answered, waiting,
	// one of the draft's problem types, refused, or failed.
	Request(outcome string)
}

type noMetrics struct{}

func (noMetrics) Ask(State)      {}
func (noMetrics) Request(string) {}

// A Collector asks for aggregates and releases them. Its methods are safe for
// concurrent use.
type Collector struct {
	config Config
	client *exchange.Client
	wake   clock.Signal

	tickMu sync.Mutex // held by what works on asks

	mu        sync.Mutex // guards what follows
	questions map[dap.TaskID]*Question
	tries     map[dap.CollectionJobID]attempt
	sealed    map[dap.TaskID][2]dap.HpkeConfigID // by leader and helper, of the latest answer
	leftovers []Ask                              // that have expired and whose files may be there; guarded by tickMu
	recovered bool                               // what a crash has left is among them; guarded by tickMu
}

// An attempt is what is known of an ask that has to be tried again.
type attempt struct {
	n    int
	next time.Time
	err  error
}

// New returns a collector without questions.
func New(c Config) (*Collector, error) {
	if c.Store == nil || c.Dir == "" {
		return nil, errors.New("making a collector: want a store and a folder")
	}
	c.FS = cmp.Or(c.FS, durable.OS())
	c.Clock = cmp.Or(c.Clock, clock.System())
	c.Poll = cmp.Or(c.Poll, 30*time.Second)
	c.CollectionTimeout = cmp.Or(c.CollectionTimeout, 7*24*time.Hour)
	if c.Metrics == nil {
		c.Metrics = noMetrics{}
	}
	if err := c.FS.MkdirAll(filepath.Join(c.Dir, "tables"), 0o700); err != nil {
		return nil, fmt.Errorf("making a collector: %w", err)
	}
	return &Collector{
		config:    c,
		client:    &exchange.Client{HTTP: c.HTTP, Clock: c.Clock, Attempts: 1}, // asks have pauses of their own, which survive a restart
		wake:      clock.NewSignal(),
		questions: map[dap.TaskID]*Question{},
		tries:     map[dap.CollectionJobID]attempt{},
		sealed:    map[dap.TaskID][2]dap.HpkeConfigID{},
	}, nil
}

// SetKeys replaces the keys that open aggregate shares.
func (c *Collector) SetKeys(keys []*dapkey.PrivateKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.config.Keys = slices.Clone(keys)
}

// Serve adds a question, or replaces the one of the same DAP task. Its schedule
// begins with the epoch in which it is served for the first time.
func (c *Collector) Serve(ctx context.Context, q Question) error {
	if err := q.validate(); err != nil {
		return fmt.Errorf("serving a question: %w", err)
	}
	begun, err := c.config.Store.Begin(ctx, q.Task.ID(), c.config.Clock.Now().Unix())
	if err != nil {
		return fmt.Errorf("serving a question: %w", err)
	}
	q.begun = time.Unix(begun, 0)
	c.mu.Lock()
	c.questions[q.Task.ID()] = &q
	c.mu.Unlock()
	c.poke()
	return nil
}

// Drop ends a question: nothing is asked for it any more. What was released
// stays.
func (c *Collector) Drop(id dap.TaskID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.questions, id)
}

// poke makes Run look at once.
func (c *Collector) poke() {
	c.wake.Set()
}

func (c *Collector) question(id dap.TaskID) *Question {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.questions[id]
}

// served returns the questions in a fixed order.
func (c *Collector) served() []*Question {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*Question
	for _, q := range c.questions {
		all = append(all, q)
	}
	slices.SortFunc(all, func(a, b *Question) int {
		x, y := a.Task.ID(), b.Task.ID()
		return slices.Compare(x[:], y[:])
	})
	return all
}

// ErrOverlap means that a part of an interval was asked for before.
var ErrOverlap = errors.New("a part of the interval was asked for before; a batch is collected once")

// ErrUnknownTask means that the collector has no question of a task.
var ErrUnknownTask = errors.New("the collector has no such task")

// Collect asks for a batch by hand, outside of the schedule: for the reports from
// start until end, both rounded down to the task's precision, or in the
// leader-selected mode for the next batch. It records the ask; Run and Tick carry
// it out. An interval that was asked for before gives the ask that there is.
func (c *Collector) Collect(ctx context.Context, id dap.TaskID, start, end time.Time) (Ask, error) {
	c.tickMu.Lock()
	defer c.tickMu.Unlock()
	q := c.question(id)
	if q == nil {
		return Ask{}, ErrUnknownTask
	}
	asks, err := c.config.Store.Of(ctx, id, math.MaxInt)
	if err != nil {
		return Ask{}, err
	}
	a, err := c.byHand(q, asks, start, end)
	if err != nil {
		return Ask{}, fmt.Errorf("collecting %q: %w", q.metric(), err)
	}
	if i := slices.IndexFunc(asks, func(o Ask) bool { return o.ID == a.ID }); i >= 0 {
		return asks[i], nil
	}
	if _, err := c.config.Store.Add(ctx, a); err != nil {
		return Ask{}, err
	}
	q.read = false // the schedule has to heed it
	c.config.Metrics.Ask(Asked)
	c.poke()
	return a, nil
}

func (c *Collector) byHand(q *Question, asks []Ask, start, end time.Time) (Ask, error) {
	now := c.config.Clock.Now()
	if q.Task.Config().BatchMode == dap.LeaderSelectedMode {
		if open := unanswered(q, asks); open != nil {
			return *open, nil
		}
		return q.newAsk(dap.NextBatchQuery(), nextNumber(asks), now)
	}
	p := q.Task.Config().TimePrecision
	from, err := p.Time(start)
	if err != nil {
		return Ask{}, err
	}
	until, err := p.Time(end)
	if err != nil {
		return Ask{}, err
	}
	if until <= from {
		return Ask{}, fmt.Errorf("the interval from %s to %s is empty at a precision of %d s", start.UTC().Format(time.RFC3339), end.UTC().Format(time.RFC3339), p)
	}
	i := dap.Interval{Start: from, Duration: dap.Duration(until - from)}
	if q.Shoal != nil {
		last := q.Shoal.EpochAt(end.Add(-time.Second))
		if closes := q.Shoal.Closes(last); now.Before(closes) {
			return Ask{}, fmt.Errorf("reports may still arrive until %s", closes.Format(time.RFC3339))
		}
	}
	number := nextNumber(asks)
	if q.Shoal != nil {
		number = uint64(q.Shoal.EpochAt(start))
	}
	a, err := q.newAsk(dap.IntervalQuery(i), number, now)
	if err != nil {
		return Ask{}, err
	}
	asks = slices.DeleteFunc(slices.Clone(asks), func(o Ask) bool { return o.ID == a.ID })
	if q.spans(asks).overlap(i) {
		return Ask{}, ErrOverlap
	}
	return a, nil
}

// spans are intervals that have been asked for, ordered by start. Each reaches as far as
// any before it.
type spans []dap.Interval

// spans returns those of asks of the question. An abandoned ask has no span: unless the
// leader has collected it, and then it answers so, it may be asked for in another way.
func (q *Question) spans(asks []Ask) spans {
	var all spans
	for _, a := range asks {
		if a.State == Abandoned {
			continue
		}
		req, err := q.query(a)
		if err != nil {
			continue
		}
		if i, err := req.Query.Interval(); err == nil {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(a, b dap.Interval) int { return cmp.Compare(a.Start, b.Start) })
	furthest := dap.Time(0)
	for i := range all {
		furthest = max(furthest, all[i].Start+dap.Time(all[i].Duration))
		all[i].Duration = dap.Duration(furthest - all[i].Start)
	}
	return all
}

// overlap reports whether a part of an interval is in one of the spans.
func (s spans) overlap(i dap.Interval) bool {
	// n is the first that begins at the end of i or later.
	n, _ := slices.BinarySearchFunc(s, i.Start+dap.Time(i.Duration), func(o dap.Interval, end dap.Time) int { return cmp.Compare(o.Start, end) })
	return n > 0 && i.Start < s[n-1].Start+dap.Time(s[n-1].Duration)
}

// unanswered returns the ask of a question that waits for its answer, or nil.
func unanswered(q *Question, asks []Ask) *Ask {
	for i := range asks {
		if asks[i].Task == q.Task.ID() && asks[i].State == Asked {
			return &asks[i]
		}
	}
	return nil
}

// nextNumber is the number after those of asks of a question.
func nextNumber(asks []Ask) uint64 {
	next := uint64(0)
	for _, a := range asks {
		next = max(next, a.Number+1)
	}
	return next
}

// A Pending is an ask that has no answer yet.
type Pending struct {
	Ask
	Start, End time.Time // what it asks for; zero where the leader chooses
	Next       time.Time // when the leader is asked again
	Err        error     // why the last try failed; nil if the leader has only not enough yet
}

// Status returns the last asks of a task that are not released yet or were abandoned,
// at most so many, ordered as the store has them.
func (c *Collector) Status(ctx context.Context, id dap.TaskID, most int) ([]Pending, error) {
	asks, err := c.config.Store.Unreleased(ctx, id, most)
	if err != nil {
		return nil, err
	}
	var all []Pending
	for _, a := range asks {
		p := Pending{Ask: a}
		if q := c.question(a.Task); q != nil {
			p.Start, p.End = q.span(a)
		}
		c.mu.Lock()
		p.Next, p.Err = c.tries[a.ID].next, c.tries[a.ID].err
		c.mu.Unlock()
		all = append(all, p)
	}
	return all, nil
}

// span returns what an ask asks for, zero times where the leader chooses.
func (q *Question) span(a Ask) (start, end time.Time) {
	req, err := q.query(a)
	if err != nil {
		return
	}
	i, err := req.Query.Interval()
	if err != nil {
		return
	}
	return q.times(i)
}

func (q *Question) times(i dap.Interval) (start, end time.Time) {
	p := q.Task.Config().TimePrecision
	start, err := p.Start(i.Start)
	if err != nil {
		return time.Time{}, time.Time{}
	}
	end, err = p.Start(i.Start + dap.Time(i.Duration))
	if err != nil {
		return time.Time{}, time.Time{}
	}
	return start.UTC(), end.UTC()
}
