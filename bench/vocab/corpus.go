package vocab

import (
	"math"
	"math/bits"
	"math/rand/v2"
)

// The fitted model of the Prochlo paper's Vocab corpus: word of rank r has a
// probability proportional to r^-headSlope up to rank knee, and to r^-tailSlope,
// continuously, beyond. It predicts the twelve values that Figure 5 of the paper
// gives for the ground truth, NoCrowd and Crowd within about 10%.
const (
	Words     = 89_000
	knee      = 3433
	headSlope = 0.92
	tailSlope = 1.39
)

// A Corpus draws words, named by their rank from 0, independently from the
// fitted distribution. The same seed gives the same words.
type Corpus struct {
	weights []uint64 // integer weights, for the expected values
	total   uint64
	alias   []uint32 // Walker's alias method: column i gives i below keep[i], else alias[i]
	keep    []uint64
	source  *rand.ChaCha8
}

// NewCorpus returns a corpus with the given seed.
func NewCorpus(seed [32]byte) *Corpus {
	c := &Corpus{weights: make([]uint64, Words), source: rand.NewChaCha8(seed)}
	for i := range c.weights {
		c.weights[i] = weight(i + 1)
		c.total += c.weights[i]
	}
	c.build()
	return c
}

// weight is the model in integers, so that the same seed gives the same words
// on every machine.
func weight(rank int) uint64 {
	w := math.Pow(float64(rank), -headSlope)
	if rank > knee {
		w = math.Pow(knee, tailSlope-headSlope) * math.Pow(float64(rank), -tailSlope)
	}
	return uint64(math.Round(w * (1 << 32)))
}

// build fills the alias table by Vose's method. Columns are scaled so that each
// holds total: weights are multiplied by the number of words.
func (c *Corpus) build() {
	n := uint64(len(c.weights))
	c.alias, c.keep = make([]uint32, n), make([]uint64, n)
	var small, large []uint32
	for i, w := range c.weights {
		c.keep[i] = w * n
		if c.keep[i] < c.total {
			small = append(small, uint32(i))
		} else {
			large = append(large, uint32(i))
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		c.alias[s] = l
		c.keep[l] -= c.total - c.keep[s]
		if c.keep[l] < c.total {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	// Integer arithmetic leaves exactly full columns only.
	for _, i := range append(small, large...) {
		c.keep[i], c.alias[i] = c.total, i
	}
}

// Draw returns the rank, from 0, of a random word.
func (c *Corpus) Draw() int {
	column := c.below(uint64(len(c.keep)))
	if c.below(c.total) < c.keep[column] {
		return int(column)
	}
	return int(c.alias[column])
}

// below returns a uniformly random integer from 0 to n-1, by Lemire's method
// with rejection.
func (c *Corpus) below(n uint64) uint64 {
	for {
		hi, lo := bits.Mul64(c.source.Uint64(), n)
		if lo >= n || lo >= -n%n {
			return hi
		}
	}
}

// Sample returns how often each word occurs among n drawn ones.
func (c *Corpus) Sample(n int) []uint32 {
	counts := make([]uint32, Words)
	for range n {
		counts[c.Draw()]++
	}
	return counts
}

// Probability returns the probability of the word of the given rank, from 0.
func (c *Corpus) Probability(rank int) float64 {
	return float64(c.weights[rank]) / float64(c.total)
}

// Word returns the spelling of the word of the given rank, from 0: its rank in
// bijective base 26.
func Word(rank int) string {
	var b [8]byte
	i := len(b)
	for n := rank + 1; n > 0; n = (n - 1) / 26 {
		i--
		b[i] = 'a' + byte((n-1)%26)
	}
	return string(b[i:])
}
