package main

import (
	"math/rand/v2"
	"testing"

	"github.com/shoal-project/shoal/internal/discovery/tokengen"
	"github.com/shoal-project/shoal/internal/discovery/tokenmodel"
)

// TestLearn trains on a handful of words: the same seed gives the same model,
// and it distinguishes those words from secrets.
func TestLearn(t *testing.T) {
	words := tokengen.Words{"harbour", "lantern", "meadow", "orchard", "pebble", "river", "silver", "thunder", "valley", "winter", "garden", "bicycle"}
	languages := []language{{name: "few", train: words, held: words}}
	train := func(seed uint64) *tokenmodel.Model {
		r := rand.New(rand.NewPCG(seed, 1))
		m := new(tokenmodel.Model)
		learnTrigrams(r, languages, &m.Trigrams)
		learn(r, &m.Network, draw(r, &m.Trigrams, languages, 4000), 4)
		return m
	}
	m := train(1)
	if *train(1) != *m {
		t.Error("the same seed gives another model")
	}
	if *train(2) == *m {
		t.Error("another seed gives the same model")
	}
	r := rand.New(rand.NewPCG(3, 3))
	wrong := 0
	const n = 500
	for range n {
		plain, token := m.Vector(tokengen.Plain(r, words)), m.Vector(tokengen.Text(r, tokengen.Base62, 16))
		if m.Score(&plain) > 0 {
			wrong++
		}
		if m.Score(&token) <= 0 {
			wrong++
		}
	}
	if wrong > n/10 {
		t.Errorf("%d of %d verdicts are wrong", wrong, 2*n)
	}
}

func TestHeldOut(t *testing.T) {
	held := 0
	r := rand.New(rand.NewPCG(1, 1))
	const n = 5000
	for range n {
		if heldOut(tokengen.Brand(r)) {
			held++
		}
	}
	if held < n/10 || held > n*3/10 {
		t.Errorf("%d of %d words are held out, want about a fifth", held, n)
	}
}

func TestMissingLists(t *testing.T) {
	if _, err := readLists(t.TempDir()); err == nil {
		t.Error("word lists are read from an empty folder")
	}
}
