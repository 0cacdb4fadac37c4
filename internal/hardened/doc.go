// Package hardened is the device's part in tasks with a hardened quorum, around its outbox:
// what records wait for before they are sealed.
//
//	r, err := hardened.Open(hardened.Options{ ... })
//	next, err := r.Prepare(ctx)                  // again at next
//	output, err := r.Output(id, epoch, material) // when a record is sealed
//
// [Records.Prepare] has the values of records evaluated in the epoch that they belong to, and
// gives records whose value was not evaluated when their epoch ended to the present
// one. It works for each task in which the device takes part (for which its wallet
// fetches credentials), with records or without, so that nothing that leaves the device before
// the records themselves depends on them.
//
// # What holds
//
//   - A request is made for the present epoch alone: by the relay's minute where the task has a
//     relay, without which the device waits, by the device's clock elsewhere.
//   - Without a relay the party's own signature vouches for its key; with one the relay has
//     signed the same key for all clients. A device takes one key for an epoch, ever.
//   - What was evaluated is kept by package evaluation, sealed under a key of the outbox,
//     and forgotten when no record waits for it.
//   - A record that moves counts against the caps of its new epoch, too; if they are used up
//     it is dropped, and counted ([outbox.Unmoved]).
package hardened
