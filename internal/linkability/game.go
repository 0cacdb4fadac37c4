package linkability

import (
	"fmt"
	"math"
	"math/rand/v2" //nolint:depguard // a trial draws from a seed and keeps no secret
	"slices"
)

// An Outcome is what an attacker achieved in a view.
type Outcome struct {
	Pairs     int
	Advantage float64
	byPerson  []float64 // influence of each person on it
}

// A Finding compares an attacker's advantage in a view with that in its ideal view.
type Finding struct {
	View              string
	People, Pairs     int
	Real, Ideal       float64 // advantages
	Difference, Error float64 // and its standard error, by bootstrap over people
	Low, High         float64 // of the interval at the corrected level
	Detectable        float64 // the smallest difference that is found in 4 of 5 trials
	Features          []string
}

// Defect reports whether the interval excludes 0.
func (f Finding) Defect() bool { return f.Low > 0 || f.High < 0 }

// Settings of a comparison.
type Settings struct {
	PairsEach int // pairs of each class, a person
	Draws     int // of the ideal view, averaged
	Bootstrap int // draws of people
	Tests     int // how many comparisons the level is corrected for
	Seed      uint64
}

// folds is into how many groups people are divided: the attacker is trained on the
// others of each.
const folds = 2

// Compare plays the game in a view and in ideal views of it, with the same pairs.
func Compare(v View, s Settings) (Finding, error) {
	random := rand.New(rand.NewPCG(s.Seed, 1)) //nolint:gosec // a simulation
	v = v.rarePrints()                         // the ideal view has the same fingerprints, elsewhere
	r := read(v)
	pairs := newPairs(v, s.PairsEach, random)
	if len(pairs) == 0 {
		return Finding{}, fmt.Errorf("view %q has no pairs of reports of one person", v.Name)
	}
	real := play(r, v, pairs)
	var ideal Outcome
	for range s.Draws {
		redrawn := v.Ideal(random)
		o := play(read(redrawn), redrawn, pairs)
		ideal.Advantage += o.Advantage / float64(s.Draws)
		if ideal.byPerson == nil {
			ideal.byPerson = make([]float64, len(o.byPerson))
		}
		for i, x := range o.byPerson {
			ideal.byPerson[i] += x / float64(s.Draws)
		}
	}
	f := Finding{
		View: v.Name, People: people(v), Pairs: real.Pairs, Real: real.Advantage, Ideal: ideal.Advantage,
		Difference: real.Advantage - ideal.Advantage, Features: r.columns(),
	}
	// Decisions that are equal in both views, as those without any evidence, do not make the
	// trial more exact than decisions by chance in both.
	f.Error = max(bootstrap(real.byPerson, ideal.byPerson, s.Bootstrap, random), math.Sqrt(2/float64(real.Pairs)))
	z := Quantile(1 - 0.01/2/float64(max(1, s.Tests)))
	f.Low, f.High = f.Difference-z*f.Error, f.Difference+z*f.Error
	f.Detectable = (z + Quantile(0.8)) * f.Error
	return f, nil
}

// people returns how many people have reports in a view.
func people(v View) int {
	seen := map[int]bool{}
	for _, e := range v.Events {
		if e.Kind == KindReport {
			seen[e.Person] = true
		}
	}
	return len(seen)
}

// A challenge is a pair of reports, named by their indices in the view, and its truth.
type challenge struct {
	a, b int
	same bool
	fold int
}

type stratum struct {
	route string
	epoch int64
	fold  int
}

// newPairs draws, for each person, pairs of their own reports, and for each such pair one
// with a report of another person of the same route and epoch in place of the second.
func newPairs(v View, each int, random *rand.Rand) []challenge {
	own := map[int][]int{}
	strata := map[stratum][]int{}
	var order []int
	for i, e := range v.Events {
		if e.Kind != KindReport {
			continue
		}
		if own[e.Person] == nil {
			order = append(order, e.Person)
		}
		own[e.Person] = append(own[e.Person], i)
		s := stratum{e.Route, e.Epoch, e.Person % folds}
		strata[s] = append(strata[s], i)
	}
	slices.Sort(order)
	var all []challenge
	for _, person := range order {
		mine := own[person]
		for range each {
			a, b := mine[random.IntN(len(mine))], mine[random.IntN(len(mine))]
			if v.Events[a].Report == v.Events[b].Report {
				continue
			}
			e := v.Events[b]
			others := strata[stratum{e.Route, e.Epoch, person % folds}]
			other := others[random.IntN(len(others))]
			for tries := 0; v.Events[other].Person == person && tries < 20; tries++ {
				other = others[random.IntN(len(others))]
			}
			if v.Events[other].Person == person {
				continue
			}
			all = append(all, challenge{a, b, true, person % folds}, challenge{a, other, false, person % folds})
		}
	}
	return all
}

// play trains an attacker on the people of each fold and lets it decide about the pairs
// of the others.
func play(r *reading, v View, all []challenge) Outcome {
	place := places(r, v)
	o := Outcome{}
	highest := 0
	for _, e := range v.Events {
		highest = max(highest, e.Person)
	}
	o.byPerson = make([]float64, highest+1)
	score := map[bool]*score{true: newScore(highest + 1), false: newScore(highest + 1)}
	for fold := range folds {
		var train, test []pair
		var trained []bool
		var tested []challenge
		for _, c := range all {
			p := pair{place[c.a], place[c.b]}
			if c.fold == fold {
				test, tested = append(test, p), append(tested, c)
			} else {
				train, trained = append(train, p), append(trained, c.same)
			}
		}
		if len(train) == 0 || len(test) == 0 {
			continue
		}
		decided := Train(r.matrix(train), trained).Classify(r.matrix(test))
		for i, c := range tested {
			right := decided[i] == c.same
			o.Pairs++
			score[c.same].add(v, c, right)
		}
	}
	o.Advantage = score[true].share() + score[false].share() - 1
	for i := range o.byPerson {
		o.byPerson[i] = score[true].influence(i) + score[false].influence(i)
	}
	return o
}

// A score is how often the attacker was right about pairs of one class.
type score struct {
	pairs, right []float64 // by person
	all, won     float64
}

func newScore(people int) *score {
	return &score{pairs: make([]float64, people), right: make([]float64, people)}
}

func (s *score) add(v View, c challenge, right bool) {
	people := []int{v.Events[c.a].Person, v.Events[c.b].Person}
	if c.same {
		people = people[:1]
	}
	s.all++
	if right {
		s.won++
	}
	for _, p := range people {
		s.pairs[p]++
		if right {
			s.right[p]++
		}
	}
}

func (s *score) share() float64 { return s.won / s.all }

// influence is how much a person moves the share: what was right in pairs with the person,
// less its expectation.
func (s *score) influence(person int) float64 {
	return (s.right[person] - s.pairs[person]*s.share()) / s.all
}

// places returns where the events of a view are in its reading.
func places(r *reading, v View) []int {
	out := make([]int, len(v.Events))
	for i, e := range r.events {
		out[e.index] = i
	}
	return out
}

// bootstrap returns the standard error of the difference of two advantages over draws of
// people with replacement.
func bootstrap(real, ideal []float64, draws int, random *rand.Rand) float64 {
	n := 0
	for i := range real {
		if real[i] != 0 || ideal[i] != 0 {
			n++
		}
	}
	influence := make([]float64, 0, n)
	for i := range real {
		if real[i] != 0 || ideal[i] != 0 {
			influence = append(influence, real[i]-ideal[i])
		}
	}
	if len(influence) == 0 {
		return 0
	}
	sum, squares := 0.0, 0.0
	for range draws {
		x := 0.0
		for range influence {
			x += influence[random.IntN(len(influence))]
		}
		sum += x
		squares += x * x
	}
	mean := sum / float64(draws)
	return math.Sqrt(max(0, squares/float64(draws)-mean*mean))
}

// Quantile returns the quantile of the normal distribution.
func Quantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }
