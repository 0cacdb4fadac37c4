package credential

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/crypto/arc"
	"github.com/shoal-project/shoal/metric/task"
)

// A held is a credential that a client has, or is to fetch.
type held struct {
	slot     Slot
	relay    [32]byte // identity of the relay through which all is fetched; zero: none
	until    int64    // Unix seconds: when it is of no more use
	next     int64    // milliseconds: when it is fetched
	attempts uint32
	late     bool   // its time passed while no program ran, and it got another
	failure  string // of the last attempt

	// What the request is made of, from before its first sending on. The public key
	// stays: a client takes one key for a period, ever.
	public  []byte
	secrets []byte
	request []byte
	work    uint64
	gates   gateSet

	credential []byte // nil: to be fetched
}

type heldKey struct {
	party [32]byte
	name  string
}

func (h *held) key() heldKey { return heldKey{h.slot.Party, h.slot.name()} }

// A nonceKey is a context of one issuer's credentials.
type nonceKey [16]byte

// A used says which nonces of a context are allocated: those below next.
type used struct {
	next  uint32
	until int64
}

// contents are what a wallet's file holds.
type contents struct {
	admission []byte // what is shown to gates
	tasks     map[task.ID][]byte
	held      map[heldKey]*held
	used      map[nonceKey]used
}

func newContents() *contents {
	return &contents{tasks: map[task.ID][]byte{}, held: map[heldKey]*held{}, used: map[nonceKey]used{}}
}

func (c *contents) sorted() []*held { return slices.SortedFunc(maps.Values(c.held), compareHeld) }

// showing allocates one nonce in each context, for a report that has an ID if that is not
// nil. A report that goes through a relay shows no credential that was fetched beside it.
func (c *contents) showing(t *task.Task, s Slot, p task.Party, contexts []Context, report []byte, until int64) (showing, error) {
	h := c.held[heldKey{s.Party, s.name()}]
	if h == nil || h.credential == nil || t.Relayed() && h.relay != relayOf(t) {
		return showing{}, ErrWait
	}
	credential, err := arc.ParseCredential(h.credential)
	if err != nil {
		return showing{}, err
	}
	of := showing{party: p, credential: credential, contexts: contexts}
	for _, x := range contexts {
		key, own := nonceKeyOf(s, x, nil), nonceKeyOf(s, x, report)
		if u, ok := c.used[own]; ok && report != nil {
			of.nonces = append(of.nonces, u.next-1)
			continue
		}
		u := c.used[key]
		if u.next >= x.Limit {
			return showing{}, ErrExhausted
		}
		of.nonces = append(of.nonces, u.next)
		c.used[key] = used{u.next + 1, max(u.until, until, s.End)}
		if report != nil {
			c.used[own] = c.used[key]
		}
	}
	return of, nil
}

// relayOf returns the identity of a task's relay, zero without one.
func relayOf(t *task.Task) (id [32]byte) {
	copy(id[:], t.Protection.Relay.Identity)
	return id
}

// nonceKeyOf returns the key of a context, or of what a report has of it.
func nonceKeyOf(s Slot, x Context, report []byte) nonceKey {
	h := sha256.New()
	h.Write(s.Party[:])
	h.Write(x.Data[:])
	h.Write(report)
	return nonceKey(h.Sum(nil)[:16])
}

// prune forgets what is over at now, in Unix seconds.
func (c *contents) prune(now int64) bool {
	before := len(c.held) + len(c.used)
	maps.DeleteFunc(c.held, func(_ heldKey, h *held) bool { return h.until <= now })
	maps.DeleteFunc(c.used, func(_ nonceKey, u used) bool { return u.until <= now })
	return len(c.held)+len(c.used) != before
}

const (
	walletVersion = 2
	firstVersion  = 1 // without relays
	maxFailure    = 200
	maxHeld       = 1 << 16
)

// encode returns the plaintext of the wallet's file:
//
//	uint8 version = 2; opaque admission<0..4096>;
//	opaque task<0..2^24-1> tasks<0..2^24-1>; Held held<0..2^24-1>; Used used<0..2^24-1>;
func (c *contents) encode() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint8(walletVersion)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(c.admission) })
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, signed := range c.tasks {
			b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(signed) })
		}
	})
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, h := range c.sorted() {
			h.marshal(b)
		}
	})
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for key, u := range c.used {
			b.AddBytes(key[:])
			b.AddUint32(u.next)
			b.AddUint64(uint64(u.until))
		}
	})
	return b.Bytes()
}

func (h *held) marshal(b *cryptobyte.Builder) {
	b.AddBytes(h.slot.Party[:])
	b.AddUint8(uint8(h.slot.Role))
	b.AddBytes(h.slot.Owner[:])
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(h.slot.Metric)) })
	for _, n := range []int64{h.slot.Start, h.slot.End, h.until, h.next} {
		b.AddUint64(uint64(n))
	}
	b.AddUint32(h.attempts)
	late := uint8(0)
	if h.late {
		late = 1
	}
	b.AddUint8(late)
	b.AddUint64(h.work)
	b.AddUint8(uint8(h.gates))
	b.AddBytes(h.relay[:])
	for _, p := range [][]byte{[]byte(h.failure), h.public, h.secrets, h.request, h.credential} {
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(p) })
	}
}

func readHeld(s *cryptobyte.String, version uint8) (*held, bool) {
	h := new(held)
	var metric cryptobyte.String
	if !s.CopyBytes(h.slot.Party[:]) || !s.ReadUint8((*uint8)(&h.slot.Role)) || !s.CopyBytes(h.slot.Owner[:]) || !s.ReadUint8LengthPrefixed(&metric) {
		return nil, false
	}
	h.slot.Metric = string(metric)
	for _, n := range []*int64{&h.slot.Start, &h.slot.End, &h.until, &h.next} {
		var u uint64
		if !s.ReadUint64(&u) {
			return nil, false
		}
		*n = int64(u)
	}
	var failure []byte
	var late uint8
	if !s.ReadUint32(&h.attempts) || !s.ReadUint8(&late) || !s.ReadUint64(&h.work) || !s.ReadUint8((*uint8)(&h.gates)) ||
		version != firstVersion && !s.CopyBytes(h.relay[:]) {
		return nil, false
	}
	for _, p := range []*[]byte{&failure, &h.public, &h.secrets, &h.request, &h.credential} {
		var one cryptobyte.String
		if !s.ReadUint16LengthPrefixed(&one) {
			return nil, false
		}
		if len(one) > 0 {
			*p = append([]byte(nil), one...)
		}
	}
	h.failure, h.late = string(failure), late != 0
	return h, true
}

var errContents = errors.New("the wallet's contents are damaged or of a newer version")

func parseContents(b []byte) (*contents, error) {
	in := cryptobyte.String(b)
	var v uint8
	var admission, tasks, all, counts cryptobyte.String
	if !in.ReadUint8(&v) || v < firstVersion || v > walletVersion || !in.ReadUint16LengthPrefixed(&admission) || len(admission) > maxAdmission ||
		!in.ReadUint24LengthPrefixed(&tasks) || !in.ReadUint24LengthPrefixed(&all) ||
		!in.ReadUint24LengthPrefixed(&counts) || !in.Empty() {
		return nil, errContents
	}
	c := newContents()
	c.admission = append([]byte(nil), admission...)
	for !tasks.Empty() {
		var signed cryptobyte.String
		if !tasks.ReadUint24LengthPrefixed(&signed) {
			return nil, errContents
		}
		t, err := task.ParseSigned(signed)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errContents, err)
		}
		c.tasks[sha256.Sum256(t.Bytes)] = append([]byte(nil), signed...)
	}
	for !all.Empty() {
		h, ok := readHeld(&all, v)
		if !ok || len(c.held) > maxHeld {
			return nil, errContents
		}
		c.held[h.key()] = h
	}
	for !counts.Empty() {
		var key []byte
		var u used
		var until uint64
		if !counts.ReadBytes(&key, len(nonceKey{})) || !counts.ReadUint32(&u.next) || !counts.ReadUint64(&until) {
			return nil, errContents
		}
		u.until = int64(until)
		c.used[nonceKey(key)] = u
	}
	return c, nil
}

// A sealer seals the wallet's file with AES-256-GCM, a fresh nonce each time.
type sealer struct {
	secret
	aead cipher.AEAD
}

const sealMagic = "shoalwa1"

func newSealer(key []byte) (sealer, error) {
	if len(key) != 32 {
		return sealer{}, fmt.Errorf("a key of %d bytes, want 32", len(key))
	}
	derived, err := hkdf.Key(sha256.New, key, nil, "shoal wallet v1", 32)
	if err != nil {
		return sealer{}, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return sealer{}, err
	}
	aead, err := cipher.NewGCM(block)
	return sealer{aead: aead}, err
}

func (s sealer) seal(plain []byte, rand io.Reader) ([]byte, error) {
	b := append([]byte(sealMagic), make([]byte, s.aead.NonceSize())...)
	if _, err := io.ReadFull(rand, b[len(sealMagic):]); err != nil {
		return nil, err
	}
	return s.aead.Seal(b, b[len(sealMagic):], plain, []byte(sealMagic)), nil
}

func (s sealer) open(b []byte) ([]byte, error) {
	n := len(sealMagic) + s.aead.NonceSize()
	if len(b) < n || string(b[:len(sealMagic)]) != sealMagic {
		return nil, errors.New("not a wallet of this version")
	}
	plain, err := s.aead.Open(nil, b[len(sealMagic):n], b[n:], []byte(sealMagic))
	if err != nil {
		return nil, errors.New("decryption failed: damaged, or of another key")
	}
	return plain, nil
}
