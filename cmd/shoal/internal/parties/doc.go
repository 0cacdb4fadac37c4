// Package parties runs the organisations of a deployment in one process, for the
// demo and for simulations: each has its own keys, port, folder and store, and
// they reach each other by real HTTP on loopback. Only time is virtual: nothing
// happens before the caller moves the clock and calls [Parties.Tick].
//
// The first organisation plays the first shuffler and the helper, the last one
// the analyzer, the leader and the collector; each further shuffler, the relay and the
// randomness party are organisations of their own.
//
// # Limits
//
// It is for simulated people: one process holds the keys of all parties.
package parties
