package server

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/internal/loss"
	"github.com/shoal-project/shoal/internal/relay"
	"github.com/shoal-project/shoal/internal/release"
	"github.com/shoal-project/shoal/internal/server/pairing"
	"github.com/shoal-project/shoal/metric/task"
)

// Options are what a server is given beside its configuration. The zero value
// is that of production.
type Options struct {
	Clock  clock.Clock  // default: the system's
	Rand   io.Reader    // keys and seeds; default: crypto/rand
	Logger *slog.Logger // default: none
	FS     durable.FS   // holds reports and batches; default: the operating system's
	// Listen opens a listener; default: net.Listen. A test passes one that
	// returns listeners it has opened before.
	Listen func(network, address string) (net.Listener, error)
	// Client reaches other organisations; default: one with timeouts that
	// speaks TLS 1.3, follows no redirects, and shows the client certificate
	// of the configuration, if there is one, to servers that ask.
	Client *http.Client
	// NewData starts without data that the organisation has had and that is
	// missing now. What was in it is lost.
	NewData bool
	// RetryBatches has an analyzer try batches again that it has set aside.
	RetryBatches bool
	// Manual leaves the periodic work to calls of Tick.
	Manual bool
	// Console, if any, makes the handler of the console's listener.
	Console func(*Server) (http.Handler, error)
}

func (o Options) withDefaults() Options {
	o.Clock = cmp.Or(o.Clock, clock.System())
	o.Rand = cmp.Or[io.Reader](o.Rand, rand.Reader)
	o.FS = cmp.Or(o.FS, durable.OS())
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Listen == nil {
		o.Listen = net.Listen
	}
	if o.Client == nil {
		o.Client = peerClient(&tls.Config{MinVersion: tls.VersionTLS13})
	}
	return o
}

// peerClient returns the client by which one organisation reaches another.
// There is no limit on a whole exchange: a batch may be large. What bounds a
// peer that stalls is the time to the first byte of its answer.
func peerClient(t *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSClientConfig:       t,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: 10 * time.Minute,
			IdleConnTimeout:       90 * time.Second,
			MaxIdleConnsPerHost:   4,
			ForceAttemptHTTP2:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// A Server is one organisation's roles behind their listeners. Its methods are
// safe for concurrent use.
type Server struct {
	config   Config
	o        Options
	identity task.IdentityKey
	metrics  *metrics
	tokens   *Tokens
	unlock   func() error
	data     *installation
	losses   *loss.List
	gone     []holding       // what was missing or damaged, and is given up
	checker  release.Checker // of released files
	refused  refusals
	keyIDs   map[string]string // by role, as logKeys saw them; used by refresh alone

	listeners []listener
	roles     []role // those of the configuration, in the order of roleTable
	pairings  *pairing.File
	peerKeys  collectorPeers   // of other organisations
	collector task.IdentityKey // the collector's, if the organisation is one
	restored  time.Time        // when data was last restored or given up; zero for never
	gates     *gates
	network   func(*http.Request) netip.Prefix // of a sender; not valid if that is unknown
	pace      pace
	bodies    buffers
	need      atomic.Int64 // bytes that the work on the largest batch may take
	draining  atomic.Bool
	closing   sync.Once
	closed    error // what closing returned

	noted   map[string]time.Time // when notes of roles were logged last; used by refresh alone
	counted map[lossPlace]int64  // of the losses since the start, those in the list; used by refresh alone

	relayed  atomic.Pointer[map[string]bool] // tasks with a relay, by their names in paths
	dapTasks sync.Map                        // from task.ID to dap.TaskID: computing it takes a moment

	witnessed *relay.Witnessed // own statements with the signatures of relays
	statersMu sync.Mutex       // guards staters
	staters   map[string]slotStater

	adding sync.Mutex // one bundle is added at a time

	mu       sync.Mutex // guards registry
	registry *registry
}

// listener is a bound address and what is served on it.
type listener struct {
	name string
	l    net.Listener
	h    http.Handler
	tls  *tls.Config
}

// New opens everything that the configuration names and binds the listeners.
// Each error describes in one line what to fix. Nothing is served before Run.
func New(ctx context.Context, c Config, o Options) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("checking config: %w", err)
	}
	if o.Client == nil {
		var err error
		if o.Client, err = c.client(); err != nil {
			return nil, err
		}
	}
	s := &Server{
		config: c, o: o.withDefaults(), metrics: newMetrics(), noted: map[string]time.Time{}, counted: map[lossPlace]int64{},
		gates: newGates(c.Intake), network: c.network, pace: pace{bodyPause, bodyTime}, staters: map[string]slotStater{},
	}
	s.witnessed = relay.NewWitnessed(s.o.Client, s.o.Clock)
	s.metrics.answered = s.answered
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) open(ctx context.Context) error {
	if err := s.openKeys(); err != nil {
		return err
	}
	if err := s.openData(ctx); err != nil {
		return err
	}
	now := s.o.Clock.Now()
	registry, err := newRegistry(s.config, s.identity.Public(), s.collectorPublic())
	if err != nil {
		return err
	}
	if err := registry.load(now); err != nil {
		return err
	}
	came, went, err := registry.remember()
	if err != nil {
		return err
	}
	if came > 0 || went > 0 {
		s.o.Logger.Info("the bundles of tasks have changed", "new", came, "finished", went)
	}
	s.registry = registry
	for _, t := range registry.tasks {
		if !t.Until.IsZero() {
			s.o.Logger.Warn("no bundle names a task any more: it takes no reports, and is served for those that were acknowledged",
				"metric", t.Task.Metric, "role", t.Role(), "until", t.Until.UTC().Format(time.RFC3339))
		}
	}
	for _, why := range registry.warnings() {
		s.o.Logger.Warn("nothing is served", "why", why)
	}
	if err := s.openRoles(ctx); err != nil {
		return err
	}
	if err := s.data.save(); err != nil {
		return err
	}
	s.syncRoles(ctx)
	s.remind(ctx)
	return s.bind()
}

func (s *Server) collectorPublic() ed25519.PublicKey {
	if !s.config.Has(task.Collector) {
		return nil
	}
	return s.collector.Public()
}

func (s *Server) openKeys() error {
	if err := privateDir(s.config.Keys.Dir); err != nil {
		return fmt.Errorf("keys.dir: %w", err)
	}
	var err error
	if s.identity, err = LoadIdentity(s.config.identityPath()); err != nil {
		return err
	}
	if s.tokens, err = OpenTokens(s.config); err != nil || !s.config.aggregates() {
		return err
	}
	return s.openPairings()
}

// openPairings reads what was agreed with other organisations.
func (s *Server) openPairings() error {
	var err error
	if s.config.Has(task.Collector) {
		if s.collector, err = LoadIdentity(s.config.collectorIdentityPath()); err != nil {
			return err
		}
	}
	s.peerKeys.peers = keyring.NewPeers(keyring.Direct(s.o.Client), s.o.Clock)
	if s.pairings, err = OpenPairings(s.config); err != nil {
		return err
	}
	return s.pairSelf()
}

// pairSelf pairs the own roles with each other.
func (s *Server) pairSelf() error {
	now := s.o.Clock.Now()
	card, _, err := Card(s.config, now)
	if err != nil {
		return err
	}
	return s.pairings.PairSelf(&card, now, s.o.Rand)
}

// openData makes the data folder and takes its lock: two processes on one
// folder would count reports twice. Data that the organisation has had must be
// there, unless it is given up.
func (s *Server) openData(ctx context.Context) error {
	holdings := s.config.holdings(s.o.FS)
	var err error
	if s.data, err = openInstallation(s.config, s.o.NewData); err != nil {
		return err
	}
	gone, err := s.data.check(holdings)
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if err := s.o.FS.MkdirAll(s.config.Data, 0o700); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	if err := os.MkdirAll(s.config.Data, 0o700); err != nil { // of the stores, whatever FS is
		return fmt.Errorf("data: %w", err)
	}
	unlock, err := durable.TryLock(filepath.Join(s.config.Data, "lock"))
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("data: %s is in use by another shoal process, or cannot be locked: %w", s.config.Data, err)
	}
	s.unlock = unlock
	if s.losses, err = loss.Open(durable.OS(), s.config.Data); err != nil {
		return fmt.Errorf("data: %w", err)
	}
	damaged, err := s.setDamagedAside(ctx, holdings)
	if err != nil {
		return err
	}
	s.giveUp(gone)
	if s.o.NewData && len(gone) == 0 && damaged == 0 {
		s.o.Logger.Warn("--new-data is given, and nothing that is a file is missing: start without it, so that a loss is noticed")
	}
	if err := s.openRestored(len(gone)+damaged > 0); err != nil {
		return err
	}
	return s.data.establish(holdings)
}

// tasksOf returns the tasks in which the organisation plays role r.
func (s *Server) tasksOf(r task.Role) []*task.Task {
	var tasks []*task.Task
	for _, t := range s.tasksWith(r) {
		tasks = append(tasks, t.Task)
	}
	return tasks
}

// tasksWith is tasksOf with all that is known of the tasks.
func (s *Server) tasksWith(r task.Role) []Task {
	return slices.DeleteFunc(s.Tasks(), func(t Task) bool { return t.Role() != r })
}

// Tasks returns the tasks that are served, in the order of their admission.
func (s *Server) Tasks() []Task {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.registry.tasks)
}

// Config returns the configuration that is in force.
func (s *Server) Config() Config { return s.config }

// Identity returns the text form of the organisation's public identity key.
func (s *Server) Identity() string { return task.FormatPublic(s.identity.Public()) }

// bind opens the listeners.
func (s *Server) bind() error {
	t, err := s.config.tlsConfig()
	if err != nil {
		return err
	}
	add := func(name, key, address string, h http.Handler, t *tls.Config) error {
		if address == Off {
			return nil
		}
		l, err := s.o.listen(key, address)
		if err != nil {
			return err
		}
		s.listeners = append(s.listeners, listener{name, l, h, t})
		return nil
	}
	public, err := s.config.askClients(t)
	if err != nil {
		return err
	}
	if err := add("public", "listen", s.config.Listen, s.public(), public); err != nil {
		return err
	}
	opsTLS := t
	if isLoopbackAddr(s.config.Ops.Listen) {
		opsTLS = nil
	}
	if err := add("ops", "ops.listen", s.config.Ops.Listen, s.ops(), opsTLS); err != nil {
		return err
	}
	if s.o.Console == nil {
		return nil
	}
	h, err := s.o.Console(s)
	if err != nil {
		return fmt.Errorf("starting the console: %w", err)
	}
	return add("console", "console.listen", s.config.Console.Listen, h, nil)
}

// Addr returns the address on which the listener called public, ops or console
// is bound, or "" if it is off.
func (s *Server) Addr(name string) string {
	for _, l := range s.listeners {
		if l.name == name {
			return l.l.Addr().String()
		}
	}
	return ""
}

// Run serves until ctx ends and then shuts down: no new connections, requests
// in flight finish, stores are closed. It returns nil after an orderly end. A
// server runs once.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range s.listeners {
		logger := s.o.Logger
		if s.config.Has(task.Relay) { // it logs nothing about connections of clients
			logger = slog.New(slog.DiscardHandler)
		}
		h := newHTTP(l.h, logger, s.metrics)
		if l.name == "public" {
			h.ConnState = s.connections().State
		}
		group.Go(func() error {
			if err := serve(ctx, h, l.l, l.tls, s.config.Shutdown.D()); err != nil {
				return fmt.Errorf("%s listener: %w", l.name, err)
			}
			return nil
		})
		s.o.Logger.Info("listening", "listener", l.name, "on", l.l.Addr().String(), "tls", l.tls != nil)
	}
	group.Go(func() error {
		<-ctx.Done()
		s.draining.Store(true)
		return nil
	})
	if !s.o.Manual {
		group.Go(func() error { return s.maintain(ctx) })
		for _, r := range s.roles {
			group.Go(func() error { return s.runRole(ctx, r) })
		}
	}
	return group.Wait()
}

// maintain brings tasks and keys up to date and looks how the roles are, now and then.
func (s *Server) maintain(ctx context.Context) error {
	work := func(ctx context.Context) error {
		s.syncRoles(ctx)
		s.refresh(ctx)
		return nil
	}
	next := func(error) time.Time { return s.o.Clock.Now().Add(s.config.Batches.Tick.D()) }
	_ = clock.Loop(ctx, s.o.Clock, nil, work, next, nil) // it ends with its context only
	return nil
}

// Tick does all periodic work that is due, once: keys, batches, hand-over,
// retention. What fails is tried again at a later tick; the errors are joined.
func (s *Server) Tick(ctx context.Context) error {
	err := s.tickRoles(ctx)
	s.refresh(ctx)
	return err
}

// failed reports work that will be tried again.
func (s *Server) failed(stage string, err error) {
	s.noticeDamage(stage, err)
	s.countFailure(stage, err)
}

// countFailure is failed for an error whose damage has been noticed.
func (s *Server) countFailure(stage string, err error) {
	s.metrics.failures.WithLabelValues(stage).Inc()
	s.o.Logger.Warn("work failed and will be tried again", "stage", stage, "err", err)
}

// Close releases everything that New opened. It is called by Run; a server that
// is never run must be closed.
func (s *Server) Close() error {
	s.closing.Do(func() { s.closed = s.release() })
	return s.closed
}

func (s *Server) release() error {
	var errs []error
	for _, l := range s.listeners {
		if err := l.l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	errs = append(errs, s.closeRoles())
	if s.unlock != nil {
		errs = append(errs, s.unlock())
	}
	return errors.Join(errs...)
}

// Clock returns the clock that the server was given.
func (s *Server) Clock() clock.Clock { return s.o.Clock }
