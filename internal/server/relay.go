package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// RelayConfig is about the role relay.
type RelayConfig struct {
	// Parties are those to which the relay forwards.
	Parties []RelayParty `yaml:"parties"`
	// Issuances bounds the requests for credentials of one network and day.
	Issuances int `yaml:"issuances"`
}

// A RelayParty is an organisation to which a relay forwards.
type RelayParty struct {
	URL      string `yaml:"url"`
	Identity string `yaml:"identity"`
}

// relayIssuances is how many requests for credentials one network may make in a day
// where nothing is set.
const relayIssuances = 1000

func (c *RelayConfig) withDefaults(behindProxy bool) {
	if !behindProxy { // behind a proxy networks are not known
		orElse(&c.Issuances, relayIssuances)
	}
}

// validateRelay checks the role relay: it plays no other, and knows whom it forwards to.
func (c Config) validateRelay() error {
	if !c.Has(task.Relay) {
		if n := c.Relay.Issuances; len(c.Relay.Parties) > 0 || n != 0 && n != relayIssuances {
			return errors.New("relay: only a relay uses these keys")
		}
		return nil
	}
	if len(c.Tasks.Owners)+len(c.Tasks.Bundles) > 0 {
		return errors.New("tasks: a relay knows of no tasks")
	}
	if len(c.Roles) > 1 {
		return errors.New("roles: a relay plays no other role: it sees addresses, the others must not")
	}
	var errs []error
	seen := map[string]bool{}
	for i, p := range c.Relay.Parties {
		key := fmt.Sprintf("relay.parties[%d]", i)
		if _, err := task.ParsePublic(p.Identity); err != nil {
			errs = append(errs, fmt.Errorf("%s.identity: %w", key, err))
		}
		switch err := task.ValidURL(p.URL); {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s.url: %w", key, err))
		case sameSite(p.URL, c.URL):
			errs = append(errs, fmt.Errorf("%s.url: %s is this relay's own host", key, p.URL))
		}
		if seen[p.Identity] {
			errs = append(errs, fmt.Errorf("%s.identity: duplicate %s", key, p.Identity))
		}
		seen[p.Identity] = true
	}
	if c.Relay.Issuances < 0 {
		errs = append(errs, fmt.Errorf("relay.issuances: %d is below 0", c.Relay.Issuances))
	}
	if c.Relay.Issuances > 0 && c.BehindProxy {
		errs = append(errs, errors.New("relay.issuances: behind_proxy: the networks of clients are not known here; let the proxy bound them"))
	}
	return errors.Join(errs...)
}

// checkRelayed refuses a task with a relay if keys would not last for its periods:
// clients would have none at times.
func (k KeysConfig) checkRelayed(t *task.Task) error {
	if t.Relayed() && k.Overlap.D() < relay.Period {
		return fmt.Errorf("it has a relay, whose keys are the same for %s: keys.overlap is %s, want at least that", relay.Period, k.Overlap)
	}
	return nil
}

// sameSite reports whether two URLs have one host and port.
func sameSite(a, b string) bool {
	u, errA := url.Parse(a)
	v, errB := url.Parse(b)
	return errA == nil && errB == nil && u.Host == v.Host
}

// parties returns the parties of a checked configuration.
func (c *RelayConfig) parties() ([]relay.Party, error) {
	var all []relay.Party
	for _, p := range c.Parties {
		id, err := task.ParsePublic(p.Identity)
		if err != nil {
			return nil, err
		}
		all = append(all, relay.Party{URL: p.URL, Identity: id})
	}
	return all, nil
}

// witnessDir is where a relay keeps what it has signed.
func (c Config) witnessDir() string { return filepath.Join(c.Data, task.Relay.String(), "witness") }

// A relayHost is the role relay at work.
type relayHost struct {
	server *Server
	relay  *relay.Server // nil: there is no party to forward to
}

func (s *Server) openRelay(context.Context) (role, error) {
	h := &relayHost{server: s}
	parties, err := s.config.Relay.parties()
	if err != nil || len(parties) == 0 {
		return h, err
	}
	for _, p := range parties {
		if bytes.Equal(p.Identity, s.identity.Public()) {
			return nil, fmt.Errorf("relay.parties: %s has this relay's own identity", p.URL)
		}
	}
	store, err := witness.OpenFiles(s.config.witnessDir())
	if err != nil {
		return nil, err
	}
	h.relay, err = relay.NewServer(relay.ServerConfig{
		Identity: s.identity, Parties: parties, Store: store, Since: s.restored, Clock: s.o.Clock, Client: s.o.Client,
		TLS: tlsOf(s.o.Client), Dial: dialOf(s.o.Client), Issuances: s.config.Relay.Issuances, Rand: s.o.Rand,
	})
	if err != nil {
		return nil, err
	}
	s.metrics.oblivious.add(task.Relay, h.relay.Counts)
	return h, nil
}

// tlsOf returns the settings of TLS that a client has for peers, nil for the defaults.
func tlsOf(c *http.Client) *tls.Config {
	if t, ok := c.Transport.(*http.Transport); ok && t.TLSClientConfig != nil {
		return t.TLSClientConfig.Clone()
	}
	return nil
}

// dialOf returns what opens a client's connections to peers, nil for the default.
func dialOf(c *http.Client) func(context.Context, string, string) (net.Conn, error) {
	if t, ok := c.Transport.(*http.Transport); ok {
		return t.DialContext
	}
	return nil
}

// Name implements [role].
func (h *relayHost) Name() task.Role { return task.Relay }

// expireEvery is how often a relay deletes what it has signed for periods that have been
// over for long.
const expireEvery = time.Hour

// Run implements [role].
func (h *relayHost) Run(ctx context.Context, failed func(error)) error {
	c := h.server.o.Clock
	due := func(error) time.Time { return c.Now().Add(expireEvery) }
	return clock.Loop(ctx, c, nil, h.Tick, due, failed)
}

// Tick implements [ticker].
func (h *relayHost) Tick(ctx context.Context) error {
	if h.relay == nil {
		return nil
	}
	return h.relay.Tick(ctx)
}

// refusedEvery is how often it is logged that a party made several statements.
const refusedEvery = time.Hour

// Health implements [role].
func (h *relayHost) Health(context.Context) Health {
	var out Health
	if h.relay == nil {
		out.Reasons = []string{whyNoParties}
		return out
	}
	refused := h.relay.Refused()
	out.figure("keys_refused", float64(len(refused)))
	for _, r := range refused {
		out.Notes = append(out.Notes, Note{
			Key: "keys " + r.Party.URL + r.Purpose, Every: refusedEvery,
			Text:  "a party announced several keys for one period: no client gets keys of it until the next one",
			Attrs: []any{"party", r.Party.URL, "purpose", r.Purpose, "period", r.Start.Format(time.RFC3339)},
		})
	}
	return out
}

// Close implements [role].
func (h *relayHost) Close() error {
	if h.relay == nil {
		return nil
	}
	return h.relay.Close()
}

// Routes implements [responder].
func (h *relayHost) Routes() []publicRoute {
	if h.relay == nil {
		return nil
	}
	var routes []publicRoute
	for _, pattern := range append(relay.ServerPatterns(), http.MethodPost+" "+relay.GatewayPattern) { // to which browsers ask whether a page may post
		routes = append(routes, publicRoute{name: "relay", pattern: pattern, admit: fromClients, limit: relayExchange, pages: true})
	}
	return routes
}

// Handler implements [responder].
func (h *relayHost) Handler() http.Handler { return h.relay }

// fromClients lets in what clients send to a relay, so many at a time of one network.
func fromClients(s *Server, next http.HandlerFunc) http.HandlerFunc {
	return s.through(s.gates.reading, next)
}

// relays checks of a relay whether the parties answer, and of another organisation
// whether the relays of its tasks forward to it.
func (d *doctor) relays(ctx context.Context) {
	if d.config.Has(task.Relay) {
		d.relayParties(ctx)
		return
	}
	id, err := LoadIdentity(d.config.identityPath())
	if err != nil {
		return // it was reported
	}
	asked := map[string]bool{}
	for _, t := range d.served {
		p := t.Task.Protection.Relay
		if !t.Task.Relayed() || asked[p.URL] || t.Role() == task.Collector {
			continue
		}
		asked[p.URL] = true
		name := "relay " + p.URL
		if err := relay.Check(ctx, d.o.Client, p, id.Public()); err != nil {
			d.say(Failure, name, "%v", unwrapNet(err))
			continue
		}
		d.say(OK, name, "it serves this organisation's minute")
	}
}

func (d *doctor) relayParties(ctx context.Context) {
	if len(d.config.Relay.Parties) == 0 {
		d.say(Warning, "relay.parties", "there are none: nothing is forwarded")
		return
	}
	parties, err := d.config.Relay.parties()
	if err != nil {
		d.say(Failure, "relay.parties", "%v", err)
		return
	}
	for _, p := range parties {
		if err := relay.CheckParty(ctx, d.o.Client, p); err != nil {
			d.say(Failure, "party "+p.URL, "%v", unwrapNet(err))
			continue
		}
		d.say(OK, "party "+p.URL, "it signs the minute")
	}
}

// rotates lists the roles that have keys.
func (c Config) rotates() []task.Role {
	if c.Has(task.Relay) {
		return nil
	}
	all := slices.DeleteFunc(slices.Clone(c.Roles), func(r task.Role) bool { return r == task.Randomness }) // its keys are those of epochs
	if c.hasGateway() {
		all = append(all, task.Gateway)
	}
	return all
}

// hasGateway reports whether clients send to the organisation, or take its keys.
func (c Config) hasGateway() bool {
	return c.Has(task.Shuffler) || c.Has(task.Analyzer) || c.Has(task.Leader) || c.Has(task.Helper) || c.Has(task.Randomness)
}
