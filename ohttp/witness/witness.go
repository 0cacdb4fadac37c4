package witness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/metric/task"
)

// MediaType is the media type of what a [Witness] serves.
const MediaType = "application/shoal-witnessed-keys"

// A Clock gives the time.
type Clock interface {
	// Now returns the current time, in UTC.
	Now() time.Time
}

// A Config is what a [Witness] needs.
type Config struct {
	// Identity signs.
	Identity task.IdentityKey
	// Parties are the identity keys whose statements are fetched.
	Parties []ed25519.PublicKey
	// Purposes have the lengths of their periods, whole seconds.
	Purposes map[string]time.Duration
	// Fetch asks the party for its signed statement, over a connection of its own. It
	// must bound the time and the bytes of the answer.
	Fetch func(context.Context, Slot) ([]byte, error)
	// Store keeps what was signed.
	Store Store
	// Clock chooses the periods that are served.
	Clock Clock
	// Early is how long before its start a period is served, 1 hour if 0.
	Early time.Duration
	// Pause is the time between attempts to fetch one slot, and between looks at the
	// store, by which a node learns that another has refused the slot; 10 seconds if 0.
	Pause time.Duration
	// Timeout bounds one attempt, 30 seconds if 0.
	Timeout time.Duration
}

// A Witness fetches statements, signs one of each slot, and serves it. It is safe
// for concurrent use.
type Witness struct {
	config  Config
	parties map[[ed25519.PublicKeySize]byte]bool
	mu      sync.Mutex
	slots   map[Slot]*state
}

// A state is what is known of a slot in memory.
type state struct {
	mu        sync.Mutex // held while the slot is fetched
	witnessed []byte     // nil after an error
	served    []byte     // the last that was served
	refused   bool
	retryAt   time.Time // when the store is asked again
	last      error
}

// New checks the configuration. It fetches nothing.
func New(c Config) (*Witness, error) {
	if c.Identity.Public() == nil || c.Fetch == nil || c.Store == nil || c.Clock == nil {
		return nil, errors.New("key witness: identity, fetch, store and clock must be set")
	}
	w := &Witness{config: c, parties: map[[ed25519.PublicKeySize]byte]bool{}, slots: map[Slot]*state{}}
	for _, p := range c.Parties {
		if len(p) != ed25519.PublicKeySize || bytes.Equal(p, c.Identity.Public()) {
			return nil, fmt.Errorf("key witness: party %s: want an identity key other than the witness's", task.FormatPublic(p))
		}
		w.parties[[ed25519.PublicKeySize]byte(p)] = true
	}
	for purpose, length := range c.Purposes {
		if err := (Slot{Purpose: purpose}).check(); err != nil {
			return nil, fmt.Errorf("key witness: %w", err)
		}
		if length < time.Second || length%time.Second != 0 {
			return nil, fmt.Errorf("key witness: purpose %s: a period of %v, want whole seconds", purpose, length)
		}
	}
	for v, d := range map[*time.Duration]time.Duration{&w.config.Early: time.Hour, &w.config.Pause: 10 * time.Second, &w.config.Timeout: 30 * time.Second} {
		if *v <= 0 {
			*v = d
		}
	}
	return w, nil
}

// Keys returns the witnessed statement of a slot, the same bytes at any time. It
// fails while the store fails. Errors wrap [ErrUnknown] or [ErrRefused]; others mean that the
// party could not be asked, or the store not be written, and the next call tries again.
func (w *Witness) Keys(ctx context.Context, s Slot) ([]byte, error) {
	st, err := w.state(s)
	if err != nil {
		return nil, fmt.Errorf("witnessing keys: %w", err)
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if now := w.config.Clock.Now(); !st.refused && !now.Before(st.retryAt) {
		// The first caller may go away: the others go on waiting for this.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.config.Timeout)
		defer cancel()
		before := st.served
		st.witnessed, st.last = w.obtain(ctx, s)
		if before != nil && st.last == nil && !bytes.Equal(before, st.witnessed) { // the store has lost it
			_, st.last = w.refuse(ctx, s, signedOf(before), signedOf(st.witnessed))
		}
		if st.last != nil {
			st.witnessed = nil
		} else {
			st.served = st.witnessed
		}
		st.refused = errors.Is(st.last, ErrRefused)
		st.retryAt = now.Add(w.config.Pause)
	}
	if st.refused {
		return nil, fmt.Errorf("witnessing keys: %w", ErrRefused)
	}
	if st.witnessed == nil {
		return nil, fmt.Errorf("witnessing keys: %w", st.last)
	}
	return bytes.Clone(st.witnessed), nil
}

// state returns the state of a slot that is served now.
func (w *Witness) state(s Slot) (*state, error) {
	length, known := w.config.Purposes[s.Purpose]
	seconds := int64(length / time.Second)
	now := w.config.Clock.Now().Unix()
	if !known || !w.parties[s.Party] || s.Start < 0 || s.Start%seconds != 0 || s.Start > now+int64(w.config.Early/time.Second) || s.Start+seconds <= now {
		return nil, ErrUnknown
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	st := w.slots[s]
	if st == nil {
		for old := range w.slots { // of periods that are over
			if old.Start+int64(w.config.Purposes[old.Purpose]/time.Second) <= now {
				delete(w.slots, old)
			}
		}
		st = &state{}
		w.slots[s] = st
	}
	return st, nil
}

// obtain returns the countersigned record of a slot. A slot without a record gets
// the statement on which the party insists when it is asked twice.
func (w *Witness) obtain(ctx context.Context, s Slot) ([]byte, error) {
	r, found, err := w.config.Store.Get(ctx, s)
	if err != nil {
		return nil, err
	}
	if !found {
		if r, err = w.first(ctx, s); err != nil {
			return nil, err
		}
	}
	if r.refused() {
		return nil, ErrRefused
	}
	// What the store has is checked like what the party sent.
	if _, err := OpenStatement(r.Signed[0], s, w.config.Purposes[s.Purpose]); err != nil {
		return nil, err
	}
	return countersign(r.Signed[0], w.config.Identity)
}

func (w *Witness) first(ctx context.Context, s Slot) (Record, error) {
	one, err := w.fetch(ctx, s)
	if err != nil {
		return Record{}, err
	}
	two, err := w.fetch(ctx, s)
	if err != nil {
		return Record{}, err
	}
	if !bytes.Equal(one, two) {
		return w.refuse(ctx, s, one, two)
	}
	r, err := w.config.Store.Put(ctx, s, one)
	if err != nil {
		return Record{}, err
	}
	if !r.refused() && !bytes.Equal(r.Signed[0], one) { // another node was given another one
		return w.refuse(ctx, s, one)
	}
	return r, nil
}

func (w *Witness) refuse(ctx context.Context, s Slot, signed ...[]byte) (Record, error) {
	if err := w.config.Store.Refuse(ctx, s, signed...); err != nil {
		return Record{}, err
	}
	return Record{}, ErrRefused
}

// fetch returns a statement that its party has signed for the slot.
func (w *Witness) fetch(ctx context.Context, s Slot) ([]byte, error) {
	signed, err := w.config.Fetch(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("fetching key statement: %w", err)
	}
	if _, err := OpenStatement(signed, s, w.config.Purposes[s.Purpose]); err != nil {
		return nil, err
	}
	return signed, nil
}

// Path returns the path at which a slot is served.
func (s Slot) Path() string {
	return "/" + base64.RawURLEncoding.EncodeToString(s.Party[:]) + "/" + s.Purpose + "/" + strconv.FormatInt(s.Start, 10)
}

// ParsePath reads what [Slot.Path] returns.
func ParsePath(path string) (Slot, bool) {
	var s Slot
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	if len(parts) != 3 {
		return s, false
	}
	party, err := base64.RawURLEncoding.Strict().DecodeString(parts[0])
	if err != nil || copy(s.Party[:], party) != len(s.Party) || len(party) != len(s.Party) {
		return s, false
	}
	s.Purpose = parts[1]
	s.Start, err = strconv.ParseInt(parts[2], 10, 64)
	return s, err == nil && s.check() == nil && s.Path() == path
}

// The problems that are answered.
var (
	problemMethod  = problem.Problem{Status: http.StatusMethodNotAllowed, Type: problem.Shoal("methodNotAllowed"), Title: "Keys are fetched by GET."}
	problemUnknown = problem.Problem{Status: http.StatusNotFound, Type: problem.Shoal("unknownKeys"), Title: "Keys of this party, purpose and period are not served."}
	problemRefused = problem.Problem{Status: http.StatusConflict, Type: problem.Shoal("keysRefused"), Title: "The party announced several keys for this period."}
	problemWait    = problem.Problem{Status: http.StatusServiceUnavailable, Type: problem.Shoal("unavailable"), Title: "The keys are not known yet. Try again later.", Retry: 30 * time.Second}
)

// ServeHTTP answers GET of [Slot.Path].
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		rw.Header().Set("Allow", http.MethodGet)
		problemMethod.Write(rw, 0)
		return
	}
	s, ok := ParsePath(r.URL.Path)
	if !ok {
		problemUnknown.Write(rw, 0)
		return
	}
	witnessed, err := w.Keys(r.Context(), s)
	switch {
	case errors.Is(err, ErrUnknown):
		problemUnknown.Write(rw, 0)
	case errors.Is(err, ErrRefused):
		problemRefused.Write(rw, 0)
	case err != nil:
		problemWait.Write(rw, 0)
	default:
		rw.Header().Set("Content-Type", MediaType)
		rw.Header().Set("Content-Length", strconv.Itoa(len(witnessed)))
		_, _ = rw.Write(witnessed) // the client has gone if this fails
	}
}

// Refused returns the slots of present periods that are refused, for a log line
// and a gauge: the party misbehaves.
func (w *Witness) Refused() []Slot {
	w.mu.Lock()
	states := make(map[Slot]*state, len(w.slots))
	for s, st := range w.slots {
		states[s] = st
	}
	w.mu.Unlock()
	var refused []Slot
	for s, st := range states {
		st.mu.Lock()
		if st.refused {
			refused = append(refused, s)
		}
		st.mu.Unlock()
	}
	return refused
}
