package esa_test

import (
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/shoal-project/shoal/internal/esa"
	"github.com/shoal-project/shoal/metric/task"
)

// span draws a span of small epochs, so that spans meet.
func span(r *rapid.T, name string) esa.Span {
	first := rapid.Uint64Range(0, 20).Draw(r, name)
	return esa.Span{First: task.Epoch(first), Last: task.Epoch(first + rapid.Uint64Range(0, 4).Draw(r, name+" length"))}
}

func epochs(r *rapid.T, name string) esa.Epochs {
	var spans []esa.Span
	for range rapid.IntRange(0, 5).Draw(r, name+" spans") {
		spans = append(spans, span(r, name))
	}
	return esa.EpochsOf(spans...)
}

// Sets of epochs are sets, in one form.
func TestEpochsAreSets(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		a, b := epochs(r, "a"), epochs(r, "b")
		for name, c := range map[string]struct {
			have esa.Epochs
			want func(in, too bool) bool
		}{
			"union":     {a.Union(b), func(in, too bool) bool { return in || too }},
			"intersect": {a.Intersect(b), func(in, too bool) bool { return in && too }},
			"without":   {a.Without(b), func(in, too bool) bool { return in && !too }},
		} {
			for e := task.Epoch(0); e < 30; e++ {
				if have, want := c.have.Has(e), c.want(a.Has(e), b.Has(e)); have != want {
					r.Fatalf("%v %s %v: epoch %d is in it: %v, want %v", a, name, b, e, have, want)
				}
			}
			for i, s := range c.have {
				if s.First > s.Last || i > 0 && s.First <= c.have[i-1].Last+1 {
					r.Fatalf("%v %s %v is %v: spans overlap or touch", a, name, b, c.have)
				}
			}
		}
	})
}

// What two statements say together does not depend on their order, nor on how often
// they come, and no loss is forgotten.
func TestMergeOrder(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		draw := func(name string) esa.Coverage {
			return esa.Coverage{Complete: epochs(r, name), Lost: epochs(r, name+" lost")}.Merge(esa.Coverage{})
		}
		a, b, c := draw("a"), draw("b"), draw("c")
		if x, y := a.Merge(b).Merge(c), c.Merge(a).Merge(b).Merge(a); !x.Equal(y) {
			r.Fatalf("%v in one order, %v in another", x, y)
		}
		both := a.Through(b)
		for e := task.Epoch(0); e < 30; e++ {
			if lost := a.Lost.Has(e) || b.Lost.Has(e); lost != both.Lost.Has(e) || lost != a.Merge(b).Lost.Has(e) {
				r.Fatalf("epoch %d: lost at one hop is %v", e, lost)
			}
			if both.Complete.Has(e) != (a.Complete.Has(e) && b.Complete.Has(e)) {
				r.Fatalf("epoch %d: of %v and %v the chain has %v", e, a, b, both)
			}
		}
	})
}

// However much comes, what is kept is bounded, and what is given up is not complete.
func TestCoverageIsBounded(t *testing.T) {
	var all esa.Coverage
	random := rand.New(rand.NewPCG(1, 2))
	for range 40 {
		var one esa.Coverage
		for range 200 {
			e := task.Epoch(random.Uint64N(1_000_000))
			if e%4 == 0 {
				one.Lost = one.Lost.Union(esa.EpochsOf(esa.Span{First: e, Last: e}))
			} else {
				one.Complete = one.Complete.Union(esa.EpochsOf(esa.Span{First: e, Last: e}))
			}
		}
		all = all.Merge(one)
	}
	w := &esa.Statement{Coverage: all}
	b, err := w.Bytes()
	if err != nil || len(b) > esa.MaxStatement {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if len(all.Lost) > 0 && len(all.Complete) > 0 && all.Complete[0].First < all.Lost[0].First {
		t.Errorf("epoch %d is complete, although losses before %d were forgotten", all.Complete[0].First, all.Lost[0].First)
	}
}
