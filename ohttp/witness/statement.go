package witness

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/metric/task"
)

// The domains of signatures.
const (
	StatementDomain task.Domain = "shoal key statement v1"
	WitnessDomain   task.Domain = "shoal key witness v1"
)

const (
	version    = 1
	maxPurpose = 32
	maxKeys    = 1<<16 - 1
	// maxSigned bounds a signed statement.
	maxSigned = 1 + ed25519.PublicKeySize + 1 + maxPurpose + 8 + 8 + 2 + maxKeys + ed25519.SignatureSize
)

var (
	// ErrMalformed is wrapped by errors about bytes that are not what they should be.
	ErrMalformed = errors.New("malformed")
	// ErrSignature is wrapped by errors about signatures that do not verify.
	ErrSignature = errors.New("signature does not verify")
	// ErrSlot is wrapped by errors about statements for another slot.
	ErrSlot = errors.New("statement is for another slot")
	// ErrRefused is wrapped by errors about slots for which a party made several
	// statements.
	ErrRefused = errors.New("the party made several statements for one slot")
	// ErrUnknown is wrapped by errors about slots that a witness does not serve.
	ErrUnknown = errors.New("slot is not served")
)

// A Slot names what there is one statement of.
type Slot struct {
	Party   [ed25519.PublicKeySize]byte // the identity key
	Purpose string                      // lower-case letters, digits and '-', 1 to 32 bytes
	Start   int64                       // of the period, in Unix seconds, a multiple of its length
}

// SlotAt returns the slot of the period of the given length that contains now.
func SlotAt(party ed25519.PublicKey, purpose string, length time.Duration, now time.Time) (Slot, error) {
	s := Slot{Purpose: purpose}
	if len(party) != len(s.Party) {
		return Slot{}, fmt.Errorf("slot: an identity key of %d bytes, want %d", len(party), len(s.Party))
	}
	copy(s.Party[:], party)
	seconds := int64(length / time.Second)
	if seconds <= 0 || now.Unix() < 0 {
		return Slot{}, fmt.Errorf("slot: a period of %v at %v", length, now.UTC())
	}
	s.Start = now.Unix() / seconds * seconds
	return s, s.check()
}

func (s Slot) check() error {
	if s.Purpose == "" || len(s.Purpose) > maxPurpose || strings.Trim(s.Purpose, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return fmt.Errorf("purpose %q: want 1 to %d lower-case letters, digits and '-'", s.Purpose, maxPurpose)
	}
	if s.Start < 0 {
		return fmt.Errorf("a period that starts at %d", s.Start)
	}
	return nil
}

// A Statement is what a party announces for one slot.
type Statement struct {
	Slot Slot
	End  int64  // of the period, in Unix seconds
	Keys []byte // what the purpose has, such as application/ohttp-keys
}

// Sign returns the statement with the signature of its party:
//
//	struct {
//	    uint8 version = 1;
//	    opaque party[32];
//	    opaque purpose<1..32>;
//	    uint64 start; uint64 end;
//	    opaque keys<1..2^16-1>;
//	} Statement;
//
// followed by the 64 bytes of the signature.
func (s Statement) Sign(party task.IdentityKey) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("signing key statement: %w", err)
	}
	if string(party.Public()) != string(s.Slot.Party[:]) {
		return nil, fmt.Errorf("signing key statement: the identity key is not the party's")
	}
	var b cryptobyte.Builder
	b.AddUint8(version)
	b.AddBytes(s.Slot.Party[:])
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(s.Slot.Purpose)) })
	b.AddUint64(uint64(s.Slot.Start))
	b.AddUint64(uint64(s.End))
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(s.Keys) })
	body, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("signing key statement: %w", err)
	}
	return append(body, party.Sign(StatementDomain, body)...), nil
}

func (s Statement) check() error {
	if err := s.Slot.check(); err != nil {
		return err
	}
	if s.End <= s.Slot.Start {
		return fmt.Errorf("a period from %d to %d", s.Slot.Start, s.End)
	}
	if len(s.Keys) == 0 || len(s.Keys) > maxKeys {
		return fmt.Errorf("%d bytes of keys, want 1 to %d", len(s.Keys), maxKeys)
	}
	return nil
}

// OpenStatement returns the statement within signed if it is for the slot, its
// period has the given length, and the party has signed it.
func OpenStatement(signed []byte, want Slot, length time.Duration) (Statement, error) {
	s, err := openStatement(signed, want, length)
	if err != nil {
		return Statement{}, fmt.Errorf("key statement: %w", err)
	}
	return s, nil
}

func openStatement(signed []byte, want Slot, length time.Duration) (Statement, error) {
	s, err := openAny(signed, want)
	if err == nil && s.End-s.Slot.Start != int64(length/time.Second) {
		return Statement{}, ErrSlot
	}
	return s, err
}

// openAny opens a statement for the slot with a period of any length.
func openAny(signed []byte, want Slot) (Statement, error) {
	s, body, sig, err := parseStatement(signed)
	switch {
	case err != nil:
		return s, err
	case s.Slot != want:
		return s, ErrSlot
	case !task.Verify(want.Party[:], StatementDomain, body, sig):
		return s, ErrSignature
	}
	return s, nil
}

// parseStatement returns a signed statement, what is signed of it, and the signature,
// which it does not check.
func parseStatement(signed []byte) (s Statement, body, sig []byte, err error) {
	if len(signed) < ed25519.SignatureSize || len(signed) > maxSigned {
		return s, nil, nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(signed))
	}
	body, sig = signed[:len(signed)-ed25519.SignatureSize], signed[len(signed)-ed25519.SignatureSize:]
	in := cryptobyte.String(body)
	var v uint8
	var purpose, keys cryptobyte.String
	var start, end uint64
	if !in.ReadUint8(&v) || !in.CopyBytes(s.Slot.Party[:]) || !in.ReadUint8LengthPrefixed(&purpose) ||
		!in.ReadUint64(&start) || !in.ReadUint64(&end) || !in.ReadUint16LengthPrefixed(&keys) || !in.Empty() {
		return s, nil, nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(signed))
	}
	if v != version {
		return s, nil, nil, fmt.Errorf("%w: version %d, want %d", ErrMalformed, v, version)
	}
	s.Slot.Purpose, s.Slot.Start, s.End, s.Keys = string(purpose), int64(start), int64(end), keys
	if err := s.check(); err != nil {
		return s, nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return s, body, sig, nil
}

// countersign returns a signed statement with the signature of the witness:
//
//	struct {
//	    opaque signed_statement<1..2^24-1>;
//	    opaque witness_signature[64];
//	} Witnessed;
//
// The signature is of the SHA-256 digest of the signed statement.
func countersign(signed []byte, witness task.IdentityKey) ([]byte, error) {
	digest := sha256.Sum256(signed)
	var b cryptobyte.Builder
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(signed) })
	b.AddBytes(witness.Sign(WitnessDomain, digest[:]))
	return b.Bytes()
}

// signedOf returns the signed statement within what countersign returned.
func signedOf(witnessed []byte) []byte { return witnessed[3 : len(witnessed)-ed25519.SignatureSize] }

// Open returns the keys within what a witness served, if both the party and the
// witness have signed them for the slot.
func Open(witnessed []byte, want Slot, length time.Duration, witness ed25519.PublicKey) ([]byte, error) {
	keys, err := open(witnessed, want, length, witness)
	if err != nil {
		return nil, fmt.Errorf("witnessed keys: %w", err)
	}
	return keys, nil
}

func open(witnessed []byte, want Slot, length time.Duration, witness ed25519.PublicKey) ([]byte, error) {
	in := cryptobyte.String(witnessed)
	var signed cryptobyte.String
	var sig []byte
	if len(witnessed) > maxSigned+3+ed25519.SignatureSize || !in.ReadUint24LengthPrefixed(&signed) || !in.ReadBytes(&sig, ed25519.SignatureSize) || !in.Empty() {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(witnessed))
	}
	if string(witness) == string(want.Party[:]) {
		return nil, fmt.Errorf("%w: party and witness have one identity", ErrSignature)
	}
	digest := sha256.Sum256(signed)
	if !task.Verify(witness, WitnessDomain, digest[:], sig) {
		return nil, fmt.Errorf("%w: the witness's", ErrSignature)
	}
	s, err := OpenStatement(signed, want, length)
	if err != nil {
		return nil, err
	}
	return s.Keys, nil
}
