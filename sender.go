package shoal

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/outbox"
)

// poll is how often a sender looks for what other processes have queued, and
// how long it waits after the outbox has failed.
const poll = time.Minute

// sendDue adds the reports that are required whatever the app records, and sends
// what is due. An enrolment that fails keeps nothing else from being sent.
func sendDue(ctx context.Context, box *outbox.Box, c *uploader, d *presence) (Pass, error) {
	now := c.clock.Now()
	filled := d.fill(box, now)
	// Before the reports: a record whose value was not evaluated in its epoch moves.
	again, prepared := c.prepare(ctx)
	pass, err := box.SendDue(ctx, now, c, c)
	// After the reports: when credentials are fetched must not depend on them.
	next, fetched := c.fetch(ctx)
	for _, failed := range []error{filled, prepared, fetched} {
		if pass.Err == nil {
			pass.Err = failed
		}
	}
	for _, at := range []time.Time{again, next} {
		if !at.IsZero() && (pass.Next.IsZero() || at.Before(pass.Next)) {
			pass.Next = at
		}
	}
	return Pass(pass), err
}

// run sends what is due until ctx ends, and when it is woken. It calls report with what
// each pass did.
func run(ctx context.Context, box *outbox.Box, c *uploader, d *presence, wake clock.Signal, report func(Pass, error)) {
	var next time.Time
	send := func(ctx context.Context) error {
		now := c.clock.Now()
		pass, err := sendDue(ctx, box, c, d)
		if ctx.Err() != nil {
			return err
		}
		report(pass, err)
		next = now.Add(poll)
		if err == nil && !pass.Next.IsZero() && pass.Next.Before(next) {
			next = pass.Next
		}
		return err
	}
	_ = clock.Loop(ctx, c.clock, wake, send, func(error) time.Time { return next }, nil) // it ends with its context only
}

// beginSender starts the background sender. The caller holds mu.
func (c *Client) beginSender() {
	box, ended := c.box, make(chan struct{})
	ctx, cancel := context.WithCancel(c.sending)
	go func() {
		defer close(ended)
		run(ctx, box, c.uploader, c.presence, c.wake, func(Pass, error) {})
	}()
	c.stop = func() {
		cancel()
		<-ended
	}
}

// endSending stops the background sender, if there is one, and calls of
// SendDue. The caller holds mu.
func (c *Client) endSending() {
	c.endCalls()
	if c.stop != nil {
		c.stop()
		c.stop = nil
	}
}

// SendDue sends what is due by the client's clock, and returns when to call it
// again: for apps with [Options].NoSender that schedule by themselves. It sends
// nothing before its time, and nothing unless the mode is On. The pass gives why
// reports wait. A change of mode and Close interrupt it.
func (c *Client) SendDue(ctx context.Context) (Pass, error) {
	if c == nil {
		return Pass{}, nil
	}
	// Not under mu during the sending: a record must not wait for the network.
	c.mu.RLock()
	mode, box, sending := c.mode, c.box, c.sending
	c.mu.RUnlock()
	if mode != On {
		return Pass{}, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(sending, cancel)() //nolint:contextcheck // that of all sending, which ends with the mode or the client, beside the caller's
	return sendDue(ctx, box, c.uploader, c.presence)
}

// AgentOptions are the settings of [Agent]. Dir is required.
type AgentOptions struct {
	Dir       string            // of the outbox that apps with NoSender share
	Key       *Key              // as in Options
	Transport http.RoundTripper // as in Options
	Clock     Clock             // as in Options

	// Report is called with what each pass did; it may be nil. Pass and error hold
	// nothing of a record, but may name the parties.
	Report func(Pass, error)
}

// Agent sends what other programs put in an outbox, at the times planned there,
// until ctx ends: for programs that do not live long enough to send by
// themselves. It trusts the tasks that are in the outbox, which those
// programs checked against their own owners; it checks the owner's signature
// again, and the keys of the parties. The directory must exist.
func Agent(ctx context.Context, o AgentOptions) error {
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Report == nil {
		o.Report = func(Pass, error) {}
	}
	if _, err := os.Stat(o.Dir); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	box, _, err := outbox.Open(o.Dir, outbox.Options{Key: o.Key.forOutbox(), Clock: o.Clock})
	if err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	defer box.Close()
	up := newUploader(o.Transport, o.Clock, nil)
	if err := up.openWallet(box, o.Dir, nil, Options{Clock: o.Clock, Rand: rand.Reader}); err != nil {
		return fmt.Errorf("starting the agent: %w", err)
	}
	run(ctx, box, up, newPresence(rand.Reader, ""), nil, o.Report)
	return nil
}
