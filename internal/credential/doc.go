// Package credential makes each client count once: it issues anonymous credentials,
// keeps a client's, and says what their presentations are made for.
//
// A party that counts reports issues credentials to clients behind a gate, one a
// client and period, and later verifies presentations of them (crypto/arc), without
// learning which client shows one. Each party has keys of its own.
//
//	issuer, err := credential.NewIssuer(credential.IssuerConfig{ ... }) // party
//	mux.Handle("/", issuer.Handler())
//	v, err := issuer.Verifier(t, epoch)
//	tag, err := v.Verify(credential.EpochContext(t, party, epoch), presentation, binding)
//
//	wallet, err := credential.OpenWallet(credential.WalletOptions{ ... }) // client
//	err = wallet.Enrol(t)                     // when the person agrees
//	next, err := wallet.Fetch(ctx, route) // again at next
//	shown, err := wallet.Allocate(t, epoch, crowd)
//	presentations, err := shown.Present(party, binding)
//
// # What counts
//
// A presentation has a tag, of which a credential has as many as the limit in each
// presentation context. The context holds the verifying role, the owner, the name of
// the metric, the kind, the start of the epoch (of the salt window for crowds) and the
// crowd's tag. The task's ID and the digest of the report are in the session string of
// the proof only: tags do not depend on them, so that reports are counted over all
// signed versions of a metric, and a presentation fits one report. Limits are those of
// [task.Task.Presentations]. What one client can add is then bounded by the party that counts,
// not by the honesty of the device.
//
// # Periods
//
// Credentials live for a period, a whole number of epochs and of salt windows. An
// issuer has one key for each policy (role, owner, metric) and period; it is durable
// before its first use, and it is destroyed with the list of credentials issued under it
// and the tags spent under it, together, so that no tag is forgotten before its key.
// A key that is lost is not replaced within its period: the list of periods says which
// keys there were, and those that are missing are reported ([Issuer.Lost]).
//
// A client fetches the credentials of the next period during the present one, at times
// drawn for each issuer when the period begins, independently of records and of other
// issuers; a new client waits a random time first. Its secrets are durable before the
// request, and equal requests get equal answers, so that a lost answer costs nothing.
// Nonces are durable before they are used: a crash loses one at most, it never uses one
// twice, which would link two reports.
//
// # Security
//
// Issuer and client use secrets in constant time, as crypto/arc does. A credential is
// worth what its gate is worth: a person with n invitations counts n times. The issuer
// sees what its gate asks for at issuance, and nothing of that when a credential is
// shown; it keeps no more of it than a keyed hash, until the period's key is destroyed.
// An issuer that gives each client a key of its own would know each client by it: the
// announcement of a key is signed by the party ([IssuerConfig].Sign), a client takes one
// key for a period, ever, and where a task has a relay the relay's witness has signed
// the same announcement, one for all clients.
//
// A client's wallet is sealed under a key of the caller. Anyone who can put back an older
// copy of it makes the client use nonces twice. The holder of an issuer's key can make
// credentials without limit.
//
// # Limits
//
// What an issuer keeps is bounded by the number of its policies, which are those of its
// tasks, two periods ahead of those that are over, and by the credentials that its gates
// let pass. Keys are destroyed 14 days after the last report of their period can be
// taken; reports that a later hop has not verified by then are lost.
package credential
