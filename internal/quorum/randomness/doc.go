// Package randomness is the role that evaluates the function from which hardened quorums
// derive all that leaves a device (RFC 9497): it sees blinded points, never a value.
//
//	s, err := randomness.New(ctx, randomness.Config{ ... })
//	mux.Handle("/", s.Handler())
//	err = s.Run(ctx, report)
//
// # Keys
//
// There is one key for each task and epoch. It is made when it is first asked for, from
// the epoch's start less the clock skew on, and is durable before it is announced or used.
// It is destroyed at [task.Task.EvaluationEnds]: overwritten, removed, and never made
// again, whatever the clock shows. Clients send the epoch's reports afterwards. A key is
// not replaced within its epoch: the index of keys says which there were, and those that
// are missing are reported ([Status].Lost), since values evaluated under two keys never
// come together.
//
// The folder must be in no backup and on no disk that keeps snapshots: an old copy of
// it lets guesses be confirmed. That keys are destroyed is the operator's claim, and nothing
// in the protocol shows it. On flash storage, overwriting leaves the old blocks until they are
// reused: encrypt the disk.
//
// # Admission
//
// Each request shows one presentation of a credential, with a limit of
// [task.Protection].Evaluations an epoch. Its tag is durable before the answer leaves. The
// same request is answered again, and gives the same outputs; another with a spent tag
// is refused. A request has exactly 64 points, which is what bounds guesses: each
// credential has 64 times Evaluations of them an epoch.
package randomness
