package testsite

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
)

func TestKinds(t *testing.T) {
	names := make(map[string]bool)
	truths := make(map[Truth]int)
	for _, k := range Kinds() {
		if names[k.Name] {
			t.Errorf("two kinds are called %q", k.Name)
		}
		names[k.Name] = true
		truths[k.Truth]++
	}
	if len(names) < 80 {
		t.Errorf("%d kinds of page, want 80 at least", len(names))
	}
	for _, truth := range Truths() {
		if truths[truth] == 0 {
			t.Errorf("no kind is %s", truth)
		}
	}
	if s := Truth(200).String(); s != "Truth(200)" {
		t.Error(s)
	}
}

// TestSite: every page is found by its address, and answers.
func TestSite(t *testing.T) {
	s := New(Options{Seed: 1, People: 60})
	capabilities := 0
	for _, p := range s.Pages() {
		if got, ok := s.Lookup(p.URL()); !ok || got != p {
			t.Errorf("%s: not found by %s", p.Kind.Name, p.URL())
		}
		if r := s.Serve(p.Host, p.Target, View{Person: 3, LoggedIn: true}); r.Status != 200 {
			t.Errorf("%s: %s: status %d for a person with an account", p.Kind.Name, p.URL(), r.Status)
		}
		if p.Truth() == Capability {
			capabilities++
		}
		if p.Kind.Audience == Owner && len(p.Readers()) != 1 {
			t.Errorf("%s: %d readers", p.Kind.Name, len(p.Readers()))
		}
	}
	if capabilities < 1000 {
		t.Errorf("%d capability links, want 1000 at least", capabilities)
	}
	for _, address := range []string{"https://herald.example.org/nothing-here", "https://nobody.example.org/", "not an address", "https://herald.example.org:8443/"} {
		if p, ok := s.Lookup(address); ok {
			t.Errorf("%s leads to %s", address, p.URL())
		}
	}
}

// TestTruth: the pages of a kind behave as its table entry states.
func TestTruth(t *testing.T) {
	s := New(Options{Seed: 2, People: 60})
	for _, p := range s.Pages() {
		mine := s.Serve(p.Host, p.Target, View{Person: 5, LoggedIn: true})
		other := s.Serve(p.Host, p.Target, View{Person: 6, LoggedIn: true})
		nobody := s.Serve(p.Host, p.Target, Nobody(0))
		same := nobody.Status == 200 && bytes.Equal(text(mine), text(nobody))
		switch p.Truth() {
		case Public, Private, Capability:
			unlike := slices.Contains([]string{"with a login box", "broken HTML", "drawn by script", "in Windows-1252", "in Shift JIS"}, p.Kind.Name)
			if !same && !unlike {
				t.Errorf("%s: %s: others see something else", p.Kind.Name, p.URL())
			}
		case Login:
			if !strings.HasPrefix(p.Kind.Name, "login page") && same {
				t.Errorf("%s: %s: an anonymous request gets the page", p.Kind.Name, p.URL())
			}
		case Personalised:
			if same && bytes.Equal(text(mine), text(other)) {
				t.Errorf("%s: %s: all see the same", p.Kind.Name, p.URL())
			}
		case Noindex:
			u, err := discovery.ParseURL(p.URL())
			if err != nil {
				t.Fatal(err)
			}
			if sig, err := discovery.Sign(u, []string{nobody.Robots}, nobody.Body); err != nil || sig.Indexable {
				t.Errorf("%s: %s: indexable, %v", p.Kind.Name, p.URL(), err)
			}
		}
	}
}

// text is a body without the greeting of people that are logged in.
func text(r Response) []byte {
	before, rest, ok := bytes.Cut(r.Body, []byte("<p>Hello "))
	if !ok {
		return r.Body
	}
	_, after, _ := bytes.Cut(rest, []byte("</p>"))
	return slices.Concat(before, after)
}

// TestSeeds: the same seed makes the same site and the same visits, another
// seed other tokens.
func TestSeeds(t *testing.T) {
	o := Options{Seed: 7, People: 30}
	a, b := New(o), New(o)
	o.Seed = 8
	other := New(o)
	fresh := 0
	for i, p := range a.Pages() {
		if p.URL() != b.Pages()[i].URL() {
			t.Fatalf("page %d: %s and %s", i, p.URL(), b.Pages()[i].URL())
		}
		if _, again := other.Lookup(p.URL()); again && (p.Truth() == Capability || p.Truth() == OneTime) {
			t.Logf("%s: %s is there with another seed too", p.Kind.Name, p.URL())
			fresh++
		}
	}
	if fresh > 5 {
		t.Errorf("%d secret links are the same for two seeds", fresh)
	}
	start := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC)
	x, y := a.Population().Walk(11, 80, start), b.Population().Walk(11, 80, start)
	if len(x) < 80 || len(x) != len(y) {
		t.Fatalf("%d and %d visits", len(x), len(y))
	}
	for i := range x {
		if x[i].URL != y[i].URL || !x[i].At.Equal(y[i].At) {
			t.Fatalf("visit %d: %s and %s", i, x[i].URL, y[i].URL)
		}
		if i > 0 && x[i].At.Before(x[i-1].Until) {
			t.Errorf("visit %d begins before the one before it ends", i)
		}
		if !bytes.Equal(a.Show(x[i]).Body, b.Show(y[i]).Body) {
			t.Errorf("visit %d: %s shows two things", i, x[i].URL)
		}
	}
}

// TestOneTime: one GET uses the link up, and the site knows whose it was.
func TestOneTime(t *testing.T) {
	s := New(Options{Seed: 3, People: 30})
	var once []*Page
	for _, p := range s.Pages() {
		if p.Truth() == OneTime {
			once = append(once, p)
		}
	}
	p := once[0]
	s.Serve(p.Host, p.Target, View{Person: 2})
	if r := s.Serve(p.Host, p.Target, Nobody(0)); r.Status != 410 || p.UsedByFetch() || p.Anonymous() != 1 {
		t.Errorf("after a person: status %d, used by a fetch: %t, %d anonymous", r.Status, p.UsedByFetch(), p.Anonymous())
	}
	p = once[1]
	if r := s.Serve(p.Host, p.Target, Nobody(0)); r.Status != 200 || !p.UsedByFetch() {
		t.Errorf("an anonymous request first: status %d, used by a fetch: %t", r.Status, p.UsedByFetch())
	}
}

// TestNetwork asks the real servers, as a browser would and anonymously.
func TestNetwork(t *testing.T) {
	s := New(Options{Seed: 4, People: 30})
	n, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	transport := &http.Transport{DialContext: n.Dial, TLSClientConfig: &tls.Config{RootCAs: n.Roots()}}
	defer transport.CloseIdleConnections()
	get := func(address string, header http.Header) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		a, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatalf("%s: %v", address, err)
		}
		defer a.Body.Close()
		body, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		return a.StatusCode, string(body)
	}
	seen := make(map[*Kind]bool)
	for _, p := range s.Pages() {
		if seen[p.Kind] || p.Kind.Name == "slow" || p.Truth() == OneTime {
			continue
		}
		seen[p.Kind] = true
		status, body := get(p.URL(), http.Header{"Cookie": {View{Person: 3, LoggedIn: true}.Cookie()}})
		if status != 200 || len(body) == 0 && p.Kind.Name != "no content" {
			t.Errorf("%s: %s: status %d, %d bytes", p.Kind.Name, p.URL(), status, len(body))
		}
		want := s.Serve(p.Host, p.Target, Nobody(0)).Status
		if status, _ := get(p.URL(), http.Header{}); status != want {
			t.Errorf("%s: %s: status %d for nobody, want %d", p.Kind.Name, p.URL(), status, want)
		}
	}
	if s.Marked() != 0 {
		t.Errorf("%d requests counted as marked", s.Marked())
	}
	get("https://"+herald+"/", http.Header{"Referer": {"https://" + bank + "/"}})
	get("https://"+herald+"/", http.Header{"Cookie": {"seen=1"}})
	if s.Marked() != 2 {
		t.Errorf("%d requests counted as marked, want 2", s.Marked())
	}
	c, err := n.Dial(t.Context(), "tcp", branch+":443")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.RemoteAddr().String(); got != "10.20.30.40:443" {
		t.Errorf("%s pretends to be at %s", branch, got)
	}
	if _, err := n.Dial(context.Background(), "tcp", "elsewhere.example.org:443"); err == nil {
		t.Error("a name that is not of the site was dialled")
	}
}
