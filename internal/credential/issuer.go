package credential

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/spent"
	"github.com/shoal-project/shoal/metric/task"
)

// keep is how long a key outlives the last report of its period at the first hop.
const keep = 14 * 24 * time.Hour

// maxContexts bounds the presentation contexts that are kept, of about 8 kB each.
const maxContexts = 2048

// An IssuerConfig is what an [Issuer] is made of. All but Clock and Rand must be given.
type IssuerConfig struct {
	FS    durable.FS // holds Dir
	Dir   string     // of this issuer alone; outside backups: see the package documentation
	Role  task.Role
	Party []byte       // the identity key, public
	Tasks []*task.Task // those in which the party has the role; those without credentials are passed over
	Gates []Gate       // all of them must admit a client
	// Store keeps keys and lists where several processes share them; nil: files in Dir.
	Store Store
	// Keep is how long a key outlives the last report of its period at the first hop; 0
	// means 14 days.
	Keep time.Duration
	// Sign signs what is announced for a slot: the bytes that clients get.
	Sign func(s Slot, announcement []byte) ([]byte, error)
	// Witnessed returns what Sign has returned for a slot with the signature of the task's
	// relay, nil if that has not signed it yet: the bytes that clients of tasks with a relay
	// get. It asks nobody. It must be given if there is such a task.
	Witnessed func(t *task.Task, s Slot) []byte
	Clock     clock.Clock
	Rand      io.Reader // keys; default: crypto/rand
}

// An Issuer issues credentials of one party, and verifies them. It is safe for
// concurrent use.
type Issuer struct {
	c        IssuerConfig
	contexts *arc.Contexts
	store    Store

	mu    sync.Mutex
	tasks map[task.ID]issued
	// policies are tasks by the purpose of their slots.
	policies map[string][]issued
	open     map[Slot]*period // by name of the slot
}

// issued is a task for whose reports credentials are issued.
type issued struct {
	task  *task.Task
	party task.Party
}

// A period is a slot whose key is there.
type period struct {
	slot      Slot
	key       *arc.PrivateKey
	verifier  *arc.Verifier
	announced []byte // signed
}

var (
	// ErrNoKey means that no credential was issued for a slot.
	ErrNoKey = errors.New("no credentials were issued for this period")
	// ErrLost means that a key that had been announced is missing or damaged.
	ErrLost = errors.New("the key of this period is lost: restore its folder")
	// errUsed means that another request of the same client was answered.
	errUsed = errors.New("a credential was issued for another request")
	// ErrPeriod means a policy or a period that there is not: periods are the present one
	// and the next.
	ErrPeriod = errors.New("neither the present period nor the next")
	// errUnsigned means that the relay of a task has not signed a key yet.
	errUnsigned = errors.New("the relay has not signed the key of this period yet")
)

// NewIssuer returns the issuer of a party.
func NewIssuer(c IssuerConfig) (*Issuer, error) {
	if (c.FS == nil || c.Dir == "") && c.Store == nil || c.Sign == nil || len(c.Party) != 32 {
		return nil, errors.New("starting issuer: files, directory, identity and signer must be given")
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	i := &Issuer{c: c, tasks: map[task.ID]issued{}, policies: map[string][]issued{}, contexts: arc.NewContexts(maxContexts), open: map[Slot]*period{}}
	if c.Keep == 0 {
		i.c.Keep = keep
	}
	for _, t := range c.Tasks {
		if err := i.Serve(t); err != nil {
			return nil, fmt.Errorf("starting issuer: %w", err)
		}
	}
	if i.store = c.Store; i.store == nil {
		var err error
		if i.store, err = OpenFiles(c.FS, c.Dir); err != nil {
			return nil, fmt.Errorf("starting issuer: %w", err)
		}
	}
	return i, nil
}

// Serve adds a task. One that is there or requires no credentials of the party changes
// nothing.
func (i *Issuer) Serve(t *task.Task) error {
	id, err := t.ID()
	if err != nil {
		return err
	}
	parties := t.Parties()
	at := slices.IndexFunc(parties, func(p task.Party) bool { return p.Role == i.c.Role && string(p.Identity) == string(i.c.Party) })
	if at < 0 || len(t.Presentations(parties[at])) == 0 {
		return nil
	}
	if len(i.c.Gates) == 0 {
		return errors.New("a task requires credentials, but there is no gate that says who gets one")
	}
	if t.Relayed() && i.c.Witnessed == nil {
		return fmt.Errorf("metric %q has a relay, and its signatures are not given", t.Metric)
	}
	of := issued{t, parties[at]}
	slot, _ := SlotOf(t, of.party, 0)
	i.mu.Lock()
	defer i.mu.Unlock()
	if _, there := i.tasks[id]; !there {
		i.tasks[id] = of
		i.policies[slot.Purpose()] = append(i.policies[slot.Purpose()], of)
	}
	return nil
}

// task returns a task that is served.
func (i *Issuer) task(id task.ID) (issued, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	of, ok := i.tasks[id]
	return of, ok
}

// Lost returns the names of the slots whose keys or lists were there and are missing or
// damaged: of their periods nothing is issued or verified.
func (i *Issuer) Lost() []string { return i.store.Lost() }

// Cut returns how many rows of lists of issued credentials were damaged at their ends,
// since the start: maybe their clients can get another. See [spent.List.Cut].
func (i *Issuer) Cut() int {
	if own, ok := i.store.(*files); ok {
		return own.cutRows()
	}
	return 0
}

// Tick destroys the keys, lists and spent tags of periods of which no report can be
// taken any more.
func (i *Issuer) Tick() error {
	now := i.c.Clock.Now()
	gone, err := i.store.Expire(now.Unix())
	i.mu.Lock()
	defer i.mu.Unlock()
	for s := range i.open {
		if slices.Contains(gone, s.name()) {
			delete(i.open, s)
		}
	}
	return err
}

// Close closes the store. Nothing else is called afterwards.
func (i *Issuer) Close() error { return i.store.Close() }

// slot returns the slot of a task that starts at a time, if it is that of the present
// period or the next.
func (i *Issuer) slot(of issued, start int64) (Slot, error) {
	now := i.c.Clock.Now()
	e := of.task.EpochAt(now)
	_, end := of.task.CredentialPeriod(e)
	for _, e := range []task.Epoch{e, end} {
		if s, ok := SlotOf(of.task, of.party, e); ok && s.Start == start && s.End > of.task.NotBefore && s.Start < of.task.Expires {
			return s, nil
		}
	}
	return Slot{}, ErrPeriod
}

// period returns the slot's key, which it makes if it never was there.
func (i *Issuer) period(of issued, s Slot) (*period, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	p, err := i.known(s)
	if !errors.Is(err, ErrNoKey) {
		return p, err
	}
	key, err := arc.GenerateKey(i.c.Rand)
	if err != nil {
		return nil, err
	}
	_, end := of.task.CredentialPeriod(of.task.EpochAt(time.Unix(s.Start, 0)))
	b, err := i.store.Create(s.name(), key.Bytes(), of.task.Closes(end-1).Add(i.c.Keep).Unix())
	if err != nil {
		return nil, err
	}
	if key, err = arc.ParsePrivateKey(b); err != nil { // another process was first
		return nil, err
	}
	return i.enter(s, key)
}

// known returns the slot's key if it is there. The caller holds mu.
func (i *Issuer) known(s Slot) (*period, error) {
	if p := i.open[s]; p != nil {
		return p, nil
	}
	b, err := i.store.Key(s.name())
	if err != nil {
		return nil, err
	}
	key, err := arc.ParsePrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", s.name(), ErrLost, err)
	}
	return i.enter(s, key)
}

func (i *Issuer) enter(s Slot, key *arc.PrivateKey) (*period, error) {
	p := &period{slot: s, key: key, verifier: key.Verifier(s.RequestContext())}
	a := &announcement{public: key.Public()}
	for _, g := range i.c.Gates {
		g.announce(a)
	}
	var err error
	if p.announced, err = i.c.Sign(s, a.encode()); err != nil {
		return nil, fmt.Errorf("announcing a credential key: %w", err)
	}
	i.open[s] = p
	return p, nil
}

// announcement returns what clients get of the key of a period: the party's statement, and
// of a task with a relay, only with the relay's signature.
func (i *Issuer) announcement(of issued, start int64) ([]byte, error) {
	s, err := i.slot(of, start)
	if err != nil {
		return nil, err
	}
	if of.task.Relayed() {
		b := i.c.Witnessed(of.task, s)
		if b == nil {
			return nil, errUnsigned
		}
		return b, nil
	}
	p, err := i.period(of, s)
	if err != nil {
		return nil, err
	}
	return p.announced, nil
}

// Statement returns the party's statement of the key of a policy, by [Slot.Purpose] and the
// start of a period, in Unix seconds: the same bytes at any time. It makes the key if it
// never was there. It fails with [ErrPeriod] for what there is not.
func (i *Issuer) Statement(purpose string, start int64) ([]byte, error) {
	i.mu.Lock()
	policy := slices.Clone(i.policies[purpose])
	i.mu.Unlock()
	for _, of := range policy {
		s, err := i.slot(of, start)
		if err != nil {
			continue // of another version of the metric
		}
		p, err := i.period(of, s)
		if err != nil {
			return nil, err
		}
		return p.announced, nil
	}
	return nil, ErrPeriod
}

// A Relayed is a slot of a task with a relay.
type Relayed struct {
	Task *task.Task
	Slot Slot
}

// Relayed returns the slots of this period and the next whose keys relays are to sign.
func (i *Issuer) Relayed() []Relayed {
	var all []Relayed
	now := i.c.Clock.Now()
	i.mu.Lock()
	tasks := maps.Clone(i.tasks)
	i.mu.Unlock()
	for _, of := range tasks {
		if !of.task.Relayed() {
			continue
		}
		e := of.task.EpochAt(now)
		_, next := of.task.CredentialPeriod(e)
		for _, e := range []task.Epoch{e, next} {
			any, _ := SlotOf(of.task, of.party, e)
			if s, err := i.slot(of, any.Start); err == nil {
				all = append(all, Relayed{of.task, s})
			}
		}
	}
	return all
}

// issue answers an application. The answer to an equal one is equal.
func (i *Issuer) issue(ctx context.Context, of issued, a *application) ([]byte, error) {
	var names []byte
	for _, g := range i.c.Gates {
		name, err := g.admit(ctx, a, i.c.Clock.Now())
		if err != nil {
			return nil, err
		}
		names = append(append(names, uint8(len(name)>>8), uint8(len(name))), name...)
	}
	p, err := i.period(of, a.slot)
	if err != nil {
		return nil, err
	}
	q, err := arc.ParseRequest(a.request)
	if err != nil {
		return nil, err
	}
	response, err := p.key.Issue(p.key.Randomness(q), q)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(names, func(b byte) bool { return b != 0 }) { // some gate tells clients apart
		if err := i.enlist(p, names, a.request); err != nil {
			return nil, err
		}
	}
	return response.Bytes(), nil
}

// enlist notes durably which request of a client was answered.
func (i *Issuer) enlist(p *period, client, request []byte) error {
	mac := hmac.New(sha256.New, p.key.Bytes())
	mac.Write([]byte("shoal credential client v1"))
	mac.Write(client)
	digest := sha256.Sum256(request)
	err := i.store.Spend(p.slot.name(), spent.Row{Tag: [16]byte(mac.Sum(nil)[:16]), On: [16]byte(digest[:16])})
	if errors.Is(err, spent.ErrSpent) {
		return errUsed
	}
	return err
}

// A Verifier checks presentations of the credentials of one slot. It is safe for use
// by several goroutines.
type Verifier struct {
	key      *arc.Verifier
	contexts *arc.Contexts
}

// Verifier returns the verifier of the credentials that the issuer's party asks for
// with reports of t, whose ID is id, in epoch e. It fails with [ErrNoKey] if none were
// issued, and [ErrLost] if their key is gone.
func (i *Issuer) Verifier(id task.ID, e task.Epoch) (*Verifier, error) {
	of, ok := i.task(id)
	if !ok {
		return nil, ErrNoKey
	}
	s, ok := SlotOf(of.task, of.party, e)
	if !ok {
		return nil, ErrNoKey
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	p, err := i.known(s)
	if err != nil {
		return nil, err
	}
	return &Verifier{p.verifier, i.contexts}, nil
}

// Verify checks a presentation in a context with its binding, and returns its tag.
func (v *Verifier) Verify(c Context, presentation, binding []byte) (arc.Tag, error) {
	p, err := arc.ParsePresentation(presentation, c.Limit)
	if err != nil {
		return arc.Tag{}, err
	}
	of, err := v.contexts.Get(c.Data[:], c.Limit)
	if err != nil {
		return arc.Tag{}, err
	}
	return v.key.Verify(of, p, binding)
}

// SpentDir returns the folder for the tags that were spent with the credentials that
// the issuer's party asks for with reports of t in epoch e. It is destroyed with the
// key.
func (i *Issuer) SpentDir(id task.ID, e task.Epoch) (string, error) {
	of, served := i.task(id)
	if !served {
		return "", ErrNoKey
	}
	s, ok := SlotOf(of.task, of.party, e)
	files, own := i.store.(*files)
	if !ok || !own {
		return "", ErrNoKey
	}
	return files.spentDir(s.name()), nil
}

// compareNames orders names of slots.
func compareNames(a, b entry) int { return cmp.Compare(a.Slot, b.Slot) }
