// Package pairing is how two organisations come to share what only the two of
// them may know: the seed of the VDAF verification keys (leader and helper), and
// the tokens by which the helper knows the leader and the leader the collector.
//
// # Use
//
// An organisation describes itself with a [Card]: one line of text, signed by
// its identity, with a public key to which secrets for it can be sealed. The
// leader reads the card of a helper or of a collector, makes the secrets, and
// answers with an invitation, again one line, which the other accepts:
//
//	card, err := pairing.SignCard(card, identity)          // the helper; the line goes to the leader
//	line, err := pairings.Invite(card, me, identity, now, rand) // the leader; the line goes to the helper
//	done, err := pairings.Accept(line, me, now)                 // the helper
//
// A [File] is the file in which an organisation keeps what came of it.
//
// # Security
//
// Neither line is secret: a card holds public keys, and an invitation's secrets
// are sealed (HPKE, X25519) to the key in the card and signed by the leader's
// identity. Both can go by mail. What each line states about an organisation is
// signed by the identity that it names, and a pairing is only ever used for a task
// that names this identity, under its owner's signature: a card that somebody put
// in another one's place pairs with an identity that no task names. A collector
// has an identity of its own, which signs the organisation's: no other party can be
// given the token for its batches. So there is
// nothing to compare by telephone; comparing the identities all the same finds
// mistakes early.
//
// An invitation can be accepted again, which changes nothing, but not after a
// newer one. Secrets stay in the files: the file and the key that opens
// invitations are readable by their owner only. A reader of the file of leader
// or helper can make reports pass whose proofs are false, and can ask in the
// leader's name; it opens no report.
package pairing
