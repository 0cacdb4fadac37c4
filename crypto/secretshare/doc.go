// Package secretshare is the t-of-n encoding of the Prochlo paper (section
// 4.2): a message that cannot be read until t clients have sent the same one.
//
// Each client encrypts its message deterministically under a key derived from
// the message itself and adds one share of that key. Equal messages give equal
// ciphertexts, by which shares are grouped; t distinct shares of a group give
// the key, fewer give nothing.
//
//	enc, err := secretshare.NewEncoder(secretshare.MessageHash{}, binding, 20)
//	e, err := enc.Encode(ctx, message, rand.Reader)    // on each client
//	...
//	dec, err := secretshare.NewRecoverer(binding, 20)
//	r, err := dec.Recover(e.Ciphertext, shares)         // at the analyzer
//
// # Construction
//
// With H(label, a, b) for SHA-256 over label || 0x00 || length of a in 4 bytes,
// big-endian || a || b, and elements of GF(2^127-1) as 16 bytes, little-endian:
//
//	root = H("shoal secretshare root v1", binding, message)      what MessageHash gives
//	s    = root[:16], the top bit cleared, as an element
//	k    = H("shoal secretshare keys v1", s, binding)
//	P(X) = s + a_1 X + ... + a_(t-1) X^(t-1)
//	a_i  = AES-128(k[:16], i-1), the top bit cleared, as an element
//	mac  = s || k[16:]
//	tag  = H("shoal secretshare outer v1", mac, H("shoal secretshare inner v1", mac, message))
//	body = message xor AES-128-CTR(k[:16], (tag[:12], the first bit set) || 0^32)
//	ciphertext = tag || body
//	share      = x || P(x), x uniformly random except 0
//
// The polynomial's constant term s is the secret; all else is derived from it,
// so that clients that never met hold shares of the same polynomial, and so that
// any holder of s can check each share by itself. Two clients draw the same x,
// and so count as one, with probability 2^-127.
//
// # Groups with records that differ
//
// A [Dealer] makes a group by a root that its members have got elsewhere, from an
// oblivious PRF: then nothing that they send is a function of the message alone. With
// mac = s || k[16:] as above:
//
//	tag           = H("shoal secretshare tag v1", mac, binding)
//	Derive(label) = H("shoal secretshare label v1", H("shoal secretshare derive v1", mac, binding), label)
//	share         = x || P(x), x as the caller names it
//	record        = the ciphertext, as above, of 16 random bytes || record
//
// The tag names the group and commits to s. Shares are recovered against it,
// by [Recoverer.RecoverTag], and each record is then opened by itself.
//
// # Security
//
// The binding (task and epoch) enters the root, the key and the coefficients:
// shares and ciphertexts of two tasks or epochs cannot be linked or combined.
//
// Encryption is deterministic and key-committing: the 32-byte tag is a PRF of
// the message under a key that holds s, and the keystream depends on it, so no
// ciphertext opens under two secrets.
//
// With t-1 shares, s is as unknown as without any, except for the ciphertext: see
// the next paragraph.
//
// With [MessageHash] as Deriver, anyone with a ciphertext can test guesses of
// the message without any share: t protects only what cannot be guessed. A
// guessable value is protected by the crowd threshold in front of the analyzer,
// not by t. A Deriver that mixes in a server's oblivious PRF removes that
// attack; nothing else changes.
//
// A forged share costs nothing but itself: a group of n shares with distinct x, of
// which e are wrong, is recovered whenever n >= t + 2e and n <= [DecodeSize], and the
// wrong ones are dropped. With more wrong ones it still is when one of a few
// random subsets is honest. Of a larger group two random samples of m = DecodeSize are
// decoded, each of which fails with probability below 2^-40 as long as the part
// of wrong ones is at most 1/2 - t/2m - 0.0291: 47.0 % at t = 20, 44.0 % at t = 1000
// (Hoeffding's bound, exp(-2 m d^2) for a part that is d below what the sample corrects;
// it holds for samples without replacement). Each share is then checked by itself.
// Shares with equal x count once.
//
// # Limits
//
// Shares are counted, not clients: one client that draws t shares makes its own
// message readable. Caps and credentials in front bound that.
//
// Nothing makes a client derive s from the message. Clients that agree on another s
// get a group of their own for the same message, which needs t of them.
//
// Field arithmetic and encoding run in constant time in the message and its
// secret, lengths aside, where the processor has AES instructions. Recovery does
// not: what it recovers is being released. Secrets are overwritten after use,
// but Go may have copied them.
package secretshare
