// Package message holds what may leave the device: single facts, each in a shape
// that was declared and checked beforehand, and the last gate that every one of
// them passes.
//
// # Use
//
// NewPage and NewQuery take the answer to an anonymous request and nothing that
// was shown to the person; Page.Engaged, Page.Titled, Page.AfterQuery,
// Page.AfterPage and Query.Results make one Message a fact. Sanitizer.Check
// turns a Message into a Record, or reports which rule refused it.
// Answers of questions that are answered on the device come from NewAnswer.
// Lint reads a Schema before anything is collected and reports which fields could
// link two messages of one person. docs/spec/discovery.md, "Messages", has the
// schemas.
//
// # Security
//
// A Message cannot hold text of a page as the person saw it: its constructors
// take anonymous.Page, which only the engine's double fetch makes, and read title,
// canonical URL and search results from it themselves. The sanitizer trusts no
// earlier check: URL, query, title, referrer, counters, time and country are
// judged again there. Messages print as their kind only.
//
// A Record carries a number to detect retransmissions (AntiDuplicate). It
// is drawn afresh for each record and means nothing else. Nothing in a record
// counts, names a session or holds a time finer than the day.
//
// What no check here can see: that a public page or a harmless query is
// reported by one person only. Records must be in a crowd before anybody
// reads them; Schema.Crowd names its fields.
package message
