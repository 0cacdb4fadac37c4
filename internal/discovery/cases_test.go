package discovery

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/discovery/tokengen"
)

// A verdictCase is an entry of testdata/cases.json: what the engine of
// 2026-11-27 got wrong, and the verdict that it should give.
type verdictCase struct {
	Kind     string `json:"kind"`
	Input    string `json:"input"`
	Expected string `json:"expected"`
	Why      string `json:"why"`
	Peer     any    `json:"peer_measured"`
}

// TestCases maps each expectation to a check. Cases of the lifecycle are run by
// its own test.
func TestCases(t *testing.T) {
	data, err := os.ReadFile("testdata/cases.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []verdictCase }
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) != 90 {
		t.Fatalf("%d cases, want 90", len(file.Cases))
	}
	r := newRules(t)
	for _, c := range file.Cases {
		if c.Kind == "lifecycle" {
			continue
		}
		if got := c.wrong(t, r); got != "" {
			t.Errorf("%s %q (%s): %s, want %s", c.Kind, c.Input, c.Why, got, c.Expected)
		}
	}
}

// wrong returns what is decided where it is not what is expected.
func (c verdictCase) wrong(t *testing.T, r *Rules) string {
	t.Helper()
	switch c.Kind {
	case "url-parser":
		if u, err := ParseURL(c.Input); err != nil {
			return err.Error()
		} else if u.String() != c.Expected {
			return u.String()
		}
		return ""
	case "token-kind":
		return c.rate(t, r)
	}
	strict, lax := c.decide(t, r, Evidence{}), c.decide(t, r, Evidence{PublicLink: true})
	got := fmt.Sprintf("strict %s, lax %s", strict, lax)
	right := false
	switch expected, _, _ := strings.Cut(c.Expected, " (listed"); expected {
	case "not public strictly":
		right = strict.Verdict != Public
	case "not public at either level":
		right = strict.Verdict != Public && lax.Verdict != Public
	case "public strictly":
		right = strict.Verdict == Public
	case "public with evidence stronger than a link":
		right = listedPublic(r, c.Input)
	default:
		t.Fatalf("%q: no check for %q", c.Input, c.Expected)
	}
	if right {
		return ""
	}
	return got
}

// listedPublic reports whether a URL is public because a page that was fetched
// anonymously lists it.
func listedPublic(r *Rules, raw string) bool {
	return r.URL(raw, Evidence{Listed: true}).Verdict == Public
}

func (c verdictCase) decide(t *testing.T, r *Rules, e Evidence) Decision {
	t.Helper()
	switch c.Kind {
	case "url":
		return r.URL(c.Input, e)
	case "query":
		return r.Query(c.Input)
	case "title":
		return r.Title(c.Input)
	}
	t.Fatalf("%q: no check for the kind %q", c.Input, c.Kind)
	return Decision{}
}

// rate draws tokens of the kind that the input names.
func (c verdictCase) rate(t *testing.T, r *Rules) string {
	t.Helper()
	var draw func(*rand.Rand) string
	name, link, ok := strings.Cut(strings.TrimPrefix(c.Input, "4,000 tokens of "), ", ")
	before, ok2 := strings.CutSuffix(link, "<token>")
	for _, k := range tokengen.ShortKinds() {
		if k.Name == name {
			draw = k.Draw
		}
	}
	peer, ok3 := c.Peer.(map[string]any)
	limit, ok4 := peer["strict_pass_percent"].(float64)
	if draw == nil || !ok || !ok2 || !ok3 || !ok4 {
		t.Fatalf("%q: no check for this kind of token", c.Input)
	}
	for _, place := range []string{before, strings.Replace(before, "/s/", "/s?id=", 1)} {
		p := published{before: place, draw: draw}
		if got := p.passing(r, Evidence{}, 4000); got > limit {
			return fmt.Sprintf("%s: %.2f %% pass, the peer lets %.2f %% pass", place, got, limit)
		}
	}
	return ""
}
