package dap_test

import (
	"crypto/rand"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/dap"
	"github.com/shoal-project/shoal/metric/task"
)

func TestKeyStates(t *testing.T) {
	plan, born := dap.DefaultRotation(), time.Unix(1_800_000_000, 0)
	const day = 24 * time.Hour
	for age, want := range map[time.Duration]dap.KeyState{
		-time.Hour: dap.KeyPending, 0: dap.KeyPending, time.Hour - 1: dap.KeyPending,
		time.Hour: dap.KeyActive, 84*day + time.Hour - 1: dap.KeyActive,
		84*day + time.Hour: dap.KeyExpired, 91*day + time.Hour - 1: dap.KeyExpired,
		91*day + time.Hour: dap.KeyGone,
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
	for name, change := range map[string]func(*dap.Rotation){
		"expired too short": func(p *dap.Rotation) { p.Expired = 2*p.Cache - 1 },
		"active too short":  func(p *dap.Rotation) { p.Active = 2 * p.Pending },
		"negative":          func(p *dap.Rotation) { p.Pending = -1 },
		"unknown KEM":       func(p *dap.Rotation) { p.KEMs = []uint16{0x21} },
		"KEM twice":         func(p *dap.Rotation) { p.KEMs = []uint16{0x20, 0x20} },
	} {
		plan := dap.DefaultRotation()
		change(&plan)
		if _, err := dap.NewKeyring(plan); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	a, b := newKey(t, 1, task.KEMX25519), newKey(t, 1, task.KEMP256)
	if _, err := dap.NewKeyring(dap.DefaultRotation(), dap.HeldKey{Key: a}, dap.HeldKey{Key: b}); err == nil {
		t.Error("two keys of one ID are accepted")
	}
	if _, err := dap.NewKeyring(dap.DefaultRotation(), dap.HeldKey{}); err == nil {
		t.Error("a missing key is accepted")
	}
}

// If the ring is rotated at least as often as a key is pending, then there is
// always a key to offer, for each KEM; a key that a client may have fetched still
// opens when the list has left all caches, and for as long again; and an ID never
// means two keys within that time.
func TestRotation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plan := dap.Rotation{
			Pending: 10 * time.Minute, Active: 100 * time.Minute, Expired: 40 * time.Minute, Cache: 20 * time.Minute,
			KEMs: []uint16{task.KEMP256, task.KEMX25519},
		}
		ring, err := dap.NewKeyring(plan)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(1_800_000_000, 0)
		type offer struct {
			config dap.HpkeConfig
			at     time.Time
		}
		var offers []offer
		rand := &detRand{1}
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
			if len(configs) < 2 || configs[0].KEM != task.KEMP256 || configs[len(configs)-1].KEM != task.KEMX25519 {
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
				if now.Sub(o.at) < 2*plan.Cache && (key == nil || !equal(key.Config().PublicKey, o.config.PublicKey)) {
					t.Fatalf("key %d, offered %v ago, does not open", o.config.ID, now.Sub(o.at))
				}
			}
			offers = slices.DeleteFunc(offers, func(o offer) bool { return now.Sub(o.at) >= 2*plan.Cache })
		}
	})
}

func TestKeyringIsFull(t *testing.T) {
	var keys []dap.HeldKey
	now := time.Unix(1_800_000_000, 0)
	for i := range 256 {
		keys = append(keys, dap.HeldKey{Key: newKey(t, dap.HpkeConfigID(i), task.KEMX25519), Created: now})
	}
	plan := dap.DefaultRotation()
	plan.KEMs = []uint16{task.KEMP256}
	ring, err := dap.NewKeyring(plan, keys...)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ring.Rotate(now, &detRand{}); err == nil {
		t.Error("a 257th key is made")
	}
	if ring.Find(3, now.Add(1000*24*time.Hour)) != nil {
		t.Error("a key that is gone opens")
	}
	if got := ring.Configs(now); len(got) != 0 {
		t.Errorf("%d pending keys are offered", len(got))
	}
	if _, _, err := new(dap.Keyring).Rotate(now, errReader{}); err == nil {
		t.Error("a key without randomness is made")
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("no randomness") }

// A key that is made before it is due is pending first, and then preferred.
func TestRenew(t *testing.T) {
	plan := dap.DefaultRotation()
	start := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	ring, err := dap.NewKeyring(plan)
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
