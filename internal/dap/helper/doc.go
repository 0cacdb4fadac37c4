// Package helper is the helper's part of DAP (draft-ietf-ppm-dap): it takes
// aggregation jobs from a leader, verifies its share of each report together with
// the leader, adds up what is valid, and gives out its share of each batch once.
//
// A [Helper] is built by [New] from a [Config] and used through three entry points:
// its Handler serves the protocol, its Run handles what was taken for later and
// forgets what need not be kept, and its Status reports its state. Tick and Finish
// do what Run does, once, for programs that keep their own time. Tasks, tokens and
// keys are those of a [tasks.Registry], and can change while it serves.
//
// # The way of a job
//
// A request is let in if its task is served, its token is the leader's, and
// neither the task nor the leader has sent too much ([Rate]). It is decoded as it
// arrives, within limits, and only then waits for its turn, the newest first; it
// is sent away with 429 if the turn does not come. Its reports are opened and verified
// together, and an error in one of them is reported for that one only. Then one
// transaction holds everything: the IDs of the reports that count and their sums
// ([ledger.Ledger]), and the record of the job. Only after it the leader has its
// answer: a leader that lost the answer sends the request again.
//
// The ID of a job is a keyed hash of the request, so that the same request is the
// same job regardless of its sender and time. In the variant janus the leader
// chooses the ID, and another request under it is a conflict. A repeated request
// changes nothing: the answer is made again from the request and the verdicts in
// the job's record, byte for byte. So a report costs its ID in the ledger and
// almost nothing else; a job's record is some hundred bytes.
//
// With [Config].Async a job is stored, answered with an empty body, and handled by
// Run; its answer is then kept for [Config].KeepResponses.
//
// # Aggregate shares
//
// A batch is given out if it is as large as the task demands, was not collected
// before in any part, and the leader counts the same reports. The helper adds its
// noise, if the task has any, seals the sum to the collector, and stores the
// result in the transaction that marks the batch collected: no two draws of noise
// ever leave for one batch, and no report is added to it any more. The same
// request gets the same bytes again.
//
// # Security
//
// To those without the leader's token a task does not exist. Nothing that is
// stored holds an address or a header. A request that waits is stored as it came,
// with its shares sealed by the clients. The answer to a request for a share with
// noise in it is delayed to a multiple of 250 ms, since drawing noise takes a time
// that depends on it.
//
// A leader whose requests arrive slowly holds no worker. It may have
// [Config].PeerBodies requests that are read at once, and half of
// [Config].MaxBodies; the next one gets 429. A body may pause for 5 s and has to
// arrive with 64 KiB/s on average, in 5 minutes. While the memory is full that is
// 1 MiB/s: the slowest that is a second behind is cut, with 408, to make room. A
// length that is announced counts from the start. A leader can replay requests to make the helper work: that
// is what the limits are for.
//
// BUG(shoal): a request for a task that is not in memory makes the registry look in
// its store, once a second at most, and so can take longer than one for a task
// that is served.
//
// BUG(shoal): limits are counted by each process on its own.
package helper
