package parties

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/shoal-project/shoal/cmd/shoal/internal/received"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/metric"
	"github.com/shoal-project/shoal/metric/task"
)

// Config lists which organisations there are and what they are asked.
type Config struct {
	Dir   string    // of all organisations; made if missing
	Start time.Time // the virtual clock's first reading
	Rand  io.Reader // keys

	Shufflers  int  // of the crowd route; 0 for no crowd route
	Aggregates bool // whether there is an aggregate route
	Relay      bool // whether devices reach the others through a relay
	Protected  bool // whether clients need credentials, for Invite, and a quorum is hardened

	// Questions returns the questions, once the parties are known.
	Questions func([]task.Party) (*metric.File, error)
	// Now is the moment at which questions are checked; zero means Start.
	Now time.Time

	Configure   func(*server.Config) // changes each organisation's configuration; may be nil
	Console     func(*server.Server) (http.Handler, error)
	ConsoleAddr string // of the last organisation's console; "" for any free loopback port
	Logger      *slog.Logger
	Record      bool // keep all that the organisations receive, for Received
}

// Parties are organisations that run until Close.
type Parties struct {
	Clock  *clock.Virtual
	Owner  string        // the public key of the questions' owner
	Bundle []byte        // the signed questions
	Opened []task.Opened // the same

	config  Config
	owner   task.IdentityKey
	servers []*server.Server
	relay   *server.Server // nil without one
	records []received.Party
	stop    context.CancelFunc
	done    *errgroup.Group
}

// organisation is one before its server runs.
type organisation struct {
	name     string
	roles    []task.Role
	dir      string
	listener net.Listener
	config   string // file name
	identity string
}

func (o organisation) url() string { return "http://" + o.listener.Addr().String() }

// Start makes keys and configurations, signs the questions and runs the servers.
func Start(ctx context.Context, c Config) (*Parties, error) {
	p := &Parties{config: c, Clock: clock.NewVirtual(c.Start)}
	if err := p.build(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Parties) build(ctx context.Context) (err error) {
	if p.owner, err = task.GenerateIdentityKey(p.config.Rand); err != nil {
		return err
	}
	p.Owner = task.FormatPublic(p.owner.Public())
	var all []organisation
	var relay *organisation
	unused := func() { // listeners that no server has taken
		if relay != nil && p.relay == nil {
			err = errors.Join(err, relay.listener.Close())
		}
		for _, o := range all {
			err = errors.Join(err, o.listener.Close())
		}
	}
	for _, f := range p.founders() {
		o, err := p.found(f)
		if err != nil {
			unused()
			return err
		}
		all = append(all, o)
	}
	named, err := p.parties(all)
	if err != nil {
		unused()
		return err
	}
	if p.config.Relay {
		if relay, err = p.foundRelay(named); err != nil {
			unused()
			return err
		}
		key, err := task.ParsePublic(relay.identity)
		if err != nil {
			unused()
			return err
		}
		named = append(named, task.Party{Role: task.Relay, URL: relay.url(), Identity: key})
	}
	if err := p.agree(all, named); err != nil {
		unused()
		return err
	}
	ctx, p.stop = context.WithCancel(ctx)
	p.done, ctx = errgroup.WithContext(ctx)
	if relay != nil {
		if p.relay, err = p.serve(ctx, *relay, false); err != nil {
			unused()
			return err
		}
	}
	// The last one first: the leader's organisation does not ask others for keys to start,
	// and the helper's would wait for it.
	p.servers = make([]*server.Server, len(all))
	for len(all) > 0 {
		i := len(all) - 1
		o := all[i]
		all = all[:i]
		s, err := p.serve(ctx, o, i == len(p.servers)-1)
		if err != nil {
			unused()
			return err
		}
		p.servers[i] = s
	}
	return nil
}

type founder struct {
	folder, name string
	roles        []task.Role
}

// founders returns which organisations play which roles.
func (p *Parties) founders() []founder {
	last := founder{folder: "analyzer-org", name: "Example Metrics"}
	var all []founder
	for i := range max(1, p.config.Shufflers) {
		f := founder{folder: "shuffler-org", name: "Shuffling Society"}
		if i > 0 {
			f.folder, f.name = fmt.Sprintf("shuffler-org-%d", i+1), fmt.Sprintf("Shuffling Society %d", i+1)
		}
		if p.config.Shufflers > 0 {
			f.roles = append(f.roles, task.Shuffler)
		}
		all = append(all, f)
	}
	if p.config.Shufflers > 0 {
		last.roles = append(last.roles, task.Analyzer)
	}
	if p.config.Aggregates {
		all[0].roles = append(all[0].roles, task.Helper)
		last.roles = append(last.roles, task.Leader, task.Collector)
	}
	if p.config.Protected {
		all = append(all, founder{folder: "randomness-org", name: "Randomness Trust", roles: []task.Role{task.Randomness}})
	}
	return append(all, last)
}

// found initialises an organisation on a free loopback port.
func (p *Parties) found(f founder) (organisation, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return organisation{}, fmt.Errorf("finding a port for %s: %w", f.name, err)
	}
	o := organisation{name: f.name, roles: f.roles, dir: filepath.Join(p.config.Dir, f.folder), listener: l}
	about := server.Organisation{Name: f.name, Roles: f.roles, URL: o.url(), Listen: l.Addr().String(), Owners: []string{p.Owner}}
	o.config, o.identity, err = server.Init(o.dir, about, p.Clock.Now(), p.config.Rand)
	if err != nil {
		return organisation{}, errors.Join(err, l.Close())
	}
	return o, nil
}

// foundRelay initialises the relay of the parties.
func (p *Parties) foundRelay(named []task.Party) (*organisation, error) {
	o, err := p.found(founder{folder: "relay-org", name: "Relaying Union", roles: []task.Role{task.Relay}})
	if err != nil {
		return nil, err
	}
	list, listed := "relay:\n  parties:\n", map[string]bool{}
	for _, n := range named {
		key := task.FormatPublic(n.Identity)
		if n.Role != task.Collector && !listed[key] { // one organisation may have two roles
			list += fmt.Sprintf("    - {url: %q, identity: %q}\n", n.URL, key)
			listed[key] = true
		}
	}
	b, err := os.ReadFile(o.config)
	if err == nil {
		err = os.WriteFile(o.config, bytes.Replace(b, []byte("relay:\n  parties: []\n"), []byte(list), 1), 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, o.listener.Close())
	}
	return &o, nil
}

// agree pairs the aggregators, signs the questions and gives them to everybody.
func (p *Parties) agree(all []organisation, named []task.Party) error {
	first, last := all[0], all[len(all)-1]
	if p.config.Aggregates {
		if err := pair(first, last, p.Clock.Now(), p.config.Rand); err != nil {
			return err
		}
	}
	file, err := p.config.Questions(named)
	if err != nil {
		return err
	}
	now := p.config.Now
	if now.IsZero() {
		now = p.Clock.Now()
	}
	bundle, err := file.Build(named, p.owner, now)
	if err != nil {
		return err
	}
	if p.Bundle, err = bundle.Encode(); err != nil {
		return fmt.Errorf("signing questions: %w", err)
	}
	if p.Opened, err = bundle.Open([]ed25519.PublicKey{p.owner.Public()}); err != nil {
		return err
	}
	for _, o := range all {
		if err := os.WriteFile(o.bundle(), p.Bundle, 0o600); err != nil {
			return fmt.Errorf("handing over the questions: %w", err)
		}
	}
	return nil
}

func (o organisation) bundle() string { return filepath.Join(o.dir, "tasks.bundle") }

// parties names the organisations as tasks do.
func (p *Parties) parties(all []organisation) ([]task.Party, error) {
	first, last := all[0], all[len(all)-1]
	var named []task.Party
	add := func(role task.Role, url, identity string) error {
		key, err := task.ParsePublic(identity)
		named = append(named, task.Party{Role: role, URL: url, Identity: key})
		return err
	}
	var errs []error
	if p.config.Shufflers > 0 {
		for _, o := range all[:p.config.Shufflers] {
			errs = append(errs, add(task.Shuffler, o.url(), o.identity))
		}
		errs = append(errs, add(task.Analyzer, last.url(), last.identity))
		if p.config.Protected {
			o := all[p.config.Shufflers]
			errs = append(errs, add(task.Randomness, o.url(), o.identity))
		}
	}
	if p.config.Aggregates {
		c, _, err := card(last, p.Clock.Now())
		errs = append(errs, err,
			add(task.Leader, last.url(), last.identity), add(task.Helper, first.url(), first.identity), add(task.Collector, "", c.Collector))
	}
	return named, errors.Join(errs...)
}

// serve starts an organisation's server on its listener.
func (p *Parties) serve(ctx context.Context, o organisation, last bool) (*server.Server, error) {
	c, err := server.Load(o.config)
	if err != nil {
		return nil, errors.Join(err, o.listener.Close())
	}
	if c.Has(task.Relay) { // which knows of no tasks
		c.Relay.Issuances = 1 << 20 // all devices may have one address
	} else {
		c.Tasks.Bundles = []string{o.bundle()}
	}
	if p.config.Protected && !c.Has(task.Relay) {
		c.Credentials.Invitations = []string{p.Owner}
	}
	c.Ops.Listen = "127.0.0.1:0"
	c.Console.Listen = server.Off
	if p.config.Configure != nil {
		p.config.Configure(&c)
	}
	options := server.Options{
		Clock: p.Clock, Rand: p.config.Rand, Logger: p.config.Logger, Manual: true,
	}
	public := o.listener
	if p.config.Record {
		r := &received.Recorder{}
		p.records = append(p.records, received.Party{Name: o.name, Roles: o.roles, Dir: o.dir, Recorder: r})
		public, options.Client = r.Listener(public), recordedClient(r)
	}
	options.Listen = func(network, address string) (net.Listener, error) {
		if address == o.listener.Addr().String() {
			return public, nil
		}
		return net.Listen(network, address)
	}
	if last && p.config.Console != nil {
		options.Console, c.Console.Listen = p.config.Console, p.config.ConsoleAddr
		if c.Console.Listen == "" {
			c.Console.Listen = "127.0.0.1:0"
		}
	}
	s, err := server.New(ctx, c, options)
	if err != nil {
		return nil, errors.Join(err, o.listener.Close())
	}
	p.done.Go(func() error { return s.Run(ctx) })
	return s, nil
}

// Invite returns an invitation of the questions' owner, for the credentials of one device.
func (p *Parties) Invite() (string, error) {
	return credential.Invite(p.owner, p.Clock.Now().AddDate(0, 0, 90), p.config.Rand)
}

// First returns the server of the organisation that devices send to.
func (p *Parties) First() *server.Server { return p.servers[0] }

// Results returns the server of the organisation that has the results.
func (p *Parties) Results() *server.Server { return p.servers[len(p.servers)-1] }

// Received returns what the organisations have received so far, in the order in which
// reports pass them. It is for parties that record.
func (p *Parties) Received() []received.Party {
	all := slices.Clone(p.records)
	if p.relay != nil { // the others began with the last one
		slices.Reverse(all[1:])
		return all
	}
	slices.Reverse(all)
	return all
}

// recordedClient reaches other organisations on this machine.
func recordedClient(r *received.Recorder) *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DialContext: r.Dial((&net.Dialer{}).DialContext), MaxIdleConnsPerHost: 4},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Tick does all work of all organisations that is due, in the order in which
// reports pass them.
func (p *Parties) Tick(ctx context.Context) error {
	var errs []error
	for _, s := range p.servers {
		errs = append(errs, s.Tick(ctx))
	}
	return errors.Join(errs...)
}

// ConsoleURL returns where the console is, or "".
func (p *Parties) ConsoleURL() string {
	if addr := p.Results().Addr("console"); addr != "" {
		return "http://" + addr + "/"
	}
	return ""
}

// Close stops the servers.
func (p *Parties) Close() error {
	if p.stop == nil {
		return nil
	}
	p.stop()
	return p.done.Wait()
}
