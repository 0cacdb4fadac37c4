// Package vdaf implements Prio3, a verifiable distributed aggregation function
// (draft-irtf-cfrg-vdaf, versions 18 to 22, one wire format). A client splits a
// measurement in shares, one for each of two or more aggregators. From its share
// no aggregator learns anything, yet together they check that the measurement is
// valid, add up those of many clients, and give a collector the sum.
//
// # Use
//
// Make an instance; all parties need the same. The measurement types are
// [Count], [Sum], [SumVec], [Histogram], [MultihotCountVec] and [L1BoundSum] of
// the drafts, [SumVecMultiproof] of Janus, and [LInfGradient] and [L1Gradient]
// for vectors of floats. [ParseConfig] makes one from a DAP task configuration.
// Instance.Sizes returns all message sizes in advance.
//
//	hist, err := vdaf.Histogram(100, 0) // 100 buckets, default chunk length
//	shares, err := hist.Shard(rand.Reader, ctx, nonce, 42)
//
// An aggregator makes a [Verifier] for its place, 0 for the leader, the task's
// [VerifyKey] and context. Two aggregators exchange the draft's ping-pong
// messages:
//
//	state, toHelper, err := leader.LeaderInit(&report)          // Continued
//	out, toLeader, err := helper.HelperInit(&report, toHelper)  // FinishedWithOutbound
//	out, err := leader.LeaderFinish(state, toLeader)            // Finished
//
// An error is the state Rejected: that report must not be aggregated, others are
// not concerned. With more aggregators use VerifyInit, Combine and Next. Servers
// use a [Batch], which verifies many reports at once, much faster and without
// allocation. Output shares are added up in an [AggregateShare], to which each
// aggregator may add noise; the collector calls Unshard with one from each.
//
// # Security
//
// Privacy holds if one aggregator is honest, the validity of measurements only if
// all are. Every report needs a fresh random nonce, must be aggregated once only,
// and must be bound to the task by the caller: the parameters are not part of
// what Prio3 authenticates (DAP does it). The verification key must be unknown to
// clients. Aggregates of few reports, or without noise, can give away one client.
//
// Time does not depend on measurements, shares, seeds or keys in field arithmetic,
// XOFs, encoding, proving and verifying, with these exceptions: whether a message
// is valid and which value was out of range; that a XOF output was not below the
// prime and was drawn again (2^-32 a value, independent of secrets); float
// conversion of gradients; and AES in [SumVecMultiproof] on processors without
// AES instructions. Shard erases its scratch memory; other memory is not erased.
//
// # Limits
//
// Poplar1 and IDPFs are not here: they need an aggregation parameter for each
// collection and reports that are aggregated once a level, which DAP rules out.
// An encoded measurement has at most 2^24 elements and a proof 2^20.
package vdaf
