// Package encoder turns a record into the reports that leave the device: the E
// of Encode, Shuffle, Analyze (Prochlo paper, sections 3.2 and 3.5).
//
// [Encoder.Encode] scrubs a record to the task's schema, coarsens numbers into
// buckets, applies randomised response, and breaks the result into fragments,
// each a report of its own. [Encoder.Seal] makes the report. An outbox between
// the two keeps the fragments and sends each at a random time.
// [Encoder.Describe] shows people what a fragment holds, before and after
// randomised response. [Encoder.LocalEpsilon] returns how much the latter is worth
// on its own.
//
// # Security properties
//
//   - The schema is an allow-list. What it does not name is not looked at, so it
//     cannot leave the device by mistake. What it names is validated, and refused
//     rather than cut or rounded into range.
//   - Fragments of one record have no value in common but the fields that the
//     task keeps in each, and no ID, nonce or time. Their order is random. They
//     are sealed with independent randomness.
//   - Randomised response is drawn once a record, from the given randomness, by
//     exact integer sampling with rejection: no float, no modulo bias. The
//     probabilities are exactly those of the task, in millionths. If randomness
//     fails, nothing is encoded.
//   - The flips of bits do not branch on what is drawn. Elsewhere the time of
//     encoding depends on the record: it is spent on the device of the person
//     whom the record is about.
//   - A fragment of a task with [task.Quorum] is encrypted under a key derived
//     from itself, of which each report holds one share, bound to task and epoch
//     (Prochlo paper, section 4.2; see package secretshare). Before that it is
//     padded, so that all reports of the task have one length. What can be guessed
//     is not hidden by it: a holder of a ciphertext can encrypt the guess.
//   - Of a hardened task (see package internal/quorum) everything derives from an
//     evaluation of the crowd's fields by the randomness party. A fragment without one
//     cannot be sealed: there is no weaker way.
//
// # Limits
//
// Randomised response protects one record. A value that is recorded again each
// epoch is drawn afresh each time, and many draws average out: the caps on what
// a client sends, and the epsilon that the plan prints for all of an epoch's
// reports, are what bounds that.
//
// How many fragments a record gives is visible to any observer of a client's
// traffic: for pairs and tuples it reveals the length of the list. The elements of a
// sequence that are left over after its last whole tuple are not sent.
package encoder
