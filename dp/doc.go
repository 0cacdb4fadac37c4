// Package dp holds the differential privacy of Shoal: deterministic noise
// streams, integer samplers, the thresholds by which a shuffler suppresses
// small crowds, and the exact privacy that each of them gives.
//
// # What is here
//
//   - A [Stream] is a pseudorandom byte stream under a [Seed], so that a batch
//     that is processed again after a crash gets the same noise again.
//   - A [Threshold] decides how many reports of a crowd go on, and computes the
//     epsilon and delta it costs: [NewNaive], [NewNoisySet], [NewNoisyDrop].
//   - [Compose] adds up guarantees; [Crowds] composes one threshold with itself
//     exactly, for a client that sends to several crowds.
//   - [DiscreteLaplace] and [DiscreteGaussian] draw integer noise for any
//     rational parameter.
//   - A [Noise] is what each of two aggregators adds to its share of a sum: what
//     both do to a result, and what one alone gives a client.
//   - [LocalEpsilonFlip] and [LocalEpsilonKRR] give the local guarantee of
//     randomised response.
//
// # Security properties and limits
//
// Neighbouring batches differ by the reports of one client to one crowd, added
// or removed: one report unless a method takes their number. A client that
// sends more than assumed has less protection than stated; the caps on
// the device and credentials are what bounds it, not this package.
//
// The guarantee of [NewNoisyDrop] covers the multiset of crowd IDs of a batch
// and nothing else: what a report contains beside its crowd is released as it is.
// That of [NewNoisySet] covers only the set of released crowds, since their
// counts are exact. [NewNaive] gives none. See [Protection]. Exact totals of a
// batch, such as how many reports came in or were dropped, are no part of that
// output: anyone with them can distinguish a batch from one with a report more.
//
// Every epsilon and delta is computed from the integer probabilities that the
// sampler really uses, in 256-bit arithmetic, and rounded up. A figure never
// falls short of the truth; it exceeds it by no more than documented at [Curve] and
// [Crowds].
//
// Keep draws 16 bytes and scans the whole table of the noise with no branch or
// index that depends on them, so that its time and memory trace reveal nothing
// about the noise. They do depend on the parameters, which are public. The trace of
// the caller, which then drops that many records, is the caller's matter.
// [DiscreteLaplace] and [DiscreteGaussian] sample by rejection and take a time that
// depends on the noise; do not use them where an attacker can measure it.
//
// The noise is as good as its seed. An attacker that learns the seed of a batch, or
// can have the same batch released under many seeds, removes the noise.
package dp
