package lifecycle

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/shoal-project/shoal/internal/discovery"
)

// The false positives that the documentation states, when a filter is new and
// when it is full, measured with tags that were never added.
func TestFilterRates(t *testing.T) {
	for _, c := range []struct {
		name       string
		shape      shape
		adds       int
		low, high  float64 // of a new filter
		full, most float64 // with adds tags
	}{
		{"private", privateShape, 68_000, 0.0095, 0.0105, 0.045, 0.053},
		{"reported", reportedShape, 700, 0.0002, 0.0004, 0.0006, 0.0011},
	} {
		random := rand.NewChaCha8([32]byte{3})
		f, err := newFilter(c.shape, random)
		if err != nil {
			t.Fatal(err)
		}
		measured := func() float64 {
			hits := 0
			const n = 300_000
			for range n {
				if f.has(tag(random.Uint64())) {
					hits++
				}
			}
			return float64(hits) / n
		}
		within := func(when string, low, high float64) {
			t.Helper()
			for what, rate := range map[string]float64{"stated": f.rate(), "measured": measured()} {
				if rate < low || rate > high {
					t.Errorf("%s, %s: %s rate %.5f, want %.5f to %.5f", c.name, when, what, rate, low, high)
				}
			}
		}
		within("new", c.low, c.high)
		added := make([]tag, c.adds)
		for i := range added {
			added[i] = tag(random.Uint64())
			f.add(added[i])
		}
		for _, tg := range added {
			if !f.has(tg) {
				t.Fatalf("%s: a tag is missing", c.name)
			}
		}
		within("full", c.full, c.most)
		// Put back from its chunks it is the same.
		g := &filter{shape: c.shape}
		for i, chunk := range f.chunks {
			if g.whole() || !g.restore(i, chunk) {
				t.Fatalf("%s: chunk %d", c.name, i)
			}
		}
		if !g.whole() || g.set != f.set || g.rate() != f.rate() {
			t.Errorf("%s: %d bits, want %d", c.name, g.set, f.set)
		}
		if g.restore(c.shape.chunks, f.chunks[0]) || g.restore(-1, f.chunks[0]) || g.restore(0, f.chunks[0][1:]) {
			t.Errorf("%s: a bad chunk was put back", c.name)
		}
	}
}

// What lets something else be reported is not found by chance: 30 days of busy
// filters, asked for searches and pages that were never reported.
func TestGrants(t *testing.T) {
	random := rand.NewChaCha8([32]byte{4})
	k, err := NewKey(make([]byte, keySize))
	if err != nil {
		t.Fatal(err)
	}
	v, err := newVault(k, random)
	if err != nil {
		t.Fatal(err)
	}
	e := &reports{scene: &scene{vault: v}, days: make(map[int]*filter)}
	for d := range keptDays {
		f, err := newFilter(reportedShape, random)
		if err != nil {
			t.Fatal(err)
		}
		for range 700 {
			f.add(tag(random.Uint64()))
		}
		e.days[d] = f
	}
	page := func(name any) discovery.URL {
		u, err := discovery.ParseURL(fmt.Sprint("https://example.org/", name))
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	const n = 5000
	once, by := 0, 0
	for i := range n {
		all := v.pageGrants(page(i))
		if e.has(all[0]) {
			once++
		}
		if e.granted(all) {
			by++
		}
	}
	if once < n/100 || by > n/1000 {
		t.Errorf("of %d never told, %d by one tag and %d by all: want at least %d, and at most %d", n, once, by, n/100, n/1000)
	}
	told := v.pageGrants(page("told"))
	for _, tg := range told {
		e.days[3].add(tg)
	}
	if !e.granted(told) {
		t.Error("what was told is not known")
	}
	other := v.pageGrants(page("other"))
	for d, tg := range other {
		e.days[d].add(tg)
	}
	if e.granted(other) {
		t.Error("tags of different days count together")
	}
}

// Two engines have other bits for one page: the tags are keyed.
func TestTagsAreKeyed(t *testing.T) {
	vaultOf := func(b byte) *vault {
		k, err := NewKey(append(make([]byte, 31), b))
		if err != nil {
			t.Fatal(err)
		}
		v, err := newVault(k, rand.NewChaCha8([32]byte{b}))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	a, b := vaultOf(1), vaultOf(2)
	if a.tag("page", "x") == b.tag("page", "x") || a.tag("page", "x") == a.tag("seen", "x") || a.tag("q", "ab", "c") == a.tag("q", "a", "bc") || a.tag("page", "x") != a.tag("page", "x") {
		t.Error("tags collide, or change")
	}
	// Nonces are fresh, sizes are those of their classes.
	one, err := a.seal("k", []byte("short"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := a.seal("k", make([]byte, 200))
	if err != nil || len(one) != len(two) || string(one[1:13]) == string(two[1:13]) {
		t.Errorf("%d and %d bytes, %v", len(one), len(two), err)
	}
	for at := range one {
		bad := append([]byte{}, one...)
		bad[at] ^= 1
		if _, err := a.open("k", bad); err == nil {
			t.Fatalf("byte %d flipped and opened", at)
		}
	}
	if plain, err := a.open("k", one); err != nil || string(plain) != "short" {
		t.Errorf("%q, %v", plain, err)
	}
	if _, err := a.open("l", one); err == nil {
		t.Error("opened under another key of the store")
	}
}
