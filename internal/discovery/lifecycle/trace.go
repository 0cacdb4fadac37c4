package lifecycle

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
)

// A Stage is the point in the life of a page at which a decision was made.
type Stage string

// The stages.
const (
	StageNavigated Stage = "navigated"    // the page was shown
	StageClosed    Stage = "closed"       // the visit is over
	StageDue       Stage = "due"          // it is its turn
	StageLink      Stage = "link fetch"   // the page before was fetched, for a link
	StageDouble    Stage = "double fetch" // the page was fetched
	StageTriple    Stage = "triple fetch" // a shorter URL was fetched
	StageQuery     Stage = "search fetch" // a result page was fetched
	StageMessage   Stage = "message"      // a message passes the sanitizer, or not
	StageQuestion  Stage = "question"     // a question was asked of what was found public
	StageCleared   Stage = "history"      // the history was cleared
	StageMode      Stage = "private mode" // private mode began or ended
)

// An Outcome is what became of a page, a search or a message.
type Outcome string

// The outcomes.
const (
	Ignored  Outcome = "ignored"  // nothing of it was kept
	Waiting  Outcome = "waiting"  // it is kept, encrypted, until its time
	Refused  Outcome = "refused"  // the rules do not let it be reported; it was not fetched
	Withheld Outcome = "withheld" // private, for ever
	Fetching Outcome = "fetching" // it is fetched now
	Retrying Outcome = "retrying" // the network failed; it is tried again
	Found    Outcome = "public"   // anybody gets the page
	Told     Outcome = "told"     // a message was given to Emit
	Dropped  Outcome = "dropped"  // nothing is reported of it this time
)

// A Trace is one decision, with what it was made about. It is as private as
// that: show it to the person and do not log it; it prints as stage and outcome.
type Trace struct {
	At       time.Time
	Stage    Stage
	Outcome  Outcome
	URL      string             // or the search
	Reason   string             // in plain words
	Decision discovery.Decision // the rules behind it; the zero Decision if no rule was asked
}

// String returns stage and outcome.
func (t Trace) String() string { return fmt.Sprintf("%s: %s", t.Stage, t.Outcome) }

// GoString is String.
func (t Trace) GoString() string { return t.String() }

// Format writes String whatever the verb.
func (t Trace) Format(s fmt.State, _ rune) { fmt.Fprint(s, t.String()) }

// LogValue is String.
func (t Trace) LogValue() slog.Value { return slog.StringValue(t.String()) }

// Reasons that are counted, apart from the names of rules.
const (
	reasonSource    = "it was reached from a private page"
	reasonPublicly  = "it was reached from a private page, and from a public one before"
	reasonChain     = "more than 10 pages led to it"
	reasonKnown     = "it was found private before, or the filter says so by chance"
	reasonUnsigned  = "it was closed before its signature was ready"
	reasonFull      = "too many pages wait"
	reasonExpired   = "it waited too long"
	reasonReported  = "it was told of in the last 30 days"
	reasonUntold    = "the search that led to it was not told of"
	reasonAttempts  = "the network failed three times"
	reasonFetches   = "it took too many fetches"
	reasonNotPublic = "the anonymous fetch found no public page"
	reasonUnlinked  = "the page before, fetched anonymously, does not link to it"
	reasonUnlisted  = "neither the result page nor a feed or sitemap, fetched anonymously, lists it"
	reasonLimits    = "the page exceeds the limits of a signature"
	reasonOff       = "private mode"
	reasonWords     = "the rules do not let the words be told"
	reasonResults   = "the result page cannot be read"
)

// A trail collects the decisions about one event, and counts them.
type trail struct {
	scene  *scene
	traces []Trace
	stats  Stats
}

// reset forgets what was decided.
func (t *trail) reset() {
	t.traces = nil
	t.stats = Stats{Reasons: make(map[string]int)}
}

// page records a decision about a page.
func (t *trail) page(s Stage, o Outcome, u discovery.URL, reason string, d discovery.Decision) {
	if t.count(reason) {
		t.add(s, o, u.String(), reason, d)
	}
}

// text records a decision about what is no page: a search, a question, an event.
func (t *trail) text(s Stage, o Outcome, about, reason string, d discovery.Decision) {
	if t.count(reason) {
		t.add(s, o, about, reason, d)
	}
}

// count counts a reason, and tells whether traces are wanted.
func (t *trail) count(reason string) bool {
	if reason != "" {
		t.stats.Reasons[reason]++
	}
	return t.scene.config.Explain != nil
}

func (t *trail) add(s Stage, o Outcome, about, reason string, d discovery.Decision) {
	t.traces = append(t.traces, Trace{t.scene.now, s, o, about, reason, d})
}

// flush gives the decisions to Config.Explain.
func (t *trail) flush() {
	for _, tr := range t.traces {
		t.scene.config.Explain(tr)
	}
	t.traces = t.traces[:0]
}

// Stats counts what an engine did since it was made. Nothing in it identifies a
// page or a search.
type Stats struct {
	Navigations int
	Searches    int
	Pending     int // pages and searches that wait

	Fetches         int // all of them
	FetchesStrict   int // of pages whose URL passes the strict rules
	FetchesLinked   int // of pages whose URL passes the lax rules, after a public link to it was found
	FetchesListed   int // of pages that an anonymously fetched result page, feed or sitemap lists
	FetchesInstead  int // of a shorter URL in place of one that the rules refuse: the canonical one, or that without tracking
	FetchesEvidence int // of pages that were looked at for a public link, and of result pages, feeds and sitemaps
	FetchesShorter  int // of shorter URLs of pages found public
	FetchesSearch   int // of result pages
	FetchesRendered int // of all these, pages that were rendered
	NetworkFailures int

	Refused  int // pages whose URL the rules refuse, never fetched
	Withheld int // pages found private
	Public   int // pages found public
	Told     int // messages

	Reasons map[string]int // how often each reason or rule decided against
	// PrivateRate is the share of URLs never seen that the filter of private
	// pages takes for private, at present.
	PrivateRate float64
}
