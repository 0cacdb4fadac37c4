package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/metric/task"
	"github.com/shoal-project/shoal/ohttp"
	"github.com/shoal-project/shoal/ohttp/witness"
)

// A gatewayHost takes what clients send through relays, and announces to the relays the
// keys of all roles.
type gatewayHost struct {
	server    *Server
	gateway   *ohttp.Gateway
	issuing   *ohttp.Gateway // of credentials
	announcer *relay.Announcer

	keysMu sync.Mutex // guards ring and read
	ring   *roleKeys[*ohttp.PrivateKey]
	read   time.Time // when the keys were last read

	// The handlers of what is inside. They are set before the first request.
	clients, issuers http.Handler
}

// A keyStater has keys that clients get through relays.
type keyStater interface {
	// KeyStatements are what the role announces, by purpose.
	KeyStatements() map[string]relay.Keys
}

// statedBefore is how long before the start of a period a key begins that is stated for
// it: keys begin up to an hour before they are made, and relays ask up to an hour and
// some minutes before the start.
const statedBefore = 3 * time.Hour

// gatewayGrace is how long after its end a key opens requests: clients have the minute by
// which they choose periods for up to an hour.
const gatewayGrace = 2 * time.Hour

func (s *Server) openGateway(_ context.Context) (role, error) {
	g := &gatewayHost{server: s}
	var err error
	if g.ring, err = newGatewayKeys(s.config, s.o.Rand); err != nil {
		return nil, err
	}
	g.ring.guard = clock.NewStrictGuard(s.o.Clock, settle)
	if err := g.openKeys(); err != nil {
		return nil, err
	}
	g.keysMu.Lock()
	defer g.keysMu.Unlock()
	if _, err := g.rotate(); err != nil {
		return nil, err
	}
	config := ohttp.GatewayConfig{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.clients.ServeHTTP(w, r) }),
		Keys:    g.accepted(), Sizes: relay.Sizes(), Rand: s.o.Rand,
		// Reports count once, however often they come, and equal requests for credentials
		// get equal answers: nothing needs to be remembered.
		Idempotent: func(*http.Request) bool { return true },
	}
	u, err := url.Parse(s.config.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	config.Authorities = []string{u.Host}
	if g.gateway, err = ohttp.NewGateway(config); err != nil {
		return nil, err
	}
	config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.issuers.ServeHTTP(w, r) })
	if g.issuing, err = ohttp.NewGateway(config); err != nil {
		return nil, err
	}
	s.metrics.oblivious.add(task.Gateway, g.gateway.Counts)
	purposes := map[string]relay.Keys{relay.Gateway: g.state}
	for _, r := range rolesOf[keyStater](s) {
		for purpose, keys := range r.KeyStatements() {
			purposes[purpose] = keys
		}
	}
	g.announcer, err = relay.NewAnnouncer(relay.AnnouncerConfig{
		Identity: s.identity, Clock: s.o.Clock, Purposes: purposes, Slots: s.stateSlot,
	})
	return g, err
}

// newGatewayKeys returns the keys of the gateway, which are not read yet.
func newGatewayKeys(c Config, random io.Reader) (*roleKeys[*ohttp.PrivateKey], error) {
	plan, err := c.keyPlan()
	if err != nil {
		return nil, err
	}
	plan.Backdate = allowance
	var kems []hpke.KEM
	for _, kem := range plan.KEMs {
		if kem == hpke.X25519 || kem == hpke.XWing {
			kems = append(kems, kem)
		}
	}
	plan.KEMs = kems
	return &roleKeys[*ohttp.PrivateKey]{file: c.roleKeysPath(task.Gateway), plan: plan, rand: random, codec: gatewayKeys()}, nil
}

// gatewayKeys is the codec of the gateway's keys: a line has the key's text, and the
// times of its life in Unix seconds.
func gatewayKeys() keyCodec[*ohttp.PrivateKey] {
	type held = keyring.Key[*ohttp.PrivateKey]
	return keyCodec[*ohttp.PrivateKey]{
		generate: func(kem hpke.KEM, _, _ time.Time, random io.Reader) (*ohttp.PrivateKey, error) {
			var id [1]byte
			if _, err := io.ReadFull(random, id[:]); err != nil {
				return nil, fmt.Errorf("reading randomness: %w", err)
			}
			return ohttp.GenerateKey(id[0], ohttp.KEM(kem), random)
		},
		text: func(k held) (string, error) {
			text, err := k.Key.Text()
			return fmt.Sprintf("%s %d %d", text, k.From.Unix(), k.Until.Unix()), err
		},
		parse: func(line string, _ keyring.Plan) (held, error) {
			text, times, _ := strings.Cut(line, " ")
			var from, until int64
			if _, err := fmt.Sscanf(times, "%d %d", &from, &until); err != nil || from < 0 || until <= from || until > farFuture.Unix() {
				return held{}, errors.New("want a key and the times of its beginning and end")
			}
			key, err := ohttp.ParsePrivateKey(text)
			if err != nil {
				return held{}, err
			}
			return held{Key: key, KEM: hpke.KEM(key.Config().KEM), From: time.Unix(from, 0), Until: time.Unix(until, 0)}, nil
		},
		name:  func(k held) string { return fmt.Sprint(k.Key.Config().ID) },
		short: func(k *ohttp.PrivateKey) byte { return k.Config().ID },
	}
}

// rotate brings the keys up to date. It is called with keysMu held.
func (g *gatewayHost) rotate() (bool, error) {
	first := len(g.ring.ring.Keys()) == 0
	now := g.server.o.Clock.Now()
	saves := g.ring.saves
	changed, err := g.ring.rotate(now, func(k keyring.Key[*ohttp.PrivateKey]) time.Time { return k.Until.Add(gatewayGrace) })
	if err == nil {
		g.read = now
	}
	if first && err == nil && g.ring.saves > saves {
		g.server.o.Logger.Info("the gateway for relays has made its first keys; if it had others, clients that come through a relay wait until the relay's next period", "period", relay.Period.String())
	}
	return changed, err
}

// mostAccepted is how many keys a gateway accepts.
const mostAccepted = 16

// accepted returns the keys that requests may be sealed to, the newest first. It is
// called with keysMu held.
func (g *gatewayHost) accepted() []*ohttp.PrivateKey {
	keys := g.ring.keys()
	newest := make([]*ohttp.PrivateKey, 0, len(keys))
	for i := len(keys) - 1; i >= 0 && len(newest) < mostAccepted; i-- {
		newest = append(newest, keys[i])
	}
	return newest
}

// state returns the keys for a period.
func (g *gatewayHost) state(start, end time.Time) ([]byte, error) {
	g.keysMu.Lock()
	defer g.keysMu.Unlock()
	if err := g.refresh(); err != nil {
		return nil, err
	}
	var configs []ohttp.KeyConfig
	for _, k := range g.ring.ring.Lasting(g.server.o.Clock.Now(), start.Add(-statedBefore), end) {
		configs = append(configs, k.Key.Config())
	}
	if len(configs) == 0 {
		return nil, relay.ErrNoKeys
	}
	return ohttp.MarshalKeyConfigs(configs)
}

// Name implements [role].
func (g *gatewayHost) Name() task.Role { return task.Gateway }

// witnessEvery is how often a party looks for keys that a relay has not signed yet.
const witnessEvery = 10 * time.Second

// Run implements [role]: it has relays sign keys.
func (g *gatewayHost) Run(ctx context.Context, failed func(error)) error {
	c := g.server.o.Clock
	due := func(error) time.Time { return c.Now().Add(witnessEvery) }
	return clock.Loop(ctx, c, nil, g.server.haveWitnessed, due, failed)
}

// Sync implements [syncer].
func (g *gatewayHost) Sync(context.Context) error {
	g.keysMu.Lock()
	defer g.keysMu.Unlock()
	changed, err := g.rotate()
	if err != nil || !changed {
		return err
	}
	return g.take()
}

// take gives the gateways the keys. It is called with keysMu held.
func (g *gatewayHost) take() error {
	keys := g.accepted()
	return errors.Join(g.gateway.SetKeys(keys...), g.issuing.SetKeys(keys...))
}

// Tick implements [ticker].
func (g *gatewayHost) Tick(ctx context.Context) error {
	return errors.Join(g.Sync(ctx), g.server.haveWitnessed(ctx))
}

// Keys implements [keyHolder].
func (g *gatewayHost) Keys(now time.Time) []keyView {
	g.keysMu.Lock()
	defer g.keysMu.Unlock()
	return g.ring.view(task.Gateway, now)
}

// RenewKeys implements [keyHolder].
func (g *gatewayHost) RenewKeys(context.Context) error {
	g.keysMu.Lock()
	defer g.keysMu.Unlock()
	if err := g.ring.renew(g.server.o.Clock.Now()); err != nil {
		return err
	}
	return g.take()
}

// Health implements [role].
func (g *gatewayHost) Health(context.Context) Health {
	var h Health
	g.keysMu.Lock()
	defer g.keysMu.Unlock()
	h.figure(keyFigure, g.ring.ring.Left(g.server.o.Clock.Now()).Seconds())
	h.figure("keys_unsigned", float64(g.server.witnessed.Missing()))
	return h
}

// Close implements [role].
func (g *gatewayHost) Close() error { return nil }

// Routes implements [responder].
func (g *gatewayHost) Routes() []publicRoute {
	routes := []publicRoute{
		{name: "gateway", pattern: "POST " + relay.GatewayPath, admit: forRelays, limit: relayExchange},
		{name: "gateway", pattern: "POST " + relay.IssuancePath, admit: forRelays, limit: relayExchange},
	}
	for _, pattern := range relay.AnnouncerPatterns() {
		routes = append(routes, publicRoute{name: "announce", pattern: pattern, admit: forKeys, limit: shortExchange})
	}
	return routes
}

// Handler implements [responder].
func (g *gatewayHost) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case relay.GatewayPath:
			g.gateway.ServeHTTP(w, r)
		case relay.IssuancePath:
			g.issuing.ServeHTTP(w, r)
		default:
			g.announcer.ServeHTTP(w, r)
		}
	})
}

// relayExchange bounds an exchange with a relay; the gateway has shorter limits of its
// own for each part.
const relayExchange = 3 * time.Minute

// forRelays lets in what comes from relays, of which each sends for many clients.
func forRelays(s *Server, next http.HandlerFunc) http.HandlerFunc {
	return s.through(s.gates.relays, next)
}

// inside returns the handler of the routes that clients reach through a relay, by the
// paths of the organisation's URL.
func (s *Server) inside(routes map[string]http.HandlerFunc) http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range routes {
		mux.HandleFunc(pattern, h)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { unrouted(mux, w, r) })
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), insideKey{}, true)))
	})
	u, err := url.Parse(s.config.URL)
	if err != nil || u.Path == "" { // the configuration is checked
		return inner
	}
	return http.StripPrefix(u.Path, inner)
}

// insideKey is the key of what the context of a request has that came through a gateway.
type insideKey struct{}

// besideRelay reports whether a request for a task with a relay did not come through one.
func (s *Server) besideRelay(r *http.Request) bool {
	tasks := s.relayed.Load()
	return tasks != nil && (*tasks)[r.PathValue("task")] && r.Context().Value(insideKey{}) == nil
}

// noteRelayed brings the list of tasks with a relay up to date. They are known by two
// names if they are of the aggregate route.
func (s *Server) noteRelayed() {
	names := map[string]bool{}
	for _, t := range s.Tasks() {
		if !t.Task.Relayed() {
			continue
		}
		names[t.ID.String()] = true
		if t.Task.Method == task.Aggregate {
			if id, err := s.DAPTask(t); err == nil {
				names[id.String()] = true
			}
		}
	}
	s.relayed.Store(&names)
}

// A slotStater has keys whose periods follow from tasks.
type slotStater interface {
	// StateSlot returns the signed statement of a slot, the same bytes whenever it is
	// called. It fails with [witness.ErrUnknown] for slots that it does not have.
	StateSlot(ctx context.Context, s witness.Slot) ([]byte, error)
	// RelayedSlots are the slots whose statements relays are to sign now: clients get them
	// from [relay.Witnessed.Get].
	RelayedSlots() []relay.Slot
}

// states makes the gateway announce the keys of st to relays, in place of those that had
// the name before; of nil, none.
func (s *Server) states(name string, st slotStater) {
	s.statersMu.Lock()
	defer s.statersMu.Unlock()
	delete(s.staters, name)
	if st != nil {
		s.staters[name] = st
	}
}

// allStaters returns all that have keys whose periods follow from tasks.
func (s *Server) allStaters() []slotStater {
	s.statersMu.Lock()
	defer s.statersMu.Unlock()
	return slices.Collect(maps.Values(s.staters))
}

// stateSlot returns the organisation's signed statement of a slot.
func (s *Server) stateSlot(ctx context.Context, slot witness.Slot) ([]byte, error) {
	for _, st := range s.allStaters() {
		if b, err := st.StateSlot(ctx, slot); !errors.Is(err, witness.ErrUnknown) {
			return b, err
		}
	}
	return nil, witness.ErrUnknown
}

// haveWitnessed has relays sign the keys of present and next periods.
func (s *Server) haveWitnessed(ctx context.Context) error {
	var wanted []relay.Slot
	for _, st := range s.allStaters() {
		wanted = append(wanted, st.RelayedSlots()...)
	}
	return s.witnessed.Sync(ctx, wanted)
}

// KeyStatements implements [keyStater].
func (h *crowdHost) KeyStatements() map[string]relay.Keys {
	return map[string]relay.Keys{h.role.String(): func(start, end time.Time) ([]byte, error) {
		h.keysMu.Lock()
		defer h.keysMu.Unlock()
		c := &task.KeyConfig{
			Role: h.ring.role, Identity: h.ring.identity.Public(), PolicyDigest: h.ring.policy,
			NotBefore: start.Add(-statedBefore).Unix(), NotAfter: end.Add(gatewayGrace).Unix(),
		}
		for _, k := range h.ring.ring.Lasting(h.server.o.Clock.Now(), start.Add(-statedBefore), end) {
			c.Keys = append(c.Keys, h.ring.codec.public(k))
		}
		if len(c.Keys) == 0 {
			return nil, relay.ErrNoKeys
		}
		return task.SignKeyConfig(c, h.ring.identity)
	}}
}

// KeyStatements implements [keyStater].
func (a *aggregator) KeyStatements() map[string]relay.Keys {
	return map[string]relay.Keys{a.role.String(): func(start, end time.Time) ([]byte, error) {
		return lastingConfigs(a.registry.Keyring(), a.server.o.Clock.Now(), start, end)
	}}
}
