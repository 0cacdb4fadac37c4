package flix

import (
	"math"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/clock"
)

// TestRun runs a small size through the stages: almost all pairs are released, the private model has less error than
// means, and the same seed gives the same errors.
func TestRun(t *testing.T) {
	s := Size{Movies: 40, Users: 6000, Activity: 1, Spread: 0.8, Chance: 0.9}
	run := func(s Size) *Result {
		r, err := Run(t.Context(), Config{Sizes: []Size{s}, Seed: 1, Clock: clock.System(), Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := run(s)
	row := r.Rows[0]
	if row.Reports != row.Pairs || row.Released < row.Reports*9/10 || row.Released >= row.Reports {
		t.Errorf("%d pairs, %d reports, %d released", row.Pairs, row.Reports, row.Released)
	}
	if row.Plain > row.Private+0.01 || row.Private >= row.Means {
		t.Errorf("errors: means %.4f, no privacy %.4f, private %.4f", row.Means, row.Plain, row.Private)
	}
	if again := run(s); again.Rows[0].Private != row.Private {
		t.Errorf("another error with the same seed: %v, %v", again.Rows[0].Private, row.Private)
	}
	if !strings.Contains(r.String(), "no privacy") || !strings.Contains(r.SVG(), "</svg>") {
		t.Errorf("output:\n%s", r)
	}
	s.Cap = 3
	if row := run(s).Rows[0]; row.Reports > 3*s.Users || row.Reports >= row.Pairs {
		t.Errorf("%d reports of %d users with at most 3", row.Reports, s.Users)
	}
}

// TestEstimate: counts of pairs whose ratings were replaced, in expectation, give the moments of those that
// were not.
func TestEstimate(t *testing.T) {
	const movies, g = 3, flip / 1e6
	a, b := rating{0, 5}, rating{2, 2}
	c := newCounts(movies)
	const n = 1e6
	values := float64(movies * ratingsMost)
	for movie := range uint16(movies) {
		for stars := uint8(1); stars <= ratingsMost; stars++ {
			replaced := rating{movie, stars}
			c.moments.add(replaced, b, n*g*(1-g)/values)
			c.moments.add(a, replaced, n*g*(1-g)/values)
			for other := range uint16(movies) {
				for stars := uint8(1); stars <= ratingsMost; stars++ {
					c.moments.add(replaced, rating{other, stars}, n*g*g/values/values)
				}
			}
			c.stars[movie][stars-1] += n * g / values
		}
	}
	c.moments.add(a, b, n*(1-g)*(1-g))
	c.stars[0][4] += n * (1 - g)
	m := c.estimate()
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-3*n {
			t.Errorf("%s: %.0f, want %.0f", name, got, want)
		}
	}
	near("users of both", m.both[2], n)
	near("users of others", m.both[1], 0)
	near("stars", m.sum[2], 5*n)
	near("stars of the other", m.sum[2*movies], 2*n)
	near("products", m.prod[2], 10*n)
	near("ratings of 5", m.stars[0][4], n)
	near("ratings of 1", m.stars[1][0], 0)
}
