package credential

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/durable"
	"github.com/shoal-project/shoal/internal/redact"
	"github.com/shoal-project/shoal/metric/task"
)

type secret = redact.Secret

// WalletOptions are the settings of a wallet. Key, Open and Tasks must be given.
type WalletOptions struct {
	secret
	Dir string
	Key []byte // 32 bytes: seals the wallet at rest
	// Open checks the signatures of what an issuer has announced for a slot of a task, that
	// of the task's relay included, and returns the announcement.
	Open func(t *task.Task, s Slot, signed []byte) ([]byte, error)
	// Tasks opens the signed tasks that the wallet keeps.
	Tasks func(signed []byte) (*task.Task, task.ID, error)
	// Admission is what the issuers' gates ask for: an invitation code, or what an
	// organisation's own gate takes; at most 4096 bytes. Enrol stores it for other
	// processes; none leaves what is stored.
	Admission []byte

	Clock clock.Clock // default: the system's
	Rand  io.Reader   // default: crypto/rand; what a client shows always has that
	FS    durable.FS  // nil: the machine's, shared between processes
}

// A Wallet keeps a client's credentials, durably. It is safe for concurrent use, and
// between processes if it is on the machine's file system.
type Wallet struct {
	secret
	o      WalletOptions
	shared bool
	seal   sealer
	mu     sync.Mutex // one operation at a time
	fetch  sync.Mutex // one Fetch at a time
}

var (
	// ErrWait means that there is no credential yet: the report has to wait.
	ErrWait = errors.New("no credential of this period yet")
	// ErrExhausted means that the client has made all presentations that its
	// credential allows in a context.
	ErrExhausted = errors.New("the credential allows no further presentation here")
)

// OpenWallet opens the wallet in a directory, which it makes with the first change.
func OpenWallet(o WalletOptions) (*Wallet, error) {
	if o.Clock == nil {
		o.Clock = clock.System()
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	w := &Wallet{o: o, shared: o.FS == nil}
	if w.shared {
		w.o.FS = durable.OS()
	}
	if o.Open == nil || o.Tasks == nil || len(o.Admission) > maxAdmission {
		return nil, fmt.Errorf("opening wallet: checks must be given, and an admission of at most %d bytes", maxAdmission)
	}
	var err error
	if w.seal, err = newSealer(o.Key); err != nil {
		return nil, fmt.Errorf("opening wallet: %w", err)
	}
	err = w.read(func(*contents) error { return nil })
	if err != nil {
		return nil, fmt.Errorf("opening wallet: %w", err)
	}
	return w, nil
}

func (w *Wallet) file() string { return filepath.Join(w.o.Dir, "wallet") }

func (w *Wallet) lock() (func() error, error) {
	if !w.shared {
		return func() error { return nil }, nil
	}
	return durable.Lock(filepath.Join(w.o.Dir, "wallet.lock"))
}

// read calls f with the contents, which it must not change.
func (w *Wallet) read(f func(*contents) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	c, err := w.load()
	if err != nil {
		return err
	}
	return f(c)
}

func (w *Wallet) load() (*contents, error) {
	b, err := durable.ReadFile(w.o.FS, w.file())
	if errors.Is(err, fs.ErrNotExist) {
		return newContents(), nil
	}
	if err != nil {
		return nil, err
	}
	plain, err := w.seal.open(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.file(), err)
	}
	return parseContents(plain)
}

// change calls f with the contents and makes its changes durable before it returns,
// if f returns true.
func (w *Wallet) change(f func(*contents) (bool, error)) (err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.o.FS.MkdirAll(w.o.Dir, 0o700); err != nil {
		return err
	}
	unlock, err := w.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	c, err := w.load()
	if err != nil {
		return err
	}
	changed, err := f(c)
	if err != nil || !changed {
		return err
	}
	plain, err := c.encode()
	if err != nil {
		return err
	}
	b, err := w.seal.seal(plain, w.o.Rand)
	if err != nil {
		return err
	}
	return durable.WriteFile(w.o.FS, w.file(), b, 0o600)
}

// Enrol makes the wallet fetch credentials for a signed task, from now on, until the
// task is over. Again changes nothing. Tasks without credentials are passed over.
func (w *Wallet) Enrol(signed []byte) error {
	t, id, err := w.o.Tasks(signed)
	if err != nil {
		return fmt.Errorf("enrolling for credentials: %w", err)
	}
	if len(asking(t)) == 0 {
		return nil
	}
	err = w.change(func(c *contents) (bool, error) {
		_, known := c.tasks[id]
		admitted := len(w.o.Admission) == 0 || bytes.Equal(c.admission, w.o.Admission)
		if known && admitted {
			return false, nil
		}
		c.tasks[id] = signed
		if !admitted {
			c.admission = w.o.Admission
			for _, h := range c.held {
				if h.attempts > 0 {
					h.next, h.late = 0, false // it may have been refused for what was shown: a new time is drawn
				}
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("enrolling for credentials of %q: %w", t.Metric, err)
	}
	return nil
}

// Leave ends fetching for the tasks that gone names. Credentials stay until their
// periods are over, so that taking part again gives no second one.
func (w *Wallet) Leave(gone func(*task.Task) bool) error {
	if nothing, err := w.empty(); err != nil || nothing {
		return err
	}
	return w.change(func(c *contents) (bool, error) {
		changed := false
		for id, signed := range c.tasks {
			if t, _, err := w.o.Tasks(signed); err != nil || gone(t) {
				delete(c.tasks, id)
				changed = true
			}
		}
		return changed, nil
	})
}

// empty reports whether there is nothing in the wallet.
func (w *Wallet) empty() (empty bool, err error) {
	err = w.read(func(c *contents) error {
		empty = len(c.tasks)+len(c.held)+len(c.used) == 0
		return nil
	})
	return empty, err
}

// Shown are nonces of the credentials of all parties, for one report: allocated, so
// that no other report gets them.
type Shown struct {
	secret
	of []showing
}

type showing struct {
	party      task.Party
	credential *arc.Credential
	contexts   []Context
	nonces     []uint32
}

// Allocate allocates what the parties of t that are hops ask for with one report of an
// epoch, a crowd and, in hardened tasks, a quorum tag, durably. It returns [ErrWait] if
// a credential is missing and [ErrExhausted] if there is no nonce left; then it
// allocates none.
func (w *Wallet) Allocate(t *task.Task, e task.Epoch, crowd, quorum []byte) (*Shown, error) {
	return w.allocate(t, e, crowd, quorum, nil)
}

// AllocateReport is [Wallet.Allocate] for a report that has an ID and no tags: the same ID gets
// the same nonces again, for a report that must be sealed again or was when a crash came.
func (w *Wallet) AllocateReport(t *task.Task, e task.Epoch, report []byte) (*Shown, error) {
	return w.allocate(t, e, nil, nil, report)
}

func (w *Wallet) allocate(t *task.Task, e task.Epoch, crowd, quorum, report []byte) (*Shown, error) {
	shown := new(Shown)
	err := w.change(func(c *contents) (bool, error) {
		shown.of = shown.of[:0]
		for _, p := range t.Hops {
			s, asks := SlotOf(t, p, e)
			if !asks {
				continue
			}
			tag := crowd
			if p.Role == task.Analyzer {
				tag = quorum
			}
			of, err := c.showing(t, s, p, ContextsOf(t, p, e, tag), report, t.Closes(e).Unix())
			if err != nil {
				return false, fmt.Errorf("%v %s: %w", p.Role, p.URL, err)
			}
			shown.of = append(shown.of, of)
		}
		return true, nil
	})
	if err != nil {
		return nil, fmt.Errorf("credentials of metric %q: %w", t.Metric, err)
	}
	return shown, nil
}

// Tag returns the tag that the first presentation for a party will have.
func (s *Shown) Tag(p task.Party) (arc.Tag, error) {
	for _, of := range s.of {
		if of.party.Role != p.Role || string(of.party.Identity) != string(p.Identity) {
			continue
		}
		context, err := arc.NewContext(of.contexts[0].Data[:], of.contexts[0].Limit)
		if err != nil {
			return arc.Tag{}, err
		}
		return of.credential.Tag(context, of.nonces[0])
	}
	return arc.Tag{}, fmt.Errorf("nothing is shown to the %v", p.Role)
}

// Present makes the presentations for a party, in the order of its kinds, bound to one
// report.
func (s *Shown) Present(p task.Party, binding []byte) ([][]byte, error) {
	for _, of := range s.of {
		if of.party.Role != p.Role || string(of.party.Identity) != string(p.Identity) {
			continue
		}
		var all [][]byte
		for i, c := range of.contexts {
			context, err := arc.NewContext(c.Data[:], c.Limit)
			if err != nil {
				return nil, err
			}
			made, err := of.credential.Present(rand.Reader, context, of.nonces[i], binding)
			if err != nil {
				return nil, err
			}
			all = append(all, made.Bytes())
		}
		return all, nil
	}
	return nil, nil
}

// A Missing is a credential that a wallet does not have, for status pages.
type Missing struct {
	Metric string
	Role   task.Role
	Start  time.Time // of the period
	Next   time.Time // when it is fetched
	Err    string    // of the last attempt
}

// Missing returns the credentials that are not there yet.
func (w *Wallet) Missing() ([]Missing, error) {
	var all []Missing
	err := w.read(func(c *contents) error {
		for _, h := range c.sorted() {
			if h.credential == nil {
				all = append(all, Missing{
					Metric: h.slot.Metric, Role: h.slot.Role, Start: time.Unix(h.slot.Start, 0).UTC(),
					Next: time.UnixMilli(h.next).UTC(), Err: h.failure,
				})
			}
		}
		return nil
	})
	return all, err
}

// earlier returns the earlier of two times; the zero time does not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// compareHeld orders credentials by when they are fetched.
func compareHeld(a, b *held) int {
	return cmp.Or(cmp.Compare(a.next, b.next), cmp.Compare(a.slot.name(), b.slot.name()), cmp.Compare(string(a.slot.Party[:]), string(b.slot.Party[:])))
}
