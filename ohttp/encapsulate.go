package ohttp

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/redact"
)

// Labels of RFC 9458, section 4.
const (
	labelRequest  = "message/bhttp request"
	labelResponse = "message/bhttp response"
)

// Errors of decapsulation.
var (
	// ErrUnknownKey is wrapped by errors about requests whose key, KEM or suite the
	// gateway does not have.
	ErrUnknownKey = errors.New("key configuration is not known")
	// ErrOpen is wrapped by errors about messages that cannot be decrypted.
	ErrOpen = errors.New("decryption failed")
)

// header returns the first bytes of an encapsulated request.
func header(id uint8, kem KEM, s Suite) []byte {
	b := make([]byte, 0, headerSize)
	b = binary.BigEndian.AppendUint16(append(b, id), uint16(kem))
	b = binary.BigEndian.AppendUint16(b, s.KDF)
	return binary.BigEndian.AppendUint16(b, s.AEAD)
}

// info returns the info parameter of HPKE for a request with this header.
func info(header []byte) []byte {
	return append(append([]byte(labelRequest), 0), header...)
}

// Encapsulate seals a binary HTTP request to the configuration, with its first
// supported suite, and returns the message to send and what opens its answer.
// Each call uses fresh keys.
func (c KeyConfig) Encapsulate(request []byte) ([]byte, *ResponseOpener, error) {
	suite, err := c.suite()
	if err != nil {
		return nil, nil, fmt.Errorf("encapsulating request: %w", err)
	}
	public, err := c.public()
	if err != nil {
		return nil, nil, fmt.Errorf("encapsulating request: %w", err)
	}
	head := header(c.ID, c.KEM, suite)
	enc, sealed, secret, err := public.SealExport(hpke.Suite(suite), info(head), nil, request, labelResponse, suite.keySize())
	if err != nil {
		return nil, nil, fmt.Errorf("encapsulating request: %w", err)
	}
	message := make([]byte, 0, len(head)+len(enc)+len(sealed))
	message = append(append(append(message, head...), enc...), sealed...)
	return message, &ResponseOpener{responseKey{suite: suite, enc: enc, secret: secret}}, nil
}

// Decapsulate opens a message that was sealed to one of the keys, and returns the
// binary HTTP request and what seals its answer. Errors wrap [ErrMalformed],
// [ErrUnknownKey] or [ErrOpen].
func Decapsulate(keys []*PrivateKey, message []byte) ([]byte, *ResponseSealer, error) {
	request, _, sealer, err := decapsulate(keys, message)
	if err != nil {
		return nil, nil, fmt.Errorf("decapsulating request: %w", err)
	}
	return request, sealer, nil
}

func decapsulate(keys []*PrivateKey, message []byte) ([]byte, *PrivateKey, *ResponseSealer, error) {
	if len(message) < headerSize {
		return nil, nil, nil, fmt.Errorf("%w: %d bytes, want at least %d", ErrMalformed, len(message), headerSize)
	}
	head, rest := message[:headerSize], message[headerSize:]
	id, kem := head[0], KEM(binary.BigEndian.Uint16(head[1:]))
	suite := Suite{binary.BigEndian.Uint16(head[3:]), binary.BigEndian.Uint16(head[5:])}
	key := find(keys, id, kem, suite)
	if key == nil {
		return nil, nil, nil, fmt.Errorf("%w: key %d, %v, KDF %#04x, AEAD %#04x", ErrUnknownKey, id, kem, suite.KDF, suite.AEAD)
	}
	n := kem.encSize()
	if len(rest) < n+tagSize {
		return nil, nil, nil, fmt.Errorf("%w: %d bytes, want at least %d", ErrMalformed, len(message), headerSize+n+tagSize)
	}
	enc, sealed := rest[:n:n], rest[n:]
	request, secret, err := key.key.OpenExport(hpke.Suite(suite), enc, info(head), nil, sealed, labelResponse, suite.keySize())
	if err != nil {
		return nil, nil, nil, ErrOpen
	}
	return request, key, &ResponseSealer{responseKey{suite: suite, enc: enc, secret: secret}}, nil
}

// find returns the key that a message names, nil if no key fits.
func find(keys []*PrivateKey, id uint8, kem KEM, suite Suite) *PrivateKey {
	for _, k := range keys {
		if k.config.ID != id || k.config.KEM != kem {
			continue
		}
		for _, s := range k.config.Suites {
			if s == suite {
				return k
			}
		}
	}
	return nil
}

// hidden makes a type print redacted.
type hidden = redact.Secret

// A responseKey is what both sides know of one exchange (RFC 9458, section 4.4).
type responseKey struct {
	hidden
	suite  Suite
	enc    []byte
	secret []byte
}

// A ResponseOpener opens the answer to one request. It prints redacted.
type ResponseOpener struct{ responseKey }

// A ResponseSealer seals the answers to one request. It prints redacted.
type ResponseSealer struct{ responseKey }

// Seal encapsulates a binary HTTP response. The nonce is read from rand, so that
// several answers to one request differ.
func (s *ResponseSealer) Seal(response []byte, rand io.Reader) ([]byte, error) {
	nonce := make([]byte, s.suite.keySize(), s.suite.keySize()+len(response)+tagSize)
	if _, err := io.ReadFull(rand, nonce); err != nil {
		return nil, fmt.Errorf("encapsulating response: reading randomness: %w", err)
	}
	aead, aeadNonce, err := s.derive(nonce)
	if err != nil {
		return nil, fmt.Errorf("encapsulating response: %w", err)
	}
	return aead.Seal(nonce, aeadNonce, response, nil), nil
}

// Open decapsulates the answer. Errors wrap [ErrMalformed] or [ErrOpen].
func (o *ResponseOpener) Open(message []byte) ([]byte, error) {
	n := o.suite.keySize()
	if len(message) < n+tagSize {
		return nil, fmt.Errorf("decapsulating response: %w: %d bytes, want at least %d", ErrMalformed, len(message), n+tagSize)
	}
	aead, aeadNonce, err := o.derive(message[:n])
	if err != nil {
		return nil, fmt.Errorf("decapsulating response: %w", err)
	}
	response, err := aead.Open(nil, aeadNonce, message[n:], nil)
	if err != nil {
		return nil, fmt.Errorf("decapsulating response: %w", ErrOpen)
	}
	return response, nil
}

// derive returns the cipher of an answer with the given random nonce, and the
// nonce for the cipher.
func (k *responseKey) derive(responseNonce []byte) (aead cipher.AEAD, nonce []byte, err error) {
	var newHash func() hash.Hash
	switch k.suite.KDF {
	case KDFSHA384:
		newHash = sha512.New384
	case KDFSHA512:
		newHash = sha512.New
	default:
		newHash = sha256.New
	}
	salt := append(append(make([]byte, 0, len(k.enc)+len(responseNonce)), k.enc...), responseNonce...)
	prk, err := hkdf.Extract(newHash, k.secret, salt)
	if err != nil {
		return nil, nil, err
	}
	key, err := hkdf.Expand(newHash, prk, "key", k.suite.keySize())
	if err != nil {
		return nil, nil, err
	}
	if nonce, err = hkdf.Expand(newHash, prk, "nonce", nonceSize); err != nil {
		return nil, nil, err
	}
	aead, err = k.suite.aead(key)
	return aead, nonce, err
}
