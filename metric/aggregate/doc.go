// Package aggregate gives the questions of the method aggregate their meaning:
// which VDAF answers one, what a device gathers of it in an epoch, and what the
// collector reads out of the sum.
//
// # Use
//
// [New] makes a [Question] of a task's aggregation. On the device a [Tally]
// collects the values that the app records in one epoch, and [Tally.Shard] turns it
// into the shares of the one report that is sent for it, whether the app recorded any
// value or not:
//
//	q, err := aggregate.New(&t.Aggregation)
//	tally := q.Empty()
//	err = tally.Observe(230, rand.Reader)
//	shares, err := tally.Shard(rand.Reader, ctx, nonce)
//
// The collector calls [Question.Result] with the aggregate shares of leader and
// helper: rows with labels, estimates and what noise may have done to them.
//
// # How several values of one epoch become one
//
// A client counts once an epoch, however many values it records:
//
//   - count, sum: values add up, to at most the maximum.
//   - mean: the mean of the client's own values, so that each client that has any
//     weighs the same. It is rounded up with the probability of its fraction, so
//     that rounding does not move the answer on average.
//   - histogram: one of the values, each with the same chance.
//   - multihot: all labels, as many as the maximum, the first ones.
//   - vector, gradient: they add up element by element, and what is then out of
//     bounds is cut back: elements of a vector and of a gradient to the nearest
//     end of their range, vectors and gradients with a bounded sum by the same
//     factor for all elements.
//
// # Clients without a value
//
// With presence hidden they send: zero; for a histogram a bucket of its own,
// which is the last; for a mean the weight zero. The mean is a vector of two: the
// value, and the maximum as the weight of a client that has one. So no client,
// however malicious, weighs more than one.
//
// # Security and limits
//
// A tally is the app's data in the clear. Bounds are clipped here for honest
// clients; the proof of the VDAF holds all others to the same bounds.
// Accumulating is not constant in time; sharding is, see package vdaf. Integers
// saturate at 2^64-1. The sum over all clients must stay below 2^63, or the
// result is an error.
package aggregate
