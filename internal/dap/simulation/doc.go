// Package simulation runs a whole aggregation system in one goroutine: leader and
// helper, each of one or two nodes over a shared store, clients and a collector,
// with a virtual clock. The network loses, delays, doubles and reorders requests;
// processes and disks crash at any step; stores fail before or after a change with
// the process alive, and are slower than a lease; a helper is away for days; keys
// rotate, tokens are renewed at one side first, clients lie and repeat an upload at
// another node, requests are replayed, second processes start under a node's name,
// leases on names lapse, and the disk of a node is lost for ever.
//
//	report, err := simulation.Run(ctx, simulation.Plan(seed))
//
// A seed decides everything: what happens, when, and which requests fail. An
// error is a broken invariant, and its text holds the way there.
//
// # What is checked
//
// Each report of a client has a bucket of a histogram to itself, so that every
// correct aggregate holds zeros and ones only. At every step:
//
//   - A result that is opened counts each report at most once, and never one that
//     was malformed or one that an earlier result has counted.
//   - Polling a finished collection again gives the same bytes, and so does
//     repeating a request to the helper; a repeated request changes nothing.
//   - Leader and helper agree: no collection fails with batchMismatch, unless the
//     plan lets the leader abandon jobs or report IDs expire.
//
// At the end the network and the stores heal, what has crashed restarts, some of
// the rest does too, and what is left is done within a bounded time:
//
//   - Every report that was acknowledged is in exactly one result or uncollected
//     bucket, except for those that came when their bucket was being collected.
//   - The uncollected buckets of leader and helper have the same count, the same
//     checksum, and shares that add up to zeros and ones.
//
// # Limits
//
// The sealing of HPKE draws from the system's randomness, so that two runs of a
// seed differ in the bytes of ciphertexts and in the resource IDs that depend on
// them; what happens does not depend on these. Goroutines inside of the roles are
// limited to one at a time. Stores crash at the borders of transactions; below
// that, the tests of package internal/store/sqlite and internal/store/postgres go. While one node
// waits in a slow call its sibling works, but never two in parallel.
package simulation
