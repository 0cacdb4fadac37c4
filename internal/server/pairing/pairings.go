package pairing

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/shoal-project/shoal/internal/dap/auth"
	"github.com/shoal-project/shoal/internal/durable"
)

// The roles that are paired.
const (
	leaderRole    = "leader"
	helperRole    = "helper"
	collectorRole = "collector"
)

// A Pairing is what an organisation knows of another one. It prints redacted.
type Pairing struct {
	Peer         string // identity
	Role         string // the peer's: leader, helper or collector
	Organisation string
	URL          string
	Created      int64 // of the invitation or the card, Unix seconds

	Seed []byte // leader and helper: of the verification keys
	// Token proves the leader to the helper (in the pairing of either with the
	// other), or the collector to the leader (in the leader's pairing with a
	// collector). Former is the one before it, which is accepted still. Older are
	// those before Former, the newest first, in the leader's pairing with a helper,
	// which may have accepted none of the later ones.
	Token  auth.Token
	Former auth.Token
	Older  []auth.Token
	// CollectorToken proves this organisation, as the collector, to the leader.
	CollectorToken auth.Token
	Keys           []byte // a collector's signed KeyConfig
}

// String names the peer and reveals no secret.
func (p Pairing) String() string {
	return fmt.Sprintf("%s %s (%s)", p.Role, p.Peer, p.Organisation)
}

// GoString is [Pairing.String].
func (p Pairing) GoString() string { return p.String() }

// Format writes [Pairing.String], whatever the verb.
func (p Pairing) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// LogValue is [Pairing.String].
func (p Pairing) LogValue() slog.Value { return slog.StringValue(p.String()) }

// maxOlder is how many tokens before Former are kept.
const maxOlder = 3

// FormerTokens returns the tokens before the present one, the oldest first.
func (p *Pairing) FormerTokens() []auth.Token {
	all := slices.DeleteFunc(append([]auth.Token{p.Former}, p.Older...), auth.Token.IsZero)
	slices.Reverse(all)
	return all
}

// A File is the file of an organisation's pairings. It is safe for concurrent use
// in one process; a running server sees what the command line changes.
type File struct {
	name string

	mu    sync.Mutex
	stamp time.Time
	size  int64
	list  []Pairing
}

// OpenFile opens the file name. A file that does not exist holds no pairings.
func OpenFile(name string) (*File, error) {
	b := &File{name: name}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b, b.refresh()
}

// List returns all pairings.
func (b *File) List() ([]Pairing, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refresh(); err != nil {
		return nil, err
	}
	return slices.Clone(b.list), nil
}

// Find returns the pairing with an identity in a role, or false.
func (b *File) Find(identity, role string) (Pairing, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refresh(); err != nil {
		return Pairing{}, false, err
	}
	p, ok := b.findHeld(identity, role)
	return p, ok, nil
}

func (b *File) find(identity, role string) (Pairing, bool) {
	p, ok, err := b.Find(identity, role)
	return p, ok && err == nil
}

func (b *File) findHeld(identity, role string) (Pairing, bool) {
	i := slices.IndexFunc(b.list, func(p Pairing) bool { return p.Peer == identity && p.Role == role })
	if i < 0 {
		return Pairing{}, false
	}
	return b.list[i], true
}

// Remove forgets the pairings with an identity.
func (b *File) Remove(identity string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refresh(); err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(b.list), func(p Pairing) bool { return p.Peer == identity })
	if len(left) == len(b.list) {
		return fmt.Errorf("removing a pairing: no pairing with %s", identity)
	}
	return b.save(left)
}

// put adds pairings or replaces those with the same peer and role; what another
// invitation brought and the new one does not stays.
func (b *File) put(made ...Pairing) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.refresh(); err != nil {
		return err
	}
	list := slices.Clone(b.list)
	for _, p := range made {
		i := slices.IndexFunc(list, func(o Pairing) bool { return o.Peer == p.Peer && o.Role == p.Role })
		if i < 0 {
			list = append(list, p)
			continue
		}
		old := list[i]
		switch {
		case p.Token.IsZero():
			p.Token, p.Former, p.Older = old.Token, old.Former, old.Older
		case !old.Token.Equal(p.Token):
			p.Former = old.Token
			if p.Role == helperRole && !old.Former.IsZero() {
				p.Older = append([]auth.Token{old.Former}, old.Older[:min(len(old.Older), maxOlder-1)]...)
			}
		default:
			p.Former, p.Older = old.Former, old.Older
		}
		if p.Seed == nil {
			p.Seed = old.Seed
		}
		if p.CollectorToken.IsZero() {
			p.CollectorToken = old.CollectorToken
		}
		list[i] = p
	}
	return b.save(list)
}

// refresh reads the file if it has changed. It is called with mu held.
func (b *File) refresh() error {
	info, err := os.Stat(b.name)
	if errors.Is(err, fs.ErrNotExist) {
		b.list, b.stamp, b.size = nil, time.Time{}, 0
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading pairings: %w", err)
	}
	if info.ModTime().Equal(b.stamp) && info.Size() == b.size {
		return nil
	}
	if mode := info.Mode().Perm(); runtime.GOOS != "windows" && mode&0o077 != 0 {
		return fmt.Errorf("reading pairings: %s is open to others (mode %04o): run \"chmod 600 %s\"", b.name, mode, b.name)
	}
	text, err := os.ReadFile(b.name)
	if err != nil {
		return fmt.Errorf("reading pairings: %w", err)
	}
	list, err := decode(text)
	if err != nil {
		return fmt.Errorf("reading pairings: %s is damaged", b.name)
	}
	b.list, b.stamp, b.size = list, info.ModTime(), info.Size()
	return nil
}

// save writes the file. It is called with mu held.
func (b *File) save(list []Pairing) error {
	text, err := encode(list)
	if err != nil {
		return fmt.Errorf("writing pairings: %w", err)
	}
	if err := durable.WriteFile(durable.OS(), b.name, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing pairings: %w", err)
	}
	b.stamp, b.size = time.Time{}, 0 // read again at the next use
	return b.refresh()
}

// PairSelf pairs the roles of one organisation with each other: a leader and a
// collector share a token, and a leader or a helper learns the collector's keys.
// It changes nothing if that has been done.
func (b *File) PairSelf(me *Card, now time.Time, rand io.Reader) error {
	if !me.Has(collectorRole) || !me.Has(leaderRole) && !me.Has(helperRole) {
		return nil
	}
	p, err := b.collector(me, now)
	if err != nil {
		return fmt.Errorf("pairing the own roles: %w", err)
	}
	old, known := b.find(p.Peer, collectorRole)
	if known && slices.Equal(old.Keys, p.Keys) && (!old.Token.IsZero() || !me.Has(leaderRole)) {
		return nil
	}
	made := []Pairing{p}
	if me.Has(leaderRole) {
		if p.Token.IsZero() {
			if p.Token, err = newToken(rand); err != nil {
				return fmt.Errorf("pairing the own roles: %w", err)
			}
		}
		made = []Pairing{p, {
			Peer: me.Identity, Role: leaderRole, Organisation: me.Organisation, URL: me.URL,
			Created: p.Created, CollectorToken: p.Token,
		}}
	}
	return b.put(made...)
}
