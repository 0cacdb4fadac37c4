// Package door bounds what the senders of a listener can hold: connections, places for
// requests, and the time that a body takes to arrive. Each bound is one in all and one
// of a network, so that one sender cannot take what is for everybody.
//
//	gate := door.NewGate(1000, 100)
//	network := door.Network(host)
//	if !gate.Enter(network) {
//		return // answer 503
//	}
//	defer gate.Leave(network)
//
// [Connections] does the same for connections, by [http.Server.ConnState]: where there
// are too many it closes those that have been idle for longest. [Paced] ends a body
// whose parts do not come.
//
// # Security
//
// What is known of a network is how much it holds now. It is in memory only, and gone
// with the last place or connection. Headers are not believed: who is behind a proxy
// has no network, and only the bound in all is left.
package door
