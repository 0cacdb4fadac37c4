package testsite

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/shoal-project/shoal/discovery/bundle"
)

// Rules returns the rules by which Finch and Marlin are recognised and read,
// valid for a year from the day of now.
func Rules(now time.Time) *bundle.Document {
	day := now.UTC().Truncate(24 * time.Hour)
	link := func(way ...[]string) []bundle.Way {
		return []bundle.Way{{Select: "a", Attr: "href", Transform: way}}
	}
	told := []bundle.Output{{Action: "query", Fields: []bundle.OutputField{{Key: "results", From: "hits", Require: []string{"url", "title"}}}}}
	return &bundle.Document{
		Format: 1, Name: "test-site", About: "the search engines of the test site", Version: 1,
		NotBefore: day, Expires: day.AddDate(1, 0, 0),
		Engines: []bundle.Engine{
			{
				Name:  "finch",
				Pages: []bundle.Pattern{{Scheme: "https", Hosts: []string{finch}, Path: "/search", Query: "q", Clean: "https://" + finch + "/search"}},
				Content: []bundle.Style{{
					Input: []bundle.Input{{Name: "hits", All: "ol#results > li.result:not(.ad):has(h3 a)", Fields: []bundle.Field{
						{Name: "url", Ways: link([]string{"requireURL"})},
						{Name: "title", Ways: []bundle.Way{{Select: "h3", Text: true, Transform: [][]string{{"trim"}}}}},
					}}},
					Out: told,
				}},
			},
			{
				Name:  "marlin",
				Pages: []bundle.Pattern{{Scheme: "https", Hosts: []string{marlin}, Path: "/find", Query: "query", Clean: "https://" + marlin + "/find"}},
				Content: []bundle.Style{{
					Input: []bundle.Input{{Name: "hits", All: "div.hits article:not(.mine)", Fields: []bundle.Field{
						{Name: "url", Ways: link([]string{"queryParam", "to"}, []string{"requireURL"})},
						{Name: "title", Ways: []bundle.Way{{Select: "span.headline", Text: true, Transform: [][]string{{"trim"}}}}},
					}}},
					Out: told,
				}},
			},
		},
	}
}

// Bundle signs Rules with a key that is made of the site's seed, and opens it as
// a client does.
func (s *Site) Bundle(now time.Time) (*bundle.Bundle, error) {
	signed, public, err := s.SignedBundle(now)
	if err != nil {
		return nil, err
	}
	return bundle.Open(signed, []ed25519.PublicKey{public}, now, 0)
}

// SignedBundle returns the signed rules and the key that signed them.
func (s *Site) SignedBundle(now time.Time) ([]byte, ed25519.PublicKey, error) {
	seed := sha256.Sum256(fmt.Appendf(nil, "test site rules %d", s.seed))
	key := ed25519.NewKeyFromSeed(seed[:])
	signed, err := bundle.Sign(Rules(now), key)
	if err != nil {
		return nil, nil, fmt.Errorf("signing the rules of the test site: %w", err)
	}
	public, _ := key.Public().(ed25519.PublicKey)
	return signed, public, nil
}
