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

// A Response is the answer to an anonymous request. It prints as its size only.
type Response struct {
	URL    URL      // that was asked
	Robots []string // values of the X-Robots-Tag headers
	Body   []byte   // in UTF-8

	// Rendered: the body is the document after its scripts ran, in a context
	// without anything of the person (a Renderer), and not what the server sent.
	Rendered bool
}

// Sign makes the signature of the page.
func (r Response) Sign() (Signature, error) { return Sign(r.URL, r.Robots, r.Body) }

// String shows nothing of the page.
func (r Response) String() string { return fmt.Sprintf("response of %d bytes", len(r.Body)) }

// GoString is String.
func (r Response) GoString() string { return r.String() }

// Format writes String whatever the verb.
func (r Response) Format(s fmt.State, _ rune) { fmt.Fprint(s, r.String()) }

// LogValue is String.
func (r Response) LogValue() slog.Value { return slog.StringValue(r.String()) }

// Readable reports whether an anonymous answer of this media type, in lower case and
// without parameters, may be read: pages, and feeds as evidence for pages.
func Readable(media string) bool {
	switch media {
	case "text/html", "application/xhtml+xml", "application/rss+xml", "application/atom+xml", "application/xml", "text/xml":
		return true
	}
	return false
}

// Accepts reports whether an anonymous answer of this media type for a URL may be
// read: as Readable, and the plain text of a robots.txt as evidence for pages.
func (u URL) Accepts(media string) bool {
	return Readable(media) || media == "text/plain" && u.IsRobots()
}

// A Fetcher fetches pages anonymously: the request carries no cookie,
// credential, referrer or other mark of the person, follows no redirect, and
// the address of the connection really made is on the public Internet
// (PublicAddr). internal/discovery/fetch is one for programs; a browser extension brings
// its own. A Fetcher need not be safe for concurrent use.
type Fetcher interface {
	Fetch(ctx context.Context, u URL) (Response, error)
}

// A Renderer is an embedder that can do what a Fetcher does and run the scripts of
// the page: in a browsing context of its own, without cookies, storage, cache,
// credentials or extensions of the person, that is thrown away afterwards. All
// requests of that context must hold what a Fetcher promises, and the Response must
// be marked as Rendered: one that is not is refused.
type Renderer interface {
	Render(ctx context.Context, u URL) (Response, error)
}
