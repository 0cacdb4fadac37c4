package dapkey_test

import (
	"bytes"
	"io"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/keyring"
)

// detRand returns deterministic randomness.
func detRand(seed byte) io.Reader { return mathrand.NewChaCha8([32]byte{seed}) }

func newKey(t testing.TB, id dap.HpkeConfigID, kem hpke.KEM) *dapkey.PrivateKey {
	t.Helper()
	k, err := dapkey.Generate(id, kem, detRand(byte(id)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var now = time.Unix(1_800_000_000, 0)

func TestRingIsChecked(t *testing.T) {
	a, b := newKey(t, 1, hpke.X25519), newKey(t, 1, hpke.P256)
	if _, err := dapkey.NewRing(dapkey.DefaultPlan(), dapkey.Hold(a, now, now), dapkey.Hold(b, now, now)); err == nil {
		t.Error("two keys of one ID are accepted")
	}
	if _, err := dapkey.NewRing(dapkey.DefaultPlan(), dapkey.Held{}); err == nil {
		t.Error("a missing key is accepted")
	}
	plan := dapkey.DefaultPlan()
	plan.KEMs = []hpke.KEM{0x21}
	if _, err := dapkey.NewRing(plan); err == nil {
		t.Error("an unknown KEM is accepted")
	}
}

// Over two years each key opens by its ID until it is left out, and an ID never means
// two keys at a time.
func TestRotation(t *testing.T) {
	plan := dapkey.DefaultPlan()
	plan.KEMs = []hpke.KEM{hpke.P256, hpke.X25519}
	ring, err := dapkey.NewRing(plan)
	if err != nil {
		t.Fatal(err)
	}
	if got := ring.CacheControl(); got != "max-age=43200" {
		t.Errorf("Cache-Control %q", got)
	}
	rand := detRand(1)
	needed := func(k dapkey.Held) time.Time { return k.Until.Add(40 * 24 * time.Hour) }
	for at := now; at.Before(now.AddDate(2, 0, 0)); at = at.Add(time.Hour) {
		if ring, _, err = ring.Rotate(at, true, needed, rand); err != nil {
			t.Fatal(err)
		}
		list := ring.Configs(at)
		if len(list) < 2 || list[0].KEM != uint16(hpke.P256) || list[len(list)-1].KEM != uint16(hpke.X25519) {
			t.Fatalf("at %v offered: %v", at, list)
		}
		ids := map[dap.HpkeConfigID]bool{}
		for k := range ring.All() {
			if ids[k.Key.ID()] {
				t.Fatalf("two keys of ID %d", k.Key.ID())
			}
			ids[k.Key.ID()] = true
			if ring.Find(k.Key.ID(), at) != dap.Opener(k.Key) {
				t.Fatalf("key %d is not found", k.Key.ID())
			}
		}
		if len(ids) > 20 {
			t.Fatalf("%d keys", len(ids))
		}
	}
}

func TestRingIsFull(t *testing.T) {
	var keys []dapkey.Held
	for i := range 256 {
		keys = append(keys, dapkey.Hold(newKey(t, dap.HpkeConfigID(i), hpke.X25519), now.Add(time.Hour), now.Add(48*time.Hour)))
	}
	plan := dapkey.DefaultPlan()
	plan.KEMs = []hpke.KEM{hpke.P256}
	ring, err := dapkey.NewRing(plan, keys...)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ring.Rotate(now, false, nil, detRand(0)); err == nil {
		t.Error("a 257th key is made")
	}
	if got := ring.Configs(now); len(got) != 0 {
		t.Errorf("%d pending keys are offered", len(got))
	}
	empty, err := dapkey.NewRing(plan)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := empty.Rotate(now, false, nil, strings.NewReader("short")); err == nil {
		t.Error("a key without randomness is made")
	}
	if empty.Find(0, now) != nil {
		t.Error("an empty ring has a key")
	}
}

func TestHeldText(t *testing.T) {
	want := dapkey.Hold(newKey(t, 9, hpke.XWing), now, now.Add(time.Hour))
	text, err := dapkey.Text(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := dapkey.ParseHeld(text)
	if err != nil {
		t.Fatal(err)
	}
	if !got.From.Equal(want.From) || !got.Until.Equal(want.Until) || got.KEM != want.KEM || !bytes.Equal(got.Key.Config().PublicKey, want.Key.Config().PublicKey) {
		t.Errorf("read as %+v, want %+v", got, want)
	}
	alone, err := want.Key.Text()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := dapkey.ParseHeld(alone); err != nil || !got.Until.IsZero() || got.State(now) != keyring.Expired {
		t.Errorf("a key without times: %+v, %v", got, err)
	}
}
