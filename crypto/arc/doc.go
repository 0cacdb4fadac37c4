// Package arc has Anonymous Rate-limited Credentials: a client gets one
// credential and shows it a limited number of times in each context. The issuer,
// which alone can verify, learns that a presentation comes from one of its
// credentials and whether the limit was passed, and nothing that links two
// presentations, or a presentation to the issuance.
//
// The protocol is draft-ietf-privacypass-arc-crypto-01 with its ciphersuite
// ARC(P-256), its proofs those of draft-irtf-cfrg-sigma-protocols-01 and
// draft-irtf-cfrg-fiat-shamir-01. All are pinned: later drafts change the bytes.
//
//	key, err := arc.GenerateKey(rand.Reader)                        // issuer and verifier
//
//	secrets, request, err := arc.NewRequest(rand.Reader, policy)    // client: stores both
//	response, err := key.Issue(rand.Reader, request)                // issuer, behind its gate
//	credential, err := secrets.Finalize(public, request, response)  // client
//
//	c, err := arc.NewContext(context, limit)                        // client and verifier
//	p, err := credential.Present(rand.Reader, c, nonce, binding)    // client
//	tag, err := key.Verifier(policy).Verify(c, p, binding)          // verifier: was tag spent?
//
// # What counts
//
// A credential has one [Tag] for each context and nonce, and a nonce is below
// the limit. The verifier keeps spent tags and refuses a second presentation
// with one: so one credential counts at most limit times in a context. What the
// context holds decides what is counted. What may differ between presentations
// that are to be counted together, such as the report that one comes with, is
// the binding: the proof covers it, the tag does not depend on it. The binding
// is the end of the session string of the proof, which begins with the draft's,
// so that an empty binding is the draft.
//
// A client must use a nonce once in a context. A second presentation with it has
// the same tag, so that it is refused, and linked to the first.
//
// # A limit of one
//
// The draft has no run for a limit of one: its range proof then has no bits by
// one formula and one bit of weight zero by the other, and the commitment to the
// nonce would have to be the identity, which has no encoding. A limit of two
// would count a client twice. With a limit of one this package leaves the nonce
// out, under a context string of its own, "ARCV1-P256-N1-shoal", in place of the
// draft's in the hash of the context and in the session string. A presentation is
// U, UPrimeCommit, m1Commit, tag and the proof of
//
//	m1Commit = m1 * U + z * H
//	V        = z * X1 - r * G
//	T        = m1 * tag
//
// which are the draft's equations 1, 2 and 4 with the nonce 0. Issuance is the
// draft's, and one credential serves both forms.
//
// It is sound for the draft's reasons. From a proof that verifies, its scalars
// can be extracted. With V = (x0 + x2 m2) U + x1 m1Commit - UPrimeCommit, the
// first two equations give UPrimeCommit - r G = (x0 + x1 m1 + x2 m2) U, and U is
// not the identity: a MAC on m1, which only the issuer makes, for a request that
// proved knowledge of m1. The third fixes the tag: T is not the identity, so m1
// is not zero and the tag is T/m1. A credential thus has one tag in a context.
//
// It hides what the draft hides. U, UPrimeCommit and m1Commit are blinded alike,
// and the proof is zero-knowledge. What is left is the tag T/m1: what the draft
// shows in another context for the nonce 0. T is a hash of the context under the
// context string, so that the two forms never share a T, and the tags of both are
// to a verifier like the tags of two contexts of the draft. That nonces are 0 is
// no information, since all are.
//
// Since the two forms share no tags, a limit that changes from one to more while
// tags of a context are still valid gives each credential both. Change limits
// with the context.
//
// # Security
//
// The holder of a [PrivateKey] can make credentials without limit. Two parties
// that must not trust each other's count need a key each.
//
// Making requests, credentials and presentations, and all uses of a private key,
// run in constant time in the secrets, the nonce included. Verifying does not:
// proofs and their statements are public, and the multiplications by challenges
// and responses take a time that depends on them. The verifier's key enters
// before that, in V, in constant time. Lengths, limits and whether an encoding or
// a proof is valid are public. Hashing a context runs in constant time, its
// length excepted.
//
// Proofs are not self-checked after they are made, and Go may have copied
// secrets that are no longer used. Types that hold secrets print redacted.
//
// Encodings are canonical: compressed points of the curve, never the identity,
// and scalars below the order, not zero except in proofs.
//
// Anonymity is among the credentials of one key and one request context: an
// issuer that gives each client a key of its own links everything. Clients need
// to know that all see the same key. Issuance shows the proof that the answer was
// made with the key that they know, which [Secrets.Finalize] checks.
//
// # Speed and libraries
//
// Points are those of package internal/p256, which says why no library serves; scalars
// are those of filippo.io/bigmod, in constant time. Verification multiplies
// with shared doublings, with tables of the generators, and with context hashes and
// their multiples kept in a [Context]. It inverts three times: for
// the tables of U and m1Commit, by which the key and then the proof multiply, and of the
// tag; for V with its table; for the encodings of all commitments. Two sums at a time
// share the processor. The verifier's products add a secret
// offset, so that points which a client chooses cannot meet on the way.
//
// Presentations cannot be verified together by one random combination of their
// equations, as signatures that contain their commitments can. A proof is a challenge
// and responses. Its commitments are not in it: they are the sums of the responses'
// products less the challenge's with the left sides, and what is checked is that a hash
// of the encodings of all of them is the challenge. A hash is not linear, so each
// commitment of each presentation must be known by itself, while a combination gives one
// point for all. Proofs that carry commitments in place of the challenge could be
// combined, but are not the draft's, and longer by an element an equation less a scalar.
// The one relation that is checked as points, that the bits add up to the nonce, takes a
// doubling and an addition a bit, less than multiplying it by a random coefficient.
// Presentations are independent, so that several goroutines verify a batch, with the
// verdicts of one.
//
// # Compatibility
//
// The draft's text allocates the commitment to the only bit of a limit of two
// beside an equal commitment to the nonce; its vectors have it once, as a
// relation must not have an element twice. This package follows the vectors.
//
// A presentation is made for a limit, but the tag does not depend on it, as in
// the draft.
package arc
