package vdaf

import (
	"errors"
	"fmt"
)

// errUnfinished means that an output share was asked for too early.
var errUnfinished = errors.New("vdaf: verification of the report is not finished")

// A Batch verifies many reports at once, several times faster than one after
// another, and keeps its memory for the next ones: after the first use it
// allocates nothing for a report that is valid. Results are valid until the
// next VerifyInit or HelperInit. It is not safe for concurrent use; use one
// batch for each goroutine.
type Batch struct {
	v      *Verifier
	b      batchCore
	n      int
	done   []bool
	helped bool
	single [1]Report // for the single form
}

// batchCore is an arena without its element type.
type batchCore interface {
	init(reports []Report)
	err(i int) error
	fail(i int, err error)
	initialize(i int) []byte
	verifierShare(i int) []byte
	jointSeed(i int) []byte
	finishMessage(i int) []byte
	appendOutput(b []byte, i int) []byte
	addOutput(a aggregate, i int) error
	combine(message []byte, shares [][]byte) error
	helper(i int, leaderShare []byte) error
}

// NewBatch returns an empty batch of this aggregator.
func (v *Verifier) NewBatch() (*Batch, error) {
	b, err := v.p.newBatch()
	if err != nil {
		return nil, err
	}
	return &Batch{v: v, b: b}, nil
}

// Len is the number of reports.
func (b *Batch) Len() int { return b.n }

// VerifyInit verifies this aggregator's part of all reports. Failures are per
// report, see Err.
func (b *Batch) VerifyInit(reports []Report) {
	b.n, b.helped = len(reports), false
	b.b.init(reports)
	if cap(b.done) < b.n {
		b.done = make([]bool, b.n)
	}
	b.done = b.done[:b.n]
	clear(b.done)
}

// HelperInit is [Verifier.HelperInit] for all reports; inbound[i] is the
// leader's message for reports[i]. Only too few messages are an error.
func (b *Batch) HelperInit(reports []Report, inbound [][]byte) error {
	if len(inbound) != len(reports) {
		return fmt.Errorf("vdaf: %d messages for %d reports", len(inbound), len(reports))
	}
	b.VerifyInit(reports)
	b.helped = true
	for i, m := range inbound {
		if b.Err(i) == nil {
			b.helper(i, m)
		}
	}
	return nil
}

// helper ends the verification of report i at the helper.
func (b *Batch) helper(i int, inbound []byte) {
	b.helped = true
	share, err := only(inbound, typeInitialize)
	if err == nil {
		err = b.b.helper(i, share)
	}
	if err != nil {
		b.b.fail(i, err)
		return
	}
	b.done[i] = true
}

// Err returns nil for a report that is valid as far as it is verified, else
// [ErrEncoding] or [ErrRejected].
func (b *Batch) Err(i int) error { return b.b.err(i) }

// VerifierShare returns this aggregator's verifier share of report i.
func (b *Batch) VerifierShare(i int) []byte { return b.b.verifierShare(i) }

// Outbound returns the ping-pong message of report i: initialize after
// VerifyInit, finish after HelperInit.
func (b *Batch) Outbound(i int) []byte {
	if b.helped {
		return b.b.finishMessage(i)
	}
	return b.b.initialize(i)
}

// State returns what must be kept of report i if its verification ends later
// than the batch lives.
func (b *Batch) State(i int) (*VerifyState, error) {
	if err := b.Err(i); err != nil {
		return nil, err
	}
	return &VerifyState{
		seed:   append([]byte(nil), b.b.jointSeed(i)...),
		output: b.b.appendOutput(nil, i),
	}, nil
}

// Next ends the verification of report i with the verifier message. After an
// error the report is rejected.
func (b *Batch) Next(i int, message []byte) error {
	if err := b.Err(i); err != nil {
		return err
	}
	if err := next(b.b.jointSeed(i), message); err != nil {
		b.b.fail(i, err)
		return err
	}
	b.done[i] = true
	return nil
}

// finished returns an error unless the verification of report i has ended well.
func (b *Batch) finished(i int) error {
	if err := b.Err(i); err != nil {
		return err
	}
	if !b.done[i] {
		return errUnfinished
	}
	return nil
}

// OutputShare returns the output share of report i, whose verification has
// ended.
func (b *Batch) OutputShare(i int) ([]byte, error) {
	if err := b.finished(i); err != nil {
		return nil, err
	}
	return b.b.appendOutput(nil, i), nil
}

// AddTo adds the output share of report i, whose verification has ended, to an
// aggregate share.
func (b *Batch) AddTo(a *AggregateShare, i int) error {
	if err := b.finished(i); err != nil {
		return err
	}
	return b.b.addOutput(a.sum, i)
}

func (a *arena[E]) err(i int) error       { return a.errs[i] }
func (a *arena[E]) fail(i int, err error) { a.errs[i] = err }

func (a *arena[E]) appendOutput(b []byte, i int) []byte {
	n := len(b)
	b = append(b, make([]byte, a.p.size.AggregateShare)...)
	a.p.e.f.Encode(b[n:], a.output(i))
	return b
}

func (a *arena[E]) addOutput(to aggregate, i int) error {
	s, ok := to.(*vector[E])
	if !ok || len(s.v) != a.p.e.d.out {
		return fmt.Errorf("%w: aggregate share of another instance", ErrEncoding)
	}
	s.f.AddVec(s.v, a.output(i))
	return nil
}

func (a *arena[E]) combine(message []byte, shares [][]byte) error {
	return a.comb.combine(a.x, message, shares)
}

// helper combines the leader's verifier share with that of report i and checks
// the verifier message that results.
func (a *arena[E]) helper(i int, leaderShare []byte) error {
	msg := a.finishMessage(i)
	putMessageHeader(msg, typeFinish, len(msg)-messageHeader)
	a.pair[0], a.pair[1] = leaderShare, a.verifierShare(i)
	if err := a.comb.combine(a.x, msg[messageHeader:], a.pair[:]); err != nil {
		return err
	}
	return next(a.jointSeed(i), msg[messageHeader:])
}
