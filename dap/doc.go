// Package dap is the protocol of the Distributed Aggregation Protocol
// (draft-ietf-ppm-dap): its messages, the configuration of a task, and the
// sealing of shares. It is pure: bytes go in and come out, and clock, network
// and storage are the caller's.
//
// The roles use it: dap/client, internal/dap/leader, internal/dap/helper and internal/dap/collector,
// with HTTP, storage and schedules; internal/dap/ledger and internal/dap/tasks are what leader and
// helper keep. No other implementation was tried against them yet.
//
// # Use
//
// A [Codec] encodes and decodes messages in one [Variant] of the draft, within
// [Limits]:
//
//	c := dap.NewCodec(dap.DAP18())
//	body, err := c.Encode(&req)
//	err = c.Decode(&req, body)
//
// Five messages have no length of their own: the HTTP body ends them. They can
// be read and written one element at a time, see [Stream] and [Writer].
//
// [NewTask] checks a [TaskConfiguration] and makes the [Task] that binds shares
// to it. [Task.SealInputShare] and [Task.SealAggregateShare] seal to an
// [HpkeConfig]; what they seal is opened by an [Opener], its private half, which is not
// part of this package.
//
// An [Aggregator] verifies reports. The leader calls LeaderInit, sends the
// request, and calls LeaderFinish with the answer; the helper calls HelperInit.
// Both then have an [Outcome], whose reports they commit: in one transaction,
// [Admit] gives a verdict on each and [Outcome.Totals] what to add to the batch
// buckets. [Task.CheckCollection], [Task.CheckSelector], [Task.CheckBatch] and
// [AggregateShareReq.CheckAgreement] decide whether a batch may be collected.
//
// The input shares of one call of LeaderInit or HelperInit are opened together,
// which is several times faster where they are sealed to X25519.
//
// A task may ask each aggregator to add noise to its share, see
// [NoiseExtension]: both do so with [Task.AddNoise], once for a batch.
//
// # Variants
//
// draft-18 is the reference. draft-19 and the state of Janus of August 2026 have
// the same structures except for a few differences, and these are fields of a
// Variant, not other code.
//
// # Security
//
// Decoders never panic, and read no length that the limits forbid. What is
// decoded refers to the memory of its input. Lists of report extensions stay
// undecoded until [Extensions.List], so that what one client wrote cannot make
// the message that carries many reports malformed. Private keys print redacted.
// Shares are bound to the task by its ID and its whole configuration, byte for
// byte as it was agreed: two parties that differ in one byte of it cannot open
// each other's shares.
//
// A report counts once only if storage keeps the promise of [Ledger]: the checks
// of Admit and the commit are one atomic and durable step. The checksum of a
// batch finds faults and no attacks. A valid proof shows that a measurement is in
// its range, not that it is true, and only if leader and helper are both honest.
package dap

// BUG(dap): The differences of draft-19 are taken from the discussion of its
// changes, not from its published text.

// BUG(dap): Only VDAFs that are verified in one step are supported, which is all
// of package vdaf: the messages of further steps have a codec, but no state
// machine.

// BUG(dap): Aggregation parameters other than the empty one are carried but have
// no meaning: Prio3 has none.
