package shoal

import (
	"context"
	"time"

	"github.com/shoal-project/shoal/internal/outbox"
	"github.com/shoal-project/shoal/internal/redact"
	"github.com/shoal-project/shoal/metric/task"
)

// A Clock gives the time and waits for it.
type Clock interface {
	// Now returns the present moment, in UTC and without a monotonic reading.
	Now() time.Time
	// Until waits for t. It returns an error if ctx ends first.
	Until(ctx context.Context, t time.Time) error
}

// secret keeps a [Key] out of what is printed.
type secret = redact.Secret

// A Key encrypts the outbox at rest. It prints redacted.
type Key struct {
	secret
	key outbox.Key
}

// NewKey makes a key of 32 uniformly random bytes.
func NewKey(secret []byte) (*Key, error) {
	k, err := outbox.NewKey(secret)
	if err != nil {
		return nil, err
	}
	return &Key{key: *k}, nil
}

// forOutbox returns the key as the outbox takes it; nil, a key file, for nil.
func (k *Key) forOutbox() *outbox.Key {
	if k == nil {
		return nil
	}
	return &k.key
}

// A Stage says how far an [Entry] has come.
type Stage uint8

// The stages. An entry that was sent or dropped is gone.
const (
	Waiting Stage = 1 // not sealed yet
	Sealed  Stage = 2 // sealed; maybe sent, without an answer so far
	Held    Stage = 3 // shown, never sent
)

// String returns the stage as people read it.
func (s Stage) String() string { return outbox.Stage(s).String() }

// An Entry is one report on its way, as a person may see it.
type Entry struct {
	ID          uint64 // within the outbox
	Task        task.ID
	Owner       string
	Metric      string
	Destination string // where it goes
	Epoch       task.Epoch
	Stage       Stage

	At        time.Time // when it was recorded
	NotBefore time.Time // when it is sent, or tried again
	SendBy    time.Time // no send is planned for later
	NotAfter  time.Time // dropped then
	Attempts  int       // sends without an answer that settles it
	Resealed  bool      // it was sealed a second time, or waits for that

	Recorded string // what the app recorded
	Encoded  string // what leaves the device, inside the encryption
	Report   []byte // the sealed bytes; nil before; not to be changed
}

// entry returns an entry of the outbox as a person may see it.
func entry(e outbox.Entry) Entry {
	return Entry{
		ID: uint64(e.ID), Task: e.Task, Owner: e.Owner, Metric: e.Metric, Destination: e.Destination,
		Epoch: e.Epoch, Stage: Stage(e.Stage),
		At: e.At, NotBefore: e.NotBefore, SendBy: e.SendBy, NotAfter: e.NotAfter,
		Attempts: e.Attempts, Resealed: e.Resealed,
		Recorded: e.Recorded, Encoded: e.Encoded, Report: e.Report,
	}
}

// Stats are the figures of the outbox. Nothing in them identifies anybody.
type Stats struct {
	Waiting, Sealed, Held int               // entries by stage
	Bytes                 int64             // of all entries, as counted against Options.MaxBytes
	Sent                  uint64            // since the outbox was made
	Dropped               map[string]uint64 // since the outbox was made, by cause
}

// A Pass says what one round of sending did.
type Pass struct {
	Next    time.Time // when the next entry is due; zero if none waits
	Sent    int
	Refused int   // dropped because the receiver refuses them
	Waiting int   // due, but to be tried later
	Err     error // the last reason to wait or to drop, for people
}

// Pending returns what waits in the outbox, by the time it is sent. What was
// recorded by other programs on the same Dir is among it.
func (c *Client) Pending() ([]Entry, error) {
	if c == nil {
		return nil, nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.box == nil {
		return nil, nil
	}
	list, err := c.box.List()
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(list))
	for i, e := range list {
		entries[i] = entry(e)
	}
	return entries, nil
}

// Drop removes from the outbox what match holds for, and returns how many
// reports that was. They stay counted against the caps.
func (c *Client) Drop(match func(Entry) bool) (int, error) {
	if c == nil {
		return 0, nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.box == nil {
		return 0, nil
	}
	return c.box.Drop(func(e outbox.Entry) bool { return match(entry(e)) })
}

// Stats returns the figures of the outbox; nothing in them identifies anybody.
func (c *Client) Stats() (Stats, error) {
	if c == nil {
		return Stats{}, nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.box == nil {
		return Stats{}, nil
	}
	s, err := c.box.Stats()
	if err != nil {
		return Stats{}, err
	}
	dropped := make(map[string]uint64, len(s.Dropped))
	for cause, n := range s.Dropped {
		dropped[string(cause)] = n
	}
	return Stats{Waiting: s.Waiting, Sealed: s.Sealed, Held: s.Held, Bytes: s.Bytes, Sent: s.Sent, Dropped: dropped}, nil
}
