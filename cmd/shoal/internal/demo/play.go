package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/esa/analyzer"
)

// senders is how many simulated devices are at work at the same moment.
const senders = 64

// step is how far the virtual clock moves at once. What is overdue by no more
// than a minute an outbox still takes as due.
const step = time.Minute

// A person is a simulated device: a client of the SDK and the times at which its
// owner uses things.
type person struct {
	client *shoal.Client
	wire   *http.Transport // from the device's own address
	things []int
	uses   []time.Time // when the thing of the same index is used
	told   bool        // what the aggregate questions ask
	next   time.Time   // when the outbox has something to send; zero for never
}

// Play lets everybody use their things within one epoch, every outbox send at
// its random times, the epoch pass, and the servers do their work. It returns
// when the answer has been released.
func (s *Stage) Play(ctx context.Context) (*Result, error) {
	people, err := s.people(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, p := range people {
			p.client.Close()
		}
	}()
	epoch := s.task.EpochAt(s.used())
	started := time.Now()
	if err := s.settle(ctx, people); err != nil {
		return nil, err
	}
	sent, err := s.live(ctx, people, s.closes(epoch))
	if err != nil {
		return nil, err
	}
	sending := time.Since(started)
	started = time.Now()
	entry, err := s.release(ctx, s.task.Closes(epoch))
	if err != nil {
		return nil, err
	}
	r := &Result{Sent: sent, SendingSeconds: sending.Seconds(), AnalysingSeconds: time.Since(started).Seconds()}
	if err := s.compare(ctx, r, entry); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return r, nil
}

// people opens the clients and decides when everybody uses what.
func (s *Stage) people(ctx context.Context) ([]*person, error) {
	var seed [32]byte
	if _, err := io.ReadFull(s.config.Rand, seed[:]); err != nil {
		return nil, err
	}
	random := rand.New(rand.NewChaCha8(seed))
	now := s.used()
	length := time.Duration(s.task.EpochSeconds)*time.Second - step // so that the last step is in the epoch too
	if s.config.Input.Protected {
		length = 1 // what is recorded after the evaluation of its epoch would be in the batch of the next one
	}
	people := make([]*person, len(s.config.Input.Who))
	for i, things := range s.config.Input.Who {
		wire := transportFrom(s.addressOf(i))
		admission := ""
		if s.config.Input.Protected {
			var err error
			if admission, err = s.parties.Invite(); err != nil {
				return nil, err
			}
		}
		client, err := shoal.Open(ctx, shoal.Options{
			Bundle: s.bundle, Owner: s.owner, Metrics: s.metrics(), Admission: admission,
			Mode: shoal.On, NoSender: true, Clock: s.clock, Rand: s.config.Rand, Transport: wire,
		})
		if err != nil {
			return nil, fmt.Errorf("opening a simulated device: %w", err)
		}
		people[i] = &person{client: client, wire: wire, things: things, uses: make([]time.Time, len(things))}
		for j := range things {
			people[i].uses[j] = now.Add(time.Duration(random.Int64N(int64(length))))
		}
		s.config.Progress("opening devices", i+1, len(people))
	}
	return people, nil
}

// live moves the clock through the epoch and the send delay. At each step those
// whose moment has come record and send, many at once. It returns how many
// reports were sent.
func (s *Stage) live(ctx context.Context, people []*person, until time.Time) (int, error) {
	records := s.config.Input.Who.Records()
	total := records + len(people)*(len(s.metrics())-1)
	var t tally
	for now := s.clock.Now(); now.Before(until) && int(t.sent.Load()) < total; now = now.Add(step) {
		if err := s.pass(ctx, people, now, &t); err != nil {
			return 0, err
		}
		s.config.Progress("sending reports", int(t.sent.Load()), total)
	}
	sent := int(t.sent.Load())
	if s.config.Input.Protected && sent >= total-total/10 { // a request that failed is made again: its records go with the next epoch
		return sent, nil
	}
	if sent < total { // a device may have begun with the next epoch
		why, _ := t.waits.Load().(error)
		return 0, errors.Join(fmt.Errorf("%d of %d reports were sent before the batch closed", sent, total), why)
	}
	return records, nil
}

// A tally counts what devices did. It is safe for concurrent use.
type tally struct {
	sent  atomic.Int64
	waits atomic.Value // the last error for which reports wait
}

// pass moves the clock and lets those whose moment has come record and send.
func (s *Stage) pass(ctx context.Context, people []*person, now time.Time, t *tally) error {
	s.clock.Forward(now)
	s.work(ctx, now)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(senders)
	for _, p := range people {
		if p.due(now) {
			group.Go(func() error { return s.wake(ctx, p, now, t) })
		}
	}
	return group.Wait()
}

// wake lets one person record and send.
func (s *Stage) wake(ctx context.Context, p *person, now time.Time, t *tally) error {
	for i, at := range p.uses {
		if at.IsZero() || at.After(now) {
			continue
		}
		p.uses[i] = time.Time{}
		if o := p.client.Record(s.config.Input.Metric, s.config.Input.Things[p.things[i]].Record); !o.Queued() {
			return fmt.Errorf("a simulated device refused a record: %v", o)
		}
	}
	if !p.told && !now.Before(s.used()) {
		p.told = true
		if err := s.sums.tell(p.client, p.things); err != nil {
			return err
		}
	}
	pass, err := p.client.SendDue(ctx)
	p.wire.CloseIdleConnections() // as the SDK's own transport does
	if err != nil {
		return fmt.Errorf("a simulated device could not send: %w", err)
	}
	p.next = pass.Next
	t.sent.Add(int64(pass.Sent))
	if pass.Refused > 0 {
		return fmt.Errorf("a server refused a report: %w", pass.Err)
	}
	if pass.Err != nil {
		t.waits.Store(pass.Err)
	}
	return nil
}

// due reports whether a person uses or sends something at now.
func (p *person) due(now time.Time) bool {
	if !p.next.IsZero() && !p.next.After(now) {
		return true
	}
	for _, at := range p.uses {
		if !at.IsZero() && !at.After(now) {
			return true
		}
	}
	return false
}

// release moves the clock on until the analyzer has released the batch. Servers
// distrust a clock that jumps, so it takes a few steps.
func (s *Stage) release(ctx context.Context, closes time.Time) (analyzer.Entry, error) {
	s.config.Progress("shuffling, aggregating and analysing", 0, 0)
	var last error
	for now := closes; now.Before(closes.Add(3 * time.Hour)); now = now.Add(time.Minute) {
		s.clock.Forward(now)
		last = s.parties.Tick(ctx)
		if n, err := s.waiting(ctx); err != nil || n > 0 {
			if err != nil {
				return analyzer.Entry{}, err
			}
			continue
		}
		entries, err := s.analyzer.Tables().Entries(ctx)
		if err != nil {
			return analyzer.Entry{}, err
		}
		for _, e := range entries {
			if e.State == analyzer.Released {
				return e, nil
			}
		}
		if err := ctx.Err(); err != nil {
			return analyzer.Entry{}, err
		}
	}
	return analyzer.Entry{}, fmt.Errorf("no answer was released: %w", errors.Join(last, errors.New("the batch was destroyed or waits")))
}
