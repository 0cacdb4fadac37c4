// Package evaluation is the client's part of a hardened quorum: it has the values of
// records evaluated by the randomness party, and keeps the results until the records
// are sent.
//
//	c, err := evaluation.Open(evaluation.Options{ ... })
//	next, err := c.Tick(ctx, now, tasks, waiting)   // again at next
//	output, err := c.Output(id, epoch, material)    // when a record is sealed
//
// # What holds
//
//   - Each client makes the same number of requests a task and epoch,
//     [task.Protection].Evaluations, with records and without, each of exactly 64 points: those
//     without a value are uniform, and the party cannot distinguish them.
//   - The times of an epoch's requests are drawn uniformly from what is left of it when the
//     client first sees it, never by a record. What is overdue because the machine was off gets a
//     new time. A request that failed is repeated, byte for byte, after a random wait.
//   - A presentation is shown with one request only: both are durable before the first
//     byte leaves.
//   - An output is taken only if the proof of the whole answer holds under the announced key.
//   - Nothing is evaluated after the epoch's end. A record without an output then is the caller's
//     to move to the next epoch, see outbox.Box.Move.
//
// # At rest
//
// Requests, blinding scalars and outputs are in one file, encrypted with AES-256-GCM under
// the caller's key. They are forgotten when the epoch's reports are no longer taken. A party that reads
// both the file and the reports of this device learns its values, as from its outbox.
package evaluation
