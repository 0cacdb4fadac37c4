package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/discovery/message"
	"github.com/shoal-project/shoal/metric/task"
)

// A sink puts messages into the outbox of an app. A nil sink takes none.
type sink struct {
	client *shoal.Client
	asked  map[string]bool // messages that a task asks for
	queued int
	others int // messages that no task asks for
	dir    string
}

// sink opens the outbox; nil for a dry run.
func (c *discoverReplayCmd) sink(e *env) (*sink, error) {
	if c.DryRun {
		if c.Outbox != "" || c.Tasks != "" || c.Owner != "" {
			return nil, setup(errors.New("replaying: --outbox, --tasks and --owner have a meaning with --no-dry-run only"))
		}
		return nil, nil // a dry run has no outbox
	}
	if c.Outbox == "" || c.Tasks == "" || c.Owner == "" {
		return nil, setup(errors.New("replaying: --no-dry-run needs --outbox, --tasks and --owner"))
	}
	signed, err := os.ReadFile(c.Tasks)
	if err != nil {
		return nil, setup(fmt.Errorf("reading tasks: %w", err))
	}
	owner, err := task.ParsePublic(c.Owner)
	if err != nil {
		return nil, setup(fmt.Errorf("--owner: %w", err))
	}
	parsed, err := task.ParseBundle(signed)
	if err != nil {
		return nil, setup(fmt.Errorf("%s: %w", c.Tasks, err))
	}
	opened, err := parsed.Open([]ed25519.PublicKey{owner})
	if err != nil {
		return nil, setup(fmt.Errorf("%s: %w", c.Tasks, err))
	}
	s := &sink{asked: make(map[string]bool), dir: c.Outbox}
	var metrics []string
	for _, o := range opened {
		if !isMessage(o.Task.Metric) {
			continue
		}
		if err := staysHere(o.Task); err != nil {
			return nil, setup(err)
		}
		s.asked[o.Task.Metric] = true
		metrics = append(metrics, o.Task.Metric)
	}
	if len(metrics) == 0 {
		return nil, setup(fmt.Errorf("%s: no task asks for messages of the discovery engine", c.Tasks))
	}
	s.client, err = shoal.Open(e.ctx, shoal.Options{Bundle: signed, Owner: c.Owner, Metrics: metrics, Mode: shoal.On, Dir: c.Outbox, NoSender: true, Clock: e.clock})
	return s, setup(err)
}

func isMessage(name string) bool {
	for _, s := range message.Schemas() {
		if s.Name == name {
			return true
		}
	}
	return false
}

// staysHere refuses parties on other machines: a single shuffler could confirm
// guesses of URLs, so without a relay and a quorum in between no URL may be sent
// to one.
func staysHere(t *task.Task) error {
	for _, hop := range t.Hops {
		u, err := url.Parse(hop.URL)
		if err != nil {
			return fmt.Errorf("the task %s: %w", t.Metric, err)
		}
		host := u.Hostname()
		if addr, err := netip.ParseAddr(host); err != nil || !addr.IsLoopback() {
			return fmt.Errorf("the task %s goes to %s: until a relay and a quorum stand between, what the discovery engine tells goes only to parties on this machine (127.0.0.1 or ::1)",
				t.Metric, net.JoinHostPort(host, u.Port()))
		}
	}
	return nil
}

func (s *sink) put(r message.Record) error {
	switch {
	case s == nil:
		return nil
	case !s.asked[r.Name]:
		s.others++
		return nil
	}
	if o := s.client.Record(r.Name, r.Fields); !o.Queued() {
		return fmt.Errorf("the outbox refused a %s message: %v", r.Name, o)
	}
	s.queued++
	return nil
}

// purge removes what waits: the history was cleared.
func (s *sink) purge(context.Context) error {
	if s == nil {
		return nil
	}
	_, err := s.client.Drop(func(shoal.Entry) bool { return true })
	return err
}

func (s *sink) close() error {
	if s == nil {
		return nil
	}
	return s.client.Close()
}

func (s *sink) String() string {
	if s == nil {
		return "Dry run: nothing was put into an outbox, and nothing sent."
	}
	return fmt.Sprintf("%d messages wait in %s; %d more no task asks for.", s.queued, s.dir, s.others)
}
