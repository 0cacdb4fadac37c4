// Package quorum is the encoding of hardened tasks: a value that cannot be read,
// nor confirmed by a guess, until enough distinct clients have sent it.
//
// The value is the fields of a report's crowd. A client has it evaluated by the task's
// randomness party, which learns nothing about it (crypto/voprf), under a key of that
// task and epoch, and derives from the result whatever leaves the device:
//
//	input := quorum.Input(id, epoch, material)          // to be evaluated
//	v, err := quorum.New(t, id, epoch, material, output) // client, with the output
//	v.Crowd(), v.Tag()                                   // for the shuffler, for the analyzer
//	content, err := v.Content(x, payload, rand.Reader)   // innermost layer
//
//	part, err := quorum.Split(t, content)                // analyzer
//	r, err := quorum.NewRecoverer(t, id, epoch, material)
//	res, err := r.Recover(crowd, part.Tag, shares, random)
//	payload, err := r.Open(part.Record)
//
// The bytes are in docs/spec/quorum.md.
//
// # What holds
//
//   - Nothing that leaves the device is a function of public things and the value:
//     a party without the epoch's key, or an evaluation, cannot confirm a guess, with all
//     reports of a batch and all private keys of shuffler and analyzer. The randomness
//     party destroys the key before the first report of the epoch leaves a client, so
//     that afterwards nobody can, except those that had the value evaluated in time:
//     each client has as many guesses an epoch as evaluations. That the key is
//     destroyed is the claim of its operator.
//   - A group is read when [task.Encoding].Shares distinct clients are in it. The
//     x-coordinate of a share is a hash of the tag of the client's credential at the
//     analyzer, for the quorum's tag and with a limit of one. It is not sent: the
//     analyzer computes it from the presentation that it has verified. Distinct
//     credentials thus have distinct shares, and one credential has one share of a value,
//     in however many reports.
//   - Bad shares harm nobody else: with the number of shares of a group at least
//     Shares + 2e, of which e are bad, it is recovered and they are dropped (crypto/secretshare,
//     up to its DecodeSize; larger groups tolerate the part of bad shares that is stated there).
//   - Records are sealed one by one, and may differ within a group. Each holds a witness
//     of 16 bytes, the same in all of the group, which with the record's own crowd fields gives
//     the group's secret: a record whose crowd fields are others than those that the
//     group stands for does not open. Nobody puts rare fields under a value that others hold.
//
// # A forged crowd tag
//
// The shuffler counts crowds by a tag that the device computes, and no party can
// recompute it from the value, since the key is gone. The group's secret gives it, too:
// the analyzer groups reports by both tags, and drops a recovered group whose
// crowd tag is another than its secret gives. What is left to a forger: reports under
// the crowd tag of a value that it had evaluated itself count there at the shuffler, and can lift a
// crowd above the threshold that is not as large. They are bounded as all reports
// are, by one presentation for that tag a report, PerCrowd of them a client. They gain nothing
// at the analyzer: it publishes a crowd only with as many readable records as the rule
// releases reports, and only if Shares distinct clients sent valid shares under it.
//
// # Limits
//
// Distinct credentials are not distinct people, and not distinct networks: an office
// that shares a link passes when it has enough devices. What bounds it is Shares, the
// gate of the analyzer's credentials, and what the device itself refuses to report.
//
// The numbers of reports of the values that stay unreadable are visible to the analyzer,
// the values are not.
//
// Clients with fewer than Shares credentials among them cannot have a value read. With as many they
// read what they hold themselves, and confirm that others hold it.
package quorum
