// Package witness makes the keys of a party the same for all clients.
//
// Oblivious requests are only as anonymous as the keys that they are sealed to: a
// party that gives each client a key of its own knows each client by it. So the
// relay is the witness of keys. For each [Slot], which is a party, a purpose and a
// period, it fetches one [Statement] that the party has signed, keeps it durably,
// refuses any other, signs it, too, and serves the same bytes to all. A client uses
// no key without both signatures.
//
//	w, err := witness.New(witness.Config{
//		Identity: identity, Parties: parties, Store: store, Clock: clock,
//		Purposes: map[string]time.Duration{"gateway": 24 * time.Hour}, Fetch: fetch,
//	})
//	mux.Handle("GET /keys/", http.StripPrefix("/keys", w))
//
// A client has a [Source], which computes the slot by the time that it is given,
// fetches /keys/PARTY/PURPOSE/START from the relay, and calls [Open].
//
// A [Source] keeps keys by the cache of peers' keys that all clients of Shoal have,
// internal/keyring. What a [Witness] keeps is no such cache: it is the record of what
// it has signed, which never expires within its period, is compared with the store and
// with other nodes, and turns into evidence.
//
// # Security
//
// The witness asks twice before it signs, and signs if both answers are equal. A
// party that answers differently, now or to another node of the witness, loses the
// slot: both statements are kept as evidence, and no client gets a key of it. Then
// clients wait. A period has one slot: its start is a multiple of a length that both
// sides know.
//
// Relay and party together can still give a client keys of its own; that they are
// independent is a promise. A public log of statements could show it, and is not
// here. Nothing is secret but the identity keys, which sign in constant time by
// crypto/ed25519.
//
// # Limits
//
// Only slots of listed parties and purposes whose period is the present one, or
// begins within Early, are fetched; what is kept in memory and on the disk is
// bounded by their number for each period. A party that does not answer is asked
// again after Pause at the earliest.
//
// Of the purposes of a [Span] the party alone knows which there are and how long their
// periods are: its statement gives the end. The witness looks for a bounded number of them
// at a time, keeps nothing of those that the party does not state, and a bounded number of
// records of each party ([MaxRecords]), so that a party can fill no room but its own.
// Records of periods that have been over for [Kept] are deleted by [Witness.Expire].
package witness
