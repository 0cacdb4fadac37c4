package dap

import (
	"crypto/ecdh"
	"crypto/hpke"
	"errors"
	"fmt"
	"slices"

	quick "github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
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

// HPKE algorithms (RFC 9180, section 7) besides the KEMs that [task.KEMX25519]
// and its neighbours name.
const (
	KDFHKDFSHA256        uint16 = 1
	KDFHKDFSHA384        uint16 = 2
	KDFHKDFSHA512        uint16 = 3
	AEADAES128GCM        uint16 = 1
	AEADAES256GCM        uint16 = 2
	AEADChaCha20Poly1305 uint16 = 3
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

// suite returns the algorithms of a configuration.
func (c *HpkeConfig) suite() (hpke.KEM, hpke.KDF, hpke.AEAD, error) {
	kem, err := kemOf(c.KEM)
	if err != nil {
		return nil, nil, nil, err
	}
	if c.KDF < KDFHKDFSHA256 || c.KDF > KDFHKDFSHA512 {
		return nil, nil, nil, fmt.Errorf("%w: KDF %#04x", ErrUnsupported, c.KDF)
	}
	if c.AEAD < AEADAES128GCM || c.AEAD > AEADChaCha20Poly1305 {
		return nil, nil, nil, fmt.Errorf("%w: AEAD %#04x", ErrUnsupported, c.AEAD)
	}
	kdf, err := hpke.NewKDF(c.KDF)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	aead, err := hpke.NewAEAD(c.AEAD)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return kem, kdf, aead, nil
}

func kemOf(id uint16) (hpke.KEM, error) {
	switch id {
	case task.KEMX25519:
		return hpke.DHKEM(ecdh.X25519()), nil
	case task.KEMP256:
		return hpke.DHKEM(ecdh.P256()), nil
	case task.KEMXWing:
		return hpke.MLKEM768X25519(), nil
	}
	return nil, fmt.Errorf("%w: KEM %#04x", ErrUnsupported, id)
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
	kem, kdf, aead, err := c.suite()
	if err != nil {
		return HpkeCiphertext{}, err
	}
	public, err := kem.NewPublicKey(c.PublicKey)
	if err != nil {
		return HpkeCiphertext{}, fmt.Errorf("%w: public key of configuration %d: %w", ErrUnsupported, c.ID, err)
	}
	if c.KEM == task.KEMX25519 && c.KDF == KDFHKDFSHA256 && c.AEAD == AEADAES128GCM {
		enc, payload, err := quick.Seal(nil, (*[quick.Size]byte)(public.Bytes()), info, aad, plaintext)
		if err != nil {
			return HpkeCiphertext{}, fmt.Errorf("%w: public key of configuration %d: %w", ErrUnsupported, c.ID, err)
		}
		return HpkeCiphertext{ConfigID: c.ID, Enc: enc[:], Payload: payload}, nil
	}
	enc, sender, err := hpke.NewSender(public, kdf, aead, info)
	if err != nil {
		return HpkeCiphertext{}, fmt.Errorf("%w: public key of configuration %d: %w", ErrUnsupported, c.ID, err)
	}
	payload, err := sender.Seal(aad, plaintext)
	if err != nil {
		return HpkeCiphertext{}, fmt.Errorf("sealing to configuration %d: %w", c.ID, err)
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
