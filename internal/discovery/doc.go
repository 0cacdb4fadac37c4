// Package discovery is the engine that decides, on a person's own device, which
// of the pages and queries that were seen there may be reported. It is pure: it
// has no clock, network, disk, browser or randomness of its own, and the same
// input gives the same decision on every platform.
//
// # What is where
//
// Here: URLs are read and normalised as browsers do (ParseURL, URL.Resolve: the
// WHATWG URL Standard for http and https). A Classifier distinguishes secrets from words,
// with a model that internal/discovery/train makes. Rules decides about URLs, queries,
// titles and referrers, and compares two fetches of a page by the Signature that
// Sign makes from the bytes of its HTML. Every Decision carries its trace.
//
// Around it: internal/discovery/fetch asks for pages anonymously, internal/discovery/bundle knows and
// reads the result pages of search engines, internal/discovery/lifecycle drives all of it
// from events, and internal/discovery/message holds what may leave and the last gate. Public
// means here that the rules have nothing against an address, not that the page
// behind it is public: only the lifecycle knows that.
//
// # Use
//
// Make Rules once with NewRules and ask it from any goroutine. Evidence must
// come from requests that carried nothing of the person; it makes the rules
// laxer about lengths and counts, never about what looks like a secret.
//
// # Security
//
// The rules are heuristics. They refuse what looks like access, identity or
// place, and they refuse when in doubt; docs/spec/discovery.md has the rules, measured
// error rates, and what no rule can see. What passes must still be in a crowd
// before anybody reads it. A Decision holds what it was made about: it prints
// and logs as verdict and rule only. Nothing here runs in constant time; the
// person's own device is trusted. Rules take time linear in their input except
// the search of UUIDs and addresses, which is linear times a small constant;
// callers should bound inputs (a browser's own limit is 2 MiB).
package discovery

// BUG(shoal): a signature reads HTML as UTF-8 and builds no tree: elements that
// a browser would move or drop while it repairs broken nesting are counted as
// written.
//
// BUG(shoal): the classifier knows Latin letters only; a secret that is written
// in another script is measured by its length alone.
//
// BUG(shoal): the name of a meeting in letters (3-4-3) is taken for words in
// about one of four cases.
