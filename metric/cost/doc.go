// Package cost computes what the releases of a task cost a client in privacy: what
// one client may send, the noise on the total of a batch that follows from it, the
// exact guarantee of all that is published, and sums over time and over tasks.
//
// [Total] is the rule for the minimum of a batch; each party computes the same one.
// [CurveOf] is the privacy of a crowd task, [SpendOf] that of any task in one unit of
// its guarantee, [SumOf] adds up. [Solve] and [Nearest] go the other way, from a
// promise to a threshold. A [Cache] computes each of these once for all tasks with
// the same parameters, for servers.
//
// # Limits
//
// All guarantees assume that no client exceeds its caps. Those of aggregate tasks are
// about the noise of one aggregator alone. Results are deterministic and hold no
// secrets.
package cost
