// Package discovery is the engine that decides on a person's device which of
// the pages and queries that were seen are public. It is pure: it has no clock,
// network, disk or browser of its own.
//
// Of its chapters, the reading of URLs, the token classifier and the rules exist.
package discovery
