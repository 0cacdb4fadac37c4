// Package bundle holds the declarative rules by which search-engine result pages
// are recognised and read: the publisher signs them, and a device that runs them
// refuses anything unsigned, expired or older than what it has.
//
// # Use
//
// Write a Document in JSON, Sign it, and Open it where it is used. SearchPage
// recognises a result page by its URL; Extract reads the body that an anonymous
// request for its clean URL returned. docs/spec/rule-bundles.md is the manual.
//
// # Security
//
// A bundle cannot do more than select, read and reshape text of a page that is
// public already: transforms are a fixed list of functions without state, and
// nothing of the person's own page is ever given to Extract. A bundle can still
// ask for too much of a page; what it extracts passes the sanitizer of
// internal/discovery/message before it leaves.
//
// A signature shows which key signed a bundle, not that everybody got the same one.
// Digest names the exact bytes, so that bundles can be compared or logged.
//
// # Limits
//
// Pages are hostile input. A page is read into a flat tree in one pass, and a
// selector is decided for all elements at once, in time linear in page and
// selector, :has and sibling selectors included; a budget of steps, limits of
// elements, nesting, matches and lengths bound what is left. Pages that exceed
// a limit give ErrPage and are treated as private. A Bundle is immutable and safe
// for concurrent use.
package bundle

// BUG(shoal): the tree is built from the tokens of a page without the repairs
// of a browser: formatting elements are not reopened and nothing is moved out of
// tables, so that an element of a broken page may have another parent here.
