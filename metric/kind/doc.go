// Package kind holds the kinds of aggregates, a file a kind: the settings and their
// bytes in a task, the VDAF, what a device accumulates in an epoch, and what the
// collector reads out of the sum. The SDK may import it: it depends on no parser of
// files.
//
// # Use
//
// A [Kind] is a closed set of types, for example [Histogram]. [New] makes a [Measure]
// of a kind and of what its task sets. On the device a [Tally] accumulates what the
// app records in one epoch, and [Tally.Shard] turns it into the shares of the one
// report that is sent for it, with or without a value:
//
//	m, err := kind.New(k, kind.Hidden, noise)
//	tally := m.Empty()
//	err = tally.Observe(230, rand.Reader)
//	shares, err := tally.Shard(rand.Reader, ctx, nonce)
//
// The collector calls [Measure.Result] with the aggregate shares of leader and
// helper: rows with labels, estimates and what noise may have done to them.
//
// # A new kind
//
// It is a file here, with one line in [All], and a file in package metric/plan, with
// one line in its list. It takes the next number, which never changes: the number and
// the order of the settings are in the bytes of tasks.
//
// # How several values of one epoch become one
//
// A client counts once an epoch, however much it records:
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
package kind
