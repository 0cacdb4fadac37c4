package linkability_test

import (
	"container/heap"
	"context"
	cryptorand "crypto/rand"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/credential"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/sdktest"
	"github.com/shoal-project/shoal/internal/server"
	"github.com/shoal-project/shoal/internal/server/pairing"
	"github.com/shoal-project/shoal/metric/task"
)

const day = 24 * time.Hour

// A plan is a simulation: who takes part for how long, by which routes, and which leak is
// planted.
type plan struct {
	people, days int
	routes       []route
	leak         *leak
	seed         uint64
	asleep       bool // devices are on for half the day only, around their people's hours
	wall         bool // connections over loopback, and days of a minute by the machine's clock
}

// epoch is the length of an epoch, in which people record.
func (p plan) epoch() time.Duration {
	if p.wall {
		return time.Minute
	}
	return day
}

// A world is a deployment of all roles, and the people who send through it.
type world struct {
	t       testing.TB
	plan    plan
	clock   clock.Clock
	virtual *clock.Virtual // the same, nil with the machine's
	begins  time.Time      // of the first epoch
	network *network
	record  *recorder
	random  *rand.Rand // of habits
	owner   task.IdentityKey
	orgs    map[string]*org
	tasks   []*task.Task
	bundle  []byte
	people  []*person
	work    agenda
	shown   int     // days that were announced
	sending *person // whose turn it is
	failed  error   // the last reason to wait
	sent    int
	refused int
	records int // how many were made
	unkept  int // how many of them were not kept
}

// An org is one organisation with its roles.
type org struct {
	dir, file, address, identity string
	server                       *server.Server
	stop                         func()
}

func (o *org) url() string { return "http://" + o.address }

func (o *org) party(t testing.TB, role task.Role) task.Party {
	id, err := task.ParsePublic(o.identity)
	must(t, err)
	return task.Party{Role: role, URL: o.url(), Identity: id}
}

func (o *org) identityKey(t testing.TB) task.IdentityKey {
	key, err := server.LoadIdentity(filepath.Join(o.dir, "keys", "identity.key"))
	must(t, err)
	return key
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// organisations and what they do. The roles of one task never share one.
var organisations = []struct {
	name  string
	roles []task.Role
}{
	{"relay", []task.Role{task.Relay}},
	{"first", []task.Role{task.Shuffler, task.Leader, task.Collector}},
	{"second", []task.Role{task.Analyzer, task.Helper}},
	{"third", []task.Role{task.Shuffler, task.Randomness}}, // the second of two shufflers
}

// forwarded are those that the relay forwards to, in the order in which they start and work.
var forwarded = []string{"second", "third", "first"}

func newWorld(t testing.TB, p plan) *world {
	t.Helper()
	w := &world{
		t: t, plan: p, virtual: clock.NewVirtual(sdktest.Midnight()), begins: sdktest.Midnight(), orgs: map[string]*org{},
		random: rand.New(rand.NewPCG(p.seed, 7)), //nolint:gosec // habits of simulated people
	}
	w.clock = w.virtual
	if p.wall {
		w.virtual, w.clock = nil, clock.System()
		w.begins = w.clock.Now().Truncate(2 * p.epoch()).Add(2 * p.epoch()) // some epochs are of two
	}
	w.record = newRecorder(w)
	w.network = newNetwork(w.clock, w.record.take, p.wall)
	var err error
	w.owner, err = task.GenerateIdentityKey(cryptorand.Reader)
	must(t, err)
	for i, o := range organisations {
		address := fmt.Sprintf("127.0.0.1:%d", 7001+i)
		if p.wall {
			address = freeAddress(t)
		}
		w.found(o.name, address, o.roles)
	}
	w.pair()
	for _, r := range p.routes {
		tk := r.task(w)
		tk.Metric = r.name
		tk.Protection.Relay = w.orgs["relay"].party(t, task.Relay)
		w.tasks = append(w.tasks, tk)
	}
	w.bundle = sdktest.Bundle(t, w.owner, w.tasks...)
	for _, name := range append(forwarded, "relay") {
		w.start(name)
	}
	w.record.open()
	w.populate()
	return w
}

func freeAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func (w *world) found(name, address string, roles []task.Role) {
	w.t.Helper()
	o := &org{dir: filepath.Join(w.t.TempDir(), name), address: address}
	var err error
	o.file, o.identity, err = server.Init(o.dir, server.Organisation{
		Name: name, Roles: roles, URL: o.url(), Owners: []string{task.FormatPublic(w.owner.Public())},
	}, w.clock.Now(), nil)
	must(w.t, err)
	w.orgs[name] = o
}

func (w *world) config(name string) server.Config {
	w.t.Helper()
	o := w.orgs[name]
	c, err := server.Load(o.file)
	must(w.t, err)
	c.Ops.Listen, c.Console.Listen = server.Off, server.Off
	c.Floors.MinThreshold, c.Floors.MinBatch, c.Floors.AllowNaive = 2, 2, true
	if name == "relay" {
		c.Tasks.Owners, c.Tasks.Bundles = nil, nil
		for _, to := range forwarded {
			c.Relay.Parties = append(c.Relay.Parties, server.RelayParty{URL: w.orgs[to].url(), Identity: w.orgs[to].identity})
		}
		return c
	}
	c.Tasks.Bundles = []string{filepath.Join(o.dir, "tasks.bundle")}
	if w.credentials() {
		c.Credentials.Invitations = []string{task.FormatPublic(w.owner.Public())}
	}
	return c
}

// credentials reports whether a route asks for credentials.
func (w *world) credentials() bool {
	return slices.ContainsFunc(w.tasks, func(t *task.Task) bool { return t.Protection.CredentialEpochs > 0 })
}

// pair lets leader and helper share secrets.
func (w *world) pair() {
	w.t.Helper()
	a, b := w.config("first"), w.config("second")
	theirs, theirKey, err := server.Card(b, w.clock.Now())
	must(w.t, err)
	line, err := pairing.SignCard(theirs, theirKey)
	must(w.t, err)
	parsed, err := pairing.ParseCard(line)
	must(w.t, err)
	ours, ourKey, err := server.Card(a, w.clock.Now())
	must(w.t, err)
	ledger, err := server.OpenPairings(a)
	must(w.t, err)
	invitation, err := ledger.Invite(parsed, ours, ourKey, w.clock.Now(), cryptorand.Reader)
	must(w.t, err)
	key, err := server.PairingKey(b)
	must(w.t, err)
	ledger, err = server.OpenPairings(b)
	must(w.t, err)
	_, err = ledger.Accept(invitation, &theirs, key, w.clock.Now())
	must(w.t, err)
}

func (w *world) start(name string) {
	w.t.Helper()
	o := w.orgs[name]
	c := w.config(name)
	if name != "relay" {
		must(w.t, os.WriteFile(filepath.Join(o.dir, "tasks.bundle"), w.bundle, 0o600))
	}
	options := server.Options{
		Clock: w.clock, Logger: slog.New(slog.DiscardHandler), FS: durable.Mem(), Listen: w.network.Listen, Manual: !w.plan.wall,
		Client: &http.Client{
			Transport:     &http.Transport{DialContext: w.network.dialAs(-1)},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if os.Getenv("SHOAL_LINKABILITY_LOG") != "" {
		options.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if w.plan.leak != nil && w.plan.leak.options != nil {
		w.plan.leak.options(w, name, &options)
	}
	var err error
	o.server, err = server.New(w.t.Context(), c, options)
	must(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.server.Run(ctx) }()
	o.stop = func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("stopping %s: %v", name, err)
		}
	}
}

// halt ends the servers; what was recorded is complete then.
func (w *world) halt() {
	for _, p := range w.people {
		must(w.t, p.client.Close())
	}
	for _, name := range []string{"relay", "first", "third", "second"} {
		if o := w.orgs[name]; o.stop != nil {
			o.stop()
			o.stop = nil
		}
	}
}

// A person has a device, and habits: when they use their programs, and which.
type person struct {
	id        int
	client    *shoal.Client
	hour      float64 // around which they use their programs
	favourite int
	next      time.Time     // when the client wants to send, by its clock
	offset    time.Duration // of its clock
}

// on returns after how long the person's device is on, which it is for six hours before and
// after their hour.
func (p *person) on(t time.Time) time.Duration {
	begins := time.Duration((p.hour - 6) * float64(time.Hour))
	since := t.Sub(t.Truncate(day).Add(begins))
	for since < 0 {
		since += day
	}
	if since %= day; since > day/2 {
		return day - since
	}
	return 0
}

// A skewed clock is that of a device.
type skewed struct {
	clock.Clock
	ahead time.Duration
}

func (s skewed) Now() time.Time { return s.Clock.Now().Add(s.ahead) }

func (s skewed) Until(ctx context.Context, t time.Time) error {
	return s.Clock.Until(ctx, t.Add(-s.ahead))
}

// programs that people use.
var programs = []string{"cat", "dog", "eel", "fox", "gnu", "hen", "ibex", "jay", "kite", "lynx", "mole", "newt", "owl", "pig", "quail", "rat"}

func (w *world) populate() {
	var metrics []string
	for _, r := range w.plan.routes {
		metrics = append(metrics, r.name)
	}
	for i := range w.plan.people {
		p := &person{
			id: i, hour: 24 * w.random.Float64(), favourite: w.random.IntN(len(programs)),
			offset: time.Duration(w.random.NormFloat64() * float64(20*time.Second)).Truncate(time.Millisecond),
		}
		if w.plan.wall { // epochs are short there
			p.offset /= 20
		}
		var transport http.RoundTripper = &http.Transport{DialContext: w.network.dialAs(i), DisableKeepAlives: true}
		transport = flaky(w, transport)
		if l := w.plan.leak; l != nil && l.transport != nil {
			transport = l.transport(w, p, transport)
		}
		admission, err := credential.Invite(w.owner, w.begins.Add(60*day), cryptorand.Reader)
		must(w.t, err)
		p.client, err = shoal.Open(w.t.Context(), shoal.Options{
			Bundle: w.bundle, Owner: task.FormatPublic(w.owner.Public()), Metrics: metrics, Mode: shoal.On,
			Clock: skewed{w.clock, p.offset}, NoSender: !w.plan.wall, Transport: transport, Admission: admission,
		})
		must(w.t, err)
		w.people = append(w.people, p)
		if !w.plan.wall {
			w.at(w.clock.Now(), func() { w.pass(p) })
		}
		for d := range w.plan.days {
			w.live(p, d)
		}
	}
	for h := 0; h < (w.plan.days+2)*24 && !w.plan.wall; h += 2 {
		w.at(w.begins.Add(time.Duration(h)*time.Hour+time.Minute), w.tick)
	}
}

// live plans what a person records on a day: at their hour, give or take two.
func (w *world) live(p *person, d int) {
	for _, r := range w.plan.routes {
		if every := max(1, r.every); (p.id+d)%every == 0 {
			hours := p.hour + 2*w.random.NormFloat64()
			for hours < 0 {
				hours += 24
			}
			for hours >= 24 {
				hours -= 24
			}
			at := w.begins.Add(time.Duration(d)*w.plan.epoch() + time.Duration(hours/24*float64(w.plan.epoch())))
			w.at(at, func() {
				r.record(w, p)
				w.pass(p)
			})
		}
	}
}

// pass lets a client send what is due, and come again when it wants to. By the machine's
// clock clients do so by themselves.
func (w *world) pass(p *person) {
	if w.plan.wall {
		return
	}
	if on := p.on(w.clock.Now()); w.plan.asleep && on > 0 {
		w.at(w.clock.Now().Add(on), func() { w.pass(p) })
		return
	}
	w.sending = p
	result, err := p.client.SendDue(w.t.Context())
	w.sending = nil
	must(w.t, err)
	w.sent += result.Sent
	w.refused += result.Refused
	if result.Err != nil {
		w.failed = result.Err
	}
	if next := result.Next; !next.IsZero() && !next.Equal(p.next) {
		p.next = next
		w.at(next.Add(-p.offset), func() {
			if p.next.Equal(next) {
				w.pass(p)
			}
		})
	}
}

// tick lets all organisations do what is due; what fails is tried again.
func (w *world) tick() {
	for _, name := range append(forwarded, "relay") {
		_ = w.orgs[name].server.Tick(w.t.Context())
	}
	w.record.refresh()
	if d := int(w.clock.Now().Sub(w.begins) / day); d > w.shown && w.plan.people >= 500 {
		w.shown = d
		fmt.Fprintf(os.Stderr, "day %d of %d, %d reports sent\n", d, w.plan.days, w.sent)
	}
}

// run lets the days pass.
func (w *world) run() {
	w.t.Helper()
	for w.work.Len() > 0 {
		next := heap.Pop(&w.work).(errand)
		if w.plan.wall {
			must(w.t, w.clock.Until(w.t.Context(), next.at))
		} else {
			w.virtual.Forward(next.at)
		}
		next.do()
	}
	if w.plan.wall { // the last epoch's reports leave in the next
		must(w.t, w.clock.Until(w.t.Context(), w.begins.Add(time.Duration(w.plan.days+1)*w.plan.epoch()+45*time.Second)))
	}
	w.halt()
}

func (w *world) at(t time.Time, do func()) {
	if t.After(w.begins.Add(time.Duration(w.plan.days+2) * w.plan.epoch())) {
		return
	}
	heap.Push(&w.work, errand{t, len(w.work), do})
}

// An agenda is what happens, by its time.
type agenda []errand

type errand struct {
	at time.Time
	n  int
	do func()
}

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)        { *a = append(*a, x.(errand)) }
func (a *agenda) Pop() any {
	old := *a
	x := old[len(old)-1]
	*a = old[:len(old)-1]
	return x
}
