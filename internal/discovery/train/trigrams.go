package main

import (
	"math"
	"math/rand/v2" //nolint:depguard // training and its tests draw from a seed and keep no secret

	"github.com/shoal-project/shoal/internal/discovery/tokengen"
	"github.com/shoal-project/shoal/internal/discovery/tokenmodel"
)

const symbols = 27

// learnTrigrams estimates how surprising each letter is after two others.
// Every language weighs the same; names that are invented or romanised weigh
// as much as one language.
func learnTrigrams(r *rand.Rand, languages []language, g *tokenmodel.Trigrams) {
	var tri [symbols][symbols][symbols]float64
	add := func(w string, weight float64) {
		a, b := 0, 0
		for i := range len(w) {
			c := int(w[i]-'a') + 1
			tri[a][b][c] += weight
			a, b = b, c
		}
		tri[a][b][0] += weight
	}
	for _, l := range languages {
		for _, w := range l.train {
			add(w, 1e5/float64(len(l.train)))
		}
	}
	for range 50_000 {
		add(tokengen.Brand(r), 1)
		add(tokengen.Romanised(r), 1)
	}
	smooth(&tri, g)
}

// smooth mixes trigram, bigram and letter frequencies, the former the more the
// oftener their context was seen, and writes costs in sixteenths of a bit.
func smooth(tri *[symbols][symbols][symbols]float64, g *tokenmodel.Trigrams) {
	var bi [symbols][symbols]float64
	var uni, biSum [symbols]float64
	var total float64
	for a := range symbols {
		for b := range symbols {
			for c := range symbols {
				bi[b][c] += tri[a][b][c]
				biSum[b] += tri[a][b][c]
				uni[c] += tri[a][b][c]
				total += tri[a][b][c]
			}
		}
	}
	const prior = 40
	for a := range symbols {
		for b := range symbols {
			var sum float64
			for c := range symbols {
				sum += tri[a][b][c]
			}
			for c := range symbols {
				p1 := (uni[c] + 100) / (total + 100*symbols)
				p2 := (bi[b][c] + prior*p1) / (biSum[b] + prior)
				p3 := (tri[a][b][c] + prior*p2) / (sum + prior)
				g.SetCost(a, b, c, uint8(min(255, math.Round(-16*math.Log2(p3)))))
			}
		}
	}
}
