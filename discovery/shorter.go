package discovery

import "strings"

// leastSegments is how many segments a path must have for its last one to be
// taken off: the pages above are seldom about the same thing.
const leastSegments = 3

// Shorter returns the next shorter URL that may yield the same page: without
// the query if there is one, else without the last segment of a path of three
// segments or more. It tells whether there is one.
func (u URL) Shorter() (URL, bool) {
	u = u.WithoutFragment()
	if u.hasQuery {
		u.query, u.hasQuery = "", false
		return u, true
	}
	path := strings.TrimRight(u.path, "/")
	if strings.Count(path, "/") < leastSegments {
		return URL{}, false
	}
	u.path = path[:strings.LastIndexByte(path, '/')+1]
	return u, true
}

// Downgrades tells whether asking for u in place of v would show the network
// what TLS hid from it: v is an https URL, and u is not.
func (u URL) Downgrades(v URL) bool { return v.scheme == "https" && u.scheme != "https" }

// CleanURLs returns the URLs that may stand for a page that was found public:
// what Shorter returns, and the canonical URL that the page names, if it is
// shorter or does without the query. All of them pass the strict rules, and none
// leads from https to http. The
// shortest comes first. Whether they yield the same page a fetch must show
// (SamePage).
func (r *Rules) CleanURLs(u URL, after Signature) []URL {
	u = u.WithoutFragment()
	var all []URL
	consider := func(c URL) {
		for _, o := range append(all, u) {
			if o == c {
				return
			}
		}
		if c.Downgrades(u) || r.Page(c, Evidence{}).Verdict != Public {
			return
		}
		at := len(all)
		for at > 0 && len(all[at-1].String()) > len(c.String()) {
			at--
		}
		all = append(all[:at], append([]URL{c}, all[at:]...)...)
	}
	if s, ok := u.Shorter(); ok {
		consider(s)
	}
	if c, err := u.Resolve(after.Canonical); err == nil && after.Canonical != "" {
		c = c.WithoutFragment()
		if len(c.String()) < len(u.String()) || u.hasQuery && !c.hasQuery {
			consider(c)
		}
	}
	return all
}
