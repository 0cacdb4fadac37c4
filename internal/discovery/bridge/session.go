package bridge

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/lifecycle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// A Host does for a Session what only an embedder can. Its methods are called
// from the goroutine that called the Session.
type Host interface {
	// Fetch requests a URL anonymously, follows no redirect, and returns what
	// came. An error means that the network failed.
	Fetch(ctx context.Context, url string) (Answer, error)
	// Emit takes a message, a line of JSON, for the outbox.
	Emit(line []byte) error
	// Explain receives a decision, a line of JSON; see Trace.
	Explain(line []byte)
	// Purge removes all that waits in the outbox: the history was cleared.
	Purge(ctx context.Context) error
	// Store keeps the engine's records; nil for memory only.
	Store() lifecycle.Store
	// Random gives random bytes; nil for the system's.
	Random() io.Reader
}

// An Answer is what an anonymous request got.
type Answer struct {
	Status      int
	Address     string   // of the server, as connected to; empty if the embedder cannot know it
	ContentType string   // the header
	Robots      []string // the values of X-Robots-Tag
	Body        []byte   // in UTF-8, whatever the server sent
	Rendered    bool     // Body is the document after its scripts ran in an anonymous context
}

// A Renderer is a Host that can render pages as discovery.Renderer wants it; CanRender
// reports whether it can. Its answers must be marked as Rendered.
type Renderer interface {
	Host
	CanRender() bool
	Render(ctx context.Context, url string) (Answer, error)
}

// MaxBody is how many bytes an answer may have; larger pages are private.
const MaxBody = 2 << 20

// A Session is an engine with its Host. Call it from one goroutine at a time.
type Session struct {
	engine *lifecycle.Engine
	rules  *discovery.Rules
	series string // of the bundle; empty: there was none
	trust  []ed25519.PublicKey

	fetcher fetcher
}

// Open makes a Session.
func Open(ctx context.Context, o Options, host Host) (*Session, error) {
	rules, err := discovery.NewRules()
	if err != nil {
		return nil, fmt.Errorf("opening a session: %w", err)
	}
	b, err := o.open()
	if err != nil {
		return nil, fmt.Errorf("opening a session: %w", err)
	}
	sanitizer, err := message.NewSanitizer(message.Config{Rules: rules, Bundle: b, Rand: host.Random(), Countries: o.Countries})
	if err != nil {
		return nil, fmt.Errorf("opening a session: %w", err)
	}
	c := lifecycle.Config{
		Rules: rules, Bundle: b, Fetcher: fetcher{host}, Sanitizer: sanitizer, Store: host.Store(), Rand: host.Random(), Country: o.Country,
		Emit: func(r message.Record) error {
			line, err := r.JSON()
			if err != nil {
				return err
			}
			return host.Emit(line)
		},
		Explain: func(t lifecycle.Trace) { host.Explain(TraceLine(t)) },
		Purge:   host.Purge,
		Facts:   lifecycle.Facts{Titles: o.Titles, Referrers: o.Referrers, Results: o.Results},
		Timing:  o.Timing.lifecycle(),
	}
	if c.Questions, err = o.questions(); err != nil {
		return nil, fmt.Errorf("opening a session: %w", err)
	}
	if r, ok := host.(Renderer); ok && r.CanRender() {
		c.Renderer = renderer{r}
	}
	c.RenderPages = o.RenderPages
	if c.Store != nil || len(o.StoreKey) > 0 {
		if c.Key, err = lifecycle.NewKey(o.StoreKey); err != nil {
			return nil, fmt.Errorf("opening a session: %w", err)
		}
	}
	engine, err := lifecycle.New(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("opening a session: %w", err)
	}
	s := &Session{engine: engine, rules: rules, fetcher: fetcher{host}}
	if s.trust, err = o.keys(); err != nil {
		return nil, fmt.Errorf("opening a session: %w", err)
	}
	if b != nil {
		s.series = b.Name()
	}
	return s, nil
}

// Update goes on with a bundle that the embedder downloaded, and returns its
// version, to be given as Options.Newest next time. It is used only if a trusted
// key signed it, it is of the series that the session was opened with, valid now,
// and not older than any that was seen. The bundle in use stays after an error.
func (s *Session) Update(ctx context.Context, signed []byte, now time.Time) (uint64, error) {
	b, err := bundle.Open(signed, s.trust, now, 0)
	if err != nil {
		return 0, fmt.Errorf("updating the bundle: %w", err)
	}
	if s.series != "" && b.Name() != s.series {
		return 0, fmt.Errorf("updating the bundle: series %q, want %q", b.Name(), s.series)
	}
	if err := s.engine.SetBundle(ctx, b); err != nil {
		return 0, fmt.Errorf("updating the bundle: %w", err)
	}
	s.series = b.Name()
	return b.Version(), nil
}

// Handle takes one event in JSON.
func (s *Session) Handle(ctx context.Context, line []byte) error {
	e, err := lifecycle.ParseEvent(line)
	if err != nil {
		return err
	}
	return s.engine.Handle(ctx, e)
}

// Stats returns what the engine did so far, as JSON of lifecycle.Stats.
func (s *Session) Stats() ([]byte, error) { return json.Marshal(s.engine.Stats()) }

// Judge returns, as JSON of a Decision, what the rules decide about an address
// without any other evidence.
func (s *Session) Judge(url string) ([]byte, error) {
	return json.Marshal(DecisionOf(s.rules.URL(url, discovery.Evidence{})))
}

// Sign returns the signature of a page as JSON, for a "signature" event: the
// page's address, and its body in UTF-8 as it is shown to the person.
func Sign(url string, robots []string, body []byte) ([]byte, error) {
	u, err := discovery.ParseURL(url)
	if err != nil {
		return nil, errors.New("signing a page: its address cannot be read")
	}
	sig, err := discovery.Sign(u, robots, body)
	if err != nil {
		return nil, fmt.Errorf("signing a page: %w", err)
	}
	return json.Marshal(sig)
}

// fetcher checks what a Host fetched.
type fetcher struct{ host Host }

func (f fetcher) Fetch(ctx context.Context, u discovery.URL) (discovery.Response, error) {
	a, err := f.host.Fetch(ctx, u.String())
	return a.response(u, err)
}

// renderer checks what a Renderer rendered.
type renderer struct{ host Renderer }

func (r renderer) Render(ctx context.Context, u discovery.URL) (discovery.Response, error) {
	a, err := r.host.Render(ctx, u.String())
	return a.response(u, err)
}

func (a *Answer) response(u discovery.URL, err error) (discovery.Response, error) {
	if err != nil {
		return discovery.Response{}, fmt.Errorf("fetching: %w", err)
	}
	if err := a.check(u); err != nil {
		return discovery.Response{}, fmt.Errorf("fetching: %w: %w", discovery.ErrPrivate, err)
	}
	return discovery.Response{URL: u, Robots: a.Robots, Body: a.Body, Rendered: a.Rendered}, nil
}

func (a *Answer) check(u discovery.URL) error {
	addr, err := netip.ParseAddr(a.Address)
	switch {
	case err != nil:
		return errors.New("the embedder does not say from which address the answer came")
	case !discovery.PublicAddr(addr):
		return errors.New("the answer came from an address that is not on the public Internet")
	case a.Status != 200:
		return fmt.Errorf("status %d", a.Status)
	case len(a.Body) > MaxBody:
		return fmt.Errorf("more than %d bytes", MaxBody)
	}
	media, _, _ := strings.Cut(a.ContentType, ";")
	if !u.Accepts(strings.ToLower(strings.TrimSpace(media))) {
		return errors.New("no HTML")
	}
	return nil
}
