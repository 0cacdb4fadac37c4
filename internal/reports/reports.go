package reports

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/discovery/message"
	"github.com/shoal-project/shoal/metric/task"
)

// A Sender records messages. It is safe for concurrent use.
type Sender struct {
	client *shoal.Client
	asked  []string // messages that a task asks for

	queued, unasked, refused atomic.Int64
}

// ErrUnasked means that no task of a bundle asks for messages.
var ErrUnasked = errors.New("no task asks for messages of the discovery engine")

// Open opens the client that answers the tasks of a bundle that are named as messages;
// Metrics of o must be empty. It fails without such a task, and if one of them does not
// hide what it asks for.
func Open(ctx context.Context, o shoal.Options) (*Sender, error) {
	if len(o.Metrics) > 0 {
		return nil, errors.New("opening reports: metrics are those of the messages")
	}
	owner, err := task.ParsePublic(o.Owner)
	if err != nil {
		return nil, fmt.Errorf("opening reports: owner: %w", err)
	}
	bundle, err := task.ParseBundle(o.Bundle)
	if err != nil {
		return nil, fmt.Errorf("opening reports: %w", err)
	}
	all, err := bundle.Open([]ed25519.PublicKey{owner})
	if err != nil {
		return nil, fmt.Errorf("opening reports: %w", err)
	}
	known := message.Schemas()
	for _, t := range all {
		if !slices.ContainsFunc(known, func(s message.Schema) bool { return s.Name == t.Task.Metric }) {
			continue
		}
		if err := hides(t.Task); err != nil {
			return nil, fmt.Errorf("opening reports: %w", err)
		}
		o.Metrics = append(o.Metrics, t.Task.Metric)
	}
	if len(o.Metrics) == 0 {
		return nil, fmt.Errorf("opening reports: %w", ErrUnasked)
	}
	s := &Sender{asked: o.Metrics}
	if s.client, err = shoal.Open(ctx, o); err != nil {
		return nil, err
	}
	return s, nil
}

// hides returns nil if no single party of a task can learn what its clients report, or
// all of them are on this machine.
func hides(t *task.Task) error {
	missing := t.Missing()
	if len(missing) == 0 {
		return nil
	}
	for _, p := range t.Parties() {
		u, err := url.Parse(p.URL)
		if err != nil {
			return fmt.Errorf("the task %s: %w", t.Metric, err)
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err != nil || !addr.IsLoopback() {
			return fmt.Errorf("the task %s goes to %s without %s: what the discovery engine reports goes to other machines only in tasks that have a relay, credentials and a hardened quorum",
				t.Metric, u.Host, strings.Join(missing, ", "))
		}
	}
	return nil
}

// Put records a message that a task asks for. A record beyond what one client may
// contribute, or for a task that has not begun or is over, is counted and is no error.
func (s *Sender) Put(r message.Record) error {
	if !slices.Contains(s.asked, r.Name) {
		s.unasked.Add(1)
		return nil
	}
	switch o := s.client.Record(r.Name, r.Fields); o.Status {
	case shoal.Queued:
		s.queued.Add(1)
	case shoal.CapReached, shoal.NotYet, shoal.Expired, shoal.TurnedOff:
		s.refused.Add(1)
	default:
		return fmt.Errorf("recording a %s message: %v", r.Name, o)
	}
	return nil
}

// Emit is Put for a line of JSON.
func (s *Sender) Emit(line []byte) error {
	r, err := message.ParseRecord(line)
	if err != nil {
		return err
	}
	return s.Put(r)
}

// Purge removes what waits: the history was cleared.
func (s *Sender) Purge(context.Context) error {
	_, err := s.client.Drop(func(shoal.Entry) bool { return true })
	return err
}

// Client returns the client that records.
func (s *Sender) Client() *shoal.Client { return s.client }

// Counts are what became of messages.
type Counts struct {
	Queued  int // in the outbox
	Unasked int // no task asks for them
	Refused int // beyond what one client may contribute, or out of the task's time
}

// Counts returns what became of messages so far.
func (s *Sender) Counts() Counts {
	return Counts{int(s.queued.Load()), int(s.unasked.Load()), int(s.refused.Load())}
}

// Close ends recording; what waits stays in the outbox.
func (s *Sender) Close() error { return s.client.Close() }
