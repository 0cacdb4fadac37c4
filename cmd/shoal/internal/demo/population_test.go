package demo

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func distinct(t interface{ Fatalf(string, ...any) }, p Population, n int) {
	for i, has := range p {
		if len(has) > n {
			t.Fatalf("person %d has %d things, more than %d", i, len(has), n)
		}
		sorted := slices.Sorted(slices.Values(has))
		if len(slices.Compact(sorted)) != len(has) {
			t.Fatalf("person %d has a thing twice: %v", i, has)
		}
	}
}

func TestZipf(t *testing.T) {
	p := Zipf([32]byte{1}, 2000, 10, 600)
	distinct(t, p, 10)
	if p.Records() != 20_000 {
		t.Fatalf("%d records, want 20000", p.Records())
	}
	again := Zipf([32]byte{1}, 2000, 10, 600)
	if !slices.EqualFunc(p, again, slices.Equal) {
		t.Fatal("the same seed gives another population")
	}
	counts := p.Counts(600)
	slices.Sort(counts)
	slices.Reverse(counts)
	if counts[0] < 1000 || counts[300] > 40 {
		t.Fatalf("not Zipf: the most popular has %d people, the 301st %d", counts[0], counts[300])
	}
	distinct(t, Zipf([32]byte{2}, 3, 10, 4), 4)
}

func TestSpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "n")
		things := rapid.SliceOf(rapid.IntRange(0, 6)).Draw(t, "occurrences")
		p := Spread(things, n)
		distinct(t, p, n)
		want := make([]int, 7)
		for _, x := range things {
			want[x]++
		}
		if got := p.Counts(7); !slices.Equal(got, want) {
			t.Fatalf("counts %v, want %v", got, want)
		}
	})
}
