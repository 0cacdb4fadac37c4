package esa

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/metric/task"
)

// A Span is the epochs from First to Last, both included.
type Span struct {
	First task.Epoch `json:"first"`
	Last  task.Epoch `json:"last"`
}

// maxEpoch is above each epoch that a task has, and keeps what follows an epoch
// within the type.
const maxEpoch task.Epoch = 1 << 62

// Epochs is a set of epochs: spans in ascending order that neither overlap nor touch.
// The zero value is empty.
type Epochs []Span

// EpochsOf returns the set of the epochs in spans, whatever their order. Spans that
// end before they begin are empty.
func EpochsOf(spans ...Span) Epochs {
	sorted := make(Epochs, 0, len(spans))
	for _, s := range spans {
		if s.Last = min(s.Last, maxEpoch); s.First <= s.Last {
			sorted = append(sorted, s)
		}
	}
	slices.SortFunc(sorted, func(a, b Span) int { return cmp.Compare(a.First, b.First) })
	var set Epochs
	for _, s := range sorted {
		if n := len(set); n > 0 && s.First <= set[n-1].Last+1 {
			set[n-1].Last = max(set[n-1].Last, s.Last)
			continue
		}
		set = append(set, s)
	}
	return set
}

// Has reports whether e is in the set.
func (s Epochs) Has(e task.Epoch) bool {
	i, found := slices.BinarySearchFunc(s, e, func(x Span, e task.Epoch) int { return cmp.Compare(x.First, e) })
	return found || i > 0 && e <= s[i-1].Last
}

// Union returns the epochs that are in s or in o.
func (s Epochs) Union(o Epochs) Epochs { return EpochsOf(slices.Concat(s, o)...) }

// Intersect returns the epochs that are in s and in o.
func (s Epochs) Intersect(o Epochs) Epochs {
	var both Epochs
	for i, j := 0, 0; i < len(s) && j < len(o); {
		if x := (Span{max(s[i].First, o[j].First), min(s[i].Last, o[j].Last)}); x.First <= x.Last {
			both = append(both, x)
		}
		if s[i].Last < o[j].Last {
			i++
		} else {
			j++
		}
	}
	return both
}

// Without returns the epochs that are in s and not in o.
func (s Epochs) Without(o Epochs) Epochs {
	var rest Epochs
	j := 0
	for _, x := range s {
		for j < len(o) && o[j].Last < x.First {
			j++
		}
		for k := j; k < len(o) && o[k].First <= x.Last; k++ {
			if o[k].First > x.First {
				rest = append(rest, Span{x.First, o[k].First - 1})
			}
			x.First = o[k].Last + 1
		}
		if x.First <= x.Last {
			rest = append(rest, x)
		}
	}
	return rest
}

// newest returns the last spans of the set, at most so many.
func (s Epochs) newest(most int) Epochs { return s[max(0, len(s)-most):] }

// check refuses what is no set of epochs in its one form.
func (s Epochs) check() error {
	for i, x := range s {
		if x.First > x.Last || x.Last > maxEpoch {
			return fmt.Errorf("epochs %d to %d are no span", x.First, x.Last)
		}
		if i > 0 && x.First <= s[i-1].Last+1 {
			return fmt.Errorf("epochs %d to %d do not follow %d to %d with one between them", x.First, x.Last, s[i-1].First, s[i-1].Last)
		}
	}
	return nil
}

// A Coverage is what is known of the epochs of a task that have closed. Epochs in
// neither set are not known: it may be that they are still worked on.
type Coverage struct {
	// Complete are the epochs of which nothing that was acknowledged has been lost, and
	// whose batches have been handed over: one of which there is no batch had too few
	// reports, or none.
	Complete Epochs `json:"complete"`
	// Lost are those of which something may have been lost, none of which are complete.
	Lost Epochs `json:"lost"`
}

// maxSpans is how many spans a set of a coverage has, at most: 16 kB of a statement.
const maxSpans = 1000

// limited makes the sets disjoint and bounded. What is given up of the oldest is not
// known, rather than complete.
func (c Coverage) limited() Coverage {
	c.Lost = c.Lost.newest(maxSpans)
	c.Complete = c.Complete.Without(c.Lost)
	if c.Complete = c.Complete.newest(maxSpans); len(c.Lost) == maxSpans { // what was lost before is forgotten
		c.Complete = c.Complete.Without(EpochsOf(Span{0, c.Lost[0].First}))
	}
	return c
}

// Merge returns what is known from two statements of one hop, made at different times:
// what was complete stays so, unless a loss was found. The order does not matter.
func (c Coverage) Merge(o Coverage) Coverage {
	return Coverage{c.Complete.Union(o.Complete), c.Lost.Union(o.Lost)}.limited()
}

// Through returns what is known of epochs that have passed two hops: they are complete
// if both have lost nothing.
func (c Coverage) Through(o Coverage) Coverage {
	return Coverage{c.Complete.Intersect(o.Complete), c.Lost.Union(o.Lost)}.limited()
}

// Equal reports whether both say the same.
func (c Coverage) Equal(o Coverage) bool {
	return slices.Equal(c.Complete, o.Complete) && slices.Equal(c.Lost, o.Lost)
}

func (c Coverage) check() error {
	for name, s := range map[string]Epochs{"complete": c.Complete, "lost": c.Lost} {
		if len(s) > maxSpans {
			return fmt.Errorf("%d spans of epochs that are %s, want at most %d", len(s), name, maxSpans)
		}
		if err := s.check(); err != nil {
			return fmt.Errorf("epochs that are %s: %w", name, err)
		}
	}
	if both := c.Complete.Intersect(c.Lost); len(both) > 0 {
		return fmt.Errorf("epoch %d is both complete and lost", both[0].First)
	}
	return nil
}
