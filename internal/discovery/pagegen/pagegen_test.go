package pagegen

import (
	"math/rand/v2"
	"net/url"
	"testing"
)

// TestHalves: neither half has all of a group, words are shared by none, and
// what is drawn is an address.
func TestHalves(t *testing.T) {
	counts := map[Group]map[Half]int{}
	names := map[string]bool{}
	words := map[Half]*Words{Tune: NewWords(Tune), Blind: NewWords(Blind)}
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range Conventions() {
		if names[c.Name] {
			t.Errorf("%s stands twice", c.Name)
		}
		names[c.Name] = true
		if counts[c.Group] == nil {
			counts[c.Group] = map[Half]int{}
		}
		counts[c.Group][c.Half()]++
		if u, err := url.Parse(c.Draw(r, words[c.Half()])); err != nil || u.Host == "" {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
	for group, n := range counts {
		t.Logf("%s: %d to tune, %d blind", group, n[Tune], n[Blind])
		if n[Tune] < 2 || n[Blind] < 2 {
			t.Errorf("%s: %d to tune, %d blind", group, n[Tune], n[Blind])
		}
	}
	seen := map[string]Half{}
	for half, w := range words {
		total := 0
		for _, list := range w.lists {
			total += len(list)
			for _, word := range list {
				if other, ok := seen[word]; ok && other != half {
					t.Errorf("%s is in both halves", word)
				}
				seen[word] = half
			}
		}
		if total < 300 {
			t.Errorf("half %d has %d words", half, total)
		}
	}
}
