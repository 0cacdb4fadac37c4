// Package fetch requests web pages anonymously, without anything that identifies a
// person. It is the discovery engine's fetcher for programs that are not browsers.
//
// # Use
//
//	f, err := fetch.New(fetch.Options{UserAgent: "Mozilla/5.0 (compatible; ExampleBrowser)"})
//	response, err := f.Fetch(ctx, url)
//	if errors.Is(err, discovery.ErrPrivate) {
//		// there is no public page: do not retry
//	}
//
// # What a request is
//
// One GET over HTTP/1.1 with these headers and no others: Host, User-Agent (the
// same for all installations: the embedder sees to that), Accept,
// Accept-Encoding: gzip, Connection: close. No cookie, credential, referrer,
// language or cache validator; the fragment is not sent. Every fetch has a
// connection of its own and a TLS session of its own, with no ticket kept, so that
// a server cannot link two of them by the connection. Certificates are verified.
//
// # What is an answer
//
// Status 200, HTML, at most Options.MaxBody bytes once it is unpacked, complete
// within Options.Timeout, from an address of the public Internet. Everything else
// that a server answers is discovery.ErrPrivate: redirects are not followed. A
// failure of the network (no name server, no connection, a timeout, a broken
// connection, a certificate that does not verify) is an error that may be gone
// next time. The body is decoded to UTF-8 from the encoding that the header, a
// byte order mark or the page itself names.
//
// # Addresses
//
// A page that only a private network shows must not be taken for a public one,
// whatever its name is. All addresses that the name has are checked against the
// special-purpose registries of IANA (discovery.PublicAddr), one that is not
// public spoils them all, and the address is checked again when the socket is
// connected and once it is: a name server that changes its mind gains nothing.
//
// # Limits and security
//
// The server sees the network address of the person's machine, and that
// somebody there asks for the page. With Options.Proxy it sees the proxy's, which
// then resolves the name: the address of the server cannot be checked here any
// more, and the proxy must not lead into a private network. Options.Dial is for
// tests and demonstrations that bring their own network. The handshake of TLS
// reveals that the program is written in Go. A Fetcher is safe for concurrent use.
package fetch
