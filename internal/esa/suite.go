package esa

import (
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/shoal-project/shoal/crypto/blind"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/metric/task"
)

// This file and openmany.go, which opens many layers together, are the places
// that meet HPKE (RFC 9180): everything else deals in layers and sealed bytes.

// A KEM is the key encapsulation mechanism of a layer. With each, the KDF is
// HKDF-SHA256 and the AEAD AES-128-GCM.
type KEM = hpke.KEM

// The KEMs.
const (
	P256   = hpke.P256   // any layer
	X25519 = hpke.X25519 // any layer; mandatory to support
	XWing  = hpke.XWing  // the outermost layer only
)

const (
	tagSize   = hpke.TagSize
	pointSize = 32 // of an X25519 key and of a P-256 coordinate
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
func encapsulatedSize(k KEM) int {
	switch k {
	case P256, X25519:
		return 1 + pointSize
	case XWing:
		return 1 + k.EncapsulatedSize()
	}
	return 0
}

// allowed reports whether hop i of a report may have keys of this KEM.
func allowed(k KEM, i int) bool {
	return k == X25519 || k == P256 || k == XWing && i == 0
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

// sealLayer seals plaintext under the header, and returns the header,
// the encapsulated key and the sealed bytes in one slice. exported, if it is not nil, is
// set to what the context exports under a label.
func sealLayer(to *hpke.Sender, h Header, plaintext []byte, label string, exported *[hpke.ExportSize]byte) ([]byte, error) {
	info := layerInfo(&h)
	layer := make([]byte, 0, headerSize+encapsulatedSize(to.KEM())+len(plaintext)+tagSize)
	layer = h.append(layer)
	var enc, sealed []byte
	var err error
	if exported == nil {
		enc, sealed, err = to.Seal(hpke.DefaultSuite(), info[:], layer, plaintext)
	} else {
		enc, sealed, *exported, err = to.SealExport(hpke.DefaultSuite(), info[:], layer, plaintext, label)
	}
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	layer = appendEncapsulated(layer, to.KEM(), enc)
	return append(layer, sealed...), nil
}

// Encapsulated returns the encapsulated key of a layer that was opened, with its form:
// what two layers have in common only if one of them is a copy.
func Encapsulated(layer []byte) []byte {
	return layer[headerSize : headerSize+1+pointSize]
}

// The exporter contexts of what blinds the point of a crowd, and of two.
const (
	factorLabel  = "shoal crowd blind v1"
	factorsLabel = "shoal two crowds blind v1"
)

// factorLabel is the exporter context of the layer's factors.
func (h *hopLayout) factorLabel() string {
	if h.unblinds > 1 {
		return factorsLabel
	}
	return factorLabel
}

// factors returns what blinds the points of the crowds, given what the context exports. Of
// two crowds each has a factor of its own, HMAC-SHA256(exported, place): with one factor the
// first shuffler could see whether both crowds are the same, and who finds the one by a
// guess cannot compute the other.
func (h *hopLayout) factors(exported [hpke.ExportSize]byte) (factors [MaxCrowds]blind.Factor) {
	if h.unblinds <= 1 {
		factors[0] = blind.NewFactor(exported)
		return factors
	}
	for i := range factors {
		mac := hmac.New(sha256.New, exported[:])
		mac.Write([]byte{byte(i)})
		factors[i] = blind.NewFactor([blind.Size]byte(mac.Sum(nil)))
	}
	return factors
}

// readFactors sets the factors of a layer that has been opened.
func (h *hopLayout) readFactors(l *Layer, exported [hpke.ExportSize]byte) {
	factors := h.factors(exported)
	l.Factor, l.Second.Factor = factors[0], factors[1]
}

// openLayer opens a layer whose header has been parsed and whose length fits
// the key's KEM, and exports what is under the label, if there is one.
func openLayer(key *hpke.PrivateKey, h *Header, layer []byte, label string) (plaintext []byte, exported [hpke.ExportSize]byte, err error) {
	end := headerSize + encapsulatedSize(key.KEM())
	enc, err := parseEncapsulated(key.KEM(), layer[headerSize:end])
	if err != nil {
		return nil, exported, err
	}
	info := layerInfo(h)
	if label == "" {
		plaintext, err = key.Open(hpke.DefaultSuite(), enc, info[:], layer[:headerSize], layer[end:])
		return plaintext, exported, err
	}
	plaintext, secret, err := key.OpenExport(hpke.DefaultSuite(), enc, info[:], layer[:headerSize], layer[end:], label, hpke.ExportSize)
	copy(exported[:], secret)
	return plaintext, exported, err
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
func parsePublic(k *task.Key, i int) (*hpke.PublicKey, error) {
	kem := KEM(k.KEM)
	if !allowed(kem, i) {
		return nil, fmt.Errorf("hop %d: key %v: %v is not allowed in this layer", i+1, k.ID, kem)
	}
	public, err := hpke.NewPublicKey(kem, k.Public)
	if err != nil {
		return nil, fmt.Errorf("hop %d: key %v: %w", i+1, k.ID, err)
	}
	return public, nil
}
