// Package dap is the protocol of the Distributed Aggregation Protocol
// (draft-ietf-ppm-dap): its messages, the configuration of a task, and the
// sealing of shares. It is pure: bytes go in and come out, and clock, network
// and storage are the caller's.
//
// # Status
//
// Built: the codec of every message, task configurations and their VDAFs, HPKE
// configurations and key rotation, sealing and opening of input shares and
// aggregate shares, problem types, resource paths. The roles (client, leader,
// helper, collector) and their HTTP and storage are not built yet: nothing here
// uploads or aggregates a report by itself.
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
// [HpkeConfig]; a [Keyring] holds the private keys that open, and says which of
// them to offer to clients.
//
// # Variants
//
// draft-18 is the reference. draft-19 and the state of Janus of August 2026 have
// the same structures but for a few differences, and these are fields of a
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
package dap

// BUG(dap): The differences of draft-19 are taken from the discussion of its
// changes, not from its published text.

// BUG(dap): Aggregation parameters other than the empty one are carried but have
// no meaning: Prio3 has none.
