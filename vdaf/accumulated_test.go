package vdaf

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/shoal-project/shoal/crypto/turboshake"
)

// accumulated is the digest of everything that a thousand random reports make.
// It was taken when all published vectors passed: it covers parameters that those
// do not have.
const accumulated = "e0aad6d9c59a8285bb67ad6f1952cdb6a312904e5f1d38b655de9c68104e7305"

func TestAccumulated(t *testing.T) {
	r := rand.New(rand.NewPCG(18, 22))
	draw := func(lo, hi uint64) uint64 {
		if hi-lo == ^uint64(0) {
			return r.Uint64()
		}
		return lo + r.Uint64()%(hi-lo+1)
	}
	h, err := turboshake.New128(0x1f)
	if err != nil {
		t.Fatal(err)
	}
	put := func(bs ...[]byte) {
		for _, b := range bs {
			fmt.Fprintf(h, "%d:", len(b))
			if _, err := h.Write(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range 1000 {
		tr, err := drawTrial(i%kinds, draw)
		if err != nil {
			t.Fatal(err)
		}
		put([]byte(tr.in.Name()), tr.in.Config())
		random := source(uint64(i))
		n, ctx := nonce(random), make([]byte, i%150)
		s, err := tr.shard(0, ctx, random, n)
		if err != nil {
			t.Fatal(err)
		}
		put(s.PublicShare)
		put(s.InputShares...)
		key := VerifyKey{byte(i)}
		shares := make([][]byte, tr.in.Shares())
		states := make([]*VerifyState, tr.in.Shares())
		var v *Verifier
		for id := range shares {
			if v, err = tr.in.NewVerifier(&key, ctx, id); err != nil {
				t.Fatal(err)
			}
			if states[id], shares[id], err = v.VerifyInit(&Report{n, s.PublicShare, s.InputShares[id]}); err != nil {
				t.Fatal(err)
			}
		}
		msg, err := v.Combine(shares)
		if err != nil {
			t.Fatal(err)
		}
		put(shares...)
		put(msg)
		for _, st := range states {
			out, err := v.Next(st, msg)
			if err != nil {
				t.Fatal(err)
			}
			put(out)
		}
	}
	sum := make([]byte, 32)
	if _, err := h.Read(sum); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(sum); got != accumulated {
		t.Errorf("a thousand reports give the digest %s, want %s", got, accumulated)
	}
}
