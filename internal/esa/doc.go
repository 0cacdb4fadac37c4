// Package esa holds what the parties of the crowd route pass to each other:
// the report, sealed in one layer a hop, and the signed batch file by which one
// hop hands over to the next. It is the nested encryption of the Prochlo paper
// (section 3, and section 4.1 for sizes), over HPKE (RFC 9180).
//
// A client makes reports with a [Sealer]; each hop opens its layer with an
// [Opener], best many at a time; a shuffler hands over with a [BatchWriter], and the next hop reads
// with [OpenBatch]. What goes into a report is made by package encoder. The
// bytes are described in docs/spec/report-frame.md.
//
// # What the frame gives
//
//   - Each hop reads its layer and nothing further in. The analyzer reads the
//     payload; the last shuffler the crowd's tag; earlier shufflers, one of
//     which sees where the report comes from, read no crowd.
//   - A layer opens at the role, for the task and in the epoch it was sealed
//     for, and nowhere else: the header is the seal's associated data, and the
//     HPKE info binds role, task and epoch once more.
//   - Each bit of a report is authenticated. A report with any bit changed, cut
//     off or added is refused, with a [Cause], and costs itself only.
//   - All reports of a task have one length, whatever they hold and whichever
//     keys the inner layers are sealed to. Only an outermost layer sealed by
//     X-Wing is longer, by 1088 bytes.
//   - Extensions that this version does not know, or that the task does not
//     list, are refused rather than passed over.
//
// # What it does not give
//
//   - The tag of a crowd is a hash with a public salt: a shuffler can confirm a
//     guess of the crowd's material.
//   - A report can be sent twice by any holder of its bytes. The copies are
//     equal, byte for byte, and it is the shuffler that drops them.
//   - Seals are not signatures: anybody can make reports.
//   - There is no forward secrecy against the loss of a hop's private key: what
//     was sealed to it and recorded can be opened until the key is destroyed.
//     X25519 and P-256 do not resist a quantum computer; X-Wing does.
//   - The number of a client's reports and the time it sends them are not the
//     frame's to hide; the outbox spreads them.
//
// Private keys and seals are handled in constant time, by the standard library
// and, where several layers are opened together, by package crypto/x25519.
// The cause for which a report is refused is reported only to the operator; the
// time that a refusal takes depends on the cause.
package esa
