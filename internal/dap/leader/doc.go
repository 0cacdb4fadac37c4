// Package leader is the leader of DAP: it takes reports from clients, aggregates
// them together with the helper, and answers the collector
// (draft-ietf-ppm-dap, sections "Uploading Reports", "Verifying and Aggregating
// Reports" and "Collecting Results").
//
// A [Leader] is built by [New] from a [Config] and used through three entry points:
// its Handler serves clients and the collector, its Run does what is due whenever
// it is due, and its Status reports its state. Tick does what Run does, once, for
// programs that keep their own time.
//
// # The way of a report
//
// An uploaded report is acknowledged when it is durable in the intake log (package
// segment), which the tasks share: one fdatasync serves all reports that wait, and the
// number of open files does not depend on tasks. When it is full or old, or when a
// collection waits for a task's reports in it, the next one is begun, and its reports
// are moved to logs of their tasks ([Log]). They are then put into aggregation jobs ([Job])
// as soon as they can be (section "Eager Aggregation"), without those that the
// ledger has seen or that come too late. A job only names its reports: the
// request is made from them when a worker takes the job, and made again, byte for
// byte, when the answer was lost. With the helper's answer the reports that both
// accept are committed to the ledger, and the job ends, in one transaction. When
// the last job of a log has ended, the log is removed.
//
// A collection job ([Collection]) waits until the end of its interval and the
// task's grace, then for the logs that were open, for the jobs that may add to its
// batch, and for the minimum batch size. The batch is then frozen: no job for it
// is made any more. The helper is asked for its share of exactly these reports,
// the leader adds its noise to its own, seals it, and stores both in one
// transaction with the mark that the batch is collected. Nothing of the leader's
// share leaves before that.
//
// In the leader-selected mode reports fill batches of the task's minimum size
// ([Batch]), within windows of time if [Config.BatchWindow] is set. A query gets
// the oldest batch that is full. Because all such queries are equal, a collector
// deletes a collection job to ask for the next batch: equal requests get the job
// that is there.
//
// # Failures
//
// Absence is not refusal. A helper that cannot be reached, answers 5xx, 408 or 429, does
// not know the task or the token, or has a server in front of it that answers in its
// place is asked again, with pauses that grow to [Config.LongPause] or as long as it
// asks for, until the reports have expired or, if they never do, for
// [Config.CollectionTimeout]. [Status] contains since when each helper is waited for.
//
// A problem of DAP about the job itself is a refusal: the reports go into one new
// job with another request, into two if the helper answers that the one was too
// large, and are given up if it refuses that, too. An answer that does not fit the
// request counts as a refusal when it comes twice. What is given up is counted by
// cause ([LossCause]), reported as an error of the work on the job, and shown in
// Status.
//
// A job that the helper may have counted keeps its request, byte for byte, until an
// answer to it is known and committed: while answers are lost, while the store
// fails before or after it has done its work, and when the ledger learns meanwhile
// that one of the reports was counted in another job. It is deleted at the helper
// only after it has ended here.
//
// A report that is rejected as too early is tried again when its time has come, in
// up to [Config.Rounds] jobs. If in the end the helper counts reports that the
// leader could not, the two disagree, and the helper refuses the batch
// (batchMismatch).
//
// A process may stop at any moment. What was acknowledged is on the disk, what was
// decided is in the store, and the next process goes on from there. Damage to the
// intake log costs the reports that it hits. It is reported for each task that is known
// to lack some, or for all that may, where the process has ended meanwhile.
//
// While reports cannot be moved to logs of their tasks, because the disk is full, they
// stay where they are, in at most nine intake logs.
//
// Reports can expire before they are counted: in a log, or in a job that the helper
// does not answer. Then a result of the time-interval mode states how many it lacks
// ([LostHeader]). A collection fails with batchInvalid when its whole interval has
// expired, or when counted reports were deleted before it could be collected.
//
// A clock that jumps forward is not believed for a while: batches are not
// collected and nothing expires before its time.
//
// # Several nodes
//
// Nodes that share a store have names of their own ([Config.Node]) and logs on
// their own disks; a job belongs to the node that has its log. Collections are
// driven by any node. What one node does reaches the others within a minute.
//
// A node's name is a lease in the store with a fencing token, renewed by Run and Tick
// ([Config.ClaimTime]). Every change of a node carries the token, and the store
// refuses it once another process has the name ([ErrFenced]); that process then
// takes no reports. Nothing is acknowledged after the lease has lapsed by the
// process's own clock, whatever the store's clock is. A process on another disk gets
// the name when the lease has lapsed, and only if the disk has all logs that the
// store expects there: a wrong clock cannot make it replace a node that has reports.
// On the same disk, which only one process uses, it gets the name at once.
//
// # Security
//
// Logs hold what clients sealed, in the order of arrival, until they are removed;
// neither they nor the store hold addresses, headers or times of arrival. The
// helper gets the reports of a job in the order of their IDs. What
// the leader makes of reports, its output shares, is in memory only, and in the
// ledger as sealed sums. Clients are not authenticated. The collector is, by one
// of the task's tokens, and the leader to the helper.
//
// Anybody can send slowly to hold the places of a task ([Config].MaxRequests). So
// an upload may pause for 5 s, and has to arrive with 4 KiB/s on average, in a
// minute. While all places are taken that is 64 KiB/s: the slowest that is a
// second behind is cut, with 408, and the new upload has its place. Without one
// the new upload gets 429.
//
// While a collection waits for reports, its collector learns how many are missing,
// in quarters of the minimum ([MissingHeader]).
//
// BUG(shoal): aggregation parameters, and so VDAFs other than Prio3, have no jobs.
//
// BUG(shoal): a log is bound to the node that took it; if the node's disk is lost,
// its reports that were not aggregated are, too, and collections wait for it until
// the collection timeout, or until the node is dropped ([Store.DropNode]).
package leader
