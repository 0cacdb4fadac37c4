package dapkey_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/internal/dap/dapkey"
	"github.com/shoal-project/shoal/internal/hpke"
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

func TestKeyStates(t *testing.T) {
	plan, born := dapkey.DefaultRotation(), time.Unix(1_800_000_000, 0)
	const day = 24 * time.Hour
	for age, want := range map[time.Duration]dapkey.KeyState{
		-time.Hour: dapkey.KeyPending, 0: dapkey.KeyPending, time.Hour - 1: dapkey.KeyPending,
		time.Hour: dapkey.KeyActive, 84*day + time.Hour - 1: dapkey.KeyActive,
		84*day + time.Hour: dapkey.KeyExpired, 91*day + time.Hour - 1: dapkey.KeyExpired,
		91*day + time.Hour: dapkey.KeyGone,
	} {
		if got := plan.State(born, born.Add(age)); got != want {
			t.Errorf("at the age of %v the key is %v, want %v", age, got, want)
		}
	}
	if got := plan.CacheControl(); got != "max-age=86400" {
		t.Errorf("Cache-Control %q", got)
	}
}

func TestRotationIsChecked(t *testing.T) {
	for name, change := range map[string]func(*dapkey.Rotation){
		"expired too short": func(p *dapkey.Rotation) { p.Expired = 2*p.Cache - 1 },
		"active too short":  func(p *dapkey.Rotation) { p.Active = 2 * p.Pending },
		"negative":          func(p *dapkey.Rotation) { p.Pending = -1 },
		"unknown KEM":       func(p *dapkey.Rotation) { p.KEMs = []hpke.KEM{0x21} },
		"KEM twice":         func(p *dapkey.Rotation) { p.KEMs = []hpke.KEM{0x20, 0x20} },
	} {
		plan := dapkey.DefaultRotation()
		change(&plan)
		if _, err := dapkey.NewRing(plan); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	a, b := newKey(t, 1, hpke.X25519), newKey(t, 1, hpke.P256)
	if _, err := dapkey.NewRing(dapkey.DefaultRotation(), dapkey.HeldKey{Key: a}, dapkey.HeldKey{Key: b}); err == nil {
		t.Error("two keys of one ID are accepted")
	}
	if _, err := dapkey.NewRing(dapkey.DefaultRotation(), dapkey.HeldKey{}); err == nil {
		t.Error("a missing key is accepted")
	}
}

// If the ring is rotated at least as often as a key is pending, then there is
// always a key to offer, for each KEM; a key that a client may have fetched still
// opens when the list has left all caches, and for as long again; and an ID never
// means two keys within that time.
func TestRotation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plan := dapkey.Rotation{
			Pending: 10 * time.Minute, Active: 100 * time.Minute, Expired: 40 * time.Minute, Cache: 20 * time.Minute,
			KEMs: []hpke.KEM{hpke.P256, hpke.X25519},
		}
		ring, err := dapkey.NewRing(plan)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(1_800_000_000, 0)
		type offer struct {
			config dap.HpkeConfig
			at     time.Time
		}
		var offers []offer
		rand := detRand(1)
		for range 80 {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 3, 5, 7, 9, 10}).Draw(t, "minutes")) * time.Minute)
			next, changed, err := ring.Rotate(now, rand)
			if err != nil {
				t.Fatal(err)
			}
			if !changed && len(next.Keys()) != len(ring.Keys()) {
				t.Fatal("the ring differs, and says that it does not")
			}
			ring = next
			configs := ring.Configs(now)
			if len(configs) < 2 || configs[0].KEM != uint16(hpke.P256) || configs[len(configs)-1].KEM != uint16(hpke.X25519) {
				t.Fatalf("at %v offered: %v", now, configs)
			}
			if len(configs) > 4 {
				t.Fatalf("%d keys offered at once", len(configs))
			}
			for _, c := range configs {
				offers = append(offers, offer{c, now})
			}
			for _, o := range offers {
				key := ring.Find(o.config.ID, now)
				if now.Sub(o.at) < 2*plan.Cache && (key == nil || !bytes.Equal(key.Config().PublicKey, o.config.PublicKey)) {
					t.Fatalf("key %d, offered %v ago, does not open", o.config.ID, now.Sub(o.at))
				}
			}
			offers = slices.DeleteFunc(offers, func(o offer) bool { return now.Sub(o.at) >= 2*plan.Cache })
		}
	})
}

func TestRingIsFull(t *testing.T) {
	var keys []dapkey.HeldKey
	now := time.Unix(1_800_000_000, 0)
	for i := range 256 {
		keys = append(keys, dapkey.HeldKey{Key: newKey(t, dap.HpkeConfigID(i), hpke.X25519), Created: now})
	}
	plan := dapkey.DefaultRotation()
	plan.KEMs = []hpke.KEM{hpke.P256}
	ring, err := dapkey.NewRing(plan, keys...)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ring.Rotate(now, detRand(0)); err == nil {
		t.Error("a 257th key is made")
	}
	if ring.Find(3, now.Add(1000*24*time.Hour)) != nil {
		t.Error("a key that is gone opens")
	}
	if got := ring.Configs(now); len(got) != 0 {
		t.Errorf("%d pending keys are offered", len(got))
	}
	if _, _, err := new(dapkey.Ring).Rotate(now, errReader{}); err == nil {
		t.Error("a key without randomness is made")
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("no randomness") }

// A key that is made before it is due is pending first, and then preferred.
func TestRenew(t *testing.T) {
	plan := dapkey.DefaultRotation()
	start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	ring, err := dapkey.NewRing(plan)
	if err != nil {
		t.Fatal(err)
	}
	if ring, _, err = ring.Rotate(start, rand.Reader); err != nil {
		t.Fatal(err)
	}
	now := start.Add(24 * time.Hour)
	next, err := ring.Renew(now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if len(next.Keys()) != 2 || len(ring.Keys()) != 1 || next.Configs(now)[0].ID != ring.Configs(now)[0].ID {
		t.Errorf("%d keys, the new one is offered at once", len(next.Keys()))
	}
	later := now.Add(plan.Pending)
	if list := next.Configs(later); len(list) != 2 || list[0].ID == ring.Configs(later)[0].ID {
		t.Errorf("later %d are offered, want the new one first", len(list))
	}
}
