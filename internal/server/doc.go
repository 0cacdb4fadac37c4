// Package server assembles one organisation: it reads the configuration, keeps
// the keys, admits tasks, and runs the roles that the configuration names:
// shuffler and analyzer (crowd route), leader, helper and collector (aggregate
// route), randomness (hardened quorums), or relay, through which clients reach the others. All but the collector, which
// only asks, are behind HTTP, and those to which clients send have a gateway for relays.
//
// [Load] reads a configuration and [New] opens everything it names: keys,
// stores, tasks, listeners. Whatever is wrong is reported then, before a single
// report is taken. [Server.Run] serves until its context ends and then shuts
// down in order. The clock and the randomness are passed in, so that a whole
// deployment can run in one process under a virtual clock that calls
// [Server.Tick].
//
// # Roles
//
// Each role is a value behind one small interface: Run does its periodic work, Health
// is how it is now, Close releases it. What only some roles have is in interfaces
// beside it: Handler and Routes of those that answer on the public listener, Tick and
// Sync of those with work that a virtual clock drives, Keys of those whose keys rotate.
// The server has one list of roles. A [Health] is the only source of what is shown of a
// role: readiness takes its reasons, /metrics its figures, the log its notes, and the
// list of losses what it has lost; doctor reads /readyz, /metrics and that list.
//
// To add a role, write one file with a type that implements the interface and a
// function that opens it (collector.go is the shortest example), and enter it at three
// places: its name among the names of roles in config.go, the function in the table in
// role.go, in the same order, and new gauges in the table in metrics.go. A route of the
// public listener states in which gate its requests wait, how long an exchange may
// take, and whether it takes room on the disk; roles that have the same route are told
// apart by Serves. A reason of Health is a format in reasons.go and a row in
// docs/guide/operator.md.
//
// # Listeners
//
// There are three listeners. The public one takes reports, batches and the
// requests of DAP, and serves keys. The one for operations (health, metrics, the management API) and
// the console's are on loopback unless configured otherwise. The console itself is
// not part of this package; see [Options.Console].
//
// # Security properties
//
// No address, header or time of a request is written anywhere: there is no
// access log, handlers do not look at the peer, and what net/http would print
// about a connection is reduced to a cause from a fixed list. No role derives
// anything from a header that a client can set, except the media type.
//
// Plain HTTP is served on loopback only, unless the configuration states that a
// proxy ends TLS. A task is admitted only if an allow-listed owner signed it,
// one of its hops names this organisation's URL and identity, no two hops are
// the same organisation, and it keeps the configured floors.
//
// If the configuration names authorities for it, what other organisations ask of a
// leader or a helper needs a client certificate beside the token (mutual TLS). It
// does not replace the token, and is not bound to a pairing.
//
// HPKE keys are short-lived. Clients learn a new key before the old one ends;
// the private half of an old key is overwritten in the key file once the last
// batch that may need it has closed and the grace time has passed.
//
// BUG(shoal): adding a task through the management API waits for the requests in
// flight of its role, and new ones wait with it. At an analyzer that is receiving
// a large batch this can take minutes; clients are not concerned, since they
// talk to shufflers.
//
// BUG(shoal): overwriting a key file does not reach copies that a file system or a
// disk has made on its own (snapshots, copy-on-write, wear levelling). Put the
// key folder on storage where that does not matter, such as an encrypted volume
// whose key is rotated, or memory.
package server
