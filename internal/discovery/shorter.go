package discovery

import "strings"

// leastSegments is how many segments a path must have for its last one to be
// taken off: the pages above are seldom about the same thing.
const leastSegments = 3

// Shorter returns the next shorter URL that may yield the same page: without
// the query if there is one, else without the last segment of a path of three
// segments or more. It reports whether there is one.
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

// tracks reports whether a parameter records only by which letter, advertisement or
// network somebody came: the page does not depend on it.
func tracks(name string) bool {
	name = strings.ToLower(name)
	for _, prefix := range []string{"utm_", "pk_", "mtm_", "hsa_", "matomo_", "at_campaign", "at_medium", "oly_", "_hs", "vero_", "wt_", "wt.", "ga_", "stm_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	switch name {
	case "fbclid", "gclid", "dclid", "gbraid", "wbraid", "gclsrc", "msclkid", "yclid", "ysclid", "twclid", "ttclid", "li_fat_id", "igsh", "igshid", "epik", "rdt_cid",
		"mc_cid", "mc_eid", "mkt_tok", "_openstat", "_ga", "_gl", "s_cid", "cmpid", "cmp", "icid", "ocid", "ncid", "srsltid", "ref_src", "ref_url", "wickedid", "sc_cid", "xtor", "spm", "fb_action_ids", "fb_source", "__twitter_impression", "guccounter", "guce_referrer", "guce_referrer_sig", "nr_email_referer", "trk", "trkcampaign":
		return true
	}
	return false
}

// WithoutTracking returns the URL without fragment and without the parameters by
// which letters and advertisements are followed (utm_source, fbclid). It
// reports whether it had any.
func (u URL) WithoutTracking() (URL, bool) {
	u = u.WithoutFragment()
	if !u.hasQuery {
		return u, false
	}
	var kept []string
	found := false
	for part := range strings.SplitSeq(u.query, "&") {
		key, _, _ := strings.Cut(part, "=")
		if key, _ = decodeAll(key); tracks(key) {
			found = true
			continue
		}
		kept = append(kept, part)
	}
	u.query = strings.Join(kept, "&")
	u.hasQuery = u.query != ""
	return u, found
}

// Downgrades reports whether asking for u in place of v would show the network
// what TLS hid from it: v is an https URL, and u is not.
func (u URL) Downgrades(v URL) bool { return v.scheme == "https" && u.scheme != "https" }

// CleanURLs returns the URLs that may be reported in place of that of a page that was
// found public: what Shorter and WithoutTracking return, and the canonical URL that the
// page names, if it is shorter or does without the query. All of them pass the strict
// rules, and none leads from https to http. The shortest comes first. Whether they
// yield the same page a fetch must show (SamePage).
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
	if s, ok := u.WithoutTracking(); ok {
		consider(s)
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
