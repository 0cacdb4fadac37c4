package keyring_test

import (
	"slices"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/hpke"
	"github.com/shoal-project/shoal/internal/keyring"
)

// TestLasting: keys for a period are the same whenever they are asked for, whatever is
// made meanwhile, and last to its end.
func TestLasting(t *testing.T) {
	const day = 24 * time.Hour
	plan := keyring.Plan{KEMs: []hpke.KEM{hpke.X25519}, Lifetime: 7 * day, Overlap: day, Announce: day}
	key := func(name string, from, until time.Duration) keyring.Key[string] {
		return keyring.Key[string]{Key: name, KEM: hpke.X25519, From: start.Add(from), Until: start.Add(until)}
	}
	for name, tt := range map[string]struct {
		keys []keyring.Key[string]
		now  time.Duration
		want []string
	}{
		"one that lasts":                {[]keyring.Key[string]{key("a", -3*day, 4*day)}, 0, []string{"a"}},
		"one that ends before":          {[]keyring.Key[string]{key("a", -6*day, day-time.Second)}, 0, nil},
		"one that ends with the period": {[]keyring.Key[string]{key("a", -6*day, day)}, 0, []string{"a"}},
		"the newest of before":          {[]keyring.Key[string]{key("a", -4*day, 3*day), key("b", -2*day, 5*day)}, 0, []string{"b"}},
		"not one of later":              {[]keyring.Key[string]{key("a", -2*day, 5*day), key("b", time.Hour, 8*day)}, 2 * time.Hour, []string{"a"}},
		"the oldest of later":           {[]keyring.Key[string]{key("a", time.Hour, 7*day), key("b", 2*time.Hour, 7*day)}, 3 * time.Hour, []string{"a"}},
		"not one that is pending":       {[]keyring.Key[string]{key("a", time.Hour, 8*day)}, 0, nil},
	} {
		ring, err := keyring.New(plan, tt.keys...)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range ring.Lasting(start.Add(tt.now), start.Add(-3*time.Hour), start.Add(day)) {
			got = append(got, k.Key)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
