package discovery

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// A vector is one entry of a file in the layout of the URL tests of Web
// Platform Tests: an input, perhaps a base, and what a browser makes of it.
type vector struct {
	Input   string  `json:"input"`
	Base    *string `json:"base"`
	Failure bool    `json:"failure"`
	Href    string  `json:"href"`
	Host    string  `json:"hostname"`
	Path    string  `json:"pathname"`
	Search  string  `json:"search"`
	Hash    string  `json:"hash"`
}

func readVectors(t *testing.T, name string) []vector {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		t.Fatal(err)
	}
	var all []vector
	for _, r := range raw {
		var v vector
		if r[0] == '{' {
			if err := json.Unmarshal(r, &v); err != nil {
				t.Fatal(err)
			}
			all = append(all, v)
		}
	}
	return all
}

// read returns what is wrong with how a vector is read, and whether it is about
// http or https.
func (v vector) read() (wrong string, about bool) {
	var u URL
	var err error
	if v.Base == nil || *v.Base == "about:blank" {
		u, err = ParseURL(v.Input)
	} else {
		base, baseErr := ParseURL(*v.Base)
		if errors.Is(baseErr, ErrScheme) || baseErr != nil && !v.Failure {
			return "", false
		}
		u, err = base.Resolve(v.Input)
	}
	if errors.Is(err, ErrScheme) || strings.HasPrefix(v.Href, "about:") {
		return "", false
	}
	switch {
	case v.Failure && err == nil:
		return fmt.Sprintf("got %q, want a failure", u), true
	case v.Failure:
	case err != nil:
		return fmt.Sprintf("%v, want %q", err, v.Href), true
	case u.String() != v.Href:
		return fmt.Sprintf("got %q, want %q", u, v.Href), true
	case u.Host() != v.Host || u.Path() != v.Path || "?"+u.Query() != "?"+strings.TrimPrefix(v.Search, "?") || "#"+u.Fragment() != "#"+strings.TrimPrefix(v.Hash, "#"):
		return fmt.Sprintf("parts %q %q %q %q of %q", u.Host(), u.Path(), u.Query(), u.Fragment(), v.Href), true
	}
	return "", true
}

// run checks one vector and reports whether it is about http or https.
func (v vector) run(t *testing.T) bool {
	t.Helper()
	wrong, about := v.read()
	if wrong != "" {
		t.Errorf("%q: %s", v.Input, wrong)
	}
	return about
}

// TestURLVectors runs our own vectors, whose expected values Node 20's URL wrote.
func TestURLVectors(t *testing.T) {
	count := 0
	for _, v := range readVectors(t, "testdata/url-vectors.json") {
		if v.run(t) {
			count++
		}
	}
	t.Logf("%d vectors", count)
	if count < 250 {
		t.Errorf("only %d vectors were run", count)
	}
}

// TestCircumflex pins a change of the Standard of 2024 that Node 20 does not
// have yet.
func TestCircumflex(t *testing.T) {
	u, err := ParseURL("https://example.com/a^b?c^d#e^f")
	if err != nil || u.String() != "https://example.com/a%5Eb?c^d#e^f" {
		t.Errorf("got %q, %v", u, err)
	}
}

func TestZeroURL(t *testing.T) {
	if u, err := (URL{}).Resolve("a"); err == nil {
		t.Errorf("got %q", u)
	}
	if d := newRules(t).Page(URL{}, Evidence{Canonical: "x"}); d.Verdict != Private || d.Text != "" {
		t.Errorf("the zero URL is %s", d)
	}
}

// TestNormalisedTwice: a serialised URL is read as itself, so that equal
// pages give equal crowds on whatever device they were normalised.
func TestNormalisedTwice(t *testing.T) {
	for _, v := range readVectors(t, "testdata/url-vectors.json") {
		u, err := ParseURL(v.Input)
		if err != nil {
			continue
		}
		if again, err := ParseURL(u.String()); err != nil || again != u {
			t.Errorf("%q: %q is read as %q, %v", v.Input, u, again, err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"http://example.com/", "https://u:p@[::1]:8080/a/../b?c#d", "http://0x7f.1/", "HTTP:\\\\ü.de\\x"} {
		f.Add(s, "../x?y#z")
	}
	f.Fuzz(func(t *testing.T, raw, ref string) {
		u, err := ParseURL(raw)
		if err != nil {
			return
		}
		if again, err := ParseURL(u.String()); err != nil || again != u {
			t.Fatalf("%q is written %q, which is read as %q, %v", raw, u, again, err)
		}
		v, err := u.Resolve(ref)
		if err != nil {
			return
		}
		if again, err := ParseURL(v.String()); err != nil || again != v {
			t.Fatalf("%q at %q is written %q, which is read as %q, %v", ref, u, v, again, err)
		}
	})
}
