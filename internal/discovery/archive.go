package discovery

import "strings"

// archives are the registrable domains of public archives of the web. They keep
// copies of what anybody gets, below the time of the copy:
// /web/20170630204729/http://example.org/. Mementos are described by RFC 7089.
func archives(site string) bool {
	switch site {
	case "archive.org", "archive-it.org", "archive.today", "archive.ph", "archive.is", "archive.li", "archive.vn", "archive.fo", "archive.md",
		"arquivo.pt", "webarchive.org.uk", "nationalarchives.gov.uk", "perma-archives.org", "webharvest.gov", "vefsafn.is", "loc.gov", "nla.gov.au":
		return true
	}
	return false
}

// archived returns the URL of which a page is a copy, and the folder that the
// archive keeps copies in. Without scheme the copy is of http.
func archived(u URL) (original URL, folder string, ok bool) {
	folder, ok = copyFolder(u.path)
	if !ok || !archives(registrable(u.host)) {
		return URL{}, "", false
	}
	rest := u.path[len(folder)+1:]
	_, ref, found := strings.Cut(rest, "/")
	if !found || ref == "" {
		return URL{}, "", false
	}
	scheme, after, absolute := strings.Cut(ref, ":/")
	switch {
	case absolute && (scheme == "http" || scheme == "https"):
		ref = scheme + "://" + strings.TrimLeft(after, "/") // one slash is often lost
	case absolute || !strings.Contains(ref, "."):
		return URL{}, "", false
	default:
		ref = "http://" + ref
	}
	if u.hasQuery {
		ref += "?" + u.query
	}
	original, err := ParseURL(ref)
	return original, folder + "/", err == nil
}

// copyFolder returns the part of a path before the time of a copy.
func copyFolder(path string) (string, bool) {
	for from := 0; from+16 < len(path); {
		size := strings.IndexByte(path[from+1:], '/')
		switch {
		case size < 0:
			return "", false
		case size >= 14 && copyTime(path[from+1:from+1+size]):
			return path[:from], true
		}
		from += 1 + size
	}
	return "", false
}

// copyTime reports whether a segment is the time of a copy, perhaps with the mark
// of how it is shown: 20170630204729, 20170630204729id_.
func copyTime(segment string) bool {
	digits := strings.TrimRight(segment, "abcdefghijklmnopqrstuvwxyz_")
	if len(digits) != 14 || len(segment) > 17 || countDigits(digits) != 14 || segment != digits && !strings.HasSuffix(segment, "_") {
		return false
	}
	return dateAt(digits[:8], 0) == 8 && digits[8:10] < "24" && digits[10:12] < "60" && digits[12:] < "60"
}

// ofCopy is what the evidence for a copy is worth for the page that it is of: a
// listing of the copy does not list the page.
func (e Evidence) ofCopy() Evidence {
	return Evidence{PublicLink: e.PublicLink || e.Listed}
}
