package discovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// ErrPrivate is the error, wrapped, of an anonymous fetch that shows that there
// is no public page: a redirect, another status than 200, something that is no
// page or is too large, an address that is not on the public Internet. Trying
// again is of no use. All other errors of a Fetcher mean that the network
// failed.
var ErrPrivate = errors.New("not a public page")

// A Page is what an anonymous fetch returned.
type Page struct {
	URL    URL
	Robots []string // values of the X-Robots-Tag headers
	Body   []byte   // in UTF-8
}

// Sign makes the signature of the page.
func (p Page) Sign() (Signature, error) { return Sign(p.URL, p.Robots, p.Body) }

// String shows nothing of the page.
func (p Page) String() string { return fmt.Sprintf("page of %d bytes", len(p.Body)) }

// GoString is String.
func (p Page) GoString() string { return p.String() }

// Format writes String whatever the verb.
func (p Page) Format(s fmt.State, _ rune) { fmt.Fprint(s, p.String()) }

// LogValue is String.
func (p Page) LogValue() slog.Value { return slog.StringValue(p.String()) }

// A Fetcher fetches pages anonymously: the request carries no cookie,
// credential, referrer or other mark of the person, follows no redirect, and
// the address of the connection really made is on the public Internet
// (PublicAddr). discovery/fetch is one for programs; a browser extension brings
// its own. A Fetcher need not be safe for concurrent use.
type Fetcher interface {
	Fetch(ctx context.Context, u URL) (Page, error)
}
