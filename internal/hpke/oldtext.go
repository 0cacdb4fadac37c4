package hpke

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
)

// This file reads key texts of versions before the present form, see [Parse]. Nothing
// writes them any more.

// decodeReportKey reads the key of a shuffler or an analyzer:
//
//	version u8 = 1, KEM u16, not before u64, not after u64, key ID[8], secret[32]
//
// That the ID belongs to the key is for the caller to check: it is a digest of the
// public key, which noticed damage.
func decodeReportKey(b []byte) (*Stored, error) {
	r := cryptobyte.String(b)
	var version uint8
	var kem uint16
	var from, until uint64
	var id, secret []byte
	ok := r.ReadUint8(&version) && r.ReadUint16(&kem) && r.ReadUint64(&from) && r.ReadUint64(&until) &&
		r.ReadBytes(&id, 8) && r.ReadBytes(&secret, SecretSize) && r.Empty()
	if !ok || version != 1 {
		return nil, fmt.Errorf("%w: want %d bytes of version 1", errText, 1+2+8+8+8+SecretSize)
	}
	key, err := NewPrivateKey(KEM(kem), secret)
	if err != nil {
		return nil, err
	}
	canonical, err := key.Secret()
	if err != nil || subtle.ConstantTimeCompare(canonical, secret) != 1 {
		return nil, fmt.Errorf("%w: the secret is not of %v", errText, KEM(kem))
	}
	return &Stored{Use: ForReports, Key: key, ID: slices.Clone(id), Suites: []Suite{DefaultSuite()}, NotBefore: int64(from), NotAfter: int64(until)}, nil
}

// decodeDAPKey reads the key of a leader, a helper or a collector: the HpkeConfig of
// DAP, which is
//
//	ID u8, KEM u16, KDF u16, AEAD u16, public key<u16>
//
// and the secret.
func decodeDAPKey(b []byte) (*Stored, error) {
	r := cryptobyte.String(b)
	var id []byte
	var public cryptobyte.String
	var kem uint16
	var suite Suite
	ok := r.ReadBytes(&id, 1) && r.ReadUint16(&kem) && r.ReadUint16(&suite.KDF) && r.ReadUint16(&suite.AEAD) &&
		r.ReadUint16LengthPrefixed(&public)
	if !ok {
		return nil, errText
	}
	key, err := NewPrivateKey(KEM(kem), r)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(key.public, public) {
		return nil, fmt.Errorf("%w: the secret does not belong to the public key beside it", errText)
	}
	return &Stored{Use: ForDAP, Key: key, ID: slices.Clone(id), Suites: []Suite{suite}}, nil
}

// decodeGatewayKey reads the key of an OHTTP gateway:
//
//	version u8 = 1, ID u8, KEM u16, secret[32], (KDF u16, AEAD u16)*, checksum[4]
func decodeGatewayKey(b []byte) (*Stored, error) {
	r := cryptobyte.String(b)
	var version uint8
	var kem uint16
	var id, secret []byte
	if !r.ReadUint8(&version) || version != 1 || !r.ReadBytes(&id, 1) || !r.ReadUint16(&kem) || !r.ReadBytes(&secret, SecretSize) {
		return nil, fmt.Errorf("%w: want version 1", errText)
	}
	if n := len(r) - sumSize; n < 4 || n > 4*maxSuites || n%4 != 0 {
		return nil, fmt.Errorf("%w: %d bytes of symmetric algorithms", errText, n)
	}
	key, err := NewPrivateKey(KEM(kem), secret)
	if err != nil {
		return nil, err
	}
	s := &Stored{Use: ForRequests, Key: key, ID: slices.Clone(id)}
	for len(r) > sumSize {
		var suite Suite
		r.ReadUint16(&suite.KDF)
		r.ReadUint16(&suite.AEAD)
		s.Suites = append(s.Suites, suite)
	}
	if subtle.ConstantTimeCompare(checksum(b[:len(b)-sumSize], key), r) != 1 {
		return nil, fmt.Errorf("%w: the checksum does not match", errText)
	}
	return s, nil
}
