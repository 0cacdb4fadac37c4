package esa

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
)

// This file is the receiver's half of HPKE (RFC 9180) from the shared secret of
// X25519 on, in base mode, for the one message of a context: what crypto/hpke
// does for one layer, when the scalar multiplications of many layers have been
// done together. What depends on the key and on the info only is computed once.
// The tests hold it equal to crypto/hpke.

const (
	hpkeVersion = "HPKE-v1"
	kemSuite    = "KEM\x00\x20"                  // DHKEM(X25519, HKDF-SHA256)
	hpkeSuite   = "HPKE\x00\x20\x00\x01\x00\x01" // with HKDF-SHA256 and AES-128-GCM
	hpkeKey     = 16                             // length of its key
	hpkeNonce   = 12                             // and of its nonce
	maxMAC      = sha256.BlockSize + 16*8        // room for the longest input of a MAC
	contextSize = 1 + sha256.Size + sha256.Size  // of the key schedule
	baseMode    = 0                              // RFC 9180, section 5, table 1
	kemContext  = pointSize + pointSize          // encapsulated key, public key
	macBlock    = sha256.BlockSize + sha256.Size // outer hash of a MAC
	innerPad    = 0x36
	outerPad    = 0x5c
)

// A schedule opens the layers that are sealed to one X25519 key with one info.
type schedule struct {
	public  [pointSize]byte
	context [contextSize]byte // key_schedule_context of RFC 9180, section 5.1
}

func newSchedule(public [pointSize]byte, info []byte) *schedule {
	s := &schedule{public: public}
	pskID := extract(nil, hpkeSuite, "psk_id_hash", nil)
	infoHash := extract(nil, hpkeSuite, "info_hash", info)
	s.context[0] = baseMode
	copy(s.context[1:], pskID[:])
	copy(s.context[1+sha256.Size:], infoHash[:])
	return s
}

// open opens the first message of the context that enc has set up, where shared
// is the product of enc and the private key, and not zero.
func (s *schedule) open(shared *[pointSize]byte, enc, aad, sealed []byte) ([]byte, error) {
	// Decap, RFC 9180, section 4.1.
	var context [kemContext]byte
	copy(context[:], enc)
	copy(context[pointSize:], s.public[:])
	eaePRK := extract(nil, kemSuite, "eae_prk", shared[:])
	secret := expand(&eaePRK, kemSuite, "shared_secret", context[:], sha256.Size)
	// KeySchedule, section 5.1.
	prk := extract(secret[:], hpkeSuite, "secret", nil)
	key := expand(&prk, hpkeSuite, "key", s.context[:], hpkeKey)
	nonce := expand(&prk, hpkeSuite, "base_nonce", s.context[:], hpkeNonce)

	block, err := aes.NewCipher(key[:hpkeKey])
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	return gcm.Open(nil, nonce[:hpkeNonce], sealed, aad)
}

// extract is LabeledExtract of RFC 9180, section 4. A salt is a key of at most
// one block; ikm has at most 64 bytes.
func extract(salt []byte, suite, label string, ikm []byte) [sha256.Size]byte {
	var buf [maxMAC]byte
	m := appendPad(buf[:0], salt, innerPad)
	m = append(m, hpkeVersion...)
	m = append(m, suite...)
	m = append(m, label...)
	m = append(m, ikm...)
	return finishMAC(m, salt)
}

// expand is LabeledExpand of RFC 9180, section 4, for a length of one block at
// most, in the first bytes of its result.
func expand(prk *[sha256.Size]byte, suite, label string, info []byte, length uint16) [sha256.Size]byte {
	var buf [maxMAC]byte
	m := appendPad(buf[:0], prk[:], innerPad)
	m = binary.BigEndian.AppendUint16(m, length)
	m = append(m, hpkeVersion...)
	m = append(m, suite...)
	m = append(m, label...)
	m = append(m, info...)
	m = append(m, 1)
	return finishMAC(m, prk[:])
}

// appendPad adds to b the block with which an HMAC under the key begins (RFC
// 2104, section 2).
func appendPad(b, key []byte, pad byte) []byte {
	start := len(b)
	b = append(b, key...)
	for len(b) < start+sha256.BlockSize {
		b = append(b, 0)
	}
	for i := start; i < len(b); i++ {
		b[i] ^= pad
	}
	return b
}

// finishMAC returns the HMAC-SHA256 under the key, where m is the inner pad and
// the message.
func finishMAC(m, key []byte) [sha256.Size]byte {
	var buf [macBlock]byte
	inner := sha256.Sum256(m)
	outer := appendPad(buf[:0], key, outerPad)
	return sha256.Sum256(append(outer, inner[:]...))
}
