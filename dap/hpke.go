package dap

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/hpke"
)

// An HpkeConfigID names an HPKE configuration of one server.
type HpkeConfigID uint8

// An HpkeCiphertext is a message sealed by HPKE (section "Basic Type
// Definitions").
type HpkeCiphertext struct {
	ConfigID HpkeConfigID // to which configuration of the recipient
	Enc      []byte       // the encapsulated key, one byte at least
	Payload  []byte       // the ciphertext, one byte at least
}

// HPKE algorithms (RFC 9180, section 7) besides the KEMs that
// [github.com/shoal-project/shoal/metric/task.KEMX25519] and its neighbours name.
const (
	KDFHKDFSHA256        = hpke.HKDFSHA256
	KDFHKDFSHA384        = hpke.HKDFSHA384
	KDFHKDFSHA512        = hpke.HKDFSHA512
	AEADAES128GCM        = hpke.AES128GCM
	AEADAES256GCM        = hpke.AES256GCM
	AEADChaCha20Poly1305 = hpke.ChaCha20Poly1305
)

// An HpkeConfig is a public key and the algorithms that go with it (section
// "HPKE Configuration Request").
type HpkeConfig struct {
	ID        HpkeConfigID
	KEM       uint16
	KDF       uint16
	AEAD      uint16
	PublicKey []byte // as SerializePublicKey of RFC 9180 writes it
}

// An HpkeConfigList is what an aggregator serves, the preferred configuration
// first. It is never empty, and IDs are distinct.
type HpkeConfigList []HpkeConfig

// ErrUnsupported means that an HPKE configuration has algorithms that are not
// supported here, or a key that does not fit them.
var ErrUnsupported = errors.New("HPKE configuration is not supported")

// An Opener is the private half of an HPKE configuration. It is safe for concurrent
// use.
type Opener interface {
	// Config returns the configuration.
	Config() HpkeConfig
	// Open opens a message: OpenBase of RFC 9180, section 6.1. It fails if the message
	// names another configuration.
	Open(info, aad []byte, m *HpkeCiphertext) ([]byte, error)
	// OpenMany opens several messages of one info, all of which name this
	// configuration. aad appends the additional data of message i to b. Plaintexts may
	// be appended to room as long as its capacity lasts. Result i is nil if message i
	// does not open; what is wrong with one message harms no other.
	OpenMany(info []byte, messages []*HpkeCiphertext, aad func(b []byte, i int) []byte, room []byte) [][]byte
}

// Keys are the private keys of an aggregator. They are safe for concurrent use.
type Keys interface {
	// Find returns the key that has an ID at this time, nil without one.
	Find(id HpkeConfigID, now time.Time) Opener
}

// Validate reports whether shares can be sealed to the configuration: its
// algorithms are known here and its key is one of them. It fails with
// [ErrUnsupported].
func (c *HpkeConfig) Validate() error {
	_, err := c.seal(nil, nil, nil)
	return err
}

// seal is SealBase of RFC 9180, section 6.1.
func (c *HpkeConfig) seal(info, aad, plaintext []byte) (HpkeCiphertext, error) {
	public, err := c.public()
	if err != nil {
		return HpkeCiphertext{}, err
	}
	return c.sealWith(&hpke.Senders(c.suite(), public)[0], info, aad, plaintext)
}

func (c *HpkeConfig) suite() hpke.Suite { return hpke.Suite{KDF: c.KDF, AEAD: c.AEAD} }

func (c *HpkeConfig) public() (*hpke.PublicKey, error) {
	public, err := hpke.NewPublicKey(hpke.KEM(c.KEM), c.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: configuration %d: %w", ErrUnsupported, c.ID, err)
	}
	return public, nil
}

// sealWith is seal with a sender to the key of [HpkeConfig.public].
func (c *HpkeConfig) sealWith(sender *hpke.Sender, info, aad, plaintext []byte) (HpkeCiphertext, error) {
	enc, payload, err := sender.Seal(c.suite(), info, aad, plaintext)
	if err != nil {
		return HpkeCiphertext{}, fmt.Errorf("%w: configuration %d: %w", ErrUnsupported, c.ID, err)
	}
	return HpkeCiphertext{ConfigID: c.ID, Enc: enc, Payload: payload}, nil
}

// Choose returns the first configuration that is supported here. It fails with
// [ErrUnsupported] if no configuration is supported.
func (l HpkeConfigList) Choose() (HpkeConfig, error) {
	for i := range l {
		if l[i].Validate() == nil {
			return l[i], nil
		}
	}
	return HpkeConfig{}, fmt.Errorf("%w: none of %d", ErrUnsupported, len(l))
}

func (m *HpkeCiphertext) unmarshal(r *reader) {
	m.ConfigID = HpkeConfigID(r.u8("HPKE config ID"))
	m.Enc = r.opaque16("encapsulated key", 1, 1<<16-1)
	m.Payload = r.opaque32("ciphertext", 1, r.codec.limits.Ciphertext)
}

func (m *HpkeCiphertext) marshal(w *writer) {
	w.u8(uint8(m.ConfigID))
	w.opaque16("encapsulated key", 1, m.Enc)
	w.opaque32("ciphertext", 1, m.Payload)
}

func (c *HpkeConfig) unmarshal(r *reader) {
	c.ID = HpkeConfigID(r.u8("HPKE config ID"))
	c.KEM = r.u16("KEM")
	c.KDF = r.u16("KDF")
	c.AEAD = r.u16("AEAD")
	c.PublicKey = r.opaque16("public key", 1, 1<<16-1)
}

func (c *HpkeConfig) marshal(w *writer) {
	w.u8(uint8(c.ID))
	w.u16(c.KEM)
	w.u16(c.KDF)
	w.u16(c.AEAD)
	w.opaque16("public key", 1, c.PublicKey)
}

func (l *HpkeConfigList) unmarshal(r *reader) {
	*l = nil
	r.list16("HPKE configurations", 10, 1<<16-1, func(r *reader) {
		var c HpkeConfig
		c.unmarshal(r)
		*l = append(*l, c)
	})
	if id, twice := l.repeated(); twice {
		r.malformed("HPKE configurations", fmt.Sprintf("duplicate ID %d", id))
	}
}

func (l *HpkeConfigList) marshal(w *writer) {
	if len(*l) == 0 {
		w.fail("HPKE configurations", "none")
	}
	if id, twice := l.repeated(); twice {
		w.fail("HPKE configurations", fmt.Sprintf("duplicate ID %d", id))
	}
	w.list16("HPKE configurations", func(w *writer) {
		for i := range *l {
			(*l)[i].marshal(w)
		}
	})
}

func (l *HpkeConfigList) repeated() (HpkeConfigID, bool) {
	for i, c := range *l {
		if slices.ContainsFunc((*l)[:i], func(o HpkeConfig) bool { return o.ID == c.ID }) {
			return c.ID, true
		}
	}
	return 0, false
}
