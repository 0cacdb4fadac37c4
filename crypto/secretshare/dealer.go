package secretshare

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"

	"github.com/shoal-project/shoal/internal/redact"
)

// Sizes in bytes.
const (
	TagSize   = sha256.Size
	ValueSize = elementSize // of a share's y-coordinate
	// RecordOverhead is how much longer a sealed record is than the record.
	RecordOverhead = nonceSize + Overhead

	nonceSize = 16
)

// secret is embedded in what must not be printed.
type secret = redact.Secret

// A Tag names the members of a group: equal roots give equal tags. It commits to the
// group's secret, so that a secret which was recovered can be checked by it, and shows
// nothing of a root that cannot be guessed.
type Tag [TagSize]byte

// A Dealer is one client's part in a group whose members hold the same root: it has
// shares at points that the caller names, and seals records that only those read who
// recover the secret. The records of a group may differ. It holds the secret, prints
// redacted, and is not safe for concurrent use.
type Dealer struct {
	secret
	keys    keys
	binding Binding
	t       int
}

// NewDealer returns the dealer of a root for groups that t distinct shares make
// readable.
func NewDealer(root Root, b Binding, t int) (*Dealer, error) {
	if err := checkScheme(b, t); err != nil {
		return nil, err
	}
	d := &Dealer{binding: append(Binding(nil), b...), t: t}
	d.keys.expand(fromUniform(root[:elementSize]), d.binding)
	return d, nil
}

// Tag returns the group's tag.
func (d *Dealer) Tag() Tag { return d.keys.name(d.binding) }

// Derive returns 32 bytes that are a function of the group and the label: all members
// have them, and so does a recoverer of the secret.
func (d *Dealer) Derive(label string) [32]byte { return d.keys.derive(d.binding, label) }

// Value returns the y-coordinate of the share at x.
func (d *Dealer) Value(x X) [ValueSize]byte {
	var y [ValueSize]byte
	d.keys.shareAt(x.e, d.t).append(y[:0])
	return y
}

// Seal encrypts a record under the group's key with a nonce of 16 random bytes. The
// result is [RecordOverhead] bytes longer than the record and commits to key and record.
func (d *Dealer) Seal(record []byte, random io.Reader) ([]byte, error) {
	b := make([]byte, nonceSize+len(record))
	if _, err := io.ReadFull(random, b[:nonceSize]); err != nil {
		return nil, fmt.Errorf("drawing a nonce: %w", err)
	}
	copy(b[nonceSize:], record)
	return d.keys.seal(b), nil
}

// Close overwrites the secret, as far as Go allows.
func (d *Dealer) Close() { d.keys.wipe() }

// An X is the x-coordinate of a share.
type X struct{ e element }

// XAt maps 16 uniformly random bytes to an x-coordinate. Different bytes give
// different ones, except in 2 of 2^127 cases; the highest bit is ignored.
func XAt(uniform [16]byte) X {
	e := fromUniform(uniform[:])
	if e.isZero() { // the place of the secret
		e = element{lo: 1}
	}
	return X{e}
}

// Join returns the share with the given coordinates.
func Join(x X, y [ValueSize]byte) Share {
	var s Share
	copy(x.e.append(s[:0])[elementSize:ShareSize], y[:])
	return s
}

// RecoverTag recovers the secret of a group from its tag and shares. It fails and
// works as [Recoverer.Recover] does; the result has no message. Until the next call
// [Recoverer.Derive] and [Recoverer.Open] use that secret.
func (r *Recoverer) RecoverTag(tag Tag, shares []Share, random io.Reader) (Result, error) {
	matches := func() bool {
		name := r.keys.name(r.binding)
		return subtle.ConstantTimeCompare(name[:], tag[:]) == 1
	}
	return r.recoverBy(matches, shares, random)
}

// Derive is [Dealer.Derive] of the group that was recovered last.
func (r *Recoverer) Derive(label string) [32]byte { return r.keys.derive(r.binding, label) }

// Is reports whether the group that was recovered last is that of a root.
func (r *Recoverer) Is(root Root) bool { return r.keys.s.equal(fromUniform(root[:elementSize])) }

// ErrRecord means a record that was not sealed under the group's key.
var ErrRecord = errors.New("secret sharing: the record was not sealed with the key of its group")

// Open returns a record of the group that was recovered last. Its bytes are valid until
// the next call.
func (r *Recoverer) Open(sealed []byte) ([]byte, error) {
	b, ok := r.keys.open(r.plain[:0], sealed)
	if !ok {
		return nil, ErrRecord
	}
	r.plain = b
	if len(b) < nonceSize {
		return nil, ErrRecord
	}
	return b[nonceSize:], nil
}

func (k *keys) name(b Binding) Tag {
	return Tag(hash("shoal secretshare tag v1", k.mac[:], b))
}

func (k *keys) derive(b Binding, label string) [32]byte {
	inner := hash("shoal secretshare derive v1", k.mac[:], b)
	return hash("shoal secretshare label v1", inner[:], []byte(label))
}
