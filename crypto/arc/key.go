package arc

import (
	"crypto/subtle"
	"fmt"
	"io"
)

// Sizes of encodings in bytes.
const (
	PublicKeySize  = 3 * elementSize
	PrivateKeySize = 4 * scalarSize
)

// A PublicKey is an issuer's public key: what clients make requests for and
// check answers with. It is safe for use by several goroutines.
type PublicKey struct{ x0, x1, x2 *element }

// ParsePublicKey decodes what [PublicKey.Bytes] returns.
func ParsePublicKey(b []byte) (*PublicKey, error) {
	r := newReader("public key", b, PublicKeySize)
	k := &PublicKey{r.element("X0"), r.element("X1"), r.element("X2")}
	if r.err != nil {
		return nil, r.err
	}
	return k, nil
}

// Bytes returns the encoding: ServerPublicKey of the draft.
func (k *PublicKey) Bytes() []byte {
	b := append(make([]byte, 0, PublicKeySize), k.x0.enc[:]...)
	return append(append(b, k.x1.enc[:]...), k.x2.enc[:]...)
}

// A PrivateKey is the key of an issuer, which is also the verifier: its
// holder can make credentials. It prints redacted, and is safe for use by several
// goroutines.
type PrivateKey struct {
	secret
	x0, x1, x2, blinding residue
	public               *PublicKey
}

// GenerateKey draws a key (SetupServer of the draft). rand must be
// cryptographically secure, as crypto/rand.Reader is.
func GenerateKey(rand io.Reader) (*PrivateKey, error) {
	s, err := randomScalars(rand, 4)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, PrivateKeySize)
	for i := range s {
		b = append(b, s[i][:]...)
	}
	return ParsePrivateKey(b)
}

// ParsePrivateKey decodes what [PrivateKey.Bytes] returns. Its errors do not
// hold the bytes.
func ParsePrivateKey(b []byte) (*PrivateKey, error) {
	r := newReader("private key", b, PrivateKeySize)
	k := &PrivateKey{x0: r.scalar("x0"), x1: r.scalar("x1"), x2: r.scalar("x2"), blinding: r.scalar("x0Blinding")}
	if r.err != nil {
		return nil, r.err
	}
	h := generators().h
	e, err := newElements([]string{"X0", "X1", "X2"}, timesBoth(&k.x0, &k.blinding), h.times(&k.x1), h.times(&k.x2))
	if err != nil {
		return nil, fmt.Errorf("arc: %w: private key: %w", ErrEncoding, err)
	}
	k.public = &PublicKey{e[0], e[1], e[2]}
	return k, nil
}

// Bytes returns the encoding, which is secret: x0, x1, x2 and x0Blinding.
func (k *PrivateKey) Bytes() []byte {
	b := append(make([]byte, 0, PrivateKeySize), k.x0[:]...)
	return append(append(append(b, k.x1[:]...), k.x2[:]...), k.blinding[:]...)
}

// Public returns the public key.
func (k *PrivateKey) Public() *PublicKey { return k.public }

// Equal compares two keys in constant time.
func (k *PrivateKey) Equal(other *PrivateKey) bool {
	return subtle.ConstantTimeCompare(k.Bytes(), other.Bytes()) == 1
}
