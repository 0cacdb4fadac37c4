package vdaf

import (
	"fmt"
	"sync"
)

// A Verifier is one aggregator of one task: it verifies reports. It is safe for
// concurrent use.
type Verifier struct {
	p    partyCore
	size Sizes
	pool sync.Pool // of *Batch, for the single form
}

// partyCore is a party without its element type.
type partyCore interface {
	newBatch() (batchCore, error)
}

func (e *engine[E]) newParty(key *VerifyKey, ctx []byte, id int) (partyCore, error) {
	h, err := e.heads(ctx)
	if err != nil {
		return nil, err
	}
	k := *key
	return &party[E]{e: e, h: h, key: &k, id: id, size: e.sizes()}, nil
}

func (p *party[E]) newBatch() (batchCore, error) { return p.newArena() }

func (in *instance) NewVerifier(key *VerifyKey, ctx []byte, id int) (*Verifier, error) {
	if id < 0 || id >= in.shares {
		return nil, fmt.Errorf("vdaf: aggregator %d of %d", id, in.shares)
	}
	p, err := in.e.newParty(key, ctx, id)
	if err != nil {
		return nil, err
	}
	return &Verifier{p: p, size: in.e.sizes()}, nil
}

// A VerifyState is what an aggregator keeps of a report between its verifier
// share and the verifier message. It holds the output share: treat it as secret.
type VerifyState struct {
	seed   []byte
	output []byte
}

// MarshalBinary returns a form for storage.
func (s *VerifyState) MarshalBinary() ([]byte, error) {
	return append(append([]byte(nil), s.seed...), s.output...), nil
}

// Format hides the state under every verb.
func (s *VerifyState) Format(f fmt.State, _ rune) { fmt.Fprint(f, "vdaf.VerifyState(redacted)") }

// ParseVerifyState reads what [VerifyState.MarshalBinary] wrote. It fails with
// [ErrEncoding] if the length is wrong.
func (v *Verifier) ParseVerifyState(b []byte) (*VerifyState, error) {
	n := v.size.VerifierMessage
	if len(b) != n+v.size.AggregateShare {
		return nil, fmt.Errorf("%w: verification state of %d bytes, want %d", ErrEncoding, len(b), n+v.size.AggregateShare)
	}
	b = append([]byte(nil), b...)
	return &VerifyState{seed: b[:n:n], output: b[n:]}, nil
}

// borrow returns a batch of the pool.
func (v *Verifier) borrow() (*Batch, error) {
	if b, ok := v.pool.Get().(*Batch); ok {
		return b, nil
	}
	return v.NewBatch()
}

// one runs f on a batch of one report.
func (v *Verifier) one(r *Report, f func(b *Batch) error) error {
	b, err := v.borrow()
	if err != nil {
		return err
	}
	defer v.pool.Put(b)
	b.single[0] = *r
	b.VerifyInit(b.single[:])
	b.single[0] = Report{}
	if err := b.Err(0); err != nil {
		return err
	}
	return f(b)
}

// VerifyInit checks this aggregator's part of a report and returns what it keeps
// and the verifier share that it sends (verify_init of the draft). The error is
// [ErrEncoding] or [ErrRejected].
func (v *Verifier) VerifyInit(r *Report) (*VerifyState, []byte, error) {
	var state *VerifyState
	var share []byte
	err := v.one(r, func(b *Batch) (err error) {
		share = append(share, b.VerifierShare(0)...)
		state, err = b.State(0)
		return err
	})
	return state, share, err
}

// Combine makes the verifier message of the verifier shares of aggregator 0, 1
// and so on (verifier_shares_to_message of the draft). A report whose proof does
// not hold gives [ErrRejected].
func (v *Verifier) Combine(shares [][]byte) ([]byte, error) {
	b, err := v.borrow()
	if err != nil {
		return nil, err
	}
	defer v.pool.Put(b)
	msg := make([]byte, v.size.VerifierMessage)
	if err := b.b.combine(msg, shares); err != nil {
		return nil, err
	}
	return msg, nil
}

// Next ends the verification of a report and returns its output share
// (verify_next of the draft). The error is [ErrEncoding] or [ErrRejected].
func (v *Verifier) Next(s *VerifyState, message []byte) ([]byte, error) {
	if err := next(s.seed, message); err != nil {
		return nil, err
	}
	return s.output, nil
}

// LeaderInit starts the exchange with the helper: the draft's transition to
// Continued. The outbound message goes to the helper. An error is the state
// Rejected.
func (v *Verifier) LeaderInit(r *Report) (state *VerifyState, outbound []byte, err error) {
	state, share, err := v.VerifyInit(r)
	if err != nil {
		return nil, nil, err
	}
	return state, EncodeMessage(Initialize{share}), nil
}

// LeaderFinish takes the helper's answer and returns the output share: the
// draft's transition to Finished. An error is the state Rejected.
func (v *Verifier) LeaderFinish(s *VerifyState, inbound []byte) ([]byte, error) {
	msg, err := only(inbound, typeFinish)
	if err != nil {
		return nil, err
	}
	return v.Next(s, msg)
}

// HelperInit answers the leader's first message: the draft's transition to
// FinishedWithOutbound. The outbound message goes to the leader. An error is the
// state Rejected.
func (v *Verifier) HelperInit(r *Report, inbound []byte) (output, outbound []byte, err error) {
	err = v.one(r, func(b *Batch) error {
		b.helper(0, inbound)
		if err := b.Err(0); err != nil {
			return err
		}
		outbound = append(outbound, b.Outbound(0)...)
		output, err = b.OutputShare(0)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return output, outbound, nil
}
