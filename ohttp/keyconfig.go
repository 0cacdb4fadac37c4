package ohttp

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"

	"github.com/shoal-project/shoal/internal/hpke"
)

// Media types of RFC 9458.
const (
	MediaTypeRequest  = "message/ohttp-req"
	MediaTypeResponse = "message/ohttp-res"
	MediaTypeKeys     = "application/ohttp-keys"
)

// A KeyConfig is what a client needs to know of a gateway's key (RFC 9458,
// section 3.1).
type KeyConfig struct {
	ID        uint8
	KEM       KEM
	PublicKey []byte  // as SerializePublicKey of RFC 9180 writes it
	Suites    []Suite // at least one, the preferred one first
}

// Errors by which a caller can distinguish causes.
var (
	// ErrUnsupported is wrapped by errors about algorithms that are not known here.
	ErrUnsupported = errors.New("algorithm is not supported")
	// ErrMalformed is wrapped by errors about bytes that are not what they should be.
	ErrMalformed = errors.New("malformed")
)

const (
	maxConfigs = 16 // in a collection
	maxSuites  = 16 // in a configuration
)

// ParseKeyConfig decodes one configuration. A KEM that is not known here is an
// error that wraps [ErrUnsupported]; suites that are not known are kept.
func ParseKeyConfig(b []byte) (KeyConfig, error) {
	c, err := parseKeyConfig(b)
	if err != nil {
		return KeyConfig{}, fmt.Errorf("parsing key configuration: %w", err)
	}
	return c, nil
}

func parseKeyConfig(b []byte) (KeyConfig, error) {
	s := cryptobyte.String(b)
	var c KeyConfig
	var kem uint16
	if !s.ReadUint8(&c.ID) || !s.ReadUint16(&kem) {
		return c, fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	}
	c.KEM = KEM(kem)
	n := c.KEM.publicSize()
	if n == 0 {
		return c, fmt.Errorf("%w: %v", ErrUnsupported, c.KEM)
	}
	var suites cryptobyte.String
	if !s.ReadBytes(&c.PublicKey, n) || !s.ReadUint16LengthPrefixed(&suites) || !s.Empty() {
		return c, fmt.Errorf("%w: %d bytes do not make a configuration of %v", ErrMalformed, len(b), c.KEM)
	}
	if len(suites) == 0 || len(suites)%4 != 0 || len(suites)/4 > maxSuites {
		return c, fmt.Errorf("%w: %d bytes of symmetric algorithms, want 4 to %d in steps of 4", ErrMalformed, len(suites), 4*maxSuites)
	}
	for !suites.Empty() {
		var suite Suite
		suites.ReadUint16(&suite.KDF)
		suites.ReadUint16(&suite.AEAD)
		c.Suites = append(c.Suites, suite)
	}
	if _, err := c.public(); err != nil {
		return c, err
	}
	return c, nil
}

// public returns the key in the form of package hpke.
func (c *KeyConfig) public() (*hpke.PublicKey, error) {
	if err := c.KEM.supported(); err != nil {
		return nil, err
	}
	key, err := hpke.NewPublicKey(hpke.KEM(c.KEM), c.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%w: not a public key of %v", ErrMalformed, c.KEM)
	}
	return key, nil
}

// suite returns the first suite that is supported here.
func (c *KeyConfig) suite() (Suite, error) {
	i := slices.IndexFunc(c.Suites, Suite.supported)
	if i < 0 {
		return Suite{}, fmt.Errorf("%w: none of the %d pairs of symmetric algorithms of key %d", ErrUnsupported, len(c.Suites), c.ID)
	}
	return c.Suites[i], nil
}

// MarshalBinary returns the encoding of the configuration.
func (c KeyConfig) MarshalBinary() ([]byte, error) {
	if n := c.KEM.publicSize(); n == 0 || n != len(c.PublicKey) {
		return nil, fmt.Errorf("encoding key configuration %d: %v with a public key of %d bytes", c.ID, c.KEM, len(c.PublicKey))
	}
	if len(c.Suites) == 0 || len(c.Suites) > maxSuites {
		return nil, fmt.Errorf("encoding key configuration %d: %d pairs of symmetric algorithms, want 1 to %d", c.ID, len(c.Suites), maxSuites)
	}
	var b cryptobyte.Builder
	b.AddUint8(c.ID)
	b.AddUint16(uint16(c.KEM))
	b.AddBytes(c.PublicKey)
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, s := range c.Suites {
			b.AddUint16(s.KDF)
			b.AddUint16(s.AEAD)
		}
	})
	return b.Bytes()
}

// ParseKeyConfigs decodes a collection of media type application/ohttp-keys (RFC
// 9458, section 3.2). One encoding error refuses the whole collection, as the RFC
// demands: clients that each recovered another part of it could be distinguished.
// Configurations of a KEM that is not known here are left out; if none is left,
// the error wraps [ErrUnsupported]. The first configuration is the one to use.
func ParseKeyConfigs(b []byte) ([]KeyConfig, error) {
	var configs []KeyConfig
	ids := map[uint8]bool{}
	count := 0
	for s := cryptobyte.String(b); !s.Empty(); {
		var one cryptobyte.String
		if !s.ReadUint16LengthPrefixed(&one) {
			return nil, fmt.Errorf("parsing key configurations: %w: the length of number %d exceeds the rest", ErrMalformed, count+1)
		}
		if count++; count > maxConfigs {
			return nil, fmt.Errorf("parsing key configurations: %w: more than %d", ErrMalformed, maxConfigs)
		}
		c, err := parseKeyConfig(one)
		if errors.Is(err, ErrUnsupported) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("parsing key configurations: number %d: %w", count, err)
		}
		if ids[c.ID] {
			return nil, fmt.Errorf("parsing key configurations: %w: duplicate key ID %d", ErrMalformed, c.ID)
		}
		ids[c.ID] = true
		if _, err := c.suite(); err == nil {
			configs = append(configs, c)
		}
	}
	if count == 0 {
		return nil, fmt.Errorf("parsing key configurations: %w: empty", ErrMalformed)
	}
	if len(configs) == 0 {
		return nil, fmt.Errorf("parsing key configurations: %w: all %d", ErrUnsupported, count)
	}
	return configs, nil
}

// MarshalKeyConfigs returns the encoding of a collection, the preferred
// configuration first.
func MarshalKeyConfigs(configs []KeyConfig) ([]byte, error) {
	if len(configs) == 0 || len(configs) > maxConfigs {
		return nil, fmt.Errorf("encoding key configurations: %d of them, want 1 to %d", len(configs), maxConfigs)
	}
	var b cryptobyte.Builder
	for _, c := range configs {
		one, err := c.MarshalBinary()
		if err != nil {
			return nil, err
		}
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(one) })
	}
	return b.Bytes()
}
