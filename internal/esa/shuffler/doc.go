// Package shuffler is the shuffler's part of the crowd route: it takes reports
// in, forgets where they came from, and hands them over in batches, permuted
// and without those that no crowd hides (Prochlo paper, sections 3.3 and 3.5).
//
// A [Shuffler] is built by [New] from a [Config] and used through three doors:
// its Handler takes reports and serves keys, its Run closes, processes and
// hands over batches when they are due, and its Status reports its health. Tick
// does what Run does, once, for programs that keep their own time.
//
// # The way of a batch
//
// A batch is all reports of one task and epoch. A report is acknowledged when
// it is durable in a log that the batch shares with others; before the first of
// those closes, its reports are distributed over logs of the batches. When the epoch, the task's send delay and
// its clock skew are over, the batch closes: the log is sealed and a close
// record with a fresh seed becomes durable. What follows is a function of log
// and seed, so that a repetition after a crash gives the same bytes and never
// a second draw of the noise: outer layers are opened, equal reports dropped,
// the crowds counted, the threshold applied with noise derived from the seed
// and the crowd's tag, the rest sorted by keys derived from the seed, which is
// a uniformly random permutation, and written as one signed file. This is the stage
// [Plain]; [Oblivious] keeps the same records in another order. The file is
// offered to the next hop until that has taken it. Then file, reports and seed
// are destroyed. [State] has the picture.
//
// A task may name several shufflers. The first takes reports, the others take
// the signed batch of the one before. Each opens a layer and permutes; the last
// one reads the crowds and applies the threshold.
//
// A batch with fewer distinct valid reports than the task's minimum is
// destroyed unread by anybody else. Of a task whose threshold has noise this is
// decided on their number less a random one, see [dp.Total], so that a batch that
// is released had more; the noised number goes on with it. Only if the task lets
// several epochs share a salt window, and the next epoch is in the same one, the
// reports of a batch that is too small are carried over into the next epoch's
// batch; at the end of the window they are destroyed. Clients count their caps
// over the window.
//
// # Statements
//
// Of an epoch with too few reports the next hop gets nothing. So that it can tell that
// from a loss, the shuffler states of each task which epochs are complete and which are
// lost ([esa.Statement]), ten minutes after an epoch has closed, and again when that
// changes. What it states follows from its [History]: since when the store is unbroken,
// until when batches are decided, and the gaps that losses have left. A loss is noted
// before any batch goes on.
//
// # Security
//
// Nothing that is stored or returned holds an address, a request header or the
// time of an arrival; the order of arrival is in the log until the batch is
// destroyed. The shuffler sees crowd tags, and its operator can confirm
// guesses of what a tag represents. Noise is a function of the seed: anyone who reads
// the store while a batch is closed or processed can strip it.
//
// What goes on is the rows, in the last step each with its crowd's tag, the
// noised total, and statements, which do not show whether an epoch had few reports or
// none. The counts of what was received, refused, suppressed and dropped
// stay here: they are exact, for the operator, and summed over tasks.
//
// With [Config].Stage [Oblivious] an observer of the machine's memory accesses and of
// its disk, the host of a confidential virtual machine for example, learns of a batch
// only the number of reports, which of them do not open or show a spent credential,
// whether there are enough, and what goes on, which the next hop gets (package oblivious).
// Of what does not go on the store then has the number alone. The keys and the seed must
// be out of the observer's reach, too: in memory that is encrypted, and on a volume that
// is.
//
// BUG(shoal): with the stage Plain counting, joining and sorting take time that depends
// on the data: an observer of the machine's memory learns about the crowds.
//
// BUG(shoal): a wall clock that is wrong when the process starts is believed.
package shuffler
