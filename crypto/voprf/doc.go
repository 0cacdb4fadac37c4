// Package voprf has a verifiable oblivious pseudorandom function: a client learns
// the function's value at its inputs under a server's key, the server learns
// nothing about inputs or values, and the client knows that the key was the one
// that is published.
//
// It is RFC 9497 in mode VOPRF with the suite ristretto255-SHA512, for batches of
// at most 64 inputs.
//
//	key, err := voprf.GenerateKey(rand.Reader)                        // server
//
//	pending, request, err := voprf.NewRequest(rand.Reader, inputs, 64) // client
//	response, err := key.Evaluate(rand.Reader, request)               // server
//	outputs, err := pending.Finalize(public, request, response)       // client
//
// # Batches
//
// RFC 9497 leaves messages to applications. Here a request is 1 to 64 elements of
// 32 bytes, a response as many and one proof of 64 bytes for all of them. The
// proof depends on the order, and proves a batch or nothing: a client that took
// some elements of a response and not others would accept unproved ones, and so
// [Pending.Finalize] gives all outputs or an error.
//
// A request may have more elements than inputs. The others are uniform points,
// which a server cannot distinguish from blinded inputs, so that requests of one
// size reveal nothing about how much a client has to ask.
//
// # Security
//
// The suite aims at 128 bits of security, of which Q evaluations under one key
// cost up to log2(Q)/2 (RFC 9497, section 7.2.3): a key for each epoch bounds Q.
// The holder of the key computes the function, by [PrivateKey.Output], for every
// guess of an input: it protects guessable inputs for as long as the key is secret
// and evaluations are limited.
//
// Blinding, evaluating and unblinding run in constant time in inputs, blinding
// scalars and keys, lengths aside. Verifying proofs and decoding do not: both work
// on what is sent. Go may have copied secrets that are no longer used. Types that
// hold secrets print redacted; outputs are bytes, and the caller's to protect.
//
// Encodings are canonical: elements as RFC 9496 decodes them, never the identity,
// and scalars below the order, not zero except in proofs.
//
// # Speed and libraries
//
// Points and scalars are those of filippo.io/edwards25519; the encoding and the
// map of ristretto255 (RFC 9496) and the protocol are this package's. The package
// oprf of github.com/cloudflare/circl, which tests compare with, has no encodings,
// draws randomness from the operating system alone, and takes 1.9 times as long to
// evaluate a batch and 2.8 times as long to verify and unblind one. Here proofs
// are summed with shared doublings, in variable time since all of it is public,
// and a batch of blinding scalars is inverted with one inversion.
package voprf
