package testsite

import (
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/internal/discovery/bundle"
)

// Rules opens the signed bundle by which Finch and Marlin are recognised and
// read, as a client does at the moment now.
func Rules(now time.Time) (*bundle.Bundle, error) {
	signed, err := bundle.Embedded(bundle.TestSite)
	if err != nil {
		return nil, err
	}
	b, err := bundle.Open(signed, []ed25519.PublicKey{bundle.DevelopmentKey()}, now, 0)
	if err != nil {
		return nil, fmt.Errorf("the rules of the test site: %w", err)
	}
	return b, nil
}
