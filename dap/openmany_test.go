package dap_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"math/rand/v2"
	"testing"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/metric/task"
)

// A crowd is shares of one task that are sealed to several keys.
type crowd struct {
	task *dap.Task
	keys map[dap.HpkeConfigID]dap.Opener
	rand *rand.Rand
}

// newCrowd has two keys of the mandatory suite, one of each other KEM, and one
// with another AEAD.
func newCrowd(t testing.TB) *crowd {
	t.Helper()
	c := &crowd{task: newTask(t, dap.DAP19(), configuration()), keys: make(map[dap.HpkeConfigID]dap.Opener), rand: rand.New(rand.NewChaCha8([32]byte{3}))}
	for i, kem := range []uint16{task.KEMX25519, task.KEMX25519, task.KEMP256, task.KEMXWing} {
		id := dap.HpkeConfigID(i + 1)
		c.keys[id] = newKey(t, id, kem)
	}
	c.keys[9] = otherSuite(t, 9)
	return c
}

// otherSuite returns an X25519 key with other algorithms than the mandatory ones.
func otherSuite(t testing.TB, id dap.HpkeConfigID) *dapkey.PrivateKey {
	t.Helper()
	secret := upTo(byte(id), 32)
	private, err := hpke.DHKEM(ecdh.X25519()).NewPrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	config := dap.HpkeConfig{ID: id, KEM: task.KEMX25519, KDF: dap.KDFHKDFSHA512, AEAD: dap.AEADChaCha20Poly1305, PublicKey: private.PublicKey().Bytes()}
	key, err := dapkey.New(config, secret)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (c *crowd) share(t testing.TB, id dap.HpkeConfigID) dap.ReportShare {
	t.Helper()
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(c.rand.Uint32())
		}
		return b
	}
	s := dap.ReportShare{Metadata: dap.ReportMetadata{ID: dap.ReportID(random(16)), Time: dap.Time(c.rand.Uint64())}, PublicShare: random(c.rand.IntN(80))}
	if c.rand.IntN(2) == 0 {
		s.Metadata.PublicExtensions = random(c.rand.IntN(40))
	}
	plain := dap.PlaintextInputShare{PrivateExtensions: random(c.rand.IntN(20)), Payload: random(1 + c.rand.IntN(100))}
	var err error
	if s.InputShare, err = c.task.SealInputShare(c.keys[id].Config(), dap.Helper, &s.Metadata, s.PublicShare, &plain); err != nil {
		t.Fatal(err)
	}
	return s
}

// agreed opens the shares together and one by one, requires the same, and
// returns the errors.
func (c *crowd) agreed(t testing.TB, shares []dap.ReportShare, role dap.Role) []dap.ReportError {
	t.Helper()
	got, errs := c.task.OpenShares(shares, role, func(id dap.HpkeConfigID) dap.Opener { return c.keys[id] })
	for i := range shares {
		want, err := c.task.OpenInputShare(c.keys[shares[i].InputShare.ConfigID], role, &shares[i])
		if err != nil {
			if errs[i] != err {
				t.Fatalf("share %d: together %v, alone %v", i, errs[i], err)
			}
			continue
		}
		if errs[i] != 0 || !bytes.Equal(got[i].Payload, want.Payload) || !bytes.Equal(got[i].PrivateExtensions, want.PrivateExtensions) {
			t.Fatalf("share %d: together %v, alone it opens", i, errs[i])
		}
	}
	return errs
}

// Shares of all keys in one call open as they do alone, in calls of any length.
func TestOpenSharesOfSeveralKeys(t *testing.T) {
	c := newCrowd(t)
	var shares []dap.ReportShare
	for i := range 150 {
		id := []dap.HpkeConfigID{1, 1, 1, 1, 2, 2, 3, 4, 9, 1}[i%10]
		shares = append(shares, c.share(t, id))
	}
	for _, n := range []int{0, 1, 8, 65, 150} {
		for i, e := range c.agreed(t, shares[:n], dap.Helper) {
			if e != 0 {
				t.Fatalf("share %d of %d: %v", i, n, e)
			}
		}
	}
	for i, e := range c.agreed(t, shares, dap.Leader) {
		if e != dap.DecryptError {
			t.Fatalf("the leader opens share %d of the helper: %v", i, e)
		}
	}
	for i, e := range c.agreed(t, shares, dap.Client) {
		if e != dap.DecryptError {
			t.Fatalf("a client opens share %d: %v", i, e)
		}
	}
}

// One share in a call is damaged, in any one bit of any part: it is refused, with
// the error that it has alone, and the others open.
func TestOpenSharesWithDamage(t *testing.T) {
	c := newCrowd(t)
	for range 300 {
		shares := []dap.ReportShare{c.share(t, 1), c.share(t, 1), c.share(t, 2)}
		s := &shares[1]
		flip := func(b []byte) {
			if len(b) > 0 {
				b[c.rand.IntN(len(b))] ^= 1 << c.rand.IntN(8)
			}
		}
		switch c.rand.IntN(8) {
		case 0:
			flip(s.Metadata.ID[:])
		case 1:
			s.Metadata.Time ^= 1 << c.rand.IntN(64)
		case 2:
			s.Metadata.PublicExtensions = append(s.Metadata.PublicExtensions, 0)
		case 3:
			s.PublicShare = append(s.PublicShare, 0)
		case 4:
			flip(s.InputShare.Enc)
		case 5:
			flip(s.InputShare.Payload)
		case 6:
			s.InputShare.ConfigID = dap.HpkeConfigID(2 + c.rand.IntN(9)) // another key, another suite or none
		case 7:
			s.InputShare.Enc = s.InputShare.Enc[:c.rand.IntN(32)]
		}
		errs := c.agreed(t, shares, dap.Helper)
		if errs[0] != 0 || errs[2] != 0 {
			t.Fatalf("the shares beside it: %v", errs)
		}
		if errs[1] != dap.DecryptError && errs[1] != dap.UnknownConfig {
			t.Fatalf("the damaged share: %v", errs[1])
		}
	}
}

// A point of small order and a share that is no share cost themselves only.
func TestOpenSharesThatAreNone(t *testing.T) {
	c := newCrowd(t)
	shares := []dap.ReportShare{c.share(t, 1), c.share(t, 1), c.share(t, 1)}
	clear(shares[0].InputShare.Enc)
	long := shares[1].Metadata
	long.PublicExtensions = make([]byte, 1<<16)
	shares[1].Metadata = long
	if errs := c.agreed(t, shares, dap.Helper); errs[0] != dap.DecryptError || errs[1] != dap.InvalidMessage || errs[2] != 0 {
		t.Fatal(errs)
	}
}

func FuzzOpenShares(f *testing.F) {
	c := newCrowd(f)
	good := c.share(f, 1)
	enc := func(s dap.ReportShare) []byte { return mustEncode(f, dap.DAP19(), &s) }
	f.Add(enc(good), enc(c.share(f, 2)))
	f.Add(enc(c.share(f, 9)), enc(c.share(f, 3)))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		shares := make([]dap.ReportShare, 3)
		codec := dap.NewCodec(dap.DAP19())
		if codec.Decode(&shares[0], a) != nil || codec.Decode(&shares[1], b) != nil {
			return
		}
		shares[2] = good
		if errs := c.agreed(t, shares, dap.Helper); errs[2] != 0 {
			t.Fatalf("the good share: %v", errs[2])
		}
	})
}
