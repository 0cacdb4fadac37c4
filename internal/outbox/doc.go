// Package outbox is the queue between an app and the network: durable,
// encrypted, bounded, visible, and slow on purpose.
//
// A [Box] takes records that are ready to be sealed, gives each a random time
// within the given window, and hands it at that time to a [Sealer] and
// then to a [Sender]. It knows bytes, not protocols: what a record means, how
// it is sealed and where it goes is the caller's affair.
//
//	box, _, err := outbox.Open("/var/lib/app/outbox", outbox.Options{})
//	verdicts, err := box.Add(contribution)       // durable when it returns
//	pass, err := box.SendDue(ctx, now, seal, send) // again at pass.Next
//
// # What holds
//
//   - What Add has accepted survives a crash at any moment (the journal is
//     synced before Add returns; concurrent callers share one sync).
//   - A record goes out as one ciphertext only. It is sealed just before its
//     first send, the sealed bytes are durable before the first of them leaves,
//     and every retry sends the same bytes, so that the receiver can drop the
//     copies. A record that was refused is never sealed again.
//   - One request carries one report, at a time drawn uniformly from the
//     window by the random source given. What is overdue, because the machine
//     was off or asleep, is spread over a new window rather than sent at once.
//   - A failure only ever makes a record wait. It is dropped, and counted by
//     cause, when the receiver refuses it permanently ([Refused]) or when its
//     batch has closed.
//   - Contribution caps, counted by (owner, metric) for an epoch and for a
//     crowd within an epoch, survive restarts, corrupted journals and a task
//     that is signed again with other epochs: a contribution counts against
//     every epoch that overlaps its own. They are forgotten after the epoch, and
//     a clock set back after that earns no second contribution. Crowds are
//     remembered as keyed hashes only.
//   - A journal that lost frames, also at its end, is found out: what may have been
//     sealed in them is dropped, and the epochs that run take nothing more. What is
//     not found out is the loss of the whole directory, or an older copy of it.
//   - Dropping works on a full disk, once: the directory holds a spare file with
//     room for a whole journal, for file systems that overwrite in place.
//   - What accumulates over an epoch is an entry from its beginning: it is changed by
//     [Box.Amend] and not sent before [Contribution].From. An amendment that was
//     acknowledged is in what is sent.
//   - A record that waits for its evaluation past its epoch's end moves to the next
//     one ([Box.Move]), against the caps of that.
//   - Only a record of an aggregate metric ([Entry.Resealable]) is ever sealed a
//     second time, once, when the receiver answers [Stale].
//   - Held records ([Box.Hold], [Contribution].Held) are shown and never sent.
//
// # At rest
//
// All files are encrypted with AES-256-GCM under a key derived from a [Key],
// except for sizes and counts of commits. By default the key lies beside them in
// the file "key", readable by the user alone (mode 0600). That protects a copy
// of the journal without the key file (a backup that excludes it, a stray file)
// and detects changes; it does not protect against anybody with read access to the
// user's files, root included. An embedder that has a better place (a key store
// of the operating system) gives the key in [Options]. Anyone with write access to the
// directory can put back an older copy of it, and with it older caps.
// What was removed is overwritten only as far as replacing the file does that:
// the old blocks stay on the disk until it reuses them.
//
// A clock that is far ahead makes what waits expire, and caps of the present
// epoch cannot be counted once it is put right: both err on the side of sending
// nothing.
//
// # Sharing
//
// Several processes may open one directory: each operation locks it. One of
// them sends at a time. Where the system has no file locks, or with a file
// system passed in [Options], a directory belongs to one Box.
package outbox
