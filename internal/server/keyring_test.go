package server

import (
	"bytes"
	"crypto/rand"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/clock"
	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/internal/keyring"
	"github.com/shoal-project/shoal/metric/task"
)

func newKeyring(t *testing.T) *roleKeys[*esa.PrivateKey] {
	t.Helper()
	identity, err := task.GenerateIdentityKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	day := Duration(24 * time.Hour)
	c := Config{Keys: KeysConfig{Dir: t.TempDir(), KEMs: []string{"x25519", "p256"}, Lifetime: 7 * day, Overlap: day, Announce: day, Grace: day}}
	k, err := newReportKeys(c, task.Shuffler, identity, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.create(); err != nil {
		t.Fatal(err)
	}
	return k
}

// guarded lets the keyring destroy keys by a clock that the function reads, beside one
// that only runs.
func guarded[K any](k *roleKeys[K], now *time.Time, running *time.Duration) {
	k.guard = clock.StrictGuardOf(func() (time.Time, time.Duration) { return *now, *running }, settle)
}

type reportKey = keyring.Key[*esa.PrivateKey]

// weekTask has epochs of a day and a salt window of two.
func weekTask() *task.Task {
	return &task.Task{EpochSeconds: 86400, MaxDelay: 3600, ClockSkew: 60, Crowd: task.CrowdRule{SaltEpochs: 2}}
}

// TestKeyringTurns runs a year in steps of six hours: at every moment each
// mechanism has a valid key that is announced, a new one is announced before
// the old one ends, keys that a report may need are there, and the number of
// private keys stays small (old ones are destroyed).
func TestKeyringTurns(t *testing.T) {
	k := newKeyring(t)
	tasks := []*task.Task{weekTask()}
	needed := func(key reportKey) time.Time { return neededUntil(tasks, 24*time.Hour, key.Until) }
	now, running := noon, time.Duration(0)
	guarded(k, &now, &running)
	for ; now.Before(noon.AddDate(1, 0, 0)); now, running = now.Add(6*time.Hour), running+6*time.Hour {
		if _, err := k.rotate(now, needed); err != nil {
			t.Fatal(err)
		}
		c, err := task.OpenKeyConfig(k.config, k.identity.Public(), task.Shuffler, now)
		if err != nil {
			t.Fatalf("at %s: %v", now, err)
		}
		current := c.Current(now)
		if len(current) == 0 || esa.KEM(current[0].KEM) != esa.X25519 {
			t.Fatalf("at %s: the preferred key is %+v", now, current)
		}
		if k.ring.Left(now) < k.plan.Overlap-6*time.Hour {
			t.Fatalf("at %s: no successor in time", now)
		}
		for _, key := range c.Keys {
			if !slices.ContainsFunc(k.keys(), func(p *esa.PrivateKey) bool { return p.Public().ID == key.ID }) {
				t.Fatalf("at %s: a key is announced that is not held", now)
			}
		}
		if n := len(k.keys()); n > 6 {
			t.Fatalf("at %s: %d keys are held", now, n)
		}
	}
}

// TestKeyringDestroys: the bytes of a private key that is no longer needed are
// gone from the file and from the file that it replaced.
func TestKeyringDestroys(t *testing.T) {
	k := newKeyring(t)
	needed := func(key reportKey) time.Time { return key.Until }
	at, running := noon, time.Duration(0)
	guarded(k, &at, &running)
	if _, err := k.rotate(noon, needed); err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(k.file) // as seen by a process that kept the file open
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	secret, err := k.keys()[0].Text()
	if err != nil {
		t.Fatal(err)
	}
	later := noon.AddDate(0, 0, 8)
	at, running = later, later.Sub(noon)
	if _, err := k.rotate(later, needed); err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile(k.file)
	if err != nil {
		t.Fatal(err)
	}
	before := make([]byte, 4096)
	n, _ := old.ReadAt(before, 0)
	if bytes.Contains(now, []byte(secret)) || bytes.Contains(before[:n], []byte("shoal-hpke-key")) {
		t.Error("a destroyed key can still be read")
	}
	again := newKeyring(t)
	again.file = k.file
	if err := again.open(); err != nil || len(again.keys()) != len(k.keys()) {
		t.Errorf("read again: %d keys, want %d: %v", len(again.keys()), len(k.keys()), err)
	}
}

// TestNeededUntil: a report may be sealed at a key's last second, for an epoch
// whose batch is carried over to the end of its salt window.
func TestNeededUntil(t *testing.T) {
	tk := weekTask()
	end := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	got := neededUntil([]*task.Task{tk}, time.Hour, end)
	e := tk.EpochAt(end)
	for tk.SaltWindow(e+1) == tk.SaltWindow(e) {
		e++
	}
	if want := tk.Closes(e).Add(time.Hour); !got.Equal(want) {
		t.Errorf("needed until %s, want %s", got, want)
	}
	if got := neededUntil(nil, time.Hour, end); !got.Equal(end.Add(time.Hour)) {
		t.Errorf("without tasks needed until %s", got)
	}
}

// TestKeyringDoubtsTheClock: a clock that is wrong for a while, or at the start,
// destroys no key, and when it is right again clients have keys at once.
func TestKeyringDoubtsTheClock(t *testing.T) {
	k := newKeyring(t)
	clockReads, running := noon, time.Duration(0)
	guarded(k, &clockReads, &running)
	needed := func(key reportKey) time.Time { return key.Until }
	rotate := func(now time.Time, ran time.Duration) {
		t.Helper()
		clockReads, running = now, ran
		if _, err := k.rotate(now, needed); err != nil {
			t.Fatal(err)
		}
	}
	usable := func(now time.Time) {
		t.Helper()
		c, err := task.OpenKeyConfig(k.config, k.identity.Public(), task.Shuffler, now)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(c.Current(now)); n != 2 {
			t.Errorf("%d keys can be used, want one of each mechanism", n)
		}
	}
	rotate(noon, 0)
	first := k.keys()[0].Public().ID
	held := func() bool {
		return slices.ContainsFunc(k.keys(), func(p *esa.PrivateKey) bool { return p.Public().ID == first })
	}
	rotate(noon.Add(2*time.Hour), 2*time.Hour)
	rotate(noon.AddDate(0, 1, 0), 2*time.Hour+30*time.Second) // somebody's hand slips
	if !held() {
		t.Error("a clock that had just jumped destroyed a key")
	}
	rotate(noon.Add(2*time.Hour+time.Minute), 2*time.Hour+time.Minute)
	usable(noon.Add(2*time.Hour + time.Minute))
	rotate(noon.AddDate(0, 0, 7), 7*24*time.Hour)
	usable(noon.AddDate(0, 0, 7))
	rotate(noon.AddDate(0, 0, 8), 8*24*time.Hour)
	if held() {
		t.Error("a key that nobody needs was kept by a clock that goes evenly")
	}
	again := newKeyring(t)
	again.file = k.file
	if err := again.open(); err != nil {
		t.Fatal(err)
	}
	n := len(again.keys())
	clockReads, running = noon.AddDate(5, 0, 0), 0
	guarded(again, &clockReads, &running)
	if _, err := again.rotate(clockReads, needed); err != nil || len(again.keys()) < n {
		t.Errorf("a clock that nobody has watched yet destroyed a key: %v", err)
	}
}
