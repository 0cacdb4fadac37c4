package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/anonymous"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// An examiner finds out whether pages that wait are public: it fetches them
// anonymously, one step after the other, and compares.
type examiner struct {
	scene    *scene
	trail    *trail
	journal  *journal
	meta     *meta
	memory   *memory
	queue    *queue
	visits   *visits
	planner  *planner
	reporter *reporter
}

// A job is one fetch.
type job struct {
	record     *record
	generation uint64
	target     discovery.URL
	render     bool // target is a page that scripts write
}

// fetch does a job. A page that should have been rendered and was not is refused.
func (j *job) fetch(ctx context.Context, f discovery.Fetcher, r discovery.Renderer) (discovery.Response, error) {
	if !j.render {
		return f.Fetch(ctx, j.target)
	}
	response, err := r.Render(ctx, j.target)
	if err == nil && !response.Rendered {
		return discovery.Response{}, fmt.Errorf("rendering: %w: the page is not marked as rendered", discovery.ErrPrivate)
	}
	return response, err
}

// next chooses what to fetch now, and stores that it is tried. It returns nil
// if nothing is due, or too little time has passed since the last fetch.
func (x *examiner) next(ctx context.Context) (*job, error) {
	now := x.scene.now
	if !x.meta.Fetched.IsZero() && now.Sub(x.meta.Fetched) < x.scene.config.Timing.Interval {
		return nil, nil
	}
	for {
		r := x.queue.next()
		if r == nil {
			return nil, x.journal.commit(ctx)
		}
		ready, err := x.prepare(r)
		if err != nil {
			return nil, err
		}
		if !ready {
			continue
		}
		r.attempts++
		r.fetches++
		x.meta.Fetched, x.queue.current = now, r
		x.queue.changed(r)
		x.journal.touch(labelMeta, "")
		if err := x.journal.commit(ctx); err != nil {
			return nil, err
		}
		x.trail.stats.count(r.step)
		x.trail.page(r.step.stage, Fetching, r.step.target, "", discovery.Decision{})
		render := x.planner.renders(r)
		if render {
			x.trail.stats.FetchesRendered++
		}
		return &job{r, x.queue.generation, r.step.target, render}, nil
	}
}

// prepare checks a record before a fetch and tells whether to fetch. If not,
// the record is settled.
func (x *examiner) prepare(r *record) (bool, error) {
	if r.step == nil {
		step, d := x.planner.plan(r)
		if step == nil {
			x.queue.refuse(StageDue, r, string(d.Rule), d)
			return false, nil
		}
		r.step = step
	}
	private := x.memory.private
	switch {
	case !r.query && private.has(r.url):
		x.trail.page(StageDue, Dropped, r.url, reasonKnown, discovery.Decision{})
		x.queue.drop(r)
		return false, nil
	case !r.query && r.sourced() && private.has(r.source):
		return false, x.queue.withholdRecord(StageDue, r, reasonSource, discovery.Decision{})
	case !r.query && x.undecided(r):
		return false, nil
	case x.memory.reported.settled(r):
		x.trail.page(StageDue, Dropped, r.url, reasonReported, discovery.Decision{})
		x.queue.drop(r)
		return false, nil
	case r.step.stage == StageTriple && r.fetches >= maxFetches:
		r.step.rest = nil
		return false, x.failed(r, reasonFetches)
	case r.attempts >= maxAttempts:
		return false, x.giveUp(r, reasonAttempts)
	case r.fetches >= maxFetches:
		return false, x.giveUp(r, reasonFetches)
	case !r.query && private.has(r.step.target):
		return false, x.failed(r, reasonKnown)
	}
	return true, nil
}

// undecided puts a record off while it is not known yet whether the page before it
// is private: that comes first, unless it was found public in the last 30 days.
func (x *examiner) undecided(r *record) bool {
	before := x.visits.before(r)
	if before == nil {
		return false
	}
	r.due = x.scene.now
	if before.due.After(r.due) {
		r.due = before.due
	}
	r.due = r.due.Add(x.scene.config.Timing.Interval)
	x.queue.postpone(r)
	return true
}

// count counts a fetch by what it is for.
func (st *Stats) count(s *step) {
	st.Fetches++
	switch {
	case s.stage == StageQuery:
		st.FetchesSearch++
	case s.stage == StageLink:
		st.FetchesEvidence++
	case s.stage == StageTriple:
		st.FetchesShorter++
	case s.instead:
		st.FetchesInstead++
	case s.listing != nil || s.listed != nil:
		st.FetchesListed++
	case s.from != nil:
		st.FetchesLinked++
	default:
		st.FetchesStrict++
	}
}

// conclude takes the answer to a fetch.
func (x *examiner) conclude(ctx context.Context, j *job, response discovery.Response, failure error) error {
	r := j.record
	if j.generation != x.queue.generation || x.visits.mode.off || x.queue.current != r {
		return nil // the history was cleared, private mode began, or the page was visited again
	}
	var err error
	switch {
	case ctx.Err() != nil: // the engine is being ended, which is no fault of the page
		r.attempts--
		x.queue.changed(r)
	case failure == nil && response.URL.WithoutFragment() != j.target:
		err = x.failed(r, reasonNotPublic)
	case failure == nil:
		err = x.answered(r, anonymous.New(j.target, response.Robots, response.Body))
	case errors.Is(failure, discovery.ErrPrivate):
		err = x.failed(r, failure.Error())
	default:
		x.trail.stats.NetworkFailures++
		err = x.unreachable(r)
	}
	commitErr := x.journal.commit(context.WithoutCancel(ctx))
	if commitErr != nil {
		x.reporter.outbox = nil // what is not remembered as reported must not be reported
	}
	return errors.Join(err, commitErr)
}

// unreachable puts a record off after a failure of the network. A shorter URL
// is tried once only.
func (x *examiner) unreachable(r *record) error {
	if r.step.stage == StageTriple || r.step.sitemap {
		return x.failed(r, "the network failed")
	}
	if r.attempts >= maxAttempts {
		return x.giveUp(r, reasonAttempts)
	}
	x.trail.page(r.step.stage, Retrying, r.url, "", discovery.Decision{})
	r.due = x.scene.now.Add(x.scene.config.Timing.Retry)
	x.queue.postpone(r)
	return nil
}

// giveUp settles a record that cannot be fetched: a page is private then.
func (x *examiner) giveUp(r *record, reason string) error {
	if !r.query {
		return x.queue.withholdRecord(StageDue, r, reason, discovery.Decision{})
	}
	x.trail.text(StageQuery, Dropped, r.search.Query, reason, discovery.Decision{})
	x.queue.drop(r)
	return nil
}

// failed settles a step that showed no public page.
func (x *examiner) failed(r *record, reason string) error {
	none := discovery.Decision{}
	switch s := r.step; s.stage {
	case StageLink:
		if next := x.planner.furtherProof(r); next != nil {
			x.queue.advance(r, next)
			return nil
		}
		if s.doubt != nil {
			return x.queue.withholdRecord(StageDouble, r, string(s.doubt.Rule), *s.doubt)
		}
		x.queue.refuse(StageLink, r, reason, none)
		return nil
	case StageQuery:
		x.trail.text(StageQuery, Dropped, r.search.Query, reason, none)
		x.queue.drop(r)
		return nil
	case StageTriple:
		x.trail.page(StageTriple, Dropped, s.target, reason, none)
		return x.shorter(r)
	}
	return x.queue.withholdRecord(StageDouble, r, reason, none)
}

// answered takes the answer to a fetch that succeeded.
func (x *examiner) answered(r *record, p anonymous.Page) error {
	if r.step.stage != StageLink && (discovery.IsFeed(p.Body()) || p.URL().IsRobots()) {
		return x.failed(r, reasonNotPublic)
	}
	switch r.step.stage {
	case StageLink:
		return x.linkFetched(r, p)
	case StageTriple:
		return x.shorterFetched(r, p)
	case StageQuery:
		return x.queryFetched(r, p)
	}
	return x.pageFetched(r, p)
}

// linkFetched takes what was fetched for evidence: a page that links to the page,
// a result page or a feed that lists it.
func (x *examiner) linkFetched(r *record, p anonymous.Page) error {
	s, rules := r.step, x.scene.config.Rules
	target := s.about(r)
	next := &step{stage: StageDouble, target: target, page: s.page, doubt: s.doubt, instead: target != r.url}
	switch {
	case s.search:
		q, err := message.NewQuery(x.scene.config.Bundle, *r.search, p)
		if err != nil || !q.Lists(next.target) {
			return x.failed(r, reasonUnlisted)
		}
		next.listing = q
	case s.robots:
		s.rest = rules.RobotsSitemaps(p.URL(), p.Body())
		return x.failed(r, reasonUnlisted)
	case s.feed:
		if s.index { // of an index within an index no more is read
			s.within = rules.Sitemaps(p.URL(), p.Body())
		}
		if !discovery.Lists(p.URL(), p.Body(), next.target) {
			return x.failed(r, reasonUnlisted)
		}
		next.listed = &p
	default:
		sig, err := discovery.Sign(p.URL(), p.Robots(), p.Body())
		if err != nil || !sig.Indexable {
			return x.failed(r, reasonUnlinked)
		}
		link := discovery.Evidence{PublicLink: true}
		if rules.Page(next.target, link).Verdict != discovery.Public {
			feed, ok := rules.Feed(p.URL(), p.Body())
			if !ok || x.memory.private.has(feed) {
				return x.failed(r, reasonUnlisted)
			}
			x.queue.advance(r, &step{stage: StageLink, target: feed, feed: true, page: s.page, doubt: s.doubt})
			return nil
		}
		if !discovery.LinksTo(p.URL(), p.Body(), next.target) {
			return x.failed(r, reasonUnlinked)
		}
		next.from = &p
	}
	r.step = next
	r.attempts--
	x.queue.changed(r)
	if next.page != nil {
		return x.compare(r, next.page)
	}
	return nil
}

// pageFetched compares the page as anybody gets it with the page as shown.
func (x *examiner) pageFetched(r *record, p anonymous.Page) error {
	page, err := message.NewPage(p)
	if err != nil {
		return x.queue.withholdRecord(StageDouble, r, reasonLimits, discovery.Decision{})
	}
	return x.compare(r, page)
}

// compare compares strictly unless there is evidence and the page names itself: a
// link proves that the address is public, not that everybody is shown the same
// there. If only the lax comparison would pass, evidence is sought first.
func (x *examiner) compare(r *record, page *message.Page) error {
	s, rules := r.step, x.scene.config.Rules
	switch {
	case s.from != nil:
		page = page.Linked(*s.from)
	case s.listing != nil:
		page = page.Listed(s.listing)
	case s.listed != nil:
		page = page.ListedBy(*s.listed)
	}
	named := page.Signature().Canonical == s.target.String()
	level := discovery.Strict
	if s.evident() && named {
		level = discovery.Lax
	}
	d := rules.Compare(*r.before, page.Signature(), level)
	if d.Rule == discovery.RuleCompareShell && x.scene.config.RenderPages && !s.render {
		next := *s
		next.render, next.page, next.doubt = true, nil, nil
		x.queue.advance(r, &next)
		return nil
	}
	if d.Verdict != discovery.Public {
		if !s.evident() && named && rules.Compare(*r.before, page.Signature(), discovery.Lax).Verdict == discovery.Public {
			if next := x.planner.proof(r, s.target); next != nil {
				next.page, next.doubt = page, &d
				x.queue.advance(r, next)
				return nil
			}
		}
		return x.queue.withholdRecord(StageDouble, r, string(d.Rule), d)
	}
	x.trail.stats.Public++
	x.trail.page(StageDouble, Found, s.target, "", d)
	s.page, s.rest, r.attempts = page, rules.CleanURLs(s.target, page.Signature()), 0
	return x.shorter(r)
}

// shorter goes on to the next shorter URL, or reports the page if no shorter one is left.
func (x *examiner) shorter(r *record) error {
	s := r.step
	s.rest = slices.DeleteFunc(s.rest, x.memory.private.has)
	if len(s.rest) == 0 {
		return x.reporter.page(r, s.page)
	}
	s.stage, s.target, s.rest = StageTriple, s.rest[0], s.rest[1:]
	x.queue.advance(r, s)
	return nil
}

func (x *examiner) shorterFetched(r *record, p anonymous.Page) error {
	s := r.step
	page, err := message.NewPage(p)
	if err != nil {
		return x.failed(r, reasonLimits)
	}
	a, b := s.page.Signature(), page.Signature()
	d := x.scene.config.Rules.SamePage(a, b)
	switch {
	case b.Passwords > a.Passwords:
		return x.queue.withholdRecord(StageTriple, r, string(d.Rule), d)
	case d.Verdict != discovery.Public:
		x.trail.page(StageTriple, Dropped, s.target, string(d.Rule), d)
		return x.shorter(r)
	}
	x.trail.page(StageTriple, Found, s.target, "", d)
	return x.reporter.page(r, page)
}

func (x *examiner) queryFetched(r *record, p anonymous.Page) error {
	q, err := message.NewQuery(x.scene.config.Bundle, *r.search, p)
	if err != nil {
		return x.failed(r, reasonResults)
	}
	return x.reporter.query(r, q)
}
