package bhttp

// AppendUnchecked encodes a request that may be invalid.
func AppendUnchecked(m *Request, mode Mode) []byte {
	b := []byte{byte(2 * mode)}
	for _, s := range []string{m.Method, m.Scheme, m.Authority, m.Path} {
		b = appendString(b, s)
	}
	return appendSections(b, mode, m.Header, m.Content, m.Trailer)
}
