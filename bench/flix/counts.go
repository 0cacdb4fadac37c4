package flix

import (
	"fmt"

	"github.com/shoal-project/shoal/metric/task"
)

// counts are those of released pairs: ratings paired with themselves, which each user sends of each rating, and
// pairs of different ratings.
type counts struct {
	*moments        // of pairs as they were read
	records  uint64 // all
	other    uint64 // of another form, of which there are none
}

func newCounts(movies int) *counts { return &counts{moments: newMoments(movies)} }

// add adds a record that the analyzer has read.
func (c *counts) add(record task.Record) {
	c.records++
	pair, _ := record[0].([]task.Value)
	if len(pair) != 2 {
		c.other++
		return
	}
	a, ok := ratingOf(pair[0])
	b, ok2 := ratingOf(pair[1])
	switch {
	case !ok || !ok2 || int(a.movie) >= c.movies || int(b.movie) >= c.movies:
		c.other++
	case a == b:
		c.stars[a.movie][a.stars-1]++
	default:
		c.moments.add(a, b, 1)
	}
}

func (c *counts) err() error {
	if c.other > 0 {
		return fmt.Errorf("the analyzer: %d records that no client sent", c.other)
	}
	return nil
}

// estimate returns estimates of the moments before ratings were replaced. Each rating stayed with
// probability 1-g and else is any of all values alike, so that of pairs
//
//	read = (1-g)^2 true + g(1-g) (true to one side, all values to the other) + g^2 all values
//
// which is solved for true from the totals of each rating and all pairs. Sums of stars and of products are
// linear in the counts of pairs, and are solved likewise. Pairs of two ratings of one movie come of replacements
// alone and are left out.
func (c *counts) estimate() *moments {
	const g = flip / 1e6
	m, n := newMoments(c.movies), c.movies
	values := float64(n * ratingsMost)
	var total float64
	for _, stars := range c.stars {
		for _, k := range stars {
			total += k
		}
	}
	for i, stars := range c.stars {
		for s, k := range stars {
			m.stars[i][s] = (k - g*total/values) / (1 - g)
		}
	}
	// Of each movie i, over all pairs with it: their number, and the sum of its stars.
	number, stars := make([]float64, n), make([]float64, n)
	var pairs, sum float64 // in both orders
	for i := range n {
		for j := range n {
			number[i] += c.both[i*n+j]
			stars[i] += c.sum[i*n+j]
		}
		pairs += number[i]
		sum += stars[i]
	}
	const mean = (ratingsMost + 1) / 2.0 // of a random rating
	movies := float64(n)
	trueNumber, trueStars := make([]float64, n), make([]float64, n)
	for i := range n {
		trueNumber[i] = (number[i] - g*pairs/movies) / (1 - g)
		trueStars[i] = (stars[i] - g*mean*pairs/movies) / (1 - g)
	}
	stay := (1 - g) * (1 - g)
	m.noise = make([]float64, n*n)
	for i := range n {
		for j := range n {
			if i == j {
				continue
			}
			at := i*n + j
			m.noise[at] = c.both[at] / (stay * stay)
			half, whole := g*(1-g)/movies, g*g*pairs/(movies*movies)
			m.both[at] = (c.both[at] - half*(trueNumber[i]+trueNumber[j]) - whole) / stay
			m.sum[at] = (c.sum[at] - half*(trueStars[i]+mean*trueNumber[j]) - whole*mean) / stay
			m.prod[at] = (c.prod[at] - half*mean*(trueStars[i]+trueStars[j]) - whole*mean*mean) / stay
		}
	}
	return m
}
