package vdaf

import (
	"bytes"
	"errors"
	"testing"
)

func FuzzParseConfig(f *testing.F) {
	for _, tr := range small(f) {
		f.Add(tr.in.ID(), tr.in.Config())
	}
	f.Add(uint32(6), []byte{0, 16})
	f.Add(IDHistogram, []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, id uint32, config []byte) {
		// Large instances are slow to make and no different.
		if len(config) >= 4 && (config[0] != 0 || config[1] != 0) && id != IDSum {
			config[0], config[1] = 0, 0
		}
		in, err := ParseConfig(id, config)
		if err != nil {
			return
		}
		if in.ID() != id || !bytes.Equal(in.Config(), config) {
			t.Errorf("%s: configuration %d %x, want %d %x", in.Name(), in.ID(), in.Config(), id, config)
		}
	})
}

func FuzzParseMessage(f *testing.F) {
	f.Add(EncodeMessage(Initialize{[]byte("share")}))
	f.Add(EncodeMessage(Continue{[]byte("message"), []byte("share")}))
	f.Add(EncodeMessage(Finish{nil}))
	f.Add([]byte{2, 0xff, 0xff, 0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMessage(b)
		if err != nil {
			if !errors.Is(err, ErrEncoding) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		if !bytes.Equal(EncodeMessage(m), b) {
			t.Errorf("%x is not the encoding of %#v", b, m)
		}
		for typ := range byte(3) {
			v, err := only(b, typ)
			if err != nil {
				continue
			}
			switch m := m.(type) {
			case Initialize:
				if typ != typeInitialize || !bytes.Equal(v, m.VerifierShare) {
					t.Error("the two readers differ")
				}
			case Finish:
				if typ != typeFinish || !bytes.Equal(v, m.VerifierMessage) {
					t.Error("the two readers differ")
				}
			}
		}
	})
}

// FuzzVerify feeds arbitrary shares and messages to every step of verification.
// Whatever comes, there is no panic, batch and single form agree, and what both
// parties accept is the measurement that was shared.
func FuzzVerify(f *testing.F) {
	trials := small(f)
	for k, tr := range trials {
		x := newExchange(f, tr, uint64(k))
		f.Add(uint8(k), x.public[0], x.input[0], x.input[1], uint16(0), byte(0))
		f.Add(uint8(k), x.public[0], x.input[0], x.input[1], uint16(9), byte(1))
	}
	f.Fuzz(func(t *testing.T, kind uint8, public, leader, helper []byte, at uint16, flip byte) {
		k := int(kind) % len(trials)
		x := newExchange(t, trials[k], uint64(k))
		honest, err := x.run()
		if err != nil {
			t.Fatal(err)
		}
		same := bytes.Equal(leader, x.input[0]) && bytes.Equal(helper, x.input[1])
		x.public = [2][]byte{public, public}
		x.input = [2][]byte{leader, helper}
		x.damage = func(init, fin []byte) {
			for _, b := range [][]byte{init, fin} {
				if len(b) > 0 {
					b[int(at)%len(b)] ^= flip
				}
			}
		}
		out, err := x.run()
		if err != nil {
			if !errors.Is(err, ErrEncoding) && !errors.Is(err, ErrRejected) {
				t.Fatalf("error of another kind: %v", err)
			}
		} else if same && total(trials[k].in, out) != total(trials[k].in, honest) {
			t.Fatal("accepted with another result")
		}

		b := batchOf(t, x.leader)
		r := Report{x.nonce[0], public, leader}
		b.VerifyInit([]Report{r, {}, r})
		_, share, err := x.leader.VerifyInit(&r)
		if (err == nil) != (b.Err(0) == nil) || (err == nil) != (b.Err(2) == nil) {
			t.Fatalf("alone %v, in a batch %v and %v", err, b.Err(0), b.Err(2))
		}
		if err == nil && !bytes.Equal(share, b.VerifierShare(2)) {
			t.Fatal("the verifier share differs in a batch")
		}
	})
}

// FuzzShares feeds arbitrary bytes to the decoders of aggregators and collector.
func FuzzShares(f *testing.F) {
	trials := small(f)
	for k, tr := range trials {
		n := tr.in.Sizes().AggregateShare
		f.Add(uint8(k), make([]byte, n), bytes.Repeat([]byte{0x7f}, n))
	}
	f.Fuzz(func(t *testing.T, kind uint8, a, b []byte) {
		in := trials[int(kind)%len(trials)].in
		v, _ := verifiers(t, in, &VerifyKey{}, nil)
		if _, err := v.Combine([][]byte{a, b}); err == nil && len(a) != in.Sizes().VerifierShare {
			t.Error("a verifier share of another length is accepted")
		}
		if s, err := v.ParseVerifyState(a); err == nil {
			again, err := s.MarshalBinary()
			if err != nil || !bytes.Equal(again, a) {
				t.Error("a state changes on its way to storage and back")
			}
		}
		s, err := in.ParseAggregateShare(a)
		if err != nil {
			if !errors.Is(err, ErrEncoding) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		if !bytes.Equal(s.Bytes(), a) {
			t.Error("an aggregate share has two encodings")
		}
		if _, err := in.UnshardSigned([][]byte{a, b}); err != nil && !errors.Is(err, ErrEncoding) && !errors.Is(err, ErrOverflow) {
			t.Errorf("error of another kind: %v", err)
		}
	})
}
