package task

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// A Signature is one signer's word for a task's canonical bytes.
type Signature struct {
	By  ed25519.PublicKey // 32 bytes
	Sig []byte            // 64 bytes, in [TaskDomain]
}

// A Signed is a task's canonical bytes and their signatures:
// the owner's first, then those of parties, in the order of the task's
// hops, each at most once.
type Signed struct {
	Bytes      []byte
	Signatures []Signature
}

// ErrNotAccepted means that a task's owner is not on the list of those accepted.
var ErrNotAccepted = errors.New("the task's owner is not accepted here")

// Sign returns t with its owner's signature.
func Sign(t *Task, owner IdentityKey) (*Signed, error) {
	if !bytes.Equal(t.Owner, owner.Public()) {
		return nil, fmt.Errorf("signing task %q: the key at hand is %s, but the task's owner is %s", t.Metric, FormatPublic(owner.Public()), FormatPublic(t.Owner))
	}
	b, err := t.Bytes()
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return &Signed{Bytes: b, Signatures: []Signature{{owner.Public(), owner.Sign(TaskDomain, b)}}}, nil
}

// AddSignature adds the signature of one of the task's parties. Signing again
// changes nothing.
func (s *Signed) AddSignature(party IdentityKey) error {
	t, err := s.check()
	if err != nil {
		return fmt.Errorf("adding a signature: %w", err)
	}
	by := party.Public()
	rank := t.hop(by)
	if rank < 0 {
		return fmt.Errorf("adding a signature to task %q: %s is not a party of it", t.Metric, FormatPublic(by))
	}
	at := 1
	for at < len(s.Signatures) && t.hop(s.Signatures[at].By) < rank {
		at++
	}
	if at < len(s.Signatures) && bytes.Equal(s.Signatures[at].By, by) {
		return nil
	}
	s.Signatures = slices.Insert(s.Signatures, at, Signature{by, party.Sign(TaskDomain, s.Bytes)})
	return nil
}

// Open returns the task if its bytes are canonical, its owner is one of owners
// and has signed it, and each further signature is a party's and verifies. A
// foreign owner is [ErrNotAccepted]. A task with a protection that this version does
// not give is refused: without it reports would be less private than the owner signed.
func (s *Signed) Open(owners []ed25519.PublicKey) (*Task, ID, error) {
	t, err := s.check()
	if err != nil {
		return nil, ID{}, err
	}
	mine := func(o ed25519.PublicKey) bool { return bytes.Equal(o, t.Owner) }
	if !slices.ContainsFunc(owners, mine) {
		return nil, ID{}, fmt.Errorf("task %q of %s: %w", t.Metric, FormatPublic(t.Owner), ErrNotAccepted)
	}
	if err := t.Implemented(); err != nil {
		return nil, ID{}, fmt.Errorf("task %q: %w", t.Metric, err)
	}
	return t, sha256.Sum256(s.Bytes), nil
}

// check verifies all but whether the owner is accepted.
func (s *Signed) check() (*Task, error) {
	t, err := Parse(s.Bytes)
	if err != nil {
		return nil, err
	}
	if len(s.Signatures) == 0 || !bytes.Equal(s.Signatures[0].By, t.Owner) {
		return nil, fmt.Errorf("task %q: the first signature is not its owner's", t.Metric)
	}
	last := -1
	for i, sig := range s.Signatures {
		if !Verify(sig.By, TaskDomain, s.Bytes, sig.Sig) {
			return nil, fmt.Errorf("task %q: the signature of %s does not verify", t.Metric, FormatPublic(sig.By))
		}
		if i == 0 {
			continue
		}
		rank := t.hop(sig.By)
		if rank <= last {
			return nil, fmt.Errorf("task %q: the signature of %s is not a party's, or out of order", t.Metric, FormatPublic(sig.By))
		}
		last = rank
	}
	return t, nil
}

// hop returns the position of the party with the given identity, or -1.
func (t *Task) hop(identity ed25519.PublicKey) int {
	return slices.IndexFunc(t.Hops, func(p Party) bool { return bytes.Equal(p.Identity, identity) })
}

// Encode returns the wire form, version 1:
//
//	struct {
//	    uint8 version = 1;
//	    opaque task<1..2^24-1>;
//	    struct { opaque by[32]; opaque sig[64]; } signatures<96..2^16-1>;
//	} Signed;
func (s *Signed) Encode() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint8(version)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(s.Bytes) })
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, sig := range s.Signatures {
			if len(sig.By) != ed25519.PublicKeySize || len(sig.Sig) != ed25519.SignatureSize {
				b.SetError(errors.New("a signature of wrong length"))
				return
			}
			b.AddBytes(sig.By)
			b.AddBytes(sig.Sig)
		}
	})
	out, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding signed task: %w", err)
	}
	return out, nil
}

// ParseSigned reads what [Signed.Encode] writes. It checks the form alone;
// [Signed.Open] checks the signatures.
func ParseSigned(b []byte) (*Signed, error) {
	in := cryptobyte.String(b)
	var v uint8
	var body, signatures cryptobyte.String
	if in.ReadUint8(&v) && v != version {
		return nil, fmt.Errorf("parsing signed task: version %d, want %d", v, version)
	}
	if !in.ReadUint24LengthPrefixed(&body) || !in.ReadUint16LengthPrefixed(&signatures) || !in.Empty() {
		return nil, fmt.Errorf("parsing signed task: %w", errMalformed)
	}
	if len(body) > MaxBytes || len(signatures) > (1+maxHops)*(ed25519.PublicKeySize+ed25519.SignatureSize) {
		return nil, errors.New("parsing signed task: too long")
	}
	s := &Signed{Bytes: bytes.Clone(body)}
	for !signatures.Empty() {
		var sig Signature
		if !signatures.ReadBytes((*[]byte)(&sig.By), ed25519.PublicKeySize) || !signatures.ReadBytes(&sig.Sig, ed25519.SignatureSize) {
			return nil, fmt.Errorf("parsing signed task: %w", errMalformed)
		}
		s.Signatures = append(s.Signatures, sig)
	}
	return s, nil
}
