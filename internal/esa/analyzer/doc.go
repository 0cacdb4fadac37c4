// Package analyzer is the last hop of the crowd route: it takes the batches
// that the last shuffler hands over, opens the innermost layer of each record,
// and releases them as tables (Prochlo paper, section 3.4).
//
// An [Analyzer] is built by [New] from a [Config]. Its Handler takes batches
// and serves its keys; its Run releases what has arrived and removes what has
// been kept long enough; Tick does what Run does, once. [Tables] reads what has
// been released; package release exports it as CSV, JSON or Parquet.
//
// # Tables
//
// A batch becomes three Parquet files and a [Manifest]. The table "records" has
// one row a report in the random order of the batch, with one typed column a
// field; a set has one boolean column a member. "counts" has one row a crowd,
// with the number of its records and an estimate of the crowd's size before the
// threshold. "values" has one row a crowd and possible value of each set,
// boolean and enum outside the crowd fields, with the number of records that
// show it and an estimate of how many reports of the crowd truly had it before the
// threshold: it undoes the randomised response and adds what was dropped, both on
// average, so that the estimate over that of "counts" is the share. Estimates are
// unbiased over all crowds of a size; what is suppressed is not in the tables, so
// that of crowds near the threshold those are seen that lost least. Each estimate
// has a standard deviation and the ends of an interval that holds the true number
// for 95 % or more of the crowds of any one size that are released. The intervals
// cover the noise that was added on purpose, and nothing else: not what clients
// failed to send.
//
// # Epochs without a batch
//
// [Tables.Unreleased] says of each epoch of which nothing was released what is known:
// the shuffler states which epochs are complete, so that one without a batch had too few
// reports, and which are lost. Without a statement an epoch is waited for, and then
// missing. There is no figure of any of them.
//
// # Quorum
//
// Of a task with [task.Quorum] the innermost layer holds a ciphertext and a share
// of its key (Prochlo paper, section 4.2). The reports of a value are brought
// together by a sort in the engine, so that memory stays bounded, and its key is
// recovered from their shares. Each valid share is one record; a share that
// occurs twice, or was forged, is not a record, and forged ones keep no value unreadable
// while they are few: see package secretshare. The manifest counts them by cause. A value
// with too few shares is written nowhere; the engine's files hold ciphertexts.
// In "records" the rows of a value are adjacent. Where the crowd is constant,
// its estimated size includes the reports that stay unreadable; "values" is about
// those that can be read.
//
// Of a hardened task (see package internal/quorum) a report is admitted when its presentation
// of a credential holds, which gives its share's x. Reports are grouped by the tags of crowd
// and quorum, each record is opened by itself, and records of a crowd may differ. A crowd
// of which fewer records can be read than its rule releases reports is not published, as
// in plain tasks. Groups of at least Shares + 2e distinct clients, e of them with bad shares, are
// recovered; with too few clients they stay unreadable, are counted as below_quorum, and nothing of
// them is kept: a later epoch has another key. Counts by cause are the operator's alone.
// At most 32 MiB of reports of one group are in memory together; the group is then recovered
// from parts, drawn at random, of half of that at least.
//
// # What holds
//
// A batch is accepted once: by its ID and digest, signed by the shuffler that
// the task names. It is acknowledged when it is durable. Tables are written
// whole or not at all and can be read only once they are in the catalogue; a crash
// at any moment leads to the same tables in the end. When the task's retention
// is over, the tables are marked as expired in the catalogue, and then they are
// removed.
//
// BUG(shoal): an enum inside a list is not corrected for randomised response.
package analyzer
