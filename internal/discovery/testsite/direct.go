package testsite

import (
	"context"
	"fmt"
	"mime"
	"strings"
	"time"

	"golang.org/x/net/html/charset"

	"github.com/shoal-project/shoal/internal/discovery"
)

// Direct returns a fetcher that asks the site in process, without a network,
// and refuses what a real anonymous fetch refuses: addresses that are not
// public, redirects, other answers than 200, what is no page, too large or too
// slow. Each person should have one of their own; the same number and questions
// get the same answers.
func (s *Site) Direct(person int) discovery.Fetcher {
	return &direct{site: s, variation: uint64(person) << 20}
}

type direct struct {
	site      *Site
	variation uint64
	scripts   bool // the scripts of a page run
}

// Limits of an anonymous fetch.
const (
	fetchTimeout = 10 * time.Second
	largest      = 2 << 20
)

// Render fetches a page as a browser renders it for an anonymous request.
func (d *direct) Render(ctx context.Context, u discovery.URL) (discovery.Response, error) {
	d.scripts = true
	defer func() { d.scripts = false }()
	r, err := d.Fetch(ctx, u)
	r.Rendered = err == nil
	return r, err
}

func (d *direct) Fetch(ctx context.Context, u discovery.URL) (discovery.Response, error) {
	if err := ctx.Err(); err != nil {
		return discovery.Response{}, err
	}
	h, ok := d.site.hosts[authority(u)]
	if !ok {
		return discovery.Response{}, fmt.Errorf("fetching anonymously: no such host")
	}
	if h.Scheme != u.Scheme() {
		return discovery.Response{}, fmt.Errorf("fetching anonymously: connection refused")
	}
	if !discovery.PublicAddr(h.Addr) {
		return discovery.Response{}, fmt.Errorf("fetching anonymously: %w: at %s", discovery.ErrPrivate, h.Addr)
	}
	target := u.Path()
	if u.Query() != "" {
		target += "?" + u.Query()
	}
	d.variation++
	view := Nobody(d.variation)
	view.Scripts = d.scripts
	r := d.site.Serve(h, target, view)
	media, parameters, err := mime.ParseMediaType(r.Type)
	switch {
	case r.Wait > fetchTimeout:
		return discovery.Response{}, fmt.Errorf("fetching anonymously: no answer within %s", fetchTimeout)
	case r.Status != 200:
		return discovery.Response{}, fmt.Errorf("fetching anonymously: %w: status %d", discovery.ErrPrivate, r.Status)
	case err != nil || !u.Accepts(media):
		return discovery.Response{}, fmt.Errorf("fetching anonymously: %w: no HTML", discovery.ErrPrivate)
	case len(r.Body) > largest:
		return discovery.Response{}, fmt.Errorf("fetching anonymously: %w: more than %d bytes", discovery.ErrPrivate, largest)
	}
	body := r.Body
	if label := parameters["charset"]; label != "" && !strings.EqualFold(label, "utf-8") {
		e, _ := charset.Lookup(label)
		if e == nil {
			return discovery.Response{}, fmt.Errorf("fetching anonymously: %w: an encoding that nobody knows", discovery.ErrPrivate)
		}
		if body, err = e.NewDecoder().Bytes(body); err != nil {
			return discovery.Response{}, fmt.Errorf("fetching anonymously: %w: %w", discovery.ErrPrivate, err)
		}
	}
	page := discovery.Response{URL: u, Body: body}
	if r.Robots != "" {
		page.Robots = []string{r.Robots}
	}
	return page, nil
}
