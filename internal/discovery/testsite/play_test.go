package testsite

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/fetch"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// overNetwork starts the site's servers and returns the fetcher that reaches them.
func overNetwork(t *testing.T, s *Site, fetchTimeout time.Duration) discovery.Fetcher {
	t.Helper()
	n, err := s.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	f, err := fetch.New(fetch.Options{Dial: n.Dial, Roots: n.Roots(), Timeout: fetchTimeout})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestDirect: the fetcher of large runs accepts and refuses what the real one
// does, page by page, over the real servers.
func TestDirect(t *testing.T) {
	s := New(Options{Seed: 6, People: 20, Scale: 0.05})
	network, direct := overNetwork(t, s, 3*time.Second), s.Direct(0)
	seen := make(map[*Kind]bool)
	outcome := func(f discovery.Fetcher, u discovery.URL) (string, discovery.Signature) {
		r, err := f.Fetch(t.Context(), u)
		switch {
		case errors.Is(err, discovery.ErrPrivate):
			return "private", discovery.Signature{}
		case err != nil:
			return "failed", discovery.Signature{}
		}
		sig, err := r.Sign()
		if err != nil {
			return "unsigned", discovery.Signature{}
		}
		return "page", sig
	}
	for _, p := range s.Pages() {
		if seen[p.Kind] || p.Truth() == OneTime {
			continue
		}
		seen[p.Kind] = true
		u := mustURL(t, p.URL())
		got, a := outcome(direct, u)
		want, b := outcome(network, u)
		if got != want || a.Title != b.Title && !strings.Contains(p.Kind.Name, "time of day") || a.Indexable != b.Indexable || a.Canonical != b.Canonical {
			t.Errorf("%s: %s: %s %q, over the network %s %q", p.Kind.Name, u, got, a.Title, want, b.Title)
		}
		if p.Truth() == Private && p.Host.Port == 0 && want != "private" {
			t.Errorf("%s: %s: %s", p.Kind.Name, u, want)
		}
	}
	for _, address := range []string{"https://nowhere.example.org/", "http://herald.example.org/"} {
		if got, _ := outcome(direct, mustURL(t, address)); got != "failed" {
			t.Errorf("%s: %s", address, got)
		}
	}
	// The rules refuse another port before anything is fetched; here it was asked twice.
	if s.Marked() != 0 || s.Fetched(Private) != 2 {
		t.Errorf("%d requests with a mark of a person, %d to private networks", s.Marked(), s.Fetched(Private)-2)
	}
}

// TestRealFetches is the acceptance of engines whose anonymous requests are
// real ones: sockets, TLS, HTTP.
func TestRealFetches(t *testing.T) {
	s := New(Options{Seed: 6, People: 12, Scale: 0.05})
	f := overNetwork(t, s, 700*time.Millisecond) // slow pages take minutes
	r, err := s.Play(t.Context(), Play{Visits: 25, Crowd: 3, Fetcher: func(int) discovery.Fetcher { return f }})
	if err != nil {
		t.Fatal(err)
	}
	if r.Leaked() != 0 || r.OnceFetched != 0 || r.PrivateAsked != 0 || r.MarkedFetches != 0 || r.Unexplained != 0 || r.Silent != 0 || len(r.Stray) != 0 {
		t.Errorf("%d pages told of that must stay, %d one-time links fetched, %d requests to private networks, %d marked, %d refusals without reason, %d visits without trace, stray %v",
			r.Leaked(), r.OnceFetched, r.PrivateAsked, r.MarkedFetches, r.Unexplained, r.Silent, r.Stray)
	}
	if r.Messages["page"] < 50 || r.Messages["query"] == 0 || r.Messages["page_query"] == 0 || r.Recovered == 0 || r.Fetches < 100 {
		t.Errorf("too little was told: %v, %d recovered, %d fetches", r.Messages, r.Recovered, r.Fetches)
	}
}

// TestPlayRepeats: the same seed reports the same, in whatever order people's turns are run.
func TestPlayRepeats(t *testing.T) {
	var results [2]string
	for i := range results {
		s := New(Options{Seed: 8, People: 16, Scale: 0.05})
		r, err := s.Play(t.Context(), Play{Visits: 20, Crowd: 3})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		results[i] = string(text)
	}
	if results[0] != results[1] {
		t.Errorf("two plays of one seed:\n%s\n%s", results[0], results[1])
	}
}

// TestPlayErrors: what goes wrong with one person ends the play.
func TestPlayErrors(t *testing.T) {
	s := New(Options{Seed: 6, People: 4, Scale: 0.05})
	full := errors.New("the outbox is full")
	if _, err := s.Play(t.Context(), Play{Visits: 20, Told: func(int, message.Record) error { return full }}); !errors.Is(err, full) {
		t.Errorf("an outbox that is full: %v", err)
	}
}

// A careless fetcher sends the person's cookies along.
type careless struct {
	site   *Site
	person int
}

func (c careless) Fetch(_ context.Context, u discovery.URL) (discovery.Response, error) {
	h, target, ok := c.site.target(u.String())
	if !ok || !discovery.PublicAddr(h.Addr) {
		return discovery.Response{}, discovery.ErrPrivate
	}
	r := c.site.Serve(h, target, View{Person: c.person, LoggedIn: true})
	return discovery.Response{URL: u, Robots: []string{r.Robots}, Body: r.Body}, nil
}

// TestLeaksAreSeen: an engine whose fetches are not anonymous reports private
// pages, and the result shows it. What holds of the others is not an accident of
// the harness.
func TestLeaksAreSeen(t *testing.T) {
	s := New(Options{Seed: 6, People: 12, Scale: 0.1})
	r, err := s.Play(t.Context(), Play{Visits: 40, Crowd: 3, Fetcher: func(person int) discovery.Fetcher { return careless{s, person} }})
	if err != nil {
		t.Fatal(err)
	}
	if login, personal := r.Truths[Login.String()].Told, r.Truths[Personalised.String()].Told; login == 0 || personal == 0 || r.Leaked() < login+personal {
		t.Errorf("told of %d pages behind logins and %d personalised ones, %d leaks in all", login, personal, r.Leaked())
	}
}
