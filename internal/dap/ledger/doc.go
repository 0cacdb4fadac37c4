// Package ledger is what one aggregator remembers of a task so that every report
// counts once: the IDs of the reports that counted, the batch buckets, and which
// batches were collected (draft-ietf-ppm-dap, section "Batch Buckets").
//
// # Use
//
// [New] makes the [Ledgers] of an aggregator over a [Store], and [Ledgers.Open] the
// [Ledger] of a task, which commits the outcome of an aggregation job:
//
//	verdicts, err := ledger.Commit(ctx, &job.Outcome, func(ctx context.Context, c ledger.Change, verdicts []dap.ReportError) error {
//		return store.CommitJob(ctx, c, record(verdicts)) // the role's own record, in the same transaction
//	})
//
// and collects a batch:
//
//	err := ledger.Collect(ctx, selector, func(ctx context.Context, total *dap.Total, c ledger.Collection) error {
//		return store.CollectShare(ctx, c, sealed(total))
//	})
//
// Both callbacks may run several times, each time for another state of the
// store; only the step that the store took has happened.
//
// # How it works
//
// Everything is optimistic. A ledger keeps a copy of what it has read, decides with
// [dap.Admit] in memory, and hands the store a [Change] that names the state that
// it was decided on. If the store has moved on, it answers [ErrConflict] and
// changes nothing; the ledger reads what is new and decides again. Many processes can
// share one store.
//
// The IDs of a task are in pages by the time of their reports: a page is an
// append-only list of blocks with numbers 1, 2, 3 and so on, and to append the
// next number is the compare-and-swap. A stored ID costs its 16 bytes and its
// part of a block's row; the blocks of small jobs are joined as they add up, and
// put in order by ID in rows of 4096. For those memory has 16 bits of a hash of each
// ID, and an ID that may be there is looked up in one row.
//
// # Security
//
// Totals are shares of what people reported: the ledger seals them before they go
// to the store, for their task and bucket. IDs are random and not encrypted. A store
// that is lost or put back to an older state (a restored backup) would count
// reports twice; after that set [Config.NotBefore] beyond all reports that may have
// been aggregated since, for ever.
//
// # Limits
//
// A report is known by its ID and its time: a client that makes two reports of one
// ID with times in different windows has two reports, as if it had made two IDs.
// Marks of batches that the leader selected are never deleted, 32 bytes each; all else
// goes with [Ledger.Expire]. Memory is bounded by [Config.CacheBytes]; a page is read as
// a whole when a job first needs it, 16 bytes an ID.
package ledger
