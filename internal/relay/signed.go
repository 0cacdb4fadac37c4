package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// Witnessed are a party's own statements with the signatures of relays, which the party
// serves to clients inside of sealed requests. So a relay signs each statement and does not
// learn which client wants which. It is safe for concurrent use.
type Witnessed struct {
	client *http.Client
	clock  clock.Clock

	mu sync.Mutex
	by map[Wanted]*signedSlot
}

// A Wanted names a slot and the relay that is to sign its statement.
type Wanted struct {
	Slot  witness.Slot
	Relay string // identity
}

// A signedSlot is what a party has of a relay.
type signedSlot struct {
	witnessed []byte // nil: not yet
	failures  int
	retryAt   time.Time
	err       error
}

const (
	firstSignedRetry = 10 * time.Second
	longSignedRetry  = 10 * time.Minute
	maxWitnessed     = 1 << 12 // bytes: a statement of at most MaxSpanKeys
)

// NewWitnessed returns what has nothing yet. The client asks relays; it follows no redirect.
func NewWitnessed(client *http.Client, c clock.Clock) *Witnessed {
	return &Witnessed{client: client, clock: c, by: map[Wanted]*signedSlot{}}
}

func (s Slot) wanted() Wanted { return Wanted{s.Slot, string(s.Relay.Identity)} }

// Get returns the statement of a slot with the signature of its relay, nil if the party
// does not have it yet. It asks nobody: a relay that is asked when a client wants a
// statement would know what the client wants.
func (w *Witnessed) Get(s Slot) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := w.by[s.wanted()]; got != nil {
		return got.witnessed
	}
	return nil
}

// Sync asks relays for what is wanted and not there yet, at most so often, and forgets
// what is not wanted any more. Failures are joined in the error, and tried again later.
func (w *Witnessed) Sync(ctx context.Context, wanted []Slot) error {
	now := w.clock.Now()
	due := w.due(wanted, now)
	var wait sync.WaitGroup
	lanes := make(chan struct{}, 8) // a relay that does not answer does not stop those of others
	errs := make([]error, len(due))
	for i, s := range due {
		wait.Add(1)
		lanes <- struct{}{}
		go func() {
			defer wait.Done()
			defer func() { <-lanes }()
			errs[i] = w.fetch(ctx, s, now)
		}()
	}
	wait.Wait()
	return errors.Join(errs...)
}

// due returns the slots whose relays are to be asked now.
func (w *Witnessed) due(wanted []Slot, now time.Time) []Slot {
	w.mu.Lock()
	defer w.mu.Unlock()
	keep := map[Wanted]*signedSlot{}
	var due []Slot
	for _, s := range wanted {
		name := s.wanted()
		if keep[name] != nil {
			continue
		}
		got := w.by[name]
		if got == nil {
			got = &signedSlot{}
		}
		keep[name] = got
		if got.witnessed == nil && !now.Before(got.retryAt) {
			due = append(due, s)
		}
	}
	w.by = keep
	return due
}

// fetch asks the relay of a slot for its signature.
func (w *Witnessed) fetch(ctx context.Context, s Slot, now time.Time) error {
	witnessed, err := get(ctx, w.client, s.Relay.URL+keysPath+s.Path(), witness.MediaType, maxWitnessed)
	if err == nil {
		_, err = s.Open(witnessed)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	got := w.by[s.wanted()]
	if got == nil { // not wanted any more
		return nil
	}
	got.err = err
	if err != nil {
		got.failures++
		got.retryAt = now.Add(clock.Backoff(got.failures, firstSignedRetry, longSignedRetry))
		return fmt.Errorf("asking the relay %s to sign the key %s from %s on: %w", s.Relay.URL, s.Purpose, time.Unix(s.Start, 0).UTC().Format(time.RFC3339), err)
	}
	got.witnessed, got.failures = witnessed, 0
	return nil
}

// Missing returns how many of the wanted statements no relay has signed yet.
func (w *Witnessed) Missing() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for got := range maps.Values(w.by) {
		if got.witnessed == nil {
			n++
		}
	}
	return n
}
