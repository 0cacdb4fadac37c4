package relay

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/problem"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/minute"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// A Party is one to which the relay forwards.
type Party struct {
	URL      string
	Identity ed25519.PublicKey
}

// A ServerConfig is what a [Server] needs.
type ServerConfig struct {
	Identity task.IdentityKey
	Parties  []Party
	// Store keeps what the relay has signed. It belongs to this relay alone.
	Store witness.Store
	// Since is when the store was last restored or given up, zero for never. Periods that
	// had begun by then get no signature that the store does not know.
	Since time.Time
	Clock clock.Clock
	// Client fetches statements and minutes. It follows no redirect.
	Client *http.Client
	// TLS is used towards gateways, nil for the defaults of crypto/tls.
	TLS *tls.Config
	// Dial opens connections to gateways, nil for those of package net.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Issuances is how many requests for credentials one network may make in a day, 0
	// for as many as it likes.
	Issuances int
	// Rand is the source of keys and lanes, nil for crypto/rand.
	Rand io.Reader
}

// A Server is a relay. It is an [http.Handler], safe for concurrent use.
type Server struct {
	config  ServerConfig
	forward *ohttp.Relay
	keys    *witness.Witness
	minutes map[string]*minute.Server // by the party's name
	parties map[string]Party          // by the same
	quota   *quota                    // nil: no bound
}

// NewServer checks the configuration. It contacts nothing.
func NewServer(c ServerConfig) (*Server, error) {
	if len(c.Parties) == 0 {
		return nil, errors.New("relay: no party to forward to")
	}
	if c.Client == nil || c.Store == nil || c.Clock == nil {
		return nil, errors.New("relay: client, store and clock must be set")
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	s := &Server{config: c, minutes: map[string]*minute.Server{}, parties: map[string]Party{}}
	gateways := map[string]string{}
	var identities []ed25519.PublicKey
	for _, p := range c.Parties {
		name := nameOf(p.Identity)
		if _, twice := s.parties[name]; twice {
			return nil, fmt.Errorf("relay: duplicate party %s", task.FormatPublic(p.Identity))
		}
		var err error
		s.minutes[name], err = minute.NewServer(minute.Config{Party: p.Identity, Clock: c.Clock, Fetch: func(ctx context.Context) ([]byte, error) {
			return get(ctx, c.Client, p.URL+minutePath, minute.MediaType, maxMinute)
		}})
		if err != nil {
			return nil, fmt.Errorf("relay: %w", err)
		}
		s.parties[name] = p
		identities = append(identities, p.Identity)
		gateways[name], gateways[name+issuance] = p.URL+GatewayPath, p.URL+IssuancePath
	}
	if c.Issuances > 0 {
		s.quota = newQuota(c.Issuances, c.Clock, c.Rand)
	}
	var err error
	s.forward, err = ohttp.NewRelay(ohttp.RelayConfig{Gateways: gateways, Admit: s.admit, Sizes: Sizes(), TLS: c.TLS, Dial: c.Dial, Rand: c.Rand})
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	s.keys, err = witness.New(witness.Config{
		Identity: c.Identity, Parties: identities, Purposes: Purposes(), Spans: Spans(), Fetch: s.statement,
		Store: c.Store, Since: c.Since, Clock: c.Clock, Early: early,
	})
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	return s, nil
}

// GatewayPattern is the resource of a server to which clients post, as a pattern of
// [http.ServeMux].
const GatewayPattern = gatewaysPath + "{gateway}"

// ServerPatterns are the resources of a relay, as patterns of [http.ServeMux].
func ServerPatterns() []string {
	return []string{GatewayPattern, keysPath + "/{party}/{purpose}/{start}", minutesPath + "{party}"}
}

var problemParty = problem.Problem{Status: http.StatusNotFound, Type: problem.Shoal("unknownGateway"), Title: "The relay does not serve this party."}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, gatewaysPath):
		http.StripPrefix(gatewaysPath, s.forward).ServeHTTP(w, r)
	case strings.HasPrefix(path, keysPath+"/"):
		w.Header()["Date"] = nil // clients have their clock from elsewhere
		http.StripPrefix(keysPath, s.keys).ServeHTTP(w, r)
	default:
		m := s.minutes[strings.TrimPrefix(path, minutesPath)]
		if m == nil {
			w.Header()["Date"] = nil
			problemParty.Write(w, 0)
			return
		}
		m.ServeHTTP(w, r)
	}
}

// admit bounds issuances. A request whose address is not known, or cannot be counted, is
// not forwarded.
func (s *Server) admit(r *http.Request, gateway string) bool {
	if s.quota == nil || !strings.HasSuffix(gateway, issuance) {
		return true
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	ok, err := s.quota.take(from.Addr())
	return ok && err == nil
}

// statement asks a party for its statement of a slot.
func (s *Server) statement(ctx context.Context, slot witness.Slot) ([]byte, error) {
	p := s.parties[nameOf(slot.Party[:])]
	return get(ctx, s.config.Client, p.URL+statementsPath+slot.Path(), statementType, maxStatement)
}

// maxStatement bounds the bytes of a statement that are read; package witness checks
// them.
const maxStatement = 1 << 17

// get fetches a small resource.
func get(ctx context.Context, c *http.Client, url, mediaType string, limit int64) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != mediaType {
		return nil, fmt.Errorf("HTTP %d, %q from %s, want 200 with %s", response.StatusCode, response.Header.Get("Content-Type"), url, mediaType)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("more than %d bytes from %s", limit, url)
	}
	return body, nil
}

// CheckParty asks a party for its minute, for diagnosis.
func CheckParty(ctx context.Context, c *http.Client, p Party) error {
	signed, err := get(ctx, c, p.URL+minutePath, minute.MediaType, maxMinute)
	if err != nil {
		return err
	}
	_, err = minute.Open(signed, p.Identity)
	return err
}

// Check asks a relay for the minute of a party, for diagnosis.
func Check(ctx context.Context, c *http.Client, relay task.Party, party ed25519.PublicKey) error {
	signed, err := get(ctx, c, relay.URL+minutesPath+nameOf(party), minute.MediaType, maxMinute)
	if err != nil {
		return err
	}
	_, err = minute.Open(signed, party)
	return err
}

// Counts returns how many requests were forwarded, and how many problems of each type
// were answered.
func (s *Server) Counts() map[string]uint64 { return s.forward.Counts() }

// A Refusal is a party that made several statements for one period: no client gets keys
// of that purpose from it.
type Refusal struct {
	Party   Party
	Purpose string
	Start   time.Time
}

// Refused returns the refusals of present periods.
func (s *Server) Refused() []Refusal {
	var all []Refusal
	for _, slot := range s.keys.Refused() {
		all = append(all, Refusal{s.parties[nameOf(slot.Party[:])], slot.Purpose, time.Unix(slot.Start, 0).UTC()})
	}
	return all
}

// Tick deletes what the relay has signed for periods that have been over for long.
func (s *Server) Tick(ctx context.Context) error { return s.keys.Expire(ctx) }

// Close closes connections to gateways that are not in use.
func (s *Server) Close() error {
	s.forward.CloseIdleConnections()
	return nil
}
