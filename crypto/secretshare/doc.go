// Package secretshare is the t-of-n encoding of the Prochlo paper (section
// 4.2): a message that nobody can read until t clients have sent the same one.
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
// The polynomial P of degree t-1 has coefficients in GF(2^127-1). Its constant
// term s is the secret, derived from the root that a [Deriver] gives for the
// message; all other coefficients are derived from s, so that clients who never
// met hold shares of the same polynomial, and so that whoever knows s can check
// each share by itself. The x-coordinates are drawn at random from the field's
// 2^127-2 non-zero elements: two clients never collide by chance.
//
// # Security
//
// The binding (task and epoch) enters the root, the key and the coefficients:
// shares and ciphertexts of two tasks or epochs cannot be linked or combined.
//
// Encryption is deterministic and key-committing: the 32-byte tag is a PRF of
// the message under the key and also the nonce from which the keystream comes, so
// no ciphertext opens under two keys.
//
// With [MessageHash] as Deriver, whoever holds a ciphertext can test guesses of
// the message without any share: t protects only what cannot be guessed. A
// guessable value is protected by the crowd threshold in front of the analyzer,
// not by t. A Deriver that mixes in a server's oblivious PRF removes that
// attack; nothing else changes.
//
// A forged share costs nothing but itself: recovery corrects up to (n-t)/2 wrong
// shares among n and, beyond that, still succeeds when one of a bounded number
// of random subsets is honest. Shares with equal x count once.
//
// Field arithmetic and sharing run in constant time in the secret. Recovery does
// not: what it recovers is being released.
package secretshare
