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
	// Spans are purposes with periods of their own, such as those of a policy, by what
	// their names begin with.
	Spans map[string]Span
	// Fetch asks the party for its signed statement, over a connection of its own. It
	// must bound the time and the bytes of the answer.
	Fetch func(context.Context, Slot) ([]byte, error)
	// Store keeps what was signed.
	Store Store
	// Clock chooses the periods that are served.
	Clock Clock
	// Early is how long before its start a period of Purposes is served, 1 hour if 0.
	Early time.Duration
	// Since is when the store was last restored or given up, zero for never. Periods that
	// could be served by then get no signature that the store does not know.
	Since time.Time
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
	finding map[[ed25519.PublicKeySize]byte]int // slots of spans that are being looked for
}

// A state is what is known of a slot in memory. Its end and refused are guarded by the
// witness's mu, the rest by its turn.
type state struct {
	end     int64 // of the period; 0: not known yet
	refused bool

	turn      chan struct{} // has a token while nobody fetches the slot
	witnessed []byte        // nil after an error
	served    []byte        // the last that was served
	retryAt   time.Time     // when the store is asked again
	last      error
}

func newState(end int64) *state {
	st := &state{end: end, turn: make(chan struct{}, 1)}
	st.turn <- struct{}{}
	return st
}

// New checks the configuration. It fetches nothing.
func New(c Config) (*Witness, error) {
	if c.Identity.Public() == nil || c.Fetch == nil || c.Store == nil || c.Clock == nil {
		return nil, errors.New("key witness: identity, fetch, store and clock must be set")
	}
	w := &Witness{config: c, parties: map[[ed25519.PublicKeySize]byte]bool{}, slots: map[Slot]*state{}, finding: map[[ed25519.PublicKeySize]byte]int{}}
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
	for prefix, span := range c.Spans {
		if err := (Slot{Purpose: prefix + "0"}).check(); err != nil {
			return nil, fmt.Errorf("key witness: %w", err)
		}
		if span.Min < time.Second || span.Max < span.Min {
			return nil, fmt.Errorf("key witness: purposes %s: periods of %v to %v, want a second at least", prefix, span.Min, span.Max)
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
	st, done, err := w.state(s)
	if err != nil {
		return nil, fmt.Errorf("witnessing keys: %w", err)
	}
	defer done()
	select {
	case <-st.turn:
	case <-ctx.Done():
		return nil, fmt.Errorf("witnessing keys: %w", ctx.Err())
	}
	defer func() { st.turn <- struct{}{} }()
	refused := w.isRefused(st)
	if now := w.config.Clock.Now(); !refused && !now.Before(st.retryAt) {
		refused = w.refresh(ctx, s, st)
		st.retryAt = now.Add(w.config.Pause)
	}
	if refused {
		return nil, fmt.Errorf("witnessing keys: %w", ErrRefused)
	}
	if st.witnessed == nil {
		return nil, fmt.Errorf("witnessing keys: %w", st.last)
	}
	return bytes.Clone(st.witnessed), nil
}

// refresh asks the store, and the party if the store knows nothing. It reports whether
// the slot is refused. The caller has the state's turn.
func (w *Witness) refresh(ctx context.Context, s Slot, st *state) bool {
	// The first caller may go away: the others go on waiting for this.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.config.Timeout)
	defer cancel()
	before := st.served
	witnessed, end, err := w.obtain(ctx, s)
	if before != nil && err == nil && !bytes.Equal(before, witnessed) { // the store has lost it
		_, err = w.refuse(ctx, s, signedOf(before), signedOf(witnessed))
	}
	st.last, st.witnessed = err, nil
	if err == nil {
		st.witnessed, st.served = witnessed, witnessed
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	st.refused = errors.Is(err, ErrRefused)
	if end != 0 {
		st.end = end
	}
	return st.refused
}

func (w *Witness) isRefused(st *state) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return st.refused
}

// maxFinding bounds how many slots of spans are looked for at a time at one party: which
// of them there are, the party knows alone.
const maxFinding = 64

// state returns the state of a slot that may be served now, and what is to be called when
// the caller is through with it.
func (w *Witness) state(s Slot) (*state, func(), error) {
	now := w.config.Clock.Now().Unix()
	length, span, ok := w.lengthOf(s.Purpose)
	early := w.config.Early
	if length == 0 {
		early = span.Max
	}
	if !ok || !w.parties[s.Party] || s.Start < 0 || s.Start > now+int64(early/time.Second) {
		return nil, nil, ErrUnknown
	}
	seconds := int64(length / time.Second)
	if length != 0 && (s.Start%seconds != 0 || s.Start+seconds <= now) || length == 0 && s.Start+int64(span.Max/time.Second) <= now {
		return nil, nil, ErrUnknown
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if st := w.slots[s]; st != nil {
		if st.end != 0 && st.end <= now {
			return nil, nil, ErrUnknown
		}
		return st, func() {}, nil
	}
	for old, st := range w.slots { // of periods that are over
		if st.end != 0 && st.end <= now {
			delete(w.slots, old)
		}
	}
	if length != 0 {
		st := newState(s.Start + seconds)
		w.slots[s] = st
		return st, func() {}, nil
	}
	return w.find(s)
}

// find returns the state of a slot of a span, which is forgotten again unless there is
// a record of it in the end. The caller holds mu.
func (w *Witness) find(s Slot) (*state, func(), error) {
	if w.finding[s.Party] >= maxFinding {
		return nil, nil, errBusy
	}
	w.finding[s.Party]++
	st := newState(0)
	w.slots[s] = st
	return st, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.finding[s.Party]--; w.finding[s.Party] == 0 {
			delete(w.finding, s.Party)
		}
		if st.end == 0 && w.slots[s] == st {
			delete(w.slots, s)
		}
	}, nil
}

// obtain returns the countersigned record of a slot, and the end of its period if it has
// a record. A slot without a record gets the statement on which the party insists when it
// is asked twice.
func (w *Witness) obtain(ctx context.Context, s Slot) ([]byte, int64, error) {
	r, found, err := w.config.Store.Get(ctx, s)
	if err != nil {
		return nil, 0, err
	}
	if !found {
		if r, err = w.first(ctx, s); err != nil && !errors.Is(err, ErrRefused) {
			return nil, 0, err
		}
	}
	if len(r.Signed) == 0 {
		return nil, 0, err
	}
	// What the store has is checked like what the party sent.
	end, invalid := w.check(r.Signed[0], s)
	if invalid != nil {
		return nil, 0, invalid
	}
	if err != nil || r.refused() {
		return nil, end, ErrRefused
	}
	witnessed, err := countersign(r.Signed[0], w.config.Identity)
	return witnessed, end, err
}

func (w *Witness) first(ctx context.Context, s Slot) (Record, error) {
	if length, _, _ := w.lengthOf(s.Purpose); length != 0 && w.forgotten(s, w.config.Early) {
		return Record{}, ErrForgotten
	}
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
		return w.refuse(ctx, s, append(r.Signed, one)...)
	}
	return r, nil
}

// refuse makes the slot refused: the statements, two at least, contradict each other.
func (w *Witness) refuse(ctx context.Context, s Slot, signed ...[]byte) (Record, error) {
	if err := w.config.Store.Refuse(ctx, s, signed...); err != nil {
		return Record{}, err
	}
	return Record{Signed: signed}, ErrRefused
}

// fetch returns a statement that its party has signed for the slot, whose period is served
// now.
func (w *Witness) fetch(ctx context.Context, s Slot) ([]byte, error) {
	signed, err := w.config.Fetch(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("fetching key statement: %w", err)
	}
	_, err = w.check(signed, s)
	return signed, err
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
	defer w.mu.Unlock()
	var refused []Slot
	for s, st := range w.slots {
		if st.refused {
			refused = append(refused, s)
		}
	}
	return refused
}

// Expire deletes the records of periods that have been over for long: what a party could
// be shown to have done is kept for [KeptRefused], all else for [Kept].
func (w *Witness) Expire(ctx context.Context) error {
	now := w.config.Clock.Now()
	if err := w.config.Store.Expire(ctx, now.Add(-Kept), now.Add(-KeptRefused)); err != nil {
		return fmt.Errorf("deleting records of key statements: %w", err)
	}
	return nil
}
