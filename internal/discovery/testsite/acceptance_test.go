package testsite

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestAcceptance lets simulated people browse the site and compares what their
// engines reported with the truth. It is small by default; "make discovery" runs
// it with 100,000 visits for each of five seeds (SHOAL_DISCOVERY=5).
func TestAcceptance(t *testing.T) {
	first, last, people, visits, scale := uint64(1), uint64(1), 150, 60, 0.3
	crowd := 8
	if s := os.Getenv("SHOAL_DISCOVERY"); s != "" {
		first, last = seedRange(t, s)
		people, visits, scale = 1000, 100, 1
		crowd = 20
	}
	for seed := first; seed <= last; seed++ {
		site := New(Options{Seed: seed, People: people, Scale: scale})
		r, err := site.Play(t.Context(), Play{Visits: visits, Crowd: crowd})
		if err != nil {
			t.Fatal(err)
		}
		if r.Visits < people*visits {
			t.Errorf("seed %d: %d visits", r.Seed, r.Visits)
		}
		hold(t, r, scale == 1)
		var table strings.Builder
		if err := r.WriteTable(&table, seed == 1); err != nil {
			t.Fatal(err)
		}
		t.Log("\n" + table.String())
	}
}

// seedRange reads "5", the first five, or "3-4".
func seedRange(t *testing.T, s string) (first, last uint64) {
	t.Helper()
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		from, to = "1", s
	}
	first, err1 := strconv.ParseUint(from, 10, 8)
	last, err2 := strconv.ParseUint(to, 10, 8)
	if err1 != nil || err2 != nil || first == 0 || first > last {
		t.Fatalf("SHOAL_DISCOVERY=%s: want a number of seeds, or the first and the last of them as in 3-4", s)
	}
	return first, last
}

// hold asserts what must hold of every run, and of full ones how much must be
// there to hold it of.
func hold(t *testing.T, r *Result, full bool) {
	t.Helper()
	capability, once := r.Truths[Capability.String()], r.Truths[OneTime.String()]
	if full && (len(r.Kinds) < 80 || capability.Pages < 1000 || r.Visits < 100_000 || r.AboveCrowd < 500) {
		t.Errorf("seed %d: %d kinds, %d capability links, %d visits, %d public pages above the crowd: too few to judge by",
			r.Seed, len(r.Kinds), capability.Pages, r.Visits, r.AboveCrowd)
	}
	if n := r.Leaked(); n != 0 {
		t.Errorf("seed %d: %d pages were told of that must stay", r.Seed, n)
		for _, k := range r.Kinds {
			if k.Told > 0 && k.Truth != Public.String() {
				t.Errorf("seed %d: %s (%s): %d of %d", r.Seed, k.Kind, k.Truth, k.Told, k.Pages)
			}
		}
	}
	// The links of small runs are few: one of them is already 0.3 %.
	perMille := 10
	if full {
		perMille = 5
	}
	if told := capability.Told + once.Told; 1000*told > perMille*(capability.Pages+once.Pages) {
		t.Errorf("seed %d: %d of %d capability links were reported, more than %d per mille",
			r.Seed, told, capability.Pages+once.Pages, perMille)
	}
	for _, truth := range []Truth{Capability, OneTime, Typed, Unusable} {
		if n := r.Truths[truth.String()].Released; n != 0 {
			t.Errorf("seed %d: %d %s pages were released by a crowd", r.Seed, n, truth)
		}
	}
	if n := r.Truths[Typed.String()].Told; n != 0 {
		t.Errorf("seed %d: %d pages were told of whose address holds what a person typed", r.Seed, n)
	}
	// Of small runs most pages have just about as many visitors as the crowd asks.
	want := 80
	if full {
		want = 93
	}
	if r.AboveCrowd == 0 || 100*r.Recovered < want*r.AboveCrowd {
		t.Errorf("seed %d: %d of %d public pages above the crowd were recovered, want %d %%", r.Seed, r.Recovered, r.AboveCrowd, want)
	}
	if r.QueriesAbove == 0 || 10*r.QueriesRecovered < 9*r.QueriesAbove {
		t.Errorf("seed %d: %d of %d queries above the crowd were recovered, want 90 %%", r.Seed, r.QueriesRecovered, r.QueriesAbove)
	}
	if r.QueriesLeaked != 0 {
		t.Errorf("seed %d: %d of %d queries that only one person asks were told", r.Seed, r.QueriesLeaked, r.QueriesPrivate)
	}
	if r.OnceFetched != 0 || r.PrivateAsked != 0 || r.MarkedFetches != 0 {
		t.Errorf("seed %d: %d one-time links used up without evidence, %d requests to private networks, %d fetches with a mark",
			r.Seed, r.OnceFetched, r.PrivateAsked, r.MarkedFetches)
	}
	if r.Secretly == 0 || r.SecretTold != 0 {
		t.Errorf("seed %d: %d visits in private mode, %d of them told of", r.Seed, r.Secretly, r.SecretTold)
	}
	if r.Unexplained != 0 || r.Silent != 0 {
		t.Errorf("seed %d: %d refusals without a reason, %d visits without a trace", r.Seed, r.Unexplained, r.Silent)
	}
	if len(r.Stray) > 0 {
		t.Errorf("seed %d: %d addresses were told that lead nowhere, such as %s", r.Seed, len(r.Stray), r.Stray[0])
	}
}
