package task

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/internal/hpke"
)

// Identifiers of HPKE key encapsulation mechanisms (IANA registry "HPKE KEM
// Identifiers"). X25519 is in every key configuration.
const (
	KEMP256   = uint16(hpke.P256)   // DHKEM(P-256, HKDF-SHA256)
	KEMX25519 = uint16(hpke.X25519) // DHKEM(X25519, HKDF-SHA256)
	KEMXWing  = uint16(hpke.XWing)  // X-Wing: ML-KEM-768 and X25519
)

// Limits of a key configuration.
const (
	maxKeys      = 32
	maxPublic    = 8192
	maxKeyConfig = 1 << 16
)

// publicSize returns the length of a public key of the given mechanism, and
// whether it is known here.
func publicSize(kem uint16) (int, bool) {
	n := hpke.KEM(kem).PublicSize()
	return n, n > 0
}

// A KeyID names an HPKE key in report headers.
type KeyID [8]byte

// String returns the ID in hexadecimal.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// NewKeyID returns the name of a public key: the first 8 bytes of
// SHA-256(kem || public), kem big endian.
func NewKeyID(kem uint16, public []byte) KeyID {
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint16(nil, kem), public...))
	return KeyID(sum[:8])
}

// A Key is a public HPKE key and the time in which clients may seal to it.
type Key struct {
	ID        KeyID  // NewKeyID(KEM, Public); not on the wire
	KEM       uint16 // HPKE KEM identifier
	Public    []byte // as SerializePublicKey of RFC 9180 writes it
	NotBefore int64  // Unix seconds, inclusive
	NotAfter  int64  // Unix seconds, inclusive
}

// NewKey returns a key with its ID.
func NewKey(kem uint16, public []byte, notBefore, notAfter time.Time) Key {
	return Key{NewKeyID(kem, public), kem, public, notBefore.Unix(), notAfter.Unix()}
}

// A KeyConfig is what a party announces about itself, signed by its identity
// key: the keys that open reports and for how long they do.
type KeyConfig struct {
	Role         Role
	Identity     ed25519.PublicKey // the party's, 32 bytes
	Keys         []Key             // 1 to 32, the preferred first; one of X25519 at least
	PolicyDigest [32]byte          // of the policy that the party declares to follow; zero without one
	Evidence     [][]byte          // attestation evidence; must be empty
	LogProof     []byte            // inclusion in a transparency log; must be empty
	NotBefore    int64             // Unix seconds, inclusive
	NotAfter     int64             // Unix seconds, inclusive
}

// Validate reports the first thing that is wrong with the configuration's form.
func (c *KeyConfig) Validate() error {
	if c.Role < Shuffler || c.Role > Collector {
		return fmt.Errorf("key config: unknown role %d", c.Role)
	}
	if len(c.Identity) != ed25519.PublicKeySize {
		return fmt.Errorf("key config: identity has %d bytes, want %d", len(c.Identity), ed25519.PublicKeySize)
	}
	if len(c.Evidence) != 0 || len(c.LogProof) != 0 {
		return errors.New("key config: evidence and log proof must be empty: this version cannot check them")
	}
	if err := validity(c.NotBefore, c.NotAfter); err != nil {
		return fmt.Errorf("key config: %w", err)
	}
	if len(c.Keys) > maxKeys {
		return fmt.Errorf("key config: %d keys, want at most %d", len(c.Keys), maxKeys)
	}
	for i, k := range c.Keys {
		if err := k.validate(); err != nil {
			return fmt.Errorf("key config: key %d: %w", i+1, err)
		}
		if slices.ContainsFunc(c.Keys[:i], func(o Key) bool { return o.ID == k.ID }) {
			return fmt.Errorf("key config: key %s stands twice", k.ID)
		}
	}
	if !slices.ContainsFunc(c.Keys, func(k Key) bool { return k.KEM == KEMX25519 }) {
		return fmt.Errorf("key config: no X25519 key (KEM 0x%04x), which every party must offer", KEMX25519)
	}
	return nil
}

func (k *Key) validate() error {
	if len(k.Public) < 1 || len(k.Public) > maxPublic {
		return fmt.Errorf("public key has %d bytes, want 1 to %d", len(k.Public), maxPublic)
	}
	if n, known := publicSize(k.KEM); known && len(k.Public) != n {
		return fmt.Errorf("public key has %d bytes, want %d for KEM 0x%04x", len(k.Public), n, k.KEM)
	}
	if k.ID != NewKeyID(k.KEM, k.Public) {
		return errors.New("its ID is not the digest of the key")
	}
	return validity(k.NotBefore, k.NotAfter)
}

func validity(notBefore, notAfter int64) error {
	if notBefore < 0 || notAfter > maxUnix || notBefore > notAfter {
		return fmt.Errorf("valid from %d to %d, which is no time", notBefore, notAfter)
	}
	return nil
}

// Current returns the keys that a client may seal to at the moment now, in the
// party's order of preference. Keys of mechanisms unknown here are passed over.
func (c *KeyConfig) Current(now time.Time) []Key {
	var out []Key
	for _, k := range c.Keys {
		if _, known := publicSize(k.KEM); known && within(k.NotBefore, k.NotAfter, now) {
			out = append(out, k)
		}
	}
	return out
}

func within(notBefore, notAfter int64, now time.Time) bool {
	return now.Unix() >= notBefore && now.Unix() <= notAfter
}

// Bytes returns the canonical bytes that a party signs, after
// [KeyConfig.Validate]:
//
//	struct {
//	    uint8 version = 1;
//	    uint8 role;
//	    opaque identity[32];
//	    Key keys<1..2^16-1>;
//	    opaque policy_digest[32];
//	    opaque evidence<0>;   /* uint16 length, zero */
//	    opaque log_proof<0>;  /* uint16 length, zero */
//	    uint64 not_before; uint64 not_after;
//	} KeyConfig;
//
//	struct {
//	    uint16 kem;
//	    opaque public<1..2^16-1>;
//	    uint64 not_before; uint64 not_after;
//	} Key;
func (c *KeyConfig) Bytes() ([]byte, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddUint8(version)
	b.AddUint8(uint8(c.Role))
	b.AddBytes(c.Identity)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, k := range c.Keys {
			b.AddUint16(k.KEM)
			add16(b, k.Public)
			b.AddUint64(uint64(k.NotBefore))
			b.AddUint64(uint64(k.NotAfter))
		}
	})
	b.AddBytes(c.PolicyDigest[:])
	b.AddUint16(0)
	b.AddUint16(0)
	b.AddUint64(uint64(c.NotBefore))
	b.AddUint64(uint64(c.NotAfter))
	out, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("key config: %w", err)
	}
	return out, nil
}

// parseKeyConfig reads what [KeyConfig.Bytes] writes.
func parseKeyConfig(b []byte) (*KeyConfig, error) {
	s := cryptobyte.String(b)
	var c KeyConfig
	var v uint8
	var keys, evidence, proof cryptobyte.String
	if s.ReadUint8(&v) && v != version {
		return nil, fmt.Errorf("key config: version %d, want %d", v, version)
	}
	ok := s.ReadUint8((*uint8)(&c.Role)) && s.ReadBytes((*[]byte)(&c.Identity), 32) &&
		s.ReadUint16LengthPrefixed(&keys) && s.CopyBytes(c.PolicyDigest[:]) &&
		s.ReadUint16LengthPrefixed(&evidence) && s.ReadUint16LengthPrefixed(&proof) &&
		readInt64(&s, &c.NotBefore) && readInt64(&s, &c.NotAfter) && s.Empty()
	for ok && !keys.Empty() && len(c.Keys) <= maxKeys {
		var k Key
		var public string
		ok = keys.ReadUint16(&k.KEM) && read16(&keys, &public) && readInt64(&keys, &k.NotBefore) && readInt64(&keys, &k.NotAfter)
		k.Public = []byte(public)
		k.ID = NewKeyID(k.KEM, k.Public)
		c.Keys = append(c.Keys, k)
	}
	if !ok {
		return nil, fmt.Errorf("key config: %w", errMalformed)
	}
	if len(evidence) > 0 || len(proof) > 0 {
		c.LogProof = []byte{0} // so that Validate refuses it
	}
	again, err := c.Bytes()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, b) {
		return nil, errors.New("key config: not the canonical encoding")
	}
	return &c, nil
}

// SignKeyConfig returns the configuration with the signature of its party's
// identity key: opaque config<1..2^16-1>; opaque sig[64].
func SignKeyConfig(c *KeyConfig, party IdentityKey) ([]byte, error) {
	if !bytes.Equal(c.Identity, party.Public()) {
		return nil, fmt.Errorf("signing key config: the key at hand is %s, but the config names %s", FormatPublic(party.Public()), FormatPublic(c.Identity))
	}
	body, err := c.Bytes()
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	var b cryptobyte.Builder
	add16(&b, body)
	b.AddBytes(party.Sign(KeyConfigDomain, body))
	out, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("signing key config: %w", err)
	}
	return out, nil
}

// OpenKeyConfig returns the configuration within signed if the party known by
// identity signed it for the given role and it is valid at the moment now.
func OpenKeyConfig(signed []byte, identity ed25519.PublicKey, role Role, now time.Time) (*KeyConfig, error) {
	in := cryptobyte.String(signed)
	var body cryptobyte.String
	var sig []byte
	if !in.ReadUint16LengthPrefixed(&body) || !in.ReadBytes(&sig, ed25519.SignatureSize) || !in.Empty() {
		return nil, fmt.Errorf("opening key config: %w", errMalformed)
	}
	if !Verify(identity, KeyConfigDomain, body, sig) {
		return nil, fmt.Errorf("opening key config: not signed by %s", FormatPublic(identity))
	}
	c, err := parseKeyConfig(body)
	if err != nil {
		return nil, fmt.Errorf("opening %w", err)
	}
	if !bytes.Equal(c.Identity, identity) || c.Role != role {
		return nil, fmt.Errorf("opening key config: it is for the %s %s, want the %s %s", c.Role, FormatPublic(c.Identity), role, FormatPublic(identity))
	}
	if !within(c.NotBefore, c.NotAfter, now) {
		return nil, fmt.Errorf("opening key config of %s: valid from %s to %s, not now; is this machine's clock right?",
			FormatPublic(identity), time.Unix(c.NotBefore, 0).UTC().Format(time.RFC3339), time.Unix(c.NotAfter, 0).UTC().Format(time.RFC3339))
	}
	return c, nil
}

// A KeyConfigList holds one signed key configuration a hop, in the order of the
// task's hops: what the first hop hands to clients.
type KeyConfigList [][]byte

// Encode returns the list's bytes: uint8 version = 1, then each configuration
// with its length in three bytes.
func (l KeyConfigList) Encode() ([]byte, error) {
	if len(l) > maxHops {
		return nil, fmt.Errorf("encoding key config list: %d configs, want at most %d", len(l), maxHops)
	}
	var b cryptobyte.Builder
	b.AddUint8(version)
	for _, one := range l {
		if len(one) > maxKeyConfig+ed25519.SignatureSize+2 {
			return nil, fmt.Errorf("encoding key config list: a config of %d bytes", len(one))
		}
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(one) })
	}
	return b.Bytes()
}

// ParseKeyConfigList reads what [KeyConfigList.Encode] writes. It checks no
// signature; see [KeyConfigList.Open].
func ParseKeyConfigList(b []byte) (KeyConfigList, error) {
	in := cryptobyte.String(b)
	var v uint8
	if !in.ReadUint8(&v) || v != version {
		return nil, fmt.Errorf("parsing key config list: %w", errMalformed)
	}
	var out KeyConfigList
	for !in.Empty() {
		var one cryptobyte.String
		if len(out) == maxHops || !in.ReadUint24LengthPrefixed(&one) || len(one) > maxKeyConfig+ed25519.SignatureSize+2 {
			return nil, fmt.Errorf("parsing key config list: %w", errMalformed)
		}
		out = append(out, bytes.Clone(one))
	}
	return out, nil
}

// Open checks each configuration against its hop of the task, as
// [OpenKeyConfig] does, and returns them in order.
func (l KeyConfigList) Open(t *Task, now time.Time) ([]*KeyConfig, error) {
	if len(l) != len(t.Hops) {
		return nil, fmt.Errorf("opening key config list: %d configs for the %d hops of task %q", len(l), len(t.Hops), t.Metric)
	}
	out := make([]*KeyConfig, len(l))
	for i, p := range t.Hops {
		c, err := OpenKeyConfig(l[i], p.Identity, p.Role, now)
		if err != nil {
			return nil, fmt.Errorf("hop %d: %w", i+1, err)
		}
		out[i] = c
	}
	return out, nil
}
