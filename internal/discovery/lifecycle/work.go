package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/anonymous"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
	"github.com/shoal-project/shoal/internal/discovery/message"
)

// A step is what comes next for a record, and what its earlier fetches showed.
// It lives in memory only: after a restart a record begins again.
type step struct {
	stage  Stage
	target discovery.URL
	rest   []discovery.URL // further shorter URLs to try, or sitemaps that robots.txt names
	within []discovery.URL // sitemaps that an index names

	instead bool            // target is a shorter URL in place of the page's own
	search  bool            // target, of a link fetch, is the result page that led to the page
	render  bool            // target is a page that shows nothing without its scripts
	feed    bool            // target, of a link fetch, is the feed of the page before
	sitemap bool            // or a sitemap of the page's site
	index   bool            // which may be an index of others
	robots  bool            // or the robots.txt that names sitemaps
	asked   bool            // for robots.txt
	from    *anonymous.Page // links to the page
	listing *message.Query  // lists the page
	listed  *anonymous.Page // feed or sitemap that lists the page
	page    *message.Page   // the page as anybody gets it

	doubt *discovery.Decision // the strict comparison of page: evidence is sought for a lax one
}

// evident reports whether there is evidence for the page beside its URL.
func (s *step) evident() bool { return s.from != nil || s.listing != nil || s.listed != nil }

// A job is one fetch.
type job struct {
	record     *record
	generation uint64
	target     discovery.URL
	render     bool // target is a page that scripts write
}

// fetch does a job. A page that should have been rendered and was not is refused.
func (e *Engine) fetch(ctx context.Context, j *job) (discovery.Response, error) {
	if !j.render {
		return e.config.Fetcher.Fetch(ctx, j.target)
	}
	r, err := e.config.Renderer.Render(ctx, j.target)
	if err == nil && !r.Rendered {
		return discovery.Response{}, fmt.Errorf("rendering: %w: the page is not marked as rendered", discovery.ErrPrivate)
	}
	return r, err
}

// renders reports whether the next fetch of a record is of a page that scripts write,
// and can be rendered.
func (e *Engine) renders(r *record) bool {
	if e.config.Renderer != nil && r.step.render && r.step.stage == StageDouble {
		return true
	}
	if e.config.Renderer == nil || e.config.Bundle == nil || r.Search == nil {
		return false
	}
	return (r.step.stage == StageQuery || r.step.search) && e.config.Bundle.Rendered(r.Search.Engine)
}

// plan returns the first step for a page, or why there is no step: a URL that the
// strict rules refuse is not asked for unless there is public evidence. Evidence
// is that a shorter URL, which passes them, replaces it (instead): then only
// that is asked for. Or it is a page that was fetched anonymously and links to it,
// or lists it (evidence).
func (e *Engine) plan(r *record) (*step, discovery.Decision) {
	if r.Query {
		return &step{stage: StageQuery, target: r.url}, discovery.Decision{Verdict: discovery.Public}
	}
	rules := e.config.Rules
	d := rules.Page(r.url, discovery.Evidence{})
	if d.Verdict != discovery.Mask {
		return &step{stage: StageDouble, target: r.url}, d
	}
	if c, ok := e.instead(r); ok {
		return &step{stage: StageDouble, target: c, instead: true}, rules.Page(c, discovery.Evidence{})
	}
	listed := rules.Page(r.url, discovery.Evidence{Listed: true})
	if listed.Verdict != discovery.Public {
		return nil, d
	}
	if lax := rules.Page(r.url, discovery.Evidence{PublicLink: true}); lax.Verdict == discovery.Public {
		listed = lax
	}
	s := e.proof(r, r.url)
	if s == nil {
		return nil, d
	}
	return s, listed
}

// evidence returns the fetch that may bring evidence for a page: of the page
// before, if the strict rules let it pass and it is not known to be private, which
// may link to it or name a feed that lists it; or of the result page from which it
// was reached.
func (e *Engine) evidence(r *record) *step {
	if r.Source != "" {
		source, err := discovery.ParseURL(r.Source)
		if err != nil || e.isPrivate(r.Source) || e.config.Rules.Page(source, discovery.Evidence{}).Verdict != discovery.Public {
			return nil
		}
		return &step{stage: StageLink, target: source}
	}
	if r.Search == nil || e.config.Bundle == nil || !e.now.Before(e.config.Bundle.Expires()) {
		return nil
	}
	found := r.found()
	if again, ok := e.config.Bundle.SearchPage(found.Clean); !ok || again != found || e.config.Rules.Query(found.Query).Verdict != discovery.Public {
		return nil
	}
	return &step{stage: StageLink, target: found.Clean, search: true}
}

// next chooses what to fetch now, and stores that it is tried. It returns nil
// if nothing is due, or too little time has passed since the last fetch.
func (e *Engine) next(ctx context.Context) (*job, error) {
	if !e.fetched.IsZero() && e.now.Sub(e.fetched) < e.config.Timing.Interval {
		return nil, nil
	}
	for {
		r := e.due()
		if r == nil {
			return nil, e.commit(ctx)
		}
		ready, err := e.prepare(r)
		if err != nil {
			return nil, err
		}
		if !ready {
			continue
		}
		r.Attempts++
		r.Fetches++
		e.fetched, e.current = e.now, r
		e.touch(labelRecord, r.id)
		e.touch(labelMeta, "")
		if err := e.commit(ctx); err != nil {
			return nil, err
		}
		e.count(r.step)
		e.explain(r.step.stage, Fetching, r.step.target.String(), "", discovery.Decision{})
		render := e.renders(r)
		if render {
			e.stats.FetchesRendered++
		}
		return &job{r, e.generation, r.step.target, render}, nil
	}
}

// due returns the record whose turn it is: the one that was begun, or the one
// that has been due for longest.
func (e *Engine) due() *record {
	if e.current != nil {
		return e.current
	}
	var first *record
	var future []*record
	for _, r := range e.pages {
		switch {
		case r.Last.After(e.now):
			future = append(future, r)
		case r.Due.After(e.now):
		case first == nil || r.Due.Before(first.Due) || r.Due.Equal(first.Due) && r.id < first.id:
			first = r
		}
	}
	// The clock was set back: their delay starts again.
	slices.SortFunc(future, func(a, b *record) int { return strings.Compare(a.id, b.id) })
	for _, r := range future {
		r.Last, r.Due = e.now, e.now.Add(e.config.Timing.Delay)
		e.touch(labelRecord, r.id)
	}
	return first
}

// prepare checks a record before a fetch and reports whether to fetch. If not,
// the record is settled.
func (e *Engine) prepare(r *record) (bool, error) {
	if r.step == nil {
		step, d := e.plan(r)
		if step == nil {
			e.refuse(StageDue, r, string(d.Rule), d)
			return false, nil
		}
		r.step = step
	}
	switch {
	case !r.Query && e.isPrivate(r.URL):
		e.explain(StageDue, Dropped, r.URL, reasonKnown, discovery.Decision{})
		e.drop(r)
		return false, nil
	case !r.Query && r.Source != "" && e.isPrivate(r.Source):
		return false, e.withholdRecord(StageDue, r, reasonSource, discovery.Decision{})
	case !r.Query && e.undecided(r):
		return false, nil
	case e.settled(r):
		e.explain(StageDue, Dropped, r.URL, reasonReported, discovery.Decision{})
		e.drop(r)
		return false, nil
	case r.step.stage == StageTriple && r.Fetches >= maxFetches:
		r.step.rest = nil
		return false, e.failed(r, reasonFetches)
	case r.Attempts >= maxAttempts:
		return false, e.giveUp(r, reasonAttempts)
	case r.Fetches >= maxFetches:
		return false, e.giveUp(r, reasonFetches)
	case !r.Query && e.isPrivate(r.step.target.String()):
		return false, e.failed(r, reasonKnown)
	}
	return true, nil
}

func (e *Engine) count(s *step) {
	st := &e.stats
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
func (e *Engine) conclude(ctx context.Context, j *job, response discovery.Response, failure error) error {
	r := j.record
	if j.generation != e.generation || e.off || e.current != r {
		return nil // the history was cleared, private mode began, or the page was visited again
	}
	var err error
	switch {
	case ctx.Err() != nil: // the engine is being ended: no evidence about the page
		r.Attempts--
		e.touch(labelRecord, r.id)
	case failure == nil && response.URL.WithoutFragment() != j.target:
		err = e.failed(r, reasonNotPublic)
	case failure == nil:
		err = e.answered(r, anonymous.New(j.target, response.Robots, response.Body))
	case errors.Is(failure, discovery.ErrPrivate):
		err = e.failed(r, failure.Error())
	default:
		e.stats.NetworkFailures++
		err = e.unreachable(r)
	}
	commitErr := e.commit(context.WithoutCancel(ctx))
	if commitErr != nil {
		e.outbox = nil // what is not stored as reported must not be emitted
	}
	return errors.Join(err, commitErr)
}

// unreachable puts a record off after a failure of the network. A shorter URL
// is tried once only.
func (e *Engine) unreachable(r *record) error {
	if r.step.stage == StageTriple || r.step.sitemap {
		return e.failed(r, "the network failed")
	}
	if r.Attempts >= maxAttempts {
		return e.giveUp(r, reasonAttempts)
	}
	e.explain(r.step.stage, Retrying, r.URL, "", discovery.Decision{})
	r.Due = e.now.Add(e.config.Timing.Retry)
	r.step, e.current = nil, nil
	e.touch(labelRecord, r.id)
	return nil
}

// giveUp settles a record that cannot be fetched: a page is private then.
func (e *Engine) giveUp(r *record, reason string) error {
	if !r.Query {
		return e.withholdRecord(StageDue, r, reason, discovery.Decision{})
	}
	e.explain(StageQuery, Dropped, r.Search.Query, reason, discovery.Decision{})
	e.drop(r)
	return nil
}

// failed settles a step that showed no public page.
func (e *Engine) failed(r *record, reason string) error {
	none := discovery.Decision{}
	switch s := r.step; s.stage {
	case StageLink:
		if next := e.furtherProof(r); next != nil {
			r.step, r.Attempts = next, 0
			e.touch(labelRecord, r.id)
			return nil
		}
		if s.doubt != nil {
			return e.withholdRecord(StageDouble, r, string(s.doubt.Rule), *s.doubt)
		}
		e.refuse(StageLink, r, reason, none)
		return nil
	case StageQuery:
		e.explain(StageQuery, Dropped, r.Search.Query, reason, none)
		e.drop(r)
		return nil
	case StageTriple:
		e.explain(StageTriple, Dropped, s.target.String(), reason, none)
		return e.shorter(r)
	}
	return e.withholdRecord(StageDouble, r, reason, none)
}

// answered takes the answer to a fetch that succeeded.
func (e *Engine) answered(r *record, p anonymous.Page) error {
	if r.step.stage != StageLink && (discovery.IsFeed(p.Body()) || p.URL().IsRobots()) {
		return e.failed(r, reasonNotPublic)
	}
	switch r.step.stage {
	case StageLink:
		return e.linkFetched(r, p)
	case StageTriple:
		return e.shorterFetched(r, p)
	case StageQuery:
		return e.queryFetched(r, p)
	}
	return e.pageFetched(r, p)
}

// linkFetched takes what was fetched for evidence: a page that links to the page,
// a result page or a feed that lists it.
func (e *Engine) linkFetched(r *record, p anonymous.Page) error {
	s := r.step
	target := s.about(r)
	next := &step{stage: StageDouble, target: target, page: s.page, doubt: s.doubt, instead: target != r.url}
	switch {
	case s.search:
		q, err := message.NewQuery(e.config.Bundle, r.found(), p)
		if err != nil || !q.Lists(next.target) {
			return e.failed(r, reasonUnlisted)
		}
		next.listing = q
	case s.robots:
		s.rest = e.config.Rules.RobotsSitemaps(p.URL(), p.Body())
		return e.failed(r, reasonUnlisted)
	case s.feed:
		if s.index { // of an index within an index no more is read
			s.within = e.config.Rules.Sitemaps(p.URL(), p.Body())
		}
		if !discovery.Lists(p.URL(), p.Body(), next.target) {
			return e.failed(r, reasonUnlisted)
		}
		next.listed = &p
	default:
		sig, err := discovery.Sign(p.URL(), p.Robots(), p.Body())
		if err != nil || !sig.Indexable {
			return e.failed(r, reasonUnlinked)
		}
		link := discovery.Evidence{PublicLink: true}
		if e.config.Rules.Page(next.target, link).Verdict != discovery.Public {
			feed, ok := e.config.Rules.Feed(p.URL(), p.Body())
			if !ok || e.isPrivate(feed.String()) {
				return e.failed(r, reasonUnlisted)
			}
			r.step, r.Attempts = &step{stage: StageLink, target: feed, feed: true, page: s.page, doubt: s.doubt}, 0
			e.touch(labelRecord, r.id)
			return nil
		}
		if !discovery.LinksTo(p.URL(), p.Body(), next.target) {
			return e.failed(r, reasonUnlinked)
		}
		next.from = &p
	}
	r.step = next
	r.Attempts--
	e.touch(labelRecord, r.id)
	if next.page != nil {
		return e.compare(r, next.page)
	}
	return nil
}

// pageFetched compares the page as anybody gets it with the page as shown.
func (e *Engine) pageFetched(r *record, p anonymous.Page) error {
	page, err := message.NewPage(p)
	if err != nil {
		return e.withholdRecord(StageDouble, r, reasonLimits, discovery.Decision{})
	}
	return e.compare(r, page)
}

// compare compares strictly unless there is evidence and the page names itself: a
// link proves that the address is public, not that everybody is shown the same
// there. If only the lax comparison would pass, evidence is sought first.
func (e *Engine) compare(r *record, page *message.Page) error {
	s, rules := r.step, e.config.Rules
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
	d := rules.Compare(*r.Before, page.Signature(), level)
	if d.Rule == discovery.RuleCompareShell && e.config.RenderPages && !s.render {
		next := *s
		next.render, next.page, next.doubt = true, nil, nil
		r.step, r.Attempts = &next, 0
		e.touch(labelRecord, r.id)
		return nil
	}
	if d.Verdict != discovery.Public {
		if !s.evident() && named && rules.Compare(*r.Before, page.Signature(), discovery.Lax).Verdict == discovery.Public {
			if next := e.proof(r, s.target); next != nil {
				next.page, next.doubt = page, &d
				r.step, r.Attempts = next, 0
				e.touch(labelRecord, r.id)
				return nil
			}
		}
		return e.withholdRecord(StageDouble, r, string(d.Rule), d)
	}
	e.stats.Public++
	e.explain(StageDouble, Found, s.target.String(), "", d)
	s.page, s.rest, r.Attempts = page, rules.CleanURLs(s.target, page.Signature()), 0
	return e.shorter(r)
}

// shorter goes on to the next shorter URL, or reports the page if no shorter URL is left.
func (e *Engine) shorter(r *record) error {
	s := r.step
	s.rest = slices.DeleteFunc(s.rest, func(u discovery.URL) bool { return e.isPrivate(u.String()) })
	if len(s.rest) == 0 {
		return e.tellPage(r, s.page)
	}
	s.stage, s.target, s.rest = StageTriple, s.rest[0], s.rest[1:]
	r.Attempts = 0
	e.touch(labelRecord, r.id)
	return nil
}

func (e *Engine) shorterFetched(r *record, p anonymous.Page) error {
	s := r.step
	page, err := message.NewPage(p)
	if err != nil {
		return e.failed(r, reasonLimits)
	}
	a, b := s.page.Signature(), page.Signature()
	d := e.config.Rules.SamePage(a, b)
	switch {
	case b.Passwords > a.Passwords:
		return e.withholdRecord(StageTriple, r, string(d.Rule), d)
	case d.Verdict != discovery.Public:
		e.explain(StageTriple, Dropped, s.target.String(), string(d.Rule), d)
		return e.shorter(r)
	}
	e.explain(StageTriple, Found, s.target.String(), "", d)
	return e.tellPage(r, page)
}

func (e *Engine) queryFetched(r *record, p anonymous.Page) error {
	q, err := message.NewQuery(e.config.Bundle, r.found(), p)
	if err != nil {
		return e.failed(r, reasonResults)
	}
	return e.tellQuery(r, q)
}

// found returns the search of a record as the bundle knows it.
func (r *record) found() bundle.Search {
	clean, _ := discovery.ParseURL(r.Search.Clean)
	return bundle.Search{Engine: r.Search.Engine, Query: r.Search.Query, Clean: clean}
}

// refuse forgets a page that the rules refuse; it is not private for that.
func (e *Engine) refuse(s Stage, r *record, reason string, d discovery.Decision) {
	e.stats.Refused++
	e.explain(s, Refused, r.URL, reason, d)
	e.drop(r)
}
