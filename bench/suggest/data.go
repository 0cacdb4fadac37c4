package suggest

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// The model of the histories, tuned on the accuracy without privacy alone: after two views the next is, with
// probability follow, one of the successors of both, by rank, else one of the last, and else a popular one.
const (
	Items      = 300
	Histories  = 150_000
	successors = 8
	meanLength = 15
	followBoth = 0.10
	followLast = 0.22
	popularity = 0.7 // slope
)

// A chain is what histories are drawn from.
type chain struct {
	sums []float64 // of popularity
	next [Items][successors]uint16
	seed uint64
}

func newChain(seed uint64) *chain {
	random := rand.New(rand.NewChaCha8(use("chain", seed)))
	c := &chain{seed: seed}
	sum := 0.0
	for i := range Items {
		sum += math.Pow(float64(i+1), -popularity)
		c.sums = append(c.sums, sum)
	}
	for i := range c.next {
		for k := range c.next[i] {
			c.next[i][k] = c.popular(random)
		}
	}
	return c
}

func (c *chain) popular(random *rand.Rand) uint16 {
	u := random.Float64() * c.sums[Items-1]
	lo, hi := 0, Items-1
	for lo < hi {
		if m := (lo + hi) / 2; c.sums[m] <= u {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return uint16(lo)
}

// rank draws a successor's place, the first the most probable: 1/2, 1/4 and so on.
func rank(random *rand.Rand) int {
	k := 0
	for k < successors-1 && random.IntN(2) == 0 {
		k++
	}
	return k
}

// history draws the one of a number.
func (c *chain) history(n int) []uint16 {
	random := rand.New(rand.NewPCG(c.seed, uint64(n)))
	views := make([]uint16, 3+int(random.ExpFloat64()*(meanLength-3)))
	for i := range views {
		u := random.Float64()
		switch {
		case i >= 2 && u < followBoth: // of both: the places of the last one's successors, moved by the one before
			views[i] = c.next[views[i-1]][(rank(random)+int(views[i-2]))%successors]
		case i >= 1 && u < followBoth+followLast:
			views[i] = c.next[views[i-1]][rank(random)]
		default:
			views[i] = c.popular(random)
		}
	}
	return views
}

// use returns the seed of one use.
func use(what string, seed uint64) [32]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte("shoal suggest v1 "+what+" "), seed))
}
