package bundle

import (
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/shoal-project/shoal/internal/discovery"
)

// An engine is an Engine, compiled.
type engine struct {
	name     string
	rendered bool
	patterns []pattern
	styles   []style
}

// A pattern is a Pattern, compiled.
type pattern struct {
	Pattern
	exact    map[string]bool
	suffixes []string // ".example.org" of "*.example.org"
	prefixes []string // "www.example." of "www.example.<tld>"
}

// maxSearched bounds the words that are read of a URL, in bytes.
const maxSearched = 1024

// SearchPage reports whether a URL is a result page, of which engine, what was
// searched for, and the page's clean URL. A page without words, such as the
// front page of an engine, is not a result page. It applies no rule to the words.
func (b *Bundle) SearchPage(u discovery.URL) (Search, bool) {
	e, search := b.find(u)
	return search, e != nil
}

// ResultPage reports whether a URL is where an engine has its result pages,
// whatever its parameters: a second page of results, or one of pictures. Such a
// page holds what somebody typed; it is reported as a search or not at all.
func (b *Bundle) ResultPage(u discovery.URL) bool {
	for i := range b.engines {
		for j := range b.engines[i].patterns {
			p := &b.engines[i].patterns[j]
			if p.host(u.Host()) && pathMatches(p.Path, u.Path()) && (p.Path != "/" || u.Query() != "") {
				return true // but the front page of a site is not a result page
			}
		}
	}
	return false
}

// Rendered reports whether the result pages of an engine must be rendered before
// they are read.
func (b *Bundle) Rendered(name string) bool {
	for i := range b.engines {
		if b.engines[i].name == name {
			return b.engines[i].rendered
		}
	}
	return false
}

// Engines returns the names of the engines whose result pages are recognised.
func (b *Bundle) Engines() []string {
	names := make([]string, len(b.engines))
	for i := range b.engines {
		names[i] = b.engines[i].name
	}
	return names
}

func (b *Bundle) find(u discovery.URL) (*engine, Search) {
	for i := range b.engines {
		e := &b.engines[i]
		for j := range e.patterns {
			if words, ok := e.patterns[j].match(u); ok {
				clean, err := e.patterns[j].clean(words)
				if err != nil {
					continue
				}
				return e, Search{Engine: e.name, Query: words, Clean: clean}
			}
		}
	}
	return nil, Search{}
}

// match returns what was searched for.
func (p *pattern) match(u discovery.URL) (string, bool) {
	if u.Scheme() != p.Scheme || u.HasCredentials() || u.Port() != defaultPort(p.Scheme) || !p.host(u.Host()) || !pathMatches(p.Path, u.Path()) {
		return "", false
	}
	words, found := "", false
	for part := range strings.SplitSeq(u.Query(), "&") {
		key, value, _ := strings.Cut(part, "=")
		key = unescapeForm(key)
		switch {
		case slices.Contains(p.Not, key):
			return "", false
		case key == p.Query && !found:
			found = true
			words = strings.Join(strings.Fields(unescapeForm(value)), " ")
		}
	}
	return words, words != "" && len(words) <= maxSearched
}

func (p *pattern) host(host string) bool {
	if p.exact[host] {
		return true
	}
	for _, suffix := range p.suffixes {
		if label, ok := strings.CutSuffix(host, suffix); ok && label != "" && !strings.Contains(label, ".") {
			return true
		}
	}
	for _, prefix := range p.prefixes {
		if rest, ok := strings.CutPrefix(host, prefix); ok {
			if suffix, icann := publicsuffix.PublicSuffix(rest); icann && suffix == rest {
				return true
			}
		}
	}
	return false
}

// clean puts the words behind the clean URL.
func (p *pattern) clean(words string) (discovery.URL, error) {
	return discovery.ParseURL(p.Clean + "?" + url.QueryEscape(p.Query) + "=" + url.QueryEscape(words))
}

func defaultPort(scheme string) int {
	if scheme == "http" {
		return 80
	}
	return 443
}

func pathMatches(pattern, path string) bool {
	if below, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(path, below)
	}
	return path == pattern
}

// unescapeForm undoes the encoding of forms; percent signs that begin no escape stay.
func unescapeForm(s string) string {
	s = strings.ReplaceAll(s, "+", " ")
	if !strings.Contains(s, "%") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := hexDigit(s[i+1]), hexDigit(s[i+2])
			if hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
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
