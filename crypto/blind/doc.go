// Package blind lets two shufflers count crowds that neither of them can name:
// x-only Diffie-Hellman on Curve25519, blinded by the client, raised to a secret
// exponent by the first shuffler, unblinded by the second.
//
// # Protocol
//
// All points are u-coordinates of 32 bytes, all scalars are clamped (RFC 7748,
// section 5), and every multiplication is the function X25519.
//
//	client      mu    = HashToCurve(domain, crowd)
//	            r     = clamp(32 bytes exported from the HPKE context of the layer for shuffler 2)
//	            beta  = X25519(r, mu)                  sealed for shuffler 1
//	shuffler 1  a     = clamp(32 random bytes)         one for each batch
//	            gamma = X25519(a, beta)                handed to shuffler 2, in random order
//	shuffler 2  tag   = X25519(inverse of r, gamma)    equals X25519(a, mu)
//
// Equal crowds have equal tags, and a tag reveals nothing else to a party that does
// not know a. Use [Factor.Blind], [Exponent.Multiply] and [Unblind]. A result that
// is all zero comes from a point of small order: the report is dropped.
//
// # The inverse
//
// A u-coordinate does not distinguish P from -P, so a scalar matters up to its
// sign, and clamped scalars are all of Z_l* / {1, -1}, where l is the prime order
// of the subgroup: a clamped scalar is 8m with m in [2^251, 2^252), and of m and
// l-m exactly one lies there, except in a gap that is met with a probability of
// 2^-127. So the inverse of r has a clamped representative, 8m with m = ±1/(8r) mod
// l, and X25519 implementations, which clamp, serve as they are. No clamped scalar
// is 0 mod l: the multiples of l that are multiples of 8 are 0 and at least 8l >
// 2^255.
//
// That the representative is a multiple of 8 is security, not hygiene. With 1/r
// mod l as it is, a dishonest shuffler 1 could replace every gamma by a point of
// order 4; all reports would fall on two tags, and the threshold would count
// strangers as one crowd. With a multiple of 8 every point of small order gives
// the all-zero result, which is dropped.
//
// # What each party sees
//
// Shuffler 1 sees beta. Given a uniform r, beta is uniform on the orbit of mu under
// Z_l*, which does not depend on the crowd: nothing to guess against. r comes from
// the HPKE context that only client and shuffler 2 share, so this hiding rests on
// that layer alone; sealed to X-Wing it holds against a quantum computer, too.
//
// Shuffler 2 sees tags and their multiplicities. Under the decisional
// Diffie-Hellman assumption tags of different crowds are indistinguishable from
// independent random points: HashToCurve is efficiently invertible, so that in the
// random oracle model its outputs can be programmed to multiples of the generator
// with known logarithms. It learns the histogram of crowd sizes, and what follows
// from it: the largest tag is probably the most common crowd.
//
// Neither can test a guess from what it receives. A party that also sends reports
// can: a party that controls shuffler 2 and a client learns the tag of the client's own
// crowd in that batch, one guess for each admitted report. Credentials bound how
// many. Guesses are not adaptive, because shuffler 2 sees tags only after shuffler
// 1 has closed the batch, and a is of one batch. For the same reason an exponent
// answers no chosen query after it is known what to ask (static Diffie-Hellman).
//
// Together the two shufflers see everything, as any two parties would that test
// guesses: they must be organisations that do not collude.
//
// Where each report is in two crowds, shuffler 2 sees two tags of it: besides the histogram
// the graph of which crowds have reports in common, by pseudonyms of one batch.
//
// # What callers must do
//
//   - Shuffler 2 drops reports that repeat an encapsulated key. Otherwise shuffler 1
//     lifts a crowd over the threshold by copies of one report. Within a batch is
//     enough if it accepts one batch for each (task, epoch) and the header of its
//     layer binds both; byte equality is enough because HPKE binds the bytes.
//   - One r for each record and crowd. With two points under one r shuffler 1 sees whether
//     their crowds are equal, and a party that takes discrete logarithms can test a guess of
//     both. Two factors of one record are expanded from a secret that neither reveals.
//   - beta only inside the layer for shuffler 1: an observer of the network that
//     works with shuffler 2 could unblind it.
//   - One exponent for each batch, erased when the output is durable: under one
//     exponent crowds of two batches could be linked.
//   - Tags never leave shuffler 2, and shuffler 1 does not learn which reports
//     survive.
//   - The crowd bytes contain task and epoch.
//
// # Dishonest parties
//
// Shuffler 1 cannot merge crowds of others: for gammas that it makes up, tags
// differ with r, and to hit one tag for two reports it would have to compute
// 1/r of a point without r. It can drop reports or split a crowd by two
// exponents, which costs availability. (In the construction of the Prochlo paper,
// El Gamal on P-256, it can replace ciphertexts and merge everybody.) Points on the
// twist stay there through both multiplications and never equal a tag of the curve;
// the twist's order is 4 times a prime, so that its small part is dropped likewise.
// Encodings of 2^255-19 and above, and bit 255, are reduced and ignored, as RFC
// 7748 demands.
//
// # Constant time
//
// Everything here is in constant time with crowds, factors, exponents and points,
// except that the length of a crowd, and whether a result is all zero, are
// revealed. Like crypto/ecdh, the package does not erase what is left of secrets in
// registers and on stacks.
//
// The construction has not been reviewed outside of this project.
package blind
