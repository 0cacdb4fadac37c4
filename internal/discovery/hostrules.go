package discovery

import (
	"fmt"
	"strings"

	"golang.org/x/net/idna"
)

// A hostRule looks at scheme, port and host; what it finds is empty if it has
// nothing against them.
type hostRule struct {
	rule  Rule
	about string
	check func(*Rules, *subject) (input, found string)
}

// A subject is a URL in the shapes in which rules look at it.
type subject struct {
	url      URL
	evidence Evidence
	level    Strictness
	limits   limits

	host       string // without the dot at its end
	labels     []string
	site       int  // labels of the name of the site
	registered bool // a registry gave that name out

	path     string   // decoded in full
	segments []string // of path, without empty ones
	query    string   // decoded in full
	params   []param
	count    int // parameters that are not the language of the page
	size     int // bytes of them, decoded
	layers   int // of percent-encoding that were taken off

	copied *URL // of which the page is a copy in an archive; path and query are without it

	labelRoom   [4]string // of labels, segments and parameters, when there are few
	segmentRoom [8]string
	paramRoom   [2]param
}

type param struct{ key, value string }

func hostRules() []hostRule {
	return []hostRule{
		{RuleCredentials, "it carries a user name or a password", func(_ *Rules, s *subject) (string, string) {
			if s.url.HasCredentials() {
				return s.url.user, "a user name or a password before the host"
			}
			return "", ""
		}},
		{RulePort, "the port is neither 80 nor 443", func(_ *Rules, s *subject) (string, string) {
			if p := s.url.Port(); p != 80 && p != 443 {
				return fmt.Sprint(p), "a port where no public web site is"
			}
			return fmt.Sprint(s.url.Port()), ""
		}},
		{RuleHostAddress, "the host is an IP address, in any spelling that browsers read as one (decimal, octal, hexadecimal, short, full-width, IPv6, mapped)", func(_ *Rules, s *subject) (string, string) {
			if addr, ok := s.url.Addr(); ok {
				return s.url.Host(), "the address " + addr.Unmap().String()
			}
			return s.url.Host(), ""
		}},
		{RuleHostMalformed, "a label of the host is empty or longer than 63 bytes, or Punycode that cannot be read", func(_ *Rules, s *subject) (string, string) {
			for _, l := range s.labels {
				if l == "" || len(l) > 63 {
					return s.host, "a label that no name server knows"
				}
				if strings.HasPrefix(l, "xn--") {
					if _, err := idna.Punycode.ToUnicode(l); err != nil || len(l) == len("xn--") {
						return s.host, "a label whose Punycode cannot be read"
					}
				}
			}
			return s.host, ""
		}},
		{RuleHostSpecial, "the host ends in a name that is not public: localhost, local, localdomain, onion, i2p, internal, intranet, home.arpa, arpa, test, invalid, example, lan, home, corp, private, alt, workgroup, fritz.box", specialHost},
		{RuleHostSingle, "the host has one label only", func(_ *Rules, s *subject) (string, string) {
			if len(s.labels) < 2 {
				return s.host, "a host of the local network"
			}
			return s.host, ""
		}},
		{RuleHostEmbedded, "four labels in a row, or four parts between hyphens, are the numbers of an IPv4 address", embeddedAddress},
		{RuleHostPersonal, "the host is below a domain of storage at home, routers, dynamic names, tunnels, workspaces or previews: one person's or team's", personalHost},
		{RuleHostLength, fmt.Sprintf("the host has more than %d characters", maxHost), func(_ *Rules, s *subject) (string, string) {
			return s.host, over(len(s.host), maxHost, "characters")
		}},
		{RuleHostLabels, fmt.Sprintf("the host has more than %d labels", maxLabels), func(_ *Rules, s *subject) (string, string) {
			return s.host, over(len(s.labels), maxLabels, "labels")
		}},
		{RuleHostDigits, fmt.Sprintf("the host has more than %d digits, or one more where it is a server two labels below the site", maxHostDigits), func(_ *Rules, s *subject) (string, string) {
			most := maxHostDigits
			if s.registered && len(s.labels) > s.site+1 && s.labels[0] != "" && s.labels[0][0] >= 'a' {
				most++ // a server in its data centre
			}
			return s.host, over(countDigits(s.host), most, "digits")
		}},
		{RuleHostHyphens, fmt.Sprintf("a label of the host has more than %d hyphens (the mark xn-- apart)", maxHyphens), func(_ *Rules, s *subject) (string, string) {
			for _, l := range s.labels {
				if found := over(strings.Count(strings.TrimPrefix(l, "xn--"), "-"), maxHyphens, "hyphens"); found != "" {
					return l, found
				}
			}
			return s.host, ""
		}},
		{RuleHostToken, "a label of the host looks like a secret; a registered name only if it is a long number or hexadecimal", func(r *Rules, s *subject) (string, string) {
			for i, l := range s.labels {
				// Labels below the name of a site may be made for somebody. The
				// name itself was registered for all to see.
				level := Strict
				if i >= len(s.labels)-s.site && (s.registered || i > len(s.labels)-s.site) {
					if kind := shape(l); kind != TokenPlain {
						return l, found(kind, l)
					}
					continue
				}
				text := l
				if strings.HasPrefix(l, "xn--") {
					if u, err := idna.Punycode.ToUnicode(l); err == nil {
						text = u
					}
				}
				if kind, part := r.tokens.Classify(text, level); kind != TokenPlain {
					return l, found(kind, part)
				}
			}
			return s.host, ""
		}},
	}
}

func specialHost(r *Rules, s *subject) (string, string) {
	for _, suffix := range r.words.special {
		if at := len(s.host) - len(suffix); at >= 0 && s.host[at:] == suffix && (at == 0 || s.host[at-1] == '.') {
			return s.host, "the name ." + suffix + " is not public"
		}
	}
	return s.host, ""
}

// embeddedAddress finds 10.0.0.1.nip.io and 10-0-0-1.example.net: names that
// resolve to the address they hold, most of them private.
func embeddedAddress(_ *Rules, s *subject) (string, string) {
	if fourNumbers(s.labels) {
		return s.host, "an address among the labels"
	}
	for _, l := range s.labels {
		if fourNumbers(strings.Split(l, "-")) {
			return l, "an address in a label"
		}
	}
	return s.host, ""
}

func fourNumbers(parts []string) bool {
	run := 0
	for _, p := range parts {
		if p == "" || len(p) > 3 || countDigits(p) < len(p) {
			run = 0
			continue
		}
		if run++; run == 4 {
			return true
		}
	}
	return false
}

func over(n, limit int, of string) string {
	if n <= limit {
		return ""
	}
	return fmt.Sprintf("%d %s, allowed are %d", n, of, limit)
}

func found(kind TokenKind, part string) string {
	return string(kind) + ": " + part
}
