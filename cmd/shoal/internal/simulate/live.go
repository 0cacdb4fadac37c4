package simulate

import (
	"container/heap"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/clock"
)

// senders is how many simulated devices are at work at the same moment.
const senders = 64

// step is how far apart two moments are at which devices wake. What is overdue by
// no more than a minute an outbox still takes as due.
const step = time.Minute

// A crew are the devices of all people for some questions of one epoch length.
type crew struct {
	clock    clock.Clock
	forward  func(context.Context, time.Time) error // moves the clock, or waits for it
	devices  []*device
	asked    []*question
	progress func(stage string, done, total int)
}

// population describes the people that answer.
type population struct {
	people int
	seed   uint64
	bundle []byte
	owner  string
}

// source returns the randomness of one person and purpose.
func (p population) source(person int, purpose byte) *rand.ChaCha8 {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], p.seed)
	binary.BigEndian.PutUint64(seed[8:], uint64(person))
	seed[16] = purpose
	return rand.NewChaCha8(seed)
}

// open makes the devices and plans every person's answers, in the epoch that
// begins now.
func (c *crew) open(ctx context.Context, p population) error {
	now := c.clock.Now()
	names := make([]string, len(c.asked))
	for i, q := range c.asked {
		names[i] = q.task.Metric
		q.epoch = q.task.EpochAt(now)
		if !q.task.Covers(q.epoch) {
			return fmt.Errorf("metric %s: the epoch from %s is not one of its epochs: it starts later or expires too soon to be simulated",
				q.metric.Name, q.task.Start(q.epoch).Format(time.DateOnly))
		}
	}
	for i := range p.people {
		d := &device{random: p.source(i, 0), caps: map[*question]map[string]int{}}
		var err error
		d.client, err = shoal.Open(ctx, shoal.Options{
			Bundle: p.bundle, Owner: p.owner, Metrics: names, Mode: shoal.On, NoSender: true, Clock: c.clock, Rand: d.random,
		})
		if err != nil {
			return fmt.Errorf("opening a simulated device: %w", err)
		}
		c.devices = append(c.devices, d)
		r := rand.New(p.source(i, 1))
		for _, q := range c.asked {
			d.acts = append(d.acts, q.plan(r, now)...)
		}
		c.progress("opening devices", i+1, p.people)
	}
	return nil
}

// plan decides the answers of one person in the epoch that begins at start.
func (q *question) plan(r *rand.Rand, start time.Time) []act {
	if r.Float64() >= *q.values.Share {
		return nil
	}
	length := max(step, time.Duration(q.task.EpochSeconds)*time.Second-2*step) // the last moment is in the epoch too
	var acts []act
	for range max(1, q.values.Records) {
		acts = append(acts, act{at: start.Add(time.Duration(r.Int64N(int64(length)))), q: q, value: q.says(r)})
	}
	return acts
}

// live lets all devices record and send until a moment. The caller holds c alone.
func (c *crew) live(ctx context.Context, until time.Time) error {
	var due agenda
	for i := range c.devices { // everybody wakes once: some reports need no act
		due = append(due, waking{c.clock.Now(), i})
	}
	heap.Init(&due)
	sent := 0
	for len(due) > 0 && due[0].at.Before(until) {
		at := due[0].at
		if now := c.clock.Now(); at.Before(now) {
			at = now
		}
		at = at.Add(step - 1).Truncate(step) // those of the same minute together
		if err := c.forward(ctx, at); err != nil {
			return err
		}
		now := c.clock.Now()
		var group errgroup.Group
		group.SetLimit(senders)
		var mu sync.Mutex
		var next []waking
		for len(due) > 0 && !due[0].at.After(now) {
			w := heap.Pop(&due).(waking)
			group.Go(func() error {
				d := c.devices[w.device]
				if err := d.do(now); err != nil {
					return err
				}
				again, n, err := d.send(ctx)
				mu.Lock()
				defer mu.Unlock()
				sent += n
				if !again.IsZero() {
					if !again.After(now) {
						again = now.Add(step)
					}
					next = append(next, waking{again, w.device})
				}
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for _, w := range next {
			heap.Push(&due, w)
		}
		c.progress("sending reports", sent, max(sent, c.expected()))
	}
	return c.forward(ctx, until)
}

// expected is how many reports there will be at least.
func (c *crew) expected() int {
	n := 0
	for _, q := range c.asked {
		q.mu.Lock()
		n += q.sent
		if q.sums != nil {
			n += len(c.devices)
		}
		q.mu.Unlock()
	}
	return n
}

func (c *crew) close() {
	for _, d := range c.devices {
		d.client.Close()
	}
}

// waking is a moment at which a device has something to do.
type waking struct {
	at     time.Time
	device int
}

// agenda is a heap of wakings by time.
type agenda []waking

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)        { *a = append(*a, x.(waking)) }
func (a *agenda) Pop() any {
	old := *a
	last := old[len(old)-1]
	*a = old[:len(old)-1]
	return last
}
