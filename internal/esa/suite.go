package esa

import (
	"crypto/ecdh"
	"crypto/elliptic"
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"

	quick "github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
)

// This file and openmany.go, which opens many layers together, are the places
// that meet HPKE (RFC 9180): everything else deals in layers and sealed bytes.

// A KEM is the key encapsulation mechanism of a layer, by its number in the
// HPKE registry. With each, the KDF is HKDF-SHA256 and the AEAD AES-128-GCM.
type KEM uint16

// The KEMs.
const (
	P256   KEM = 0x0010 // DHKEM(P-256, HKDF-SHA256); any layer
	X25519 KEM = 0x0020 // DHKEM(X25519, HKDF-SHA256); any layer; mandatory to support
	XWing  KEM = 0x647a // MLKEM768-X25519, hybrid post-quantum; the outermost layer only
)

// String returns the KEM's name.
func (k KEM) String() string {
	switch k {
	case P256:
		return "P-256"
	case X25519:
		return "X25519"
	case XWing:
		return "X-Wing"
	}
	return fmt.Sprintf("KEM %#04x", uint16(k))
}

const (
	tagSize    = 16 // of AES-128-GCM
	secretSize = 32 // of each KEM's private key
	pointSize  = 32 // of an X25519 key and of a P-256 coordinate
	xwingSize  = 1120
)

// Forms of an encapsulated key: the byte before it. Those of P-256 are the ones
// of a compressed point (SEC 1, section 2.3.3). So X25519 and P-256 take the
// same room, and the choice of an inner layer's KEM does not change the length
// of a report.
const (
	formX25519   = 0x01
	formP256Even = 0x02
	formP256Odd  = 0x03
	formXWing    = 0x04
)

// encapsulatedSize returns the length of an encapsulated key with its form
// byte, 0 for a KEM that is not ours.
func (k KEM) encapsulatedSize() int {
	switch k {
	case P256, X25519:
		return 1 + pointSize
	case XWing:
		return 1 + xwingSize
	}
	return 0
}

// allowed reports whether hop i of a report may have keys of this KEM.
func (k KEM) allowed(i int) bool {
	return k == X25519 || k == P256 || k == XWing && i == 0
}

func (k KEM) suite() (hpke.KEM, error) {
	switch k {
	case P256:
		return hpke.DHKEM(ecdh.P256()), nil
	case X25519:
		return hpke.DHKEM(ecdh.X25519()), nil
	case XWing:
		return hpke.MLKEM768X25519(), nil
	}
	return nil, fmt.Errorf("%v is not known to this version", k)
}

const infoDomain = "shoal report v1"

// infoSize is the length of a layer's HPKE info.
const infoSize = len(infoDomain) + 1 + 32 + 8

// layerInfo returns the HPKE info of a layer: the domain, the role, the task ID
// and the epoch.
func layerInfo(h *Header) [infoSize]byte {
	var b [infoSize]byte
	n := copy(b[:], infoDomain)
	b[n] = uint8(h.Role)
	copy(b[n+1:], h.Task[:])
	binary.BigEndian.PutUint64(b[n+33:], uint64(h.Epoch))
	return b
}

// sealLayer seals plaintext to public under the header, and returns the header,
// the encapsulated key and the sealed bytes in one slice.
func sealLayer(public hpke.PublicKey, h Header, plaintext []byte) ([]byte, error) {
	info := layerInfo(&h)
	kem := KEM(public.KEM().ID())
	layer := make([]byte, 0, headerSize+kem.encapsulatedSize()+len(plaintext)+tagSize)
	layer = h.append(layer)
	enc, sealed, err := sealBase(public, info[:], layer, plaintext)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	layer = appendEncapsulated(layer, kem, enc)
	return append(layer, sealed...), nil
}

// sealBase is SealBase of RFC 9180, section 6.1, with HKDF-SHA256 and AES-128-GCM.
func sealBase(public hpke.PublicKey, info, aad, plaintext []byte) (enc, sealed []byte, err error) {
	if KEM(public.KEM().ID()) == X25519 {
		enc, sealed, err := quick.Seal(nil, (*[quick.Size]byte)(public.Bytes()), info, aad, plaintext)
		return enc[:], sealed, err
	}
	enc, sender, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.AES128GCM(), info)
	if err != nil {
		return nil, nil, err
	}
	sealed, err = sender.Seal(aad, plaintext)
	return enc, sealed, err
}

// openLayer opens a layer whose header has been parsed and whose length fits
// the key's KEM.
func openLayer(key hpke.PrivateKey, h *Header, layer []byte) ([]byte, error) {
	kem := KEM(key.KEM().ID())
	end := headerSize + kem.encapsulatedSize()
	enc, err := parseEncapsulated(kem, layer[headerSize:end])
	if err != nil {
		return nil, err
	}
	info := layerInfo(h)
	recipient, err := hpke.NewRecipient(enc, key, hpke.HKDFSHA256(), hpke.AES128GCM(), info[:])
	if err != nil {
		return nil, errors.New("the encapsulated key is not one")
	}
	plaintext, err := recipient.Open(layer[:headerSize], layer[end:])
	if err != nil {
		return nil, errors.New("decryption failed")
	}
	return plaintext, nil
}

// appendEncapsulated adds the wire form of an encapsulated key to b.
func appendEncapsulated(b []byte, kem KEM, enc []byte) []byte {
	switch kem {
	case P256: // uncompressed: 4, x, y
		b = append(b, formP256Even|enc[len(enc)-1]&1)
		return append(b, enc[1:1+pointSize]...)
	case X25519:
		b = append(b, formX25519)
	case XWing:
		b = append(b, formXWing)
	}
	return append(b, enc...)
}

// parseEncapsulated reads the wire form of an encapsulated key of the given KEM.
func parseEncapsulated(kem KEM, b []byte) ([]byte, error) {
	form, b := b[0], b[1:]
	switch {
	case kem == X25519 && form == formX25519, kem == XWing && form == formXWing:
		return b, nil
	case kem == P256 && (form == formP256Even || form == formP256Odd):
		return decompress(form, b)
	}
	return nil, errors.New("the encapsulated key is of another form than the key's")
}

// decompress returns the uncompressed form of a compressed P-256 point.
func decompress(form byte, x []byte) ([]byte, error) {
	var compressed [1 + pointSize]byte
	compressed[0] = form
	copy(compressed[1:], x)
	px, py := elliptic.UnmarshalCompressed(elliptic.P256(), compressed[:])
	if px == nil {
		return nil, errors.New("the encapsulated key is not a point")
	}
	out := make([]byte, 1+2*pointSize)
	out[0] = 4
	px.FillBytes(out[1 : 1+pointSize])
	py.FillBytes(out[1+pointSize:])
	return out, nil
}

// parsePublic reads the public key of hop i.
func parsePublic(k *task.Key, i int) (hpke.PublicKey, error) {
	kem := KEM(k.KEM)
	if !kem.allowed(i) {
		return nil, fmt.Errorf("hop %d: key %v: %v is not allowed in this layer", i+1, k.ID, kem)
	}
	suite, err := kem.suite()
	if err != nil {
		return nil, fmt.Errorf("hop %d: key %v: %w", i+1, k.ID, err)
	}
	public, err := suite.NewPublicKey(k.Public)
	if err != nil {
		return nil, fmt.Errorf("hop %d: key %v: not a public key of %v: %w", i+1, k.ID, kem, err)
	}
	return public, nil
}
