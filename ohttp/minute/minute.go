// Package minute gives clients the time, so that nothing that they send reveals
// their own clock.
//
// A device's clock is off by an amount that identifies it, and its choice of an
// epoch near a boundary would reveal that amount. So a party signs the present
// minute ([Sign]), the relay fetches it once a minute and serves the same bytes to
// all ([Server]), and a client chooses epochs by it alone ([Client]). Without it
// the client waits.
//
// # Security
//
// The relay refuses a minute that is more than Skew off its own clock, or before the
// last one. So party and relay must agree for a client to get a wrong minute; it may
// be late by as long as the relay keeps it back, which the client sees only if it had
// a later one. The time is for the choice of an epoch and for nothing else: it is
// not written into anything that is sent.
//
// Ed25519 is crypto/ed25519, in constant time. Nothing else is secret.
package minute

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/metric/task"
)

// Domain is the domain of signatures of minutes.
const Domain task.Domain = "shoal minute v1"

// MediaType is the media type of a signed minute.
const MediaType = "application/shoal-minute"

const (
	version    = 1
	bodySize   = 1 + ed25519.PublicKeySize + 8
	signedSize = bodySize + ed25519.SignatureSize
	maxMinute  = 1 << 40
)

var (
	// ErrInvalid is wrapped by errors about bytes that are not a minute of the party.
	ErrInvalid = errors.New("not a signed minute of the party")
	// ErrWait is wrapped by errors of a client that does not know the time.
	ErrWait = errors.New("the time is not known")
)

// Sign returns the minute that contains now, signed:
//
//	struct {
//	    uint8 version = 1;
//	    opaque party[32];
//	    uint64 minute;   /* since 1970-01-01 */
//	    opaque signature[64];
//	} Minute;
func Sign(party task.IdentityKey, now time.Time) ([]byte, error) {
	if party.Public() == nil || now.Unix() < 0 {
		return nil, fmt.Errorf("signing a minute: no identity key, or a time before 1970: %v", now.UTC())
	}
	b := append([]byte{version}, party.Public()...)
	b = binary.BigEndian.AppendUint64(b, uint64(now.Unix()/60))
	return append(b, party.Sign(Domain, b)...), nil
}

// Open returns the beginning of the minute within signed, if the party signed it.
func Open(signed []byte, party ed25519.PublicKey) (time.Time, error) {
	if len(signed) != signedSize || signed[0] != version || !bytes.Equal(signed[1:1+ed25519.PublicKeySize], party) {
		return time.Time{}, fmt.Errorf("%w: %d bytes, want %d of version %d", ErrInvalid, len(signed), signedSize, version)
	}
	n := binary.BigEndian.Uint64(signed[bodySize-8:])
	if n > maxMinute || !task.Verify(party, Domain, signed[:bodySize], signed[bodySize:]) {
		return time.Time{}, fmt.Errorf("%w: the signature does not verify", ErrInvalid)
	}
	return time.Unix(int64(n)*60, 0).UTC(), nil
}

// A Clock gives the time.
type Clock interface {
	// Now returns the current time, in UTC.
	Now() time.Time
}

// A Config is what a [Server] needs.
type Config struct {
	Party ed25519.PublicKey
	// Fetch asks the party for its signed minute. It must bound the time and the
	// bytes of the answer.
	Fetch func(context.Context) ([]byte, error)
	Clock Clock
	// Skew is how far a minute may be from the clock, 2 minutes if 0.
	Skew time.Duration
	// Timeout bounds one fetch, 10 seconds if 0.
	Timeout time.Duration
}

// A Server is the relay's part. It is safe for concurrent use.
type Server struct {
	config Config

	mu     sync.Mutex    // guards what follows; it is not held while a minute is fetched
	asking chan struct{} // closed when the party has been asked; nil: it is not being asked
	signed []byte        // of the minute below
	asked  int64         // the minute, by our clock, in which the party was asked last
	last   time.Time     // the latest minute that was served
	err    error
}

// NewServer checks the configuration. It fetches nothing.
func NewServer(c Config) (*Server, error) {
	if len(c.Party) != ed25519.PublicKeySize || c.Fetch == nil || c.Clock == nil {
		return nil, errors.New("minute: party, fetch and clock must be set")
	}
	if c.Skew <= 0 {
		c.Skew = 2 * time.Minute
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	return &Server{config: c, asked: -1}, nil
}

// Minute returns the signed minute: in each minute of the server's clock the party
// is asked once, and all callers get the same. While it is asked callers get the minute
// before, if there is one: a party that answers slowly keeps no client waiting.
func (s *Server) Minute(ctx context.Context) ([]byte, error) {
	if asking := s.due(ctx); asking != nil {
		select {
		case <-asking:
		case <-ctx.Done():
			return nil, fmt.Errorf("serving the minute: %w", ctx.Err())
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, fmt.Errorf("serving the minute: %w", s.err)
	}
	return bytes.Clone(s.signed), nil
}

// due returns what the caller has to wait for, nil for nothing. It makes the party be asked
// if it is time.
func (s *Server) due(ctx context.Context) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Clock.Now()
	n := now.Unix() / 60
	if n == s.asked {
		return nil
	}
	before := n == s.asked+1 && s.err == nil && s.signed != nil
	if s.asking == nil {
		s.asking = make(chan struct{})
		go s.ask(context.WithoutCancel(ctx), now, n) // the first caller may go away
		return s.asking
	}
	if before {
		return nil
	}
	return s.asking
}

// ask asks the party for the n-th minute, once.
func (s *Server) ask(ctx context.Context, now time.Time, n int64) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	signed, m, err := s.fetch(ctx, now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && m.Before(s.last) {
		err = fmt.Errorf("%w: %v after %v", ErrInvalid, m, s.last)
	}
	if err == nil {
		s.last = m
	}
	s.signed, s.err, s.asked = signed, err, n
	close(s.asking)
	s.asking = nil
}

// fetch returns the party's minute, signed, if it is near the time.
func (s *Server) fetch(ctx context.Context, now time.Time) ([]byte, time.Time, error) {
	signed, err := s.config.Fetch(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	m, err := Open(signed, s.config.Party)
	if err != nil {
		return nil, time.Time{}, err
	}
	if d := m.Sub(now.Truncate(time.Minute)); d.Abs() > s.config.Skew {
		return nil, time.Time{}, fmt.Errorf("%w: %v from our clock, limit %v", ErrInvalid, d, s.config.Skew)
	}
	return signed, m, nil
}

var (
	problemMethod = problem.Problem{Status: http.StatusMethodNotAllowed, Type: problem.Shoal("methodNotAllowed"), Title: "The minute is fetched by GET."}
	problemWait   = problem.Problem{Status: http.StatusServiceUnavailable, Type: problem.Shoal("unavailable"), Title: "The minute is not known. Try again later.", Retry: time.Minute}
)

// ServeHTTP answers GET with the signed minute.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		problemMethod.Write(w, 0)
		return
	}
	signed, err := s.Minute(r.Context())
	if err != nil {
		problemWait.Write(w, 0)
		return
	}
	h := w.Header()
	h["Date"] = nil
	h.Set("Content-Type", MediaType)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(signed)))
	_, _ = w.Write(signed) // the client has gone if this fails
}

// A Client is a client's knowledge of the time. It is safe for concurrent use.
type Client struct {
	party  ed25519.PublicKey
	clock  Clock
	maxAge time.Duration
	mu     sync.Mutex
	minute time.Time
	at     time.Time // by our clock
}

// NewClient returns a client that knows no time. Of the clock it uses differences
// alone; a minute is good for maxAge, 1 hour if 0.
func NewClient(party ed25519.PublicKey, c Clock, maxAge time.Duration) *Client {
	if maxAge <= 0 {
		maxAge = time.Hour
	}
	return &Client{party: party, clock: c, maxAge: maxAge}
}

// Take learns a minute that the relay served. One that is earlier than the last is
// an error.
func (c *Client) Take(signed []byte) error {
	m, err := Open(signed, c.party)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.Before(c.minute) {
		return fmt.Errorf("%w: %v after %v", ErrInvalid, m, c.minute)
	}
	c.minute, c.at = m, c.clock.Now()
	return nil
}

// Now returns the time by which to choose an epoch, to the minute. It is an error
// that wraps [ErrWait] if no minute was taken within the last maxAge.
func (c *Client) Now() (time.Time, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.minute.IsZero() {
		return time.Time{}, fmt.Errorf("%w: the relay has not said it yet", ErrWait)
	}
	since := c.clock.Now().Sub(c.at)
	if since < 0 || since > c.maxAge {
		return time.Time{}, fmt.Errorf("%w: the last minute was taken %v ago, limit %v", ErrWait, since, c.maxAge)
	}
	return c.minute.Add(since.Truncate(time.Minute)), nil
}
