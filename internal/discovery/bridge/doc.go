// Package bridge runs the discovery engine for embedders that speak bytes and
// JSON: a browser extension through WebAssembly (internal/discovery/wasm), a command
// line, an app in another language.
//
// # Use
//
// Open a Session with Options in JSON and a Host, which does what only an
// embedder can: fetch anonymously, keep records, take messages. Then give
// Session.Handle one event after the other, as lifecycle.ParseEvent reads them.
// Messages and traces come back as single lines of JSON. The same events,
// answers, random bytes and Options give the same lines on every platform.
//
// # Security
//
// A fetch by the Host must carry nothing of the person and follow no redirect,
// and it must report from which address the answer came: the Session refuses what
// is not on the public Internet, other answers than 200 and what is no HTML. It
// cannot see whether the request carried a cookie: that is the Host's word.
// Options hold the key of the store; they print as redacted. Traces are as
// private as the history: show them only to the person.
package bridge
