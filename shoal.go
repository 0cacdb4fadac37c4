// Package shoal is the client of Shoal: an app records, a question about many
// people's software is answered, and nothing is learned about any one of them.
//
// The questions are tasks, signed by their owner and embedded in the app as the
// bundle that "shoal metrics build" writes. The app opens a [Client] with it
// and records:
//
//	client, err := shoal.Open(ctx, shoal.Options{
//		Bundle: bundle, Owner: "ed25519:…", Metrics: []string{"api_use"},
//		Dir: dir, Mode: shoal.On,
//	})
//	…
//	client.Record("api_use", map[string]any{"program": "cat", "apis": []string{"files"}})
//
// A record is scrubbed to the task's schema, coarsened, randomised, broken into
// reports and put in the outbox. That is all that Record does; it never waits
// for the network. At a random time within the task's send delay a report is
// sealed for the task's parties and sent to the first of them, one report a
// request. There is no way to send sooner, and Close sends nothing: when
// reports leave must not reveal when something happened. The delay of a task with
// a relay begins at the end of the epoch: when its reports leave does not depend on
// when something happened.
//
// # Sums instead of records
//
// Metrics of the method aggregate take no records. What is passed to [Client.Count],
// [Client.Add], [Client.Observe] and [Client.Vector] is accumulated on the
// device, durably; after the epoch's end it becomes one report of two encrypted
// shares, for two parties that must not be one, and only sums over all clients are
// ever read:
//
//	client.Count("feature.export")
//	client.Observe("start.milliseconds", 230)
//
// That a report exists is data too. So unless the metric has presence: revealed,
// this device sends exactly one report for each epoch, zero included, from the
// epoch on in which the mode became On and until the task ends. It is sent at a
// time drawn from the task's send delay after the epoch, if the program or an
// agent runs at that time, or later within the delay; an epoch whose delay passes
// while neither runs gets no report. Whether the program ran during the epoch
// itself does not matter: what is missed is made up for with a zero. A clock that
// is ahead of the task's end ends taking part, until the mode is entered again.
//
// What that hides: whether, and how often, the app recorded something, and
// whether it was used in the epoch. What it does not hide: that this device takes
// part, since when, and that the program ran at the time of sending.
//
// Each report has an ID that is drawn when its epoch begins. If a party reports that
// it no longer has the key to which the report was sealed, it is sealed once more,
// under the same ID, so that the two cannot both count. HPKE keys must be signed
// by the identities that the task names.
//
// # What a person is asked
//
// The [Mode] is the person's decision. Off records nothing and drops what
// waits. Local collects, shows and never sends. On sends. What was collected
// in Local stays held when the mode becomes On, and is dropped when its batch
// closes: consent covers what is recorded after it was given. Changing from On
// to Local holds what waits, permanently, and ends taking part in aggregate metrics;
// so does Off. An epoch whose report is held or dropped gets no other.
// [Client.Pending] shows each report before it is sent, and [Client.Drop]
// removes it.
//
// Some metrics have detail: fields that a person can agree to send beside the others
// ([Options].Detail, [Client.SetDetail]). Without it a record leaves in plain form, without
// those fields. Both forms have one size, and only the analyzer can tell them apart. If it is
// withdrawn, what waits with detail is dropped.
//
// # Properties
//
//   - Tasks count only if the owner given in [Options] has signed them, and
//     keys only if the parties that the task names have.
//   - What Record has queued is durable (with Options.Dir), encrypted as package
//     outbox describes, and sent as one ciphertext however often it is retried.
//   - A failure (a peer that is down, keys that are missing, expired or badly
//     signed, a full disk) makes reports wait or be refused. No failure leads to
//     another way or a weaker seal.
//   - Requests carry no cookie, no name of the program or the system, no
//     language, nothing that differs between clients. Redirects are not
//     followed, TLS is 1.3, sessions are not resumed, and each report has a
//     connection of its own. HTTP without TLS is for loopback only.
//   - The caps on what a client contributes are kept on the device, by owner and
//     metric, and survive restarts and tasks that are signed again.
//
// # Limits
//
// The first party sees the network address that a report comes from, and when. Of a task
// with a relay it does not: all that the client sends and fetches for it goes to the
// relay by Oblivious HTTP, keys are those that party and relay have both signed, and the
// relay's time decides when a report may leave. Nothing else is contacted: without the
// relay reports wait.
// That a report exists reveals that something was recorded, except for aggregate
// metrics with presence hidden. A party could sign
// different keys for different clients and so distinguish their reports: until
// keys are logged publicly, nothing here notices. Randomised response protects
// one record, see package internal/esa/encoder.
package shoal

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"sync"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/metric/task"
)

// A Mode is what a person has decided about telemetry. The zero Mode is Off.
type Mode uint8

// The modes.
const (
	Off   Mode = 0 // record nothing, drop what waits
	Local Mode = 1 // collect and show, never send
	On    Mode = 2 // collect, show and send
)

// String returns the mode's word.
func (m Mode) String() string {
	switch m {
	case Off:
		return "off"
	case Local:
		return "local"
	case On:
		return "on"
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

// ParseMode reads the word that [Mode.String] writes.
func ParseMode(s string) (Mode, error) {
	for _, m := range []Mode{Off, Local, On} {
		if s == m.String() {
			return m, nil
		}
	}
	return Off, fmt.Errorf("mode %q: want off, local or on", s)
}

// Options are the settings of a [Client]. Bundle, Owner and Metrics are
// required.
type Options struct {
	Bundle  []byte   // the signed tasks, as "shoal metrics build" writes them
	Owner   string   // whose tasks are accepted: "ed25519:…"
	Metrics []string // every name that the app records
	Mode    Mode     // what the person has decided; Off unless set
	Detail  []string // the metrics of which the person has agreed to send the detail, too
	Dir     string   // of the outbox, for this app alone; "" keeps it in memory, until Close

	Key *Key // encrypts the outbox; nil means a key file in Dir

	// Admission is what a person shows to get credentials for the metrics that require
	// them: an invitation code, or what the organisation's gate takes. It is kept in Dir;
	// once given it can be left out.
	Admission string

	MaxEntries int   // reports that may wait; 0 means 10,000
	MaxBytes   int64 // that they may take; 0 means 16 MiB

	// NoSender leaves the sending to "shoal agent" on the same Dir, or to
	// calls of SendDue: for programs that live briefly.
	NoSender bool

	// Transport makes the requests; nil means one that is as the package
	// comment describes. Another one may break these properties.
	Transport http.RoundTripper
	// Observe is called at the end of each Record, on its goroutine: for tests
	// and for a debug view.
	Observe func(metric string, v any, o Outcome)
	// Clock and Rand serve tests and simulations; nil means the machine's clock
	// and crypto/rand. Both must be safe for concurrent use. Rand decides what is
	// randomised, when reports are sent, the IDs of reports of aggregate metrics, and
	// the keys of the outbox; seals and shares always take their randomness from
	// crypto/rand.
	Clock Clock
	Rand  io.Reader

	fs durable.FS // of the tests: in place of the machine's
}

// A Client records and sends. It is safe for concurrent use. A nil Client
// records nothing and has nothing that waits: an app whose telemetry could not be
// opened goes on without. All methods may be called on it; those that would change
// something ([Client.SetMode]) return an error.
type Client struct {
	o        Options
	owner    string
	metrics  map[string]*metric
	uploader *uploader
	presence *presence
	wake     clock.Signal // of the background sender

	mu     sync.RWMutex // guards what follows; read-locked by Record
	mode   Mode
	detail map[string]bool // by metric: its detail may be sent
	closed bool
	box    *outbox.Box // nil until it is needed
	stop   func()      // ends the background sender and waits for it; nil without one

	sending  context.Context //nolint:containedctx // of all that is sent in the present mode
	endCalls func()          // ends it
}

// Open returns a client that records the metrics named in o. It fails if the
// bundle is not signed by the owner, or has no task for one of the names. A
// task that has expired is no failure: its records are refused.
//
// ctx bounds the opening alone: the background sender lives until Close.
func Open(ctx context.Context, o Options) (*Client, error) {
	owner, err := task.ParsePublic(o.Owner)
	if err != nil {
		return nil, fmt.Errorf("opening shoal: owner: %w", err)
	}
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	metrics, err := openMetrics(o.Bundle, owner, o.Metrics)
	if err != nil {
		return nil, fmt.Errorf("opening shoal: %w", err)
	}
	c := &Client{
		o:        o,
		owner:    task.FormatPublic(owner),
		metrics:  metrics,
		uploader: newUploader(o.Transport, o.Clock, []ed25519.PublicKey{owner}),
		presence: newPresence(o.Rand, task.FormatPublic(owner)),
		wake:     clock.NewSignal(),
		detail:   map[string]bool{},
	}
	for _, name := range o.Detail {
		c.detail[name] = true
	}
	c.sending, c.endCalls = context.WithCancel(context.Background())
	if err := errors.Join(ctx.Err(), c.enter(o.Mode)); err != nil { //nolint:contextcheck // the sender in the background outlives the call, until the mode changes or Close
		return nil, fmt.Errorf("opening shoal: %w", errors.Join(err, c.Close()))
	}
	return c, nil
}

// SetMode changes the mode when the person changes their mind. What that means
// for what waits is described in the package comment. After an error the client is
// Off.
func (c *Client) SetMode(m Mode) error {
	if c == nil {
		return fmt.Errorf("changing the mode to %v: %w", m, errNil)
	}
	if err := c.enter(m); err != nil {
		return fmt.Errorf("changing the mode to %v: %w", m, err)
	}
	return nil
}

var (
	// errClosed is what a closed client answers.
	errClosed = errors.New("the client is closed")
	// errNil is what a nil client answers to what it cannot do.
	errNil = errors.New("the client was not opened")
)

// enter ends the sender and begins what the mode asks for.
func (c *Client) enter(m Mode) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	c.endSending()
	c.sending, c.endCalls = context.WithCancel(context.Background())
	c.mode = Off
	if m > On {
		return fmt.Errorf("%v does not exist", m)
	}
	if err := c.openBox(m); err != nil {
		return err
	}
	if c.box == nil {
		return nil
	}
	if err := errors.Join(c.settle(m), c.dropDetail()); err != nil {
		return err
	}
	if m == On && !c.o.NoSender {
		c.beginSender()
	}
	c.mode = m
	return nil
}

// settle makes the outbox what the mode asks for. The caller holds mu.
func (c *Client) settle(m Mode) error {
	if m == On {
		return c.enrol()
	}
	// First the enrolments: a failure in between leaves no enrolment with held reports.
	if _, err := c.box.Leave(func(e outbox.Enrolment) bool { return e.Owner == c.owner }); err != nil {
		return err
	}
	left := c.uploader.leave(c.owner)
	c.presence.forget()
	mine := func(e outbox.Entry) bool { return e.Owner == c.owner }
	var err error
	if m == Local {
		_, err = c.box.Hold(mine)
	} else {
		_, err = c.box.Drop(mine)
	}
	return errors.Join(left, err)
}

// enrol makes the device take part in the tasks whose presence is hidden, from
// now on unless it does already; on a full disk, from its next start on. Programs that share an outbox and leave the
// sending to an agent leave each other's enrolments alone.
func (c *Client) enrol() error {
	now := c.o.Clock.Now()
	if !c.o.NoSender {
		gone := func(e outbox.Enrolment) bool {
			return e.Owner == c.owner && (c.metrics[e.Metric] == nil || !c.metrics[e.Metric].hidden())
		}
		if _, err := c.box.Leave(gone); err != nil {
			return err
		}
	}
	for name, m := range c.metrics {
		if !m.hidden() || m.task.Expires <= now.Unix() {
			continue
		}
		e := outbox.Enrolment{Task: m.id, TaskBytes: m.signed, Owner: c.owner, Metric: name, Since: now}
		if err := c.box.Enrol(e); err != nil && !durable.IsFull(err) {
			return err
		}
	}
	if err := c.uploader.enrol(c.metrics, now); err != nil && !durable.IsFull(err) {
		return err
	}
	// What cannot be added now, on a full disk or to a full outbox, is tried again
	// by the sender: it is no reason to go without telemetry.
	_ = c.presence.fill(c.box, now)
	return nil
}

// openBox opens the outbox, unless the mode is Off and no outbox exists. The
// caller holds mu.
func (c *Client) openBox(m Mode) error {
	if c.box != nil || m == Off && c.o.Dir == "" {
		return nil
	}
	o := outbox.Options{
		Key: c.o.Key.forOutbox(), MaxEntries: c.o.MaxEntries, MaxBytes: c.o.MaxBytes,
		Existing: m == Off, Clock: c.o.Clock, Rand: c.o.Rand,
	}
	dir := c.o.Dir
	if c.o.fs != nil {
		o.FS = c.o.fs
	} else if dir == "" {
		dir, o.FS = "outbox", durable.Mem()
	}
	// What was found damaged is counted in the figures of the outbox.
	box, _, err := outbox.Open(dir, o)
	if m == Off && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	c.box = box
	if err != nil {
		return err
	}
	return c.uploader.openWallet(box, dir, o.FS, c.o)
}

// Mode returns the present mode.
func (c *Client) Mode() Mode {
	if c == nil {
		return Off
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mode
}

// Close ends recording and sending. What was queued stays in Options.Dir, to be
// sent at its time by the next client or agent; nothing is sent now.
func (c *Client) Close() error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed, c.mode = true, Off
	c.endSending()
	if c.box == nil {
		return nil
	}
	return c.box.Close()
}
