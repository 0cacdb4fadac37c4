package bundle

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/andybalholm/cascadia"
	"golang.org/x/net/html"
)

// selected returns the texts of the ids that a selector matches, by our engine.
func selected(t *testing.T, page, selector string) []string {
	t.Helper()
	tree, err := readTree([]byte(page))
	if err != nil {
		t.Fatal(err)
	}
	l, err := parseSelector(selector)
	if err != nil {
		t.Fatalf("%s: %v", selector, err)
	}
	x := extraction{tree: tree, steps: maxSteps}
	matched, err := x.match(l)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i, ok := range matched {
		if id, has := tree.attr(i, "id"); ok && has {
			ids = append(ids, id)
		}
	}
	return ids
}

// reference returns the same by the reference implementation.
func reference(t *testing.T, page, selector string) []string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	s, err := cascadia.ParseGroup(selector)
	if err != nil {
		t.Fatalf("%s: %v", selector, err)
	}
	var ids []string
	for _, n := range cascadia.QueryAll(doc, s) {
		for _, a := range n.Attr {
			if a.Key == "id" {
				ids = append(ids, a.Val)
			}
		}
	}
	return ids
}

// TestSelectorsLikeCascadia: on whole pages and selectors drawn at random, ours
// select what the reference selects.
func TestSelectorsLikeCascadia(t *testing.T) {
	matches := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		page, selector := randomPage(r), randomSelector(r, 0)
		got, want := selected(t, page, selector), reference(t, page, selector)
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("seed %d: %q on\n%s\ngot  %v\nwant %v", seed, selector, page, got, want)
		}
		matches += len(want)
	}
	if matches < 5000 {
		t.Errorf("only %d matches compared", matches)
	}
}

func randomPage(r *rand.Rand) string {
	var b bytes.Buffer
	id := 0
	var element func(depth int)
	element = func(depth int) {
		tag := []string{"div", "span", "section", "em", "b"}[r.IntN(5)]
		b.WriteString("<" + tag + " id=n" + string(rune('a'+id/26%26)) + string(rune('a'+id%26)))
		id++
		if r.IntN(2) == 0 {
			b.WriteString(` class="` + []string{"x", "y", "x y", "ad"}[r.IntN(4)] + `"`)
		}
		if r.IntN(4) == 0 {
			b.WriteString(` data-k="` + []string{"one", "one two", "en-US", ""}[r.IntN(4)] + `"`)
		}
		b.WriteString(">")
		for range r.IntN(4) {
			if depth < 5 && id < 200 {
				element(depth + 1)
			} else {
				b.WriteString(" text ")
			}
		}
		b.WriteString("</" + tag + ">")
	}
	b.WriteString("<!doctype html><html id=root><head><title>t</title></head><body id=body>")
	for range 1 + r.IntN(3) {
		element(0)
	}
	b.WriteString("</body></html>")
	return b.String()
}

func randomSelector(r *rand.Rand, depth int) string {
	one := func() string {
		parts := []string{
			"div", "span", "em", "*", ".x", ".y", ".ad", "[data-k]", "[data-k=one]", "[data-k~=two]", "[data-k|=en]", `[data-k^="on"]`, "[data-k$=two]", "[data-k*='e t']",
			":first-child", ":last-child", ":nth-child(2)", ":nth-child(odd)", ":nth-child(2n+1)", ":nth-child(-n+2)", ":nth-last-child(2)", ":nth-of-type(2)", ":first-of-type", ":only-child", "#nab",
		}
		s := parts[r.IntN(len(parts))]
		if depth < 2 {
			switch r.IntN(6) {
			case 0:
				s += ":not(" + randomSelector(r, depth+1) + ")"
			case 1:
				// What comes before a combinator in :has is relative in CSS, and
				// is not in the reference: one compound is the same in both.
				s += ":has(" + []string{"b", ".ad", "em.x", "[data-k]", ".y:not(.x)", "b:nth-child(2)", "div:has(.x)"}[r.IntN(7)] + ")"
			}
		}
		if s[0] != '*' && r.IntN(4) == 0 {
			s += ".x"
		}
		return s
	}
	s := one()
	for range r.IntN(3) {
		s += []string{" ", " > ", " + ", " ~ "}[r.IntN(4)] + one()
	}
	if depth == 0 && r.IntN(5) == 0 {
		s += ", " + one()
	}
	return s
}

// TestRelativeHas: what the reference cannot do. The selector inside of :has
// begins below, or beside, the element itself.
func TestRelativeHas(t *testing.T) {
	const page = `<div id=a><p id=b class=x><i id=c class=y></i></p><p id=d></p><i id=e></i></div><div id=f class=x><i id=g class=y></i></div>`
	for selector, want := range map[string]string{
		"div:has(> i)":             "a f",
		"div:has(.x .y)":           "a", // .x must be below the div, not the div itself
		"div:has(> .x > .y)":       "a",
		"p:has(+ p)":               "b",
		"p:has(~ i)":               "b d",
		"p:has(+ p + i)":           "b",
		"div:has(> p:has(> i))":    "a",
		"div:has(> p, > i.y)":      "a f",
		"div:not(:has(> p))":       "f",
		":has(+ .x)":               "a",
		"div:has(:is(p, u) + p) p": "b d",
		`#a\:b, [class="x" i]`:     "b f",
		`[class="X" i]`:            "b f",
		`.\78`:                     "b f",
	} {
		if got := strings.Join(selected(t, page, selector), " "); got != want {
			t.Errorf("%s: got %q, want %q", selector, got, want)
		}
	}
}
