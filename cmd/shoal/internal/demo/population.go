package demo

import (
	"math"
	"math/rand/v2"
	"slices"
)

// A Population gives the things of each simulated person: indexes into a
// list, distinct for each person.
type Population [][]int

// Zipf draws people with n distinct ones of things each, the thing of rank
// r with a probability proportional to 1/r. Which thing has which rank, and
// everything else, follows from the seed.
func Zipf(seed [32]byte, people, n, things int) Population {
	r := rand.New(rand.NewChaCha8(seed))
	rank := r.Perm(things)
	sums := make([]uint64, things)
	var sum uint64
	for i := range sums {
		sum += math.MaxUint32 / uint64(i+1)
		sums[i] = sum
	}
	n = min(n, things)
	p := make(Population, people)
	for i := range p {
		for len(p[i]) < n {
			at, _ := slices.BinarySearch(sums, r.Uint64N(sum)+1)
			if thing := rank[at]; !slices.Contains(p[i], thing) {
				p[i] = append(p[i], thing)
			}
		}
	}
	return p
}

// Spread gives each occurrence of a thing, in order, to a person with fewer than
// n things that do not include it: the first such person after the last one that
// got it. The same list gives the same people.
func Spread(occurrences []int, n int) Population {
	var p Population
	free := 0                 // all people before have n things
	next := make(map[int]int) // by thing: the first person that may get it
	for _, thing := range occurrences {
		i := max(free, next[thing])
		for i < len(p) && len(p[i]) >= n {
			i++
		}
		if i == len(p) {
			p = append(p, nil)
		}
		p[i] = append(p[i], thing)
		next[thing] = i + 1
		for free < len(p) && len(p[free]) >= n {
			free++
		}
	}
	return p
}

// Counts returns how many people have each of things.
func (p Population) Counts(things int) []int {
	counts := make([]int, things)
	for _, has := range p {
		for _, t := range has {
			counts[t]++
		}
	}
	return counts
}

// Records returns how many things all people have together.
func (p Population) Records() int {
	n := 0
	for _, has := range p {
		n += len(has)
	}
	return n
}
