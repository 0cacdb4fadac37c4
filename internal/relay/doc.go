// Package relay is how clients reach the parties of a task through its relay, and
// through nothing else.
//
//	client ── Oblivious HTTP ──> relay ── the same bytes ──> party: gateway ─ handler
//	       <─ keys, the minute ─       <─ statements, the minute ─
//
// # Use
//
// A client has a [Client]; its [Way] to the parties of a task gives it transports
// ([Way.Transport]), keys ([Way.Keys]) and the time ([Way.Now]). The relay is a
// [Server], in front of the parties that it is given. A party serves what the relay
// fetches by an [Announcer], and has the gateway of package ohttp at [GatewayPath] and,
// for issuing credentials, at [IssuancePath].
//
// A further kind of keys is a purpose. Keys with the period of all relays are an entry in
// [Purposes] and in [AnnouncerConfig.Purposes]; clients get them from the relay. Keys whose
// periods follow from a task, of credentials and of evaluations, are slots of [Spans]: the
// party states them by [AnnouncerConfig.Slots], asks the relay itself for its signature
// ([Witnessed]), and serves what it gets ([Slot.Open]) to clients that come through its
// gateway. A client that asked the relay for them would show it in which tasks it takes
// part.
//
// # Security
//
// A client uses keys alone that both the party and the relay have signed for the
// present period of [Period], so that they are the same for all clients; it chooses
// epochs and periods by a minute that a party has signed, never by its own clock.
// Whatever fails, the client connects to the relay or to nothing, and waits.
//
// The relay knows addresses and lengths. It has no logger, counts causes, and keeps of
// networks one day's count of issuances under a key that is in memory alone. That the
// relay does not work together with a party is a promise of two organisations.
//
// A relay whose records were restored from a backup, or given up, signs nothing for
// periods that had begun before: it does not know what it has signed for them.
package relay
