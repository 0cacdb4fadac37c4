package discovery

import (
	_ "embed"
	"fmt"
	"strings"

	"golang.org/x/net/publicsuffix"
)

//go:embed personalhosts.txt
var personalHostList string

// newPersonalHosts reads the list that this package carries: kinds by domain.
func newPersonalHosts(list string) (map[string]string, error) {
	hosts := make(map[string]string)
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) < 2 {
			return nil, fmt.Errorf("the personal hosts: %.40q is not a kind and domains", line)
		}
		for _, domain := range fields[1:] {
			hosts[domain] = fields[0]
		}
	}
	return hosts, nil
}

// site returns how many labels the name of the site has: the public suffix and
// one label more. Registered reports whether a registry gave that name out, rather
// than a company to its customers (github.io).
func site(labels []string, host string) (n int, registered bool) {
	suffix, icann := publicsuffix.PublicSuffix(host)
	return min(strings.Count(suffix, ".")+2, len(labels)), icann || !strings.Contains(suffix, ".")
}

// SameSite reports whether two URLs are below one registrable domain: the public
// suffix and one label more. Addresses and names without one are their own site.
func (u URL) SameSite(v URL) bool {
	if u.host == v.host {
		return true
	}
	if u.addr.IsValid() || v.addr.IsValid() {
		return false
	}
	return registrable(u.host) == registrable(v.host)
}

// Site returns the registrable domain of a URL, or its host if it has none.
func (u URL) Site() string {
	if u.addr.IsValid() {
		return u.host
	}
	return registrable(u.host)
}

func registrable(host string) string {
	host = strings.TrimSuffix(host, ".")
	if domain, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return domain
	}
	return host
}

// personalHost finds the hosts of storage at home, dynamic names, tunnels,
// workspaces and previews.
func personalHost(r *Rules, s *subject) (string, string) {
	domain := s.host
	for {
		if kind := r.personal[domain]; kind != "" && domain != s.host {
			return s.host, kind + ": " + domain
		}
		_, above, ok := strings.Cut(domain, ".")
		if !ok {
			break
		}
		domain = above
	}
	if s.registered {
		return s.host, ""
	}
	for _, l := range s.labels[:len(s.labels)-s.site+1] {
		l = strings.TrimPrefix(l, "xn--")
		if strings.Contains(l, "--") || strings.Contains(l, "preview") || strings.Contains(l, "-git-") || numberedBranch(l) {
			return s.host, "preview: " + l
		}
	}
	return s.host, ""
}

// numberedBranch finds pr-42 and mr-7.
func numberedBranch(label string) bool {
	after, ok := strings.CutPrefix(label, "pr-")
	if !ok {
		after, ok = strings.CutPrefix(label, "mr-")
	}
	return ok && after != "" && after[0] >= '0' && after[0] <= '9'
}
