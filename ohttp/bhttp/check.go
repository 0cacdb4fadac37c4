package bhttp

import (
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// connectionFields are about a connection, which a message does not have (RFC
// 9113, section 8.2.2).
var connectionFields = map[string]bool{
	"connection": true, "keep-alive": true, "proxy-connection": true,
	"transfer-encoding": true, "upgrade": true,
}

func (m *Request) check() error {
	if !httpguts.ValidHeaderFieldName(m.Method) { // a method is a token, too
		return invalid("the method is not a token")
	}
	if m.Method == http.MethodConnect {
		return invalid("method CONNECT has no meaning outside a connection")
	}
	if !validScheme(m.Scheme) {
		return invalid("the scheme is malformed")
	}
	if err := checkAuthority(m.Authority); err != nil {
		return err
	}
	if err := checkPath(m.Path, m.Method); err != nil {
		return err
	}
	if err := checkHeader(m.Header); err != nil {
		return err
	}
	for _, f := range m.Header {
		if f.Name == "host" && m.Authority != "" && !strings.EqualFold(f.Value, m.Authority) {
			return invalid("field host differs from the authority")
		}
	}
	if n, ok, err := contentLength(m.Header); err != nil {
		return err
	} else if ok && n != uint64(len(m.Content)) {
		return invalid("content-length is %d, the content has %d bytes", n, len(m.Content))
	}
	return checkTrailer(m.Trailer)
}

func (m *Response) check() error {
	for _, i := range m.Informational {
		if i.Status < 100 || i.Status > 199 || i.Status == 101 {
			return invalid("status %d of an informational response", i.Status)
		}
		if err := checkHeader(i.Header); err != nil {
			return err
		}
	}
	if m.Status < 200 || m.Status > 599 {
		return invalid("status %d is not in 200 to 599", m.Status)
	}
	if err := checkHeader(m.Header); err != nil {
		return err
	}
	n, ok, err := contentLength(m.Header)
	if err != nil {
		return err
	}
	// Without content it may be what an answer to HEAD or a 304 has instead.
	if ok && n != uint64(len(m.Content)) && len(m.Content) > 0 {
		return invalid("content-length is %d, the content has %d bytes", n, len(m.Content))
	}
	return checkTrailer(m.Trailer)
}

func validScheme(s string) bool {
	for i, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || !('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return s != ""
}

// checkAuthority accepts what may be a host and a port. It may be empty.
func checkAuthority(s string) error {
	if strings.Contains(s, "@") {
		return invalid("the authority has userinfo")
	}
	if !httpguts.ValidHostHeader(s) || strings.ContainsAny(s, "/?#\\ \t") {
		return invalid("the authority is malformed")
	}
	return nil
}

func checkPath(s, method string) error {
	if s == "*" && method == "OPTIONS" {
		return nil
	}
	if !strings.HasPrefix(s, "/") {
		return invalid("the path does not begin with a slash")
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return invalid("the path holds a byte %#02x", c)
		}
	}
	return nil
}

func checkField(f Field) error {
	if strings.HasPrefix(f.Name, ":") {
		return invalid("pseudo-field %q", f.Name)
	}
	if !httpguts.ValidHeaderFieldName(f.Name) {
		return invalid("field name %q is not a token", f.Name)
	}
	for _, c := range []byte(f.Name) {
		if 'A' <= c && c <= 'Z' {
			return invalid("field name %q is not in lower case", f.Name)
		}
	}
	if connectionFields[f.Name] {
		return invalid("field %s is about a connection", f.Name)
	}
	if !httpguts.ValidHeaderFieldValue(f.Value) {
		return invalid("the value of field %s holds a control character", f.Name)
	}
	if f.Value != strings.Trim(f.Value, " \t") {
		return invalid("the value of field %s begins or ends with white space", f.Name)
	}
	return nil
}

func checkHeader(fields []Field) error {
	hosts := 0
	for _, f := range fields {
		if err := checkField(f); err != nil {
			return err
		}
		switch f.Name {
		case "te":
			if f.Value != "trailers" {
				return invalid("field te is not \"trailers\"")
			}
		case "host":
			if hosts++; hosts > 1 {
				return invalid("duplicate field host")
			}
			if err := checkAuthority(f.Value); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkTrailer(fields []Field) error {
	for _, f := range fields {
		if err := checkField(f); err != nil {
			return err
		}
		if f.Name == "trailer" { // HTTP forbids it, an example of RFC 9292 has it
			continue
		}
		if !httpguts.ValidTrailerHeader(f.Name) || f.Name == "set-cookie" || f.Name == "cookie" {
			return invalid("field %s in the trailer", f.Name)
		}
	}
	return nil
}

// contentLength returns the value of the field, false if it is missing.
func contentLength(fields []Field) (n uint64, found bool, err error) {
	for _, f := range fields {
		if f.Name != "content-length" {
			continue
		}
		if found {
			return 0, false, invalid("duplicate field content-length")
		}
		if n, err = strconv.ParseUint(f.Value, 10, 62); err != nil {
			return 0, false, invalid("content-length is not a length")
		}
		found = true
	}
	return n, found, nil
}
