package vocab

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"testing"
)

// TestModelFitsThePaper compares the model's expected values with those that the
// Prochlo paper's Figure 5 shows.
func TestModelFitsThePaper(t *testing.T) {
	c := NewCorpus([32]byte{})
	for _, paper := range []struct{ n, unique, least20 float64 }{
		{10_000, 4062, 46}, {100_000, 18_665, 578}, {1_000_000, 57_500, 5921}, {10_000_000, 91_260, 28_821},
	} {
		var unique, least20 float64
		for i := range Words {
			mean := paper.n * c.Probability(i)
			unique += 1 - math.Exp(-mean)
			below, term := 0.0, math.Exp(-mean)
			for k := range 20 {
				below += term
				term *= mean / float64(k+1)
			}
			least20 += 1 - below
		}
		if math.Abs(unique/paper.unique-1) > 0.1 || math.Abs(least20/paper.least20-1) > 0.1 {
			t.Errorf("n=%.0f: unique %.0f (paper %.0f), at least 20: %.0f (paper %.0f)", paper.n, unique, paper.unique, least20, paper.least20)
		}
	}
}

func TestAliasTableIsExact(t *testing.T) {
	c := NewCorpus([32]byte{})
	got := make([]uint64, Words)
	for i, k := range c.keep {
		got[i] += k
		got[c.alias[i]] += c.total - k
	}
	for i, w := range c.weights {
		if got[i] != w*Words {
			t.Fatalf("word %d has weight %d in the table, want %d", i, got[i], w*Words)
		}
	}
}

func TestSameSeedSameWords(t *testing.T) {
	c := NewCorpus([32]byte{7})
	h := sha256.New()
	for range 10_000 {
		h.Write([]byte(Word(c.Draw()) + "\n"))
	}
	const want = "a9d63beae3fdf1ee69fcf660ba7d7e95"
	if got := hex.EncodeToString(h.Sum(nil)[:16]); got != want {
		t.Errorf("10,000 words hash to %s, want %s", got, want)
	}
}

func TestWord(t *testing.T) {
	for rank, want := range map[int]string{0: "a", 25: "z", 26: "aa", 701: "zz", 702: "aaa"} {
		if got := Word(rank); got != want {
			t.Errorf("Word(%d) = %q, want %q", rank, got, want)
		}
	}
	seen := make(map[string]bool)
	for i := range Words {
		seen[Word(i)] = true
	}
	if len(seen) != Words {
		t.Fatalf("%d spellings for %d words", len(seen), Words)
	}
}

func BenchmarkDraw(b *testing.B) {
	c := NewCorpus([32]byte{})
	for b.Loop() {
		c.Draw()
	}
}
