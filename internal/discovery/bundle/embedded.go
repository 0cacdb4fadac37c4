package bundle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"embed"
	"fmt"
)

// The bundles that this package carries. The sources beside them in embedded
// are what docs/spec/rule-bundles.md shows.
const (
	SearchEngines = "search-engines" // result pages of Brave, Google, Bing, Yahoo and LinkedIn by their URL
	TestSite      = "test-site"      // the invented engines of the test site, with content rules
)

//go:embed embedded/*.bundle
var embedded embed.FS

// Embedded returns a signed bundle that this package carries. It is signed with
// DevelopmentKey, and has an expiry like any other.
func Embedded(name string) ([]byte, error) {
	signed, err := embedded.ReadFile("embedded/" + name + ".bundle")
	if err != nil {
		return nil, fmt.Errorf("reading an embedded rule bundle: %w", err)
	}
	return bytes.Clone(signed), nil
}

// DevelopmentKey returns the public key of the embedded bundles. Its private
// half is derived from a sentence in this file: anybody can sign with it, so a
// program that trusts it trusts everybody. Use it for what is compiled in, for
// tests and for the demo, never for bundles that are downloaded.
func DevelopmentKey() ed25519.PublicKey {
	public, _ := developmentKey().Public().(ed25519.PublicKey)
	return public
}

func developmentKey() ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("shoal: the development key of rule bundles is not a secret"))
	return ed25519.NewKeyFromSeed(seed[:])
}
