package lifecycle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
)

// A Kind is what happened.
type Kind string

// The kinds of events.
const (
	Navigated Kind = "navigated" // a tab shows another page: Tab, URL, Referrer, Transition, Opener
	Activity  Kind = "activity"  // the person did something on the page: Tab, URL, Counts
	Signature Kind = "signature" // the page as shown has a signature: Tab, URL, Page
	Hidden    Kind = "hidden"    // the tab went out of sight: Tab
	Closed    Kind = "closed"    // the tab was closed: Tab
	Cleared   Kind = "cleared"   // the person cleared the history; with URL, only that page of it, but not what is in the filters or the outbox
	Private   Kind = "private"   // private mode begins or ends: On; with Tab, of that tab only
	Tick      Kind = "tick"      // time passes: what is due is done
)

// A Transition is how a person came to a page.
type Transition string

// The transitions. Link, Form and History make the page before the source of
// the page after, whether a referrer was sent or not.
const (
	Link    Transition = "link"
	Form    Transition = "form"
	History Transition = "history" // the page changed its own address (history.pushState), without a load
	Reload  Transition = "reload"
	Typed   Transition = "typed" // typed, bookmarked, opened by another program
	Back    Transition = "back"  // back or forward in the tab's own history
)

// Limits of events.
const (
	MaxEvent = 1 << 20 // bytes of an event in JSON

	maxEventURL   = 64 << 10
	maxEventCount = 1 << 20
)

// Counts are what a person did on a page. In an event they count since the
// event before.
type Counts struct {
	Seconds int `json:"seconds,omitempty"` // in sight and in use
	Scrolls int `json:"scrolls,omitempty"`
	Mouse   int `json:"mouse,omitempty"`  // movements of the pointer
	Links   int `json:"links,omitempty"`  // followed
	Keys    int `json:"keys,omitempty"`   // pressed
	Copies  int `json:"copies,omitempty"` // of text
}

// caps bounds what is counted on one page.
func caps() Counts {
	return Counts{Seconds: 1200, Scrolls: 100, Mouse: 100, Links: 50, Keys: 100, Copies: 10}
}

func (c *Counts) each(o Counts, f func(a *int, b int)) {
	f(&c.Seconds, o.Seconds)
	f(&c.Mouse, o.Mouse)
	f(&c.Scrolls, o.Scrolls)
	f(&c.Keys, o.Keys)
	f(&c.Links, o.Links)
	f(&c.Copies, o.Copies)
}

// add counts o too, each figure up to its cap.
func (c *Counts) add(o Counts) {
	c.each(o, func(a *int, b int) { *a = min(*a, maxEventCount) + min(b, maxEventCount) })
	c.each(caps(), func(a *int, b int) { *a = min(*a, b) })
}

func (c Counts) valid() bool {
	ok := true
	c.each(Counts{}, func(a *int, _ int) { ok = ok && *a >= 0 && *a <= maxEventCount })
	return ok
}

// An Event is what a browser reports to the engine. It prints as its kind only.
type Event struct {
	At         time.Time            `json:"at"`
	Kind       Kind                 `json:"event"`
	Tab        int64                `json:"tab,omitempty"` // 1 or more
	URL        string               `json:"url,omitempty"`
	Referrer   string               `json:"referrer,omitempty"`
	Transition Transition           `json:"transition,omitempty"`
	Opener     int64                `json:"opener,omitempty"` // the tab from which a new tab was opened
	Counts     *Counts              `json:"counts,omitempty"`
	Page       *discovery.Signature `json:"page,omitempty"`
	On         bool                 `json:"on,omitempty"`
}

// String returns the kind: the rest is private.
func (e Event) String() string { return string(e.Kind) + " event" }

// GoString is String.
func (e Event) GoString() string { return e.String() }

// Format writes String whatever the verb.
func (e Event) Format(s fmt.State, _ rune) { fmt.Fprint(s, e.String()) }

// fields are those parts of an event that not every kind has.
type fields struct{ tab, url, referrer, transition, opener, counts, page, on bool }

func (e *Event) has() fields {
	return fields{
		e.Tab != 0, e.URL != "", e.Referrer != "", e.Transition != "", e.Opener != 0,
		e.Counts != nil, e.Page != nil, e.On,
	}
}

// shapes returns which fields a kind must and may have.
func shapes(k Kind) (must, may fields, ok bool) {
	switch k {
	case Navigated:
		return fields{tab: true, url: true, transition: true}, fields{referrer: true, opener: true}, true
	case Activity:
		return fields{tab: true, counts: true}, fields{url: true}, true
	case Signature:
		return fields{tab: true, url: true, page: true}, fields{}, true
	case Hidden, Closed:
		return fields{tab: true}, fields{}, true
	case Cleared:
		return fields{}, fields{url: true}, true
	case Private:
		return fields{}, fields{tab: true, on: true}, true
	case Tick:
		return fields{}, fields{}, true
	}
	return fields{}, fields{}, false
}

// Check returns an error if an event is not valid.
func (e *Event) Check() error {
	must, may, ok := shapes(e.Kind)
	switch {
	case !ok:
		return errors.New("an event of unknown kind")
	case e.At.IsZero() || e.At.Year() < 1970 || e.At.Year() > 9999:
		return fmt.Errorf("%s: no time, or one out of range", e)
	case e.Tab < 0 || e.Opener < 0:
		return fmt.Errorf("%s: a tab below 1", e)
	case len(e.URL) > maxEventURL || len(e.Referrer) > maxEventURL:
		return fmt.Errorf("%s: a URL of more than %d bytes", e, maxEventURL)
	case e.Page != nil && !plausible(e.Page):
		return fmt.Errorf("%s: a signature that no page has", e)
	case e.Counts != nil && !e.Counts.valid():
		return fmt.Errorf("%s: counts below 0 or above %d", e, maxEventCount)
	}
	switch e.Transition {
	case "", Link, Form, History, Reload, Typed, Back:
	default:
		return fmt.Errorf("%s: an unknown transition", e)
	}
	got := e.has()
	for _, f := range []struct {
		name           string
		got, must, may bool
	}{
		{"tab", got.tab, must.tab, may.tab},
		{"url", got.url, must.url, may.url},
		{"referrer", got.referrer, must.referrer, may.referrer},
		{"transition", got.transition, must.transition, may.transition},
		{"opener", got.opener, must.opener, may.opener},
		{"counts", got.counts, must.counts, may.counts},
		{"page", got.page, must.page, may.page},
		{"on", got.on, must.on, may.on},
	} {
		if f.must && !f.got {
			return fmt.Errorf("%s: %s is missing", e, f.name)
		}
		if f.got && !f.must && !f.may {
			return fmt.Errorf("%s: %s has no meaning here", e, f.name)
		}
	}
	return nil
}

// plausible bounds the values of a signature, so that its comparison cannot overflow.
func plausible(s *discovery.Signature) bool {
	for _, n := range []int{s.Bytes, s.Text, s.Links, s.Inputs, s.Hidden, s.Passwords, s.Forms, s.FormsSameHost, s.Frames, s.FramesSameHost, s.FramesSameSite} {
		if n < 0 || n > discovery.MaxPage {
			return false
		}
	}
	return len(s.Title) <= maxEventURL && len(s.Canonical) <= maxEventURL && len(s.Language) <= maxEventURL
}

// ParseEvent reads one event in JSON. Unknown fields, anything behind the
// event and fields that its kind does not have are errors, which quote nothing
// of it.
func ParseEvent(line []byte) (Event, error) {
	if len(line) > MaxEvent {
		return Event{}, fmt.Errorf("reading an event: more than %d bytes", MaxEvent)
	}
	if err := keysOnce(line); err != nil {
		return Event{}, fmt.Errorf("reading an event: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var e Event
	if err := d.Decode(&e); err != nil {
		return Event{}, fmt.Errorf("reading an event: %w", plain(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Event{}, errors.New("reading an event: more behind it")
	}
	e.At = e.At.UTC().Round(0)
	if err := e.Check(); err != nil {
		return Event{}, fmt.Errorf("reading an event: %w", err)
	}
	return e, nil
}

// keysOnce refuses what the decoder of the standard library lets pass: duplicate
// keys in an object, keys in another case, objects within objects deeper
// than an event has them.
func keysOnce(line []byte) error {
	d := json.NewDecoder(bytes.NewReader(line))
	var open []map[string]bool // the objects around; nil for an array
	key := false
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return plain(err)
		}
		inObject := len(open) > 0 && open[len(open)-1] != nil
		if name, ok := t.(string); ok && inObject && key {
			if open[len(open)-1][name] || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") != "" {
				return errors.New("a duplicate key, or one that no event has")
			}
			open[len(open)-1][name] = true
			key = false
			continue
		}
		switch t {
		case json.Delim('{'):
			open, key = append(open, map[string]bool{}), true
		case json.Delim('['):
			open = append(open, nil)
		case json.Delim('}'), json.Delim(']'):
			open = open[:max(len(open)-1, 0)]
			key = len(open) > 0 && open[len(open)-1] != nil
		default:
			key = inObject
		}
		if len(open) > 4 {
			return errors.New("deeper than any event")
		}
	}
}

// plain replaces errors of package json that quote what they read.
func plain(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("no JSON at byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Errorf("a value of the wrong type at byte %d", kind.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends too early")
	}
	return errors.New("a field that no event has, or a value that cannot be read")
}

// MarshalLine writes an event as ParseEvent reads it, with a newline.
func (e Event) MarshalLine() ([]byte, error) {
	if err := e.Check(); err != nil {
		return nil, fmt.Errorf("writing an event: %w", err)
	}
	b, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("writing an event: %w", err)
	}
	return append(b, '\n'), nil
}
