package lifecycle

import (
	"fmt"
	"slices"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// A fact is a message with what it is remembered by once it was reported.
type fact struct {
	message message.Message
	about   string // for the trace
	tag     tag
	grants  []tag // remembered with tag, for what may be reported only after this
}

// tellPage makes the messages of a page that was found public.
func (e *Engine) tellPage(r *record, page *message.Page) error {
	url := page.URL().String()
	c := r.Counts
	facts := []fact{{page.Engaged(message.Engagement{
		Dwell: time.Duration(c.Seconds) * time.Second, Scrolls: c.Scrolls, Mouse: c.Mouse, Links: c.Links, Keys: c.Keys, Copies: c.Copies,
	}), url, e.vault.tag("told page", url), nil}}
	o := Observation{Page: page, Visited: r.Last, Counts: c}
	if r.Search != nil {
		s := r.found()
		o.Search = &s
		// Words that are too special to be reported alone must not leave with a page.
		if e.granted(e.searchGrants(s)) {
			facts = append(facts, fact{page.AfterQuery(s, 1), url, e.vault.tag("told search", url, s.Engine, fold(s.Query)), nil})
		} else {
			e.explain(StageMessage, Dropped, url, reasonUntold, discovery.Decision{})
		}
	}
	if e.config.Facts.Titles {
		facts = append(facts, fact{page.Titled(), url, e.vault.tag("told title", url), nil})
	}
	if e.config.Facts.Referrers && r.Source != "" && e.granted(e.pageGrants(r.Source)) {
		facts = append(facts, fact{page.AfterPage(r.Source), url, e.vault.tag("told referrer", url, e.config.Rules.Referrer(r.Source).Text), nil})
	}
	return e.tell(r, facts, o)
}

// tellQuery makes the messages of a search whose results were fetched.
func (e *Engine) tellQuery(r *record, q *message.Query) error {
	s := r.found()
	facts := []fact{{q, s.Query, e.vault.tag("told query", s.Engine, fold(s.Query)), e.searchGrants(s)}}
	if e.config.Facts.Results {
		for i, m := range q.Results() {
			facts = append(facts, fact{m, s.Query, e.vault.tag("told result", s.Engine, fold(s.Query), fmt.Sprint(i)), nil})
		}
	}
	return e.tell(r, facts, Observation{Query: q, Search: &s, Visited: r.Last})
}

// tell gives facts to the sanitizer and settles the record. What passes is
// stored as reported before it is emitted.
func (e *Engine) tell(r *record, facts []fact, o Observation) error {
	if o.Page != nil && e.isPrivate(o.Page.URL().String()) {
		e.explain(StageMessage, Dropped, r.URL, reasonKnown, discovery.Decision{})
		e.drop(r)
		return nil
	}
	told := []tag{e.seen(r)}
	if o.Page != nil {
		told = append(told, e.pageGrants(r.URL)...)
	}
	proven := false
	for _, f := range facts {
		if e.wasTold(f.tag) {
			e.explain(StageMessage, Dropped, f.about, reasonReported, discovery.Decision{})
			// By one tag alone words that are too special could seem reported.
			proven = proven || len(f.grants) == 0 || e.granted(f.grants)
			continue
		}
		if e.emit(f.message, f.about) {
			told = append(append(told, f.tag), f.grants...)
			proven = true
		}
	}
	if proven {
		e.ask(o)
	}
	e.drop(r)
	return e.remember(told)
}

// emit gives a message to the sanitizer, and what passes to the outbox once the
// next commit succeeds.
func (e *Engine) emit(m message.Message, about string) bool {
	record, d := e.config.Sanitizer.Check(m, message.Moment{Now: e.now, Country: e.config.Country})
	if d.Verdict != discovery.Public {
		e.explain(StageMessage, Dropped, about, string(d.Rule), d)
		return false
	}
	e.stats.Told++
	e.explain(StageMessage, Told, about, "", d)
	e.outbox = append(e.outbox, record)
	return true
}

// seen is what a record is remembered by once it was processed.
func (e *Engine) seen(r *record) tag {
	if r.Search == nil {
		return e.vault.tag("seen", r.name())
	}
	return e.vault.tag("seen", r.name(), r.Search.Engine, fold(r.Search.Query))
}

// settled reports whether a record was processed already: in the last 30 days,
// or, if there are questions, which want to know of every day, today.
func (e *Engine) settled(r *record) bool {
	if len(e.config.Questions) > 0 {
		return e.reported[day(e.now)].has(e.seen(r))
	}
	return e.wasTold(e.seen(r))
}

func (e *Engine) wasTold(t tag) bool {
	for _, f := range e.reported {
		if f.has(t) {
			return true
		}
	}
	return false
}

// grantTags is how many tags are kept of what lets something else be reported. One tag
// of an ordinary fact is found by chance in about one case of a hundred, over 30
// filters; that loses a message. Here it would report one too many.
const grantTags = 2

func (e *Engine) grants(label string, parts ...string) []tag {
	all := make([]tag, grantTags)
	for i := range all {
		all[i] = e.vault.tag(fmt.Sprint(label, " ", i), parts...)
	}
	return all
}

// searchGrants returns the tags of a search that was reported.
func (e *Engine) searchGrants(s bundle.Search) []tag {
	return e.grants("told query", s.Engine, fold(s.Query))
}

// pageGrants returns the tags of a page that was found public.
func (e *Engine) pageGrants(url string) []tag { return e.grants("public", url) }

// granted reports whether all tags were remembered on one day.
func (e *Engine) granted(all []tag) bool {
	for _, f := range e.reported {
		if !slices.ContainsFunc(all, func(t tag) bool { return !f.has(t) }) {
			return true
		}
	}
	return false
}

// remember adds tags to the filter of today.
func (e *Engine) remember(tags []tag) error {
	today := day(e.now)
	f := e.reported[today]
	if f == nil {
		var err error
		if f, err = newFilter(reportedShape, e.config.Rand); err != nil {
			return err
		}
		e.reported[today] = f
		for i := range f.shape.chunks {
			e.touch(labelReported, dayName(today, i))
		}
	}
	for _, t := range tags {
		e.touch(labelReported, dayName(today, f.add(t)))
	}
	return nil
}
