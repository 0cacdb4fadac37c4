package lifecycle

import (
	"strconv"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// A reporter makes the messages of what was found public, each fact once.
type reporter struct {
	scene  *scene
	trail  *trail
	memory *memory
	queue  *queue
	outbox []message.Record // to be emitted after the next commit
}

// A fact is a message with what it is remembered by once it was reported.
type fact struct {
	message message.Message
	about   string // for the trace
	tag     tag
	grants  []tag // remembered with tag, for what may be reported only after this
}

// page makes the messages of a page that was found public.
func (t *reporter) page(r *record, page *message.Page) error {
	vault, url := t.scene.vault, page.URL().String()
	c := r.counts
	facts := []fact{{page.Engaged(message.Engagement{
		Dwell: time.Duration(c.Seconds) * time.Second, Scrolls: c.Scrolls, Mouse: c.Mouse, Links: c.Links, Keys: c.Keys, Copies: c.Copies,
	}), url, vault.tag("told page", url), nil}}
	o := Observation{Page: page, Visited: r.last, Counts: c}
	if r.search != nil {
		s := *r.search
		o.Search = &s
		// Words that are too special to be reported by themselves must not ride with a page.
		if t.memory.reported.granted(vault.searchGrants(s)) {
			facts = append(facts, fact{page.AfterQuery(s, 1), url, vault.tag("told search", url, s.Engine, fold(s.Query)), nil})
		} else {
			t.trail.text(StageMessage, Dropped, url, reasonUntold, discovery.Decision{})
		}
	}
	want := t.scene.config.Facts
	if want.Titles {
		facts = append(facts, fact{page.Titled(), url, vault.tag("told title", url), nil})
	}
	if want.Referrers && r.sourced() && t.memory.reported.public(r.source) {
		source := r.source.String()
		facts = append(facts, fact{page.AfterPage(source), url, vault.tag("told referrer", url, t.scene.config.Rules.Referrer(source).Text), nil})
	}
	return t.report(r, facts, o)
}

// query makes the messages of a search whose results were fetched.
func (t *reporter) query(r *record, q *message.Query) error {
	vault, s := t.scene.vault, *r.search
	facts := []fact{{q, s.Query, vault.tag("told query", s.Engine, fold(s.Query)), vault.searchGrants(s)}}
	if t.scene.config.Facts.Results {
		for i, m := range q.Results() {
			facts = append(facts, fact{m, s.Query, vault.tag("told result", s.Engine, fold(s.Query), strconv.Itoa(i)), nil})
		}
	}
	return t.report(r, facts, Observation{Query: q, Search: &s, Visited: r.last})
}

// report gives facts to the sanitizer and settles the record. What passes is
// remembered as reported before it is emitted.
func (t *reporter) report(r *record, facts []fact, o Observation) error {
	if o.Page != nil && t.memory.private.has(o.Page.URL()) {
		t.trail.page(StageMessage, Dropped, r.url, reasonKnown, discovery.Decision{})
		t.queue.drop(r)
		return nil
	}
	reported := t.memory.reported
	done := []tag{reported.seen(r)}
	if o.Page != nil {
		done = append(done, t.scene.vault.pageGrants(r.url)...)
	}
	proven := false
	for _, f := range facts {
		if reported.has(f.tag) {
			t.trail.text(StageMessage, Dropped, f.about, reasonReported, discovery.Decision{})
			// By one tag alone words that are too special could seem reported.
			proven = proven || len(f.grants) == 0 || reported.granted(f.grants)
			continue
		}
		if t.emit(f.message, f.about) {
			done = append(append(done, f.tag), f.grants...)
			proven = true
		}
	}
	if proven {
		t.memory.questions.ask(o, t)
	}
	t.queue.drop(r)
	return reported.remember(done)
}

// emit gives a message to the sanitizer, and what passes to the outbox once the
// next commit succeeds.
func (t *reporter) emit(m message.Message, about string) bool {
	record, d := t.scene.config.Sanitizer.Check(m, message.Moment{Now: t.scene.now, Country: t.scene.config.Country})
	if d.Verdict != discovery.Public {
		t.trail.text(StageMessage, Dropped, about, string(d.Rule), d)
		return false
	}
	t.trail.stats.Told++
	t.trail.text(StageMessage, Told, about, "", d)
	t.outbox = append(t.outbox, record)
	return true
}

// take returns the messages that are to be emitted now.
func (t *reporter) take() []message.Record {
	out := t.outbox
	t.outbox = nil
	return out
}
