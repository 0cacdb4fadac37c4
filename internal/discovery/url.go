package discovery

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ErrScheme is returned for URLs whose scheme is neither http nor https.
var ErrScheme = errors.New("scheme is neither http nor https")

// A URL is an absolute http or https URL as browsers read it (the WHATWG URL
// Standard, sections 3 and 4), in its serialised spelling. The zero URL is not
// valid. URLs are comparable: two are equal if and only if browsers write them alike.
type URL struct {
	scheme         string
	user, password string
	host           string // serialised: lower-case ASCII name, dotted IPv4 or [IPv6]
	addr           netip.Addr
	port           int // -1: the scheme's own
	path           string
	query          string
	fragment       string
	hasQuery       bool
	hasFragment    bool
}

// ParseURL reads an absolute URL as the address bar of a browser holds it. It
// returns ErrScheme, wrapped, for other schemes than http and https.
func ParseURL(raw string) (URL, error) {
	u, err := parse(raw, nil)
	if err != nil {
		return URL{}, fmt.Errorf("parsing a URL: %w", err)
	}
	return u, nil
}

// Resolve reads a reference, as written in a page's links, relative to u.
func (u URL) Resolve(ref string) (URL, error) {
	if u.scheme == "" {
		return URL{}, errors.New("resolving a reference: the base is the zero URL")
	}
	v, err := parse(ref, &u)
	if err != nil {
		return URL{}, fmt.Errorf("resolving a reference: %w", err)
	}
	return v, nil
}

// String returns the serialisation of the Standard, fragment included.
func (u URL) String() string {
	var b strings.Builder
	b.Grow(len(u.scheme) + len(u.host) + len(u.path) + len(u.query) + len(u.fragment) + 16)
	b.WriteString(u.scheme)
	b.WriteString("://")
	if u.HasCredentials() {
		b.WriteString(u.user)
		if u.password != "" {
			b.WriteByte(':')
			b.WriteString(u.password)
		}
		b.WriteByte('@')
	}
	b.WriteString(u.host)
	if u.port >= 0 {
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(u.port))
	}
	b.WriteString(u.path)
	if u.hasQuery {
		b.WriteByte('?')
		b.WriteString(u.query)
	}
	if u.hasFragment {
		b.WriteByte('#')
		b.WriteString(u.fragment)
	}
	return b.String()
}

// Scheme returns "http" or "https".
func (u URL) Scheme() string { return u.scheme }

// Host returns the serialised host, without the port; an IPv6 address is in brackets.
func (u URL) Host() string { return u.host }

// Addr returns the address, if the host is written as one in any spelling.
func (u URL) Addr() (netip.Addr, bool) { return u.addr, u.addr.IsValid() }

// Port returns the port that a browser connects to.
func (u URL) Port() int {
	switch {
	case u.port >= 0:
		return u.port
	case u.scheme == "http":
		return 80
	}
	return 443
}

// Path returns the path, percent-encoded, with its leading slash.
func (u URL) Path() string { return u.path }

// Query returns the query without its question mark, percent-encoded.
func (u URL) Query() string { return u.query }

// Fragment returns the fragment without its number sign, percent-encoded.
func (u URL) Fragment() string { return u.fragment }

// HasCredentials reports whether the URL carries a user name or a password.
func (u URL) HasCredentials() bool { return u.user != "" || u.password != "" }

// WithoutFragment returns u without fragment: what is sent to a server.
func (u URL) WithoutFragment() URL {
	u.fragment, u.hasFragment = "", false
	return u
}

// Masked returns "scheme://host/ (PROTECTED)", all that may be reported of a
// page whose address must not leave the device.
func (u URL) Masked() string { return u.scheme + "://" + u.host + "/ (PROTECTED)" }

// parse is the basic URL parser for special schemes that are not file.
func parse(raw string, base *URL) (URL, error) {
	in := strings.ToValidUTF8(raw, "\uFFFD")
	in = strings.TrimFunc(in, func(r rune) bool { return r <= ' ' })
	if strings.ContainsAny(in, "\t\n\r") {
		in = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(in)
	}

	scheme, rest, ok := cutScheme(in)
	switch {
	case ok && scheme != "http" && scheme != "https":
		return URL{}, ErrScheme
	case ok && base != nil && base.scheme == scheme && !strings.HasPrefix(rest, "//"):
		return relative(rest, base)
	case ok:
		return authority(scheme, rest)
	case base == nil:
		return URL{}, errors.New("no scheme")
	}
	return relative(in, base)
}

func cutScheme(in string) (scheme, rest string, ok bool) {
	for i := range len(in) {
		c := in[i] | 0x20
		switch {
		case c >= 'a' && c <= 'z' && in[i] >= 'A':
		case i > 0 && (in[i] >= '0' && in[i] <= '9' || in[i] == '+' || in[i] == '-' || in[i] == '.'):
		case i > 0 && in[i] == ':':
			return strings.ToLower(in[:i]), in[i+1:], true
		default:
			return "", "", false
		}
	}
	return "", "", false
}

func slash(s string) bool { return s != "" && (s[0] == '/' || s[0] == '\\') }

// authority reads "//user:password@host:port/path?query#fragment"; any number
// of slashes may lead.
func authority(scheme, in string) (URL, error) {
	u := URL{scheme: scheme, port: -1}
	in = strings.TrimLeft(in, `/\`)
	end := strings.IndexAny(in, `/\?#`)
	if end < 0 {
		end = len(in)
	}
	host, rest := in[:end], in[end:]
	if at := strings.LastIndexByte(host, '@'); at >= 0 {
		user, password, _ := strings.Cut(host[:at], ":")
		u.user, u.password = encode(user, &userinfoSet), encode(password, &userinfoSet)
		host = host[at+1:]
	}
	host, port, err := cutPort(host)
	if err != nil {
		return URL{}, err
	}
	if err := u.setPort(port); err != nil {
		return URL{}, err
	}
	if u.host, u.addr, err = parseHost(host); err != nil {
		return URL{}, err
	}
	if slash(rest) {
		rest = rest[1:]
	}
	u.setPath(nil, rest)
	return u, nil
}

func cutPort(in string) (host, port string, err error) {
	brackets := false
	for i := range len(in) {
		switch {
		case in[i] == '[':
			brackets = true
		case in[i] == ']':
			brackets = false
		case in[i] == ':' && !brackets:
			if i == 0 {
				return "", "", errors.New("no host")
			}
			return in[:i], in[i+1:], nil
		}
	}
	return in, "", nil
}

func (u *URL) setPort(port string) error {
	if port == "" {
		return nil
	}
	n := 0
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' {
			return errors.New("the port is not a number")
		}
		if n = n*10 + int(port[i]-'0'); n > 65535 {
			return errors.New("the port is larger than 65535")
		}
	}
	if n != 80 && u.scheme == "http" || n != 443 && u.scheme == "https" {
		u.port = n
	}
	return nil
}

// relative reads a reference without a scheme of its own.
func relative(in string, base *URL) (URL, error) {
	if slash(in) {
		if slash(in[1:]) {
			return authority(base.scheme, in)
		}
		u := *base
		u.setPath(nil, in[1:])
		return u, nil
	}
	u := *base
	u.fragment, u.hasFragment = "", false
	switch {
	case in == "":
	case in[0] == '#':
		u.setFragment(in[1:])
	case in[0] == '?':
		u.setQuery(in)
	default:
		segments := strings.Split(base.path[1:], "/")
		u.setPath(segments[:len(segments)-1], in)
	}
	return u, nil
}

// setPath reads "path?query#fragment" after the segments that lead it.
func (u *URL) setPath(segments []string, in string) {
	end := strings.IndexByte(in, '?')
	if end < 0 {
		end = len(in)
	}
	if hash := strings.IndexByte(in[:end], '#'); hash >= 0 {
		end = hash
	}
	path, rest := in[:end], in[end:]
	if len(segments) == 0 && !mayHaveDots(path) {
		u.path = "/" + encode(path, &pathSet)
		u.setQuery(rest)
		return
	}
	segments = append(make([]string, 0, len(segments)+8), segments...)
	for more := true; more; {
		segment := path
		i := strings.IndexAny(path, `/\`)
		if more = i >= 0; more {
			segment, path = path[:i], path[i+1:]
		}
		switch dots(segment) {
		case 2:
			segments = segments[:max(len(segments)-1, 0)]
			fallthrough
		case 1:
			if !more {
				segments = append(segments, "")
			}
		default:
			segments = append(segments, encode(segment, &pathSet))
		}
	}
	u.path = "/" + strings.Join(segments, "/")
	u.setQuery(rest)
}

// mayHaveDots reports whether a path may hold a segment that [dots] knows, or a
// separator that is not "/": most paths do not.
func mayHaveDots(path string) bool {
	before := byte('/')
	for i := range len(path) {
		switch c := path[i]; {
		case c == '\\', c == '.' && before == '/', c == '%' && before == '/':
			return true
		default:
			before = c
		}
	}
	return false
}

// dots reports whether a path segment is "." (1) or ".." (2), however it is written.
func dots(segment string) int {
	n := 0
	for segment != "" {
		switch {
		case segment[0] == '.':
			segment = segment[1:]
		case len(segment) >= 3 && segment[:2] == "%2" && segment[2]|0x20 == 'e':
			segment = segment[3:]
		default:
			return 0
		}
		if n++; n > 2 {
			return 0
		}
	}
	return n
}

// setQuery reads "?query#fragment", each part of which may be missing.
func (u *URL) setQuery(in string) {
	before, fragment, hasFragment := strings.Cut(in, "#")
	query, hasQuery := strings.CutPrefix(before, "?")
	u.query, u.hasQuery = encode(query, &querySet), hasQuery
	u.fragment, u.hasFragment = "", false
	if hasFragment {
		u.setFragment(fragment)
	}
}

func (u *URL) setFragment(in string) {
	u.fragment, u.hasFragment = encode(in, &fragmentSet), true
}

// A byteSet is a set of bytes.
type byteSet [256]bool

func setOf(bytes string) (set byteSet) {
	for i := range len(bytes) {
		set[bytes[i]] = true
	}
	return set
}

// encodeSet is a percent-encode set of the Standard: controls, what is not ASCII, and
// some bytes.
func encodeSet(bytes string) byteSet {
	set := setOf(bytes)
	for c := range set {
		set[c] = set[c] || c < 0x20 || c >= 0x7f
	}
	return set
}

const pathBytes = " \"#<>?^`{}"

var (
	fragmentSet = encodeSet(" \"<>`")
	querySet    = encodeSet(" \"#<>'")
	pathSet     = encodeSet(pathBytes)
	userinfoSet = encodeSet(pathBytes + "/:;=@[\\]|")
)

// encode percent-encodes the bytes of s that are in the set. Percent signs
// stay as they are: "%41" is not "A" to a browser.
func encode(s string, set *byteSet) string {
	first := 0
	for first < len(s) && !set[s[first]] {
		first++
	}
	if first == len(s) {
		return s
	}
	const upper = "0123456789ABCDEF"
	b := append(make([]byte, 0, len(s)+16), s[:first]...)
	for i := first; i < len(s); i++ {
		c := s[i]
		if set[c] {
			b = append(b, '%', upper[c>>4], upper[c&15])
			continue
		}
		b = append(b, c)
	}
	return string(b)
}

// decode undoes percent-encoding once. Invalid UTF-8 becomes U+FFFD; percent
// signs that begin no escape stay.
func decode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2]); hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	if !utf8.Valid(b) {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return string(b)
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
