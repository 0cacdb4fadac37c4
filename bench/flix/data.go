package flix

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
)

// factors is how many tastes ratings have in common, beside how high somebody rates at all.
const factors = 4

// A Size is a row of the paper's Table 5. What follows the numbers of movies and users is tuned on
// the number of reports without a cap and on the error without privacy alone.
type Size struct {
	Movies int
	Users  int
	// Activity is the mean of the logarithm of how many movies somebody has rated, Spread its deviation.
	Activity, Spread float64
	Chance           float64 // deviation of what no model predicts
	Cap              int     // reports of a user at most, 0 for all
}

// Sizes are those that run through the stages.
func Sizes() []Size {
	return []Size{
		{Movies: 200, Users: 90_000, Activity: 0.98, Spread: 0.95, Chance: 0.91},
		{Movies: 2000, Users: 353_000, Activity: 2.57, Spread: 1.15, Chance: 0.93, Cap: 40},
	}
}

// The deviations of what a rating is made of.
const (
	meanRating  = 3.6
	ofMovies    = 0.45 // quality of movies
	ofUsers     = 0.40 // how high somebody rates
	ofTastes    = 0.17 // for each factor and side, see draw
	popularity  = 0.9  // slope of the movies' popularity
	heldOut     = 10   // every tenth rating is held out, on average
	maxOfAUser  = 2000
	ratingsMost = 5
)

// A rating is a movie and 1 to 5.
type rating struct {
	movie uint16
	stars uint8
}

// A user has ratings of different movies, some of them held out for the test.
type user struct{ known, held []rating }

// A world is what ratings are drawn from.
type world struct {
	size    Size
	quality []float64
	taste   [][factors]float64
	sums    []float64 // of popularity
}

func newWorld(s Size, seed uint64) *world {
	random := rand.New(rand.NewChaCha8(use("movies", s, seed)))
	w := &world{size: s}
	sum := 0.0
	for i := range s.Movies {
		w.quality = append(w.quality, random.NormFloat64()*ofMovies)
		var t [factors]float64
		for k := range t {
			t[k] = random.NormFloat64()
		}
		w.taste = append(w.taste, t)
		sum += math.Pow(float64(i)+5, -popularity)
		w.sums = append(w.sums, sum)
	}
	return w
}

// draw draws the user of a number.
func (w *world) draw(n int, seed uint64) user {
	random := rand.New(rand.NewPCG(seed, uint64(n)^uint64(w.size.Movies)<<40))
	count := int(math.Round(math.Exp(w.size.Activity + w.size.Spread*random.NormFloat64())))
	count = min(max(1, count), maxOfAUser, w.size.Movies*9/10)
	bias := random.NormFloat64() * ofUsers
	var taste [factors]float64
	for k := range taste {
		taste[k] = random.NormFloat64() * ofTastes
	}
	seen := make(map[uint16]bool, count)
	var u user
	for len(seen) < count {
		movie := w.pick(random.Float64())
		if seen[movie] {
			continue
		}
		seen[movie] = true
		x := meanRating + w.quality[movie] + bias + w.size.Chance*random.NormFloat64()
		for k := range taste {
			x += taste[k] * w.taste[movie][k]
		}
		r := rating{movie, uint8(min(max(math.Round(x), 1), ratingsMost))}
		if random.IntN(heldOut) == 0 && count > 1 {
			u.held = append(u.held, r)
		} else {
			u.known = append(u.known, r)
		}
	}
	return u
}

func (w *world) pick(u float64) uint16 {
	u *= w.sums[len(w.sums)-1]
	lo, hi := 0, len(w.sums)-1
	for lo < hi {
		if m := (lo + hi) / 2; w.sums[m] <= u {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return uint16(lo)
}

// use returns the seed of one use.
func use(what string, s Size, seed uint64) [32]byte {
	b := binary.BigEndian.AppendUint64([]byte("shoal flix v1 "+what+" "), seed)
	return sha256.Sum256(binary.BigEndian.AppendUint64(b, uint64(s.Movies)))
}
