package bridge

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/shoal-project/shoal/internal/discovery"
)

// A Link is what Clean found out about an address that somebody wants to share.
type Link struct {
	URL      string   `json:"url,omitempty"`    // the shortest address of the same public page, if there is one
	Stage    string   `json:"stage"`            // what decided: "address", "page" or, if a page is public, "shorter"
	Reason   string   `json:"reason,omitempty"` // why nothing was found, if no rule decided
	Decision Decision `json:"decision"`         // of the rules that decided
}

// The stages of a Link.
const (
	stageAddress = "address"
	stagePage    = "page"
	stageShorter = "shorter"
)

// Clean returns, as JSON of a Link, the shortest address that gives everybody the
// page at url. It applies the rules in the order of the engine: an address that
// does not pass them is not fetched, unless it passes without the parameters that
// track; the page must come anonymously as it was shown; and a shorter address
// must give the same page. shown is the page's HTML in UTF-8 as the person
// has it, empty for a link that was not opened. Nothing is remembered or reported.
func (s *Session) Clean(ctx context.Context, url string, shown []byte) ([]byte, error) {
	link, err := s.clean(ctx, url, shown)
	if err != nil {
		return nil, err
	}
	return json.Marshal(link)
}

func (s *Session) clean(ctx context.Context, url string, shown []byte) (Link, error) {
	d := s.rules.URL(url, discovery.Evidence{})
	u, err := discovery.ParseURL(url)
	if err != nil {
		return Link{Stage: stageAddress, Decision: DecisionOf(d)}, nil
	}
	before := discovery.Signature{}
	if len(shown) > 0 {
		if before, err = discovery.Sign(u, nil, shown); err != nil {
			return Link{Stage: stagePage, Reason: "the page is too large"}, nil
		}
	}
	target, ok := u.WithoutFragment(), d.Verdict == discovery.Public
	if d.Verdict == discovery.Mask {
		target, ok = s.instead(u, before)
	}
	if !ok {
		return Link{Stage: stageAddress, Decision: DecisionOf(d)}, nil
	}
	after, err := s.anonymous(ctx, target)
	if err != nil {
		return withheld(err)
	}
	if len(shown) == 0 {
		before = after
	}
	if d = s.rules.Compare(before, after, discovery.Strict); d.Verdict != discovery.Public {
		return Link{Stage: stagePage, Decision: DecisionOf(d)}, nil
	}
	return s.shortest(ctx, target, after), nil
}

// instead returns a shorter URL that may be fetched in place of one that the rules
// refuse, as the engine chooses it: the canonical one of the page as shown, or
// the one without the parameters that track.
func (s *Session) instead(u discovery.URL, before discovery.Signature) (discovery.URL, bool) {
	public := func(c discovery.URL) bool { return s.rules.Page(c, discovery.Evidence{}).Verdict == discovery.Public }
	if c, err := discovery.ParseURL(before.Canonical); err == nil {
		c = c.WithoutFragment()
		if c.SameSite(u) && !c.Downgrades(u) && len(c.String()) < len(u.String()) && public(c) {
			return c, true
		}
	}
	c, ok := u.WithoutTracking()
	return c, ok && public(c)
}

// shortest tries the shorter addresses of a public page. One that asks for more
// passwords than the page makes the page private, as in the engine.
func (s *Session) shortest(ctx context.Context, u discovery.URL, page discovery.Signature) Link {
	for _, c := range s.rules.CleanURLs(u, page) {
		other, err := s.anonymous(ctx, c)
		if err != nil {
			continue
		}
		d := s.rules.SamePage(page, other)
		switch {
		case other.Passwords > page.Passwords:
			return Link{Stage: stagePage, Decision: DecisionOf(d)}
		case d.Verdict == discovery.Public:
			return Link{Stage: stageShorter, URL: c.String(), Decision: DecisionOf(d)}
		}
	}
	return Link{Stage: stageShorter, URL: u.String(), Decision: DecisionOf(s.rules.Page(u, discovery.Evidence{}))}
}

// anonymous fetches and signs a page as anybody gets it.
func (s *Session) anonymous(ctx context.Context, u discovery.URL) (discovery.Signature, error) {
	r, err := s.fetcher.Fetch(ctx, u)
	if err != nil {
		return discovery.Signature{}, err
	}
	return r.Sign()
}

// withheld is the Link of a page that could not be had anonymously.
func withheld(err error) (Link, error) {
	if errors.Is(err, discovery.ErrPrivate) {
		return Link{Stage: stagePage, Reason: err.Error()}, nil
	}
	return Link{}, errors.New("fetching the page: the network failed")
}
