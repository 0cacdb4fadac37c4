package keyring_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/keyring"
)

func plan() keyring.Plan {
	return keyring.Plan{
		KEMs: []hpke.KEM{hpke.P256, hpke.X25519}, Lifetime: 100 * time.Minute, Overlap: 20 * time.Minute, Announce: 20 * time.Minute,
		Pending: 10 * time.Minute, Backdate: time.Minute,
	}
}

// duties makes keys that are numbers.
func duties(sure bool, needed func(keyring.Key[int]) time.Time) keyring.Duties[int] {
	return keyring.Duties[int]{Sure: sure, Needed: needed, Make: func(_ hpke.KEM, _, _ time.Time, others []keyring.Key[int]) (int, error) {
		next := 0
		for _, k := range others {
			next = max(next, k.Key+1)
		}
		return next, nil
	}}
}

func TestPlanIsChecked(t *testing.T) {
	for name, change := range map[string]func(*keyring.Plan){
		"no KEM":            func(p *keyring.Plan) { p.KEMs = nil },
		"unknown KEM":       func(p *keyring.Plan) { p.KEMs = []hpke.KEM{0x21} },
		"KEM twice":         func(p *keyring.Plan) { p.KEMs = []hpke.KEM{0x20, 0x20} },
		"no lifetime":       func(p *keyring.Plan) { p.Lifetime = 0 },
		"no overlap":        func(p *keyring.Plan) { p.Overlap = 0 },
		"no announce":       func(p *keyring.Plan) { p.Announce = 0 },
		"negative pending":  func(p *keyring.Plan) { p.Pending = -1 },
		"negative backdate": func(p *keyring.Plan) { p.Backdate = -1 },
		"overlap too long":  func(p *keyring.Plan) { p.Overlap = p.Lifetime/2 + 1 },
		"pending too long":  func(p *keyring.Plan) { p.Pending = p.Lifetime / 2 },
	} {
		p := plan()
		change(&p)
		if _, err := keyring.New[int](p); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// If the ring is rotated at least as often as a key is pending, then there is always a
// key of each KEM to offer, its successor is offered for the overlap beside it, no key
// is offered before it has been in the ring for the time pending unless there is no
// other, and what was offered opens as long as it is needed, and no longer.
func TestRotation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := plan()
		ring, err := keyring.New[int](p)
		if err != nil {
			t.Fatal(err)
		}
		const need = 30 * time.Minute
		now := time.Unix(1_800_000_000, 0)
		made := map[int]time.Time{}
		offered := map[int]time.Time{} // the last time
		for step := range 80 {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 1, 3, 5, 7, 9, 10}).Draw(t, "minutes")) * time.Minute)
			next, changed, err := ring.Rotate(now, duties(true, func(k keyring.Key[int]) time.Time { return k.Until.Add(need) }))
			if err != nil {
				t.Fatal(err)
			}
			if !changed && len(next.Keys()) != len(ring.Keys()) {
				t.Fatal("the ring differs, and says that it does not")
			}
			ring = next
			if len(ring.Keys()) > 6 {
				t.Fatalf("%d keys", len(ring.Keys()))
			}
			held := map[int]bool{}
			for _, k := range ring.Keys() {
				held[k.Key] = true
				if _, ok := made[k.Key]; !ok {
					made[k.Key] = now
				}
				if k.State(now) == keyring.Expired && now.After(k.Until.Add(need)) {
					t.Fatalf("key %d is not needed since %v and is kept", k.Key, k.Until.Add(need))
				}
			}
			list := ring.Offered(now)
			kems := map[hpke.KEM]int{}
			for i, k := range list {
				kems[k.KEM]++
				if i > 0 && list[i-1].KEM != k.KEM && k.KEM != hpke.X25519 {
					t.Fatalf("not in the plan's order: %v", list)
				}
				if i > 0 && list[i-1].KEM == k.KEM && k.Until.After(list[i-1].Until) {
					t.Fatalf("the newest is not first: %v", list)
				}
				if step > 0 && offered[k.Key].IsZero() && made[k.Key].After(now.Add(-p.Pending)) && kems[k.KEM] == 1 && len(list) > 2 {
					t.Fatalf("key %d is offered %v after it was made", k.Key, now.Sub(made[k.Key]))
				}
				offered[k.Key] = now
			}
			if kems[hpke.P256] < 1 || kems[hpke.X25519] < 1 || kems[hpke.P256] > 2 || kems[hpke.X25519] > 2 {
				t.Fatalf("at %v offered: %v", now, list)
			}
			if left := ring.Left(now); left < p.Overlap {
				t.Fatalf("%v left, want the overlap %v", left, p.Overlap)
			}
			for k, at := range offered {
				if now.Sub(at) <= need && !held[k] {
					t.Fatalf("key %d, offered %v ago, is gone", k, now.Sub(at))
				}
			}
		}
	})
}

// While the clock is in doubt no key is left out, and keys that it has dated ahead do
// not count as successors.
func TestRotationInDoubt(t *testing.T) {
	p := plan()
	p.KEMs = p.KEMs[:1]
	ring, err := keyring.New[int](p)
	if err != nil {
		t.Fatal(err)
	}
	never := duties(false, func(keyring.Key[int]) time.Time { return time.Time{} })
	now := time.Unix(1_800_000_000, 0)
	rotate := func(at time.Time) {
		t.Helper()
		if ring, _, err = ring.Rotate(at, never); err != nil {
			t.Fatal(err)
		}
		if len(ring.Offered(at)) == 0 {
			t.Fatalf("at %v there is no key to offer", at)
		}
	}
	rotate(now)
	rotate(now.Add(1000 * time.Hour))
	if n := len(ring.Keys()); n != 2 {
		t.Fatalf("%d keys, want both", n)
	}
	rotate(now.Add(99 * time.Minute)) // the clock was put right: the key dated ahead is no successor
	if n := len(ring.Keys()); n != 3 {
		t.Errorf("%d keys, want a successor of the first", n)
	}
	if left := ring.Left(now.Add(99 * time.Minute)); left <= p.Overlap || left > p.Lifetime {
		t.Errorf("%v left", left)
	}
}

// A key that is made before it is due is pending first, and then preferred.
func TestRenew(t *testing.T) {
	p := plan()
	now := time.Unix(1_800_000_000, 0)
	d := duties(true, func(k keyring.Key[int]) time.Time { return k.Until })
	ring, err := keyring.New[int](p)
	if err != nil {
		t.Fatal(err)
	}
	if ring, _, err = ring.Rotate(now, d); err != nil {
		t.Fatal(err)
	}
	later := now.Add(30 * time.Minute)
	next, err := ring.Renew(later, d)
	if err != nil {
		t.Fatal(err)
	}
	if len(next.Keys()) != 4 || len(next.Offered(later)) != 2 || len(ring.Keys()) != 2 {
		t.Errorf("%d keys, %d offered at once", len(next.Keys()), len(next.Offered(later)))
	}
	list := next.Offered(later.Add(p.Pending))
	if len(list) != 4 || list[0].Key != 2 || list[1].Key != 0 {
		t.Errorf("offered later: %v", list)
	}
	fails := keyring.Duties[int]{Make: func(hpke.KEM, time.Time, time.Time, []keyring.Key[int]) (int, error) {
		return 0, errors.New("no randomness")
	}}
	if _, err := ring.Renew(later, fails); err == nil {
		t.Error("renewed without randomness")
	}
	if _, _, err := ring.Rotate(later.Add(100*time.Hour), fails); err == nil {
		t.Error("rotated without randomness")
	}
}
