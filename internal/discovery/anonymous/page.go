// Package anonymous holds what came back from a request that carried nothing of
// the person. Messages may report of a page only what is in such an answer
// (docs/spec/discovery.md, "Messages"), and the type system keeps it so: a Page can
// be made by packages below discovery only, and a test of internal/discovery/message
// holds the list of those that do.
package anonymous

import "github.com/shoal-project/shoal/internal/discovery"

// A Page is the answer to an anonymous request: no cookie, no credential, no
// header of the person's browser, no redirect followed. The zero Page is empty.
type Page struct {
	url    discovery.URL
	robots []string
	body   []byte
}

// New wraps an answer. Call it with what an anonymous request returned and with
// nothing else: url is where the body came from, robots the values of its
// X-Robots-Tag headers. The body is not copied and must not change.
func New(url discovery.URL, robots []string, body []byte) Page {
	return Page{url.WithoutFragment(), robots, body}
}

// URL returns the address that was asked, without fragment.
func (p Page) URL() discovery.URL { return p.url }

// Robots returns the values of the X-Robots-Tag headers.
func (p Page) Robots() []string { return p.robots }

// Body returns the bytes of the body. They must not be changed.
func (p Page) Body() []byte { return p.body }
