package message

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/discovery"
	"github.com/shoal-project/shoal/internal/discovery/anonymous"
	"github.com/shoal-project/shoal/internal/discovery/bundle"
)

func now() time.Time { return time.Date(2026, 12, 1, 13, 14, 15, 0, time.UTC) }

func parseURL(t testing.TB, raw string) discovery.URL {
	t.Helper()
	u, err := discovery.ParseURL(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func testBundle(t testing.TB) *bundle.Bundle {
	t.Helper()
	signed, err := bundle.Embedded(bundle.TestSite)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.Open(signed, []ed25519.PublicKey{bundle.DevelopmentKey()}, now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sanitizer(t testing.TB, change func(*Config)) *Sanitizer {
	t.Helper()
	rules, err := discovery.NewRules()
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Rules: rules, Bundle: testBundle(t), Countries: map[string]uint64{"DE": LeastCountry, "LI": LeastCountry - 1}}
	if change != nil {
		change(&c)
	}
	s, err := NewSanitizer(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const story = `<html lang="en-GB"><head><title>All about  tea</title></head><body><p>Leaves and water.</p></body></html>`

func page(t testing.TB, url, body string, robots ...string) *Page {
	t.Helper()
	p, err := NewPage(anonymous.New(parseURL(t, url), robots, []byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func search(t testing.TB, url string) bundle.Search {
	t.Helper()
	s, ok := testBundle(t).SearchPage(parseURL(t, url))
	if !ok {
		t.Fatalf("%s is no search", url)
	}
	return s
}

// results is a result page of finch with these links.
func results(links ...string) string {
	var b strings.Builder
	b.WriteString(`<form action="/search"><input name="q"></form><ol id="results">`)
	for _, l := range links {
		fmt.Fprintf(&b, `<li class="result"><h3><a href="%s">A page about tea</a></h3></li>`, l)
	}
	return b.String() + "</ol>"
}

func stories(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("https://herald.example.org/story/%c", 'a'+i))
	}
	return all
}

func query(t testing.TB, url, body string) *Query {
	t.Helper()
	s := search(t, url)
	q, err := NewQuery(testBundle(t), s, anonymous.New(s.Clean, nil, []byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

const (
	storyURL = "https://herald.example.org/story/tea"
	finchURL = "https://finch.example.net/search?q=Green++tea&session=4711"
)

// TestRecords: what leaves, byte by byte except the drawn number.
func TestRecords(t *testing.T) {
	s := sanitizer(t, nil)
	p := page(t, storyURL, story)
	q := query(t, finchURL, results(stories(5)...))
	answer, err := NewAnswer(badQuery(), map[string]any{"query": "Green tea", "engine": "finch", "again": "marlin"})
	if err != nil {
		t.Fatal(err)
	}
	reach, err := NewAnswer(audience(), map[string]any{"host": p, "visits": int64(7)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		message Message
		want    string
	}{
		{p.Engaged(Engagement{Dwell: 75 * time.Second, Scrolls: 6, Mouse: 1000, Links: 2, Keys: 17, Copies: -3}), `"page","version":1,"day":"2026-12-01","country":"DE","fields":{"activity":3,"dwell":60,"url":"https://herald.example.org/story/tea"}`},
		{p.Engaged(Engagement{Dwell: -time.Hour}), `"page","version":1,"day":"2026-12-01","country":"DE","fields":{"activity":0,"dwell":0,"url":"https://herald.example.org/story/tea"}`},
		{p.Titled(), `"page_title","version":1,"day":"2026-12-01","country":"DE","fields":{"language":"en","title":"All about tea","url":"https://herald.example.org/story/tea"}`},
		{p.AfterQuery(search(t, finchURL), 1), `"page_query","version":1,"day":"2026-12-01","country":"DE","fields":{"engine":"finch","query":"green tea","url":"https://herald.example.org/story/tea"}`},
		{p.AfterPage("https://news.example.com/read/9f86d081884c7d65?user=joe"), `"page_referrer","version":1,"day":"2026-12-01","country":"DE","fields":{"referrer":"https://news.example.com/ (PROTECTED)","url":"https://herald.example.org/story/tea"}`},
		{q, `"query","version":1,"day":"2026-12-01","country":"DE","fields":{"engine":"finch","query":"green tea"}`},
		{q.Results()[1], `"result","version":1,"day":"2026-12-01","country":"DE","fields":{"engine":"finch","query":"green tea","rank":2,"url":"https://herald.example.org/story/b"}`},
		{answer, `"bad_query","version":1,"day":"2026-12-01","country":"DE","fields":{"again":"marlin","engine":"finch","query":"green tea"}`},
		{reach, `"audience","version":1,"day":"2026-12-01","country":"DE","fields":{"host":"herald.example.org","visits":5}`},
	} {
		r, d := s.Check(c.message, Moment{now(), "DE"})
		if d.Verdict != discovery.Public {
			t.Errorf("%s: %s", c.want, d)
			continue
		}
		text, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Replace(string(text), fmt.Sprintf(`"anti_duplicate":%d,`, r.AntiDuplicate), "", 1)
		if want := `{"name":` + c.want + `}`; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if d.Text != string(text) || d.Why().Rule != RuleRecord {
			t.Errorf("%s: explained as %q by %s", c.want, d.Text, d.Why().Rule)
		}
	}
}

func badQuery() Schema {
	return Schema{Name: "bad_query", Version: 1, Crowd: []string{"query", "engine", "again"}, Fields: append([]Field{
		{Name: "query", Kind: Words}, {Name: "engine", Kind: Engine}, {Name: "again", Kind: Engine},
	}, envelope()...)}
}

func audience() Schema {
	return Schema{Name: "audience", Version: 1, Crowd: []string{"host"}, Fields: append([]Field{
		{Name: "host", Kind: Host}, {Name: "visits", Kind: Bucket, Bounds: []int64{1, 2, 5}},
	}, envelope()...)}
}

// TestRefusals names what must not leave in any message.
func TestRefusals(t *testing.T) {
	s := sanitizer(t, nil)
	good := page(t, storyURL, story)
	titled := func(title string) *Page { return page(t, storyURL, "<title>"+title+"</title>") }
	answer := func(schema Schema, values map[string]any) Message {
		a, err := NewAnswer(schema, values)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	e := Engagement{}
	for name, c := range map[string]struct {
		message Message
		rule    discovery.Rule
	}{
		"capability link":                  {page(t, "https://herald.example.org/i/9f86d081884c7d65", story).Engaged(e), discovery.RulePathToken},
		"private host":                     {page(t, "https://printer.local/", story).Engaged(e), discovery.RuleHostSpecial},
		"other port":                       {page(t, "https://herald.example.org:8443/", story).Engaged(e), discovery.RulePort},
		"noindex by meta":                  {page(t, storyURL, `<meta name=robots content=noindex>`+story).Engaged(e), RuleNoindex},
		"noindex by header":                {page(t, storyURL, story, "noindex").Engaged(e), RuleNoindex},
		"no title":                         {titled("").Engaged(e), discovery.RuleTextEmpty},
		"e-mail in title":                  {titled("Inbox of joe@example.org").Engaged(e), discovery.RuleTextEmail},
		"number in title":                  {titled("Order 1234-5678-90").Titled(), discovery.RuleTextNumber},
		"token in title":                   {titled("build 356a192b7913b04c").AfterPage("https://news.example.com/"), discovery.RuleTextToken},
		"two links from the search":        {good.AfterQuery(search(t, finchURL), 2), RuleDepth},
		"depth zero":                       {good.AfterQuery(search(t, finchURL), 0), RuleDepth},
		"query with a number":              {good.AfterQuery(search(t, "https://finch.example.net/search?q=call+0309+555+1234"), 1), discovery.RuleTextNumber},
		"query with an address":            {query(t, "https://finch.example.net/search?q=joe%40example.org", results(stories(5)...)), discovery.RuleTextEmail},
		"search that no bundle knows":      {good.AfterQuery(bundle.Search{Engine: "finch", Query: "tea", Clean: parseURL(t, "https://evil.example.org/search?q=tea")}, 1), RuleEngine},
		"search with other words":          {good.AfterQuery(bundle.Search{Engine: "finch", Query: "secret", Clean: parseURL(t, "https://finch.example.net/search?q=tea")}, 1), RuleEngine},
		"private referrer":                 {good.AfterPage("https://10.0.0.1/"), discovery.RuleHostAddress},
		"no referrer":                      {good.AfterPage(""), discovery.RuleUnreadable},
		"second page of results":           {page(t, "https://finch.example.net/search?page=2", story).Engaged(e), RuleSearch},
		"three results":                    {query(t, finchURL, results(stories(3)...)), RuleResults},
		"one result five times":            {query(t, finchURL, results(slices.Repeat(stories(1), 5)...)), RuleResults},
		"five results, two of them closed": {query(t, finchURL, results(append(stories(3), "https://herald.example.org/login/9f86d081884c7d65", "https://10.0.0.1/")...)), RuleResults},
		"result that is closed":            {query(t, finchURL, results(append([]string{"https://herald.example.org/login/9f86d081884c7d65"}, stories(5)...)...)).Results()[0], RuleResults},
		"answer about a closed page":       {answer(audience(), map[string]any{"host": page(t, "https://herald.example.org/i/9f86d081884c7d65", story), "visits": int64(1)}), discovery.RulePathToken},
		"answer with a bad query":          {answer(badQuery(), map[string]any{"query": "joe@example.org", "engine": "finch", "again": "marlin"}), discovery.RuleTextEmail},
		"answer with unknown engine":       {answer(badQuery(), map[string]any{"query": "tea", "engine": "finch", "again": "joe"}), RuleEngine},
	} {
		r, d := s.Check(c.message, Moment{now(), "DE"})
		if d.Verdict != discovery.Private || d.Rule != c.rule || r.Name != "" || r.Fields != nil || d.Text != "" {
			t.Errorf("%s: %s (%s), %+v; want %s", name, d, d.Why().Found, r.Fields, c.rule)
		}
	}
	if _, d := s.Check(good.Engaged(e), Moment{}); d.Rule != RuleTime {
		t.Errorf("without a time: %s", d)
	}
	dry := sanitizer(t, func(c *Config) { c.Rand = bytes.NewReader([]byte{1, 2}) })
	if _, d := dry.Check(good.Engaged(e), Moment{Now: now()}); d.Rule != RuleRandom {
		t.Errorf("without randomness: %s", d)
	}
	bare := sanitizer(t, func(c *Config) { c.Bundle = nil })
	if _, d := bare.Check(query(t, finchURL, results(stories(5)...)), Moment{Now: now()}); d.Rule != RuleEngine {
		t.Errorf("without a bundle: %s", d)
	}
}

// TestTraceIsWhole: the trace names every rule that was asked, in the form that
// decisions have everywhere.
func TestTraceIsWhole(t *testing.T) {
	s := sanitizer(t, nil)
	_, d := s.Check(page(t, storyURL, story).AfterQuery(search(t, finchURL), 1), Moment{now(), "DE"})
	asked := map[discovery.Rule]bool{}
	for _, step := range d.Trace {
		asked[step.Rule] = true
	}
	urls, queries, titles := discovery.Table()
	skip := []discovery.Rule{discovery.RuleUnreadable, discovery.RuleScheme, discovery.RuleReferrer}
	for _, list := range [][]discovery.RuleInfo{urls, queries, titles} {
		for _, info := range list {
			if !slices.Contains(skip, info.Rule) && !asked[info.Rule] {
				t.Errorf("%s was not asked again", info.Rule)
			}
		}
	}
	for _, rule := range []discovery.Rule{RuleDepth, RuleNoindex, RuleSearch, RuleEngine, RuleCountry, RuleRecord} {
		if !asked[rule] {
			t.Errorf("%s is not in the trace", rule)
		}
	}
}

// TestNothingShownLeaves: text of the page that the person saw cannot come into
// a message, because no constructor takes it.
func TestNothingShownLeaves(t *testing.T) {
	s := search(t, finchURL)
	if _, err := NewQuery(testBundle(t), s, anonymous.New(parseURL(t, finchURL), nil, []byte(results(stories(5)...)))); !errors.Is(err, ErrNotSearch) {
		t.Errorf("the page as it was shown is read: %v", err)
	}
	if _, err := NewQuery(testBundle(t), s, anonymous.New(s.Clean, nil, []byte(story))); !errors.Is(err, ErrNoResults) {
		t.Errorf("a page without results: %v", err)
	}
	// The packages that may declare a page as fetched anonymously, beside tests.
	allowed := []string{"lifecycle"}
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if x, ok := n.(*ast.SelectorExpr); ok && x.Sel.Name == "New" {
				if pkg, ok := x.X.(*ast.Ident); ok && pkg.Name == "anonymous" && !slices.Contains(allowed, filepath.Base(filepath.Dir(name))) {
					t.Errorf("%s makes a page of an anonymous request: only %v may", name, allowed)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestEvidence: a link on a page that was fetched anonymously relaxes counts,
// and never opens a secret.
func TestEvidence(t *testing.T) {
	s := sanitizer(t, nil)
	long := "https://herald.example.org/story?section=teapots&page=2"
	p := page(t, long, story)
	if _, d := s.Check(p.Engaged(Engagement{}), Moment{Now: now()}); d.Rule != discovery.RuleQueryCount || d.Strictness != discovery.Strict {
		t.Errorf("without evidence: %s, %s", d, d.Strictness)
	}
	for body, want := range map[string]bool{
		`<a href="/story?section=teapots&amp;page=2#top">tea</a>`:                               true,
		`<base href="https://herald.example.org/x/"><a href="../story?section=teapots&page=2">`: true,
		`<area href="https://herald.example.org/story?section=teapots&page=2">`:                 true,
		`<a href="/story?section=teapots&page=3">tea</a>`:                                       false,
		`<base href="https://other.example.org/"><a href="/story?section=teapots&page=2">`:      false,
		`<!-- <a href="/story?section=teapots&page=2"> -->`:                                     false,
		`<img href="/story?section=teapots&page=2">`:                                            false,
	} {
		from := anonymous.New(parseURL(t, "https://herald.example.org/"), nil, []byte(body))
		_, d := s.Check(p.Linked(from).Engaged(Engagement{}), Moment{Now: now()})
		if got := d.Verdict == discovery.Public; got != want {
			t.Errorf("linked by %s: %s", body, d)
		}
	}
	// What a page states about itself is no evidence: a link to itself, a canonical URL.
	forged := `<a href="/story?section=teapots&page=2">tea</a><link rel=canonical href="/story">` + story
	self := anonymous.New(parseURL(t, long), nil, []byte(forged))
	if _, d := s.Check(page(t, long, forged).Linked(self).Engaged(Engagement{}), Moment{Now: now()}); d.Verdict != discovery.Private || d.Strictness != discovery.Strict {
		t.Errorf("a page that speaks for itself: %s, %s", d, d.Strictness)
	}
	secret := page(t, "https://herald.example.org/i/9f86d081884c7d65", story)
	from := anonymous.New(parseURL(t, "https://herald.example.org/"), nil, []byte(`<a href="/i/9f86d081884c7d65">`))
	if _, d := s.Check(secret.Linked(from).Engaged(Engagement{}), Moment{Now: now()}); d.Rule != discovery.RulePathToken || d.Strictness != discovery.Lax {
		t.Errorf("a secret with a link to it: %s", d)
	}
}

// TestExpiredBundle: a bundle that expires while it is in use speaks for no
// search any more.
func TestExpiredBundle(t *testing.T) {
	s := sanitizer(t, nil)
	q := query(t, finchURL, results(stories(6)...))
	end := testBundle(t).Expires()
	for _, m := range []Message{q, q.Results()[0], page(t, storyURL, story).AfterQuery(search(t, finchURL), 1)} {
		if _, d := s.Check(m, Moment{Now: end.Add(-time.Second)}); d.Verdict != discovery.Public {
			t.Errorf("%T before the end: %s", m, d)
		}
		if _, d := s.Check(m, Moment{Now: end}); d.Rule != RuleEngine || d.Verdict != discovery.Private {
			t.Errorf("%T at the end: %s", m, d)
		}
	}
}

// TestEnvelope: time to the day, countries by their size, numbers drawn afresh.
func TestEnvelope(t *testing.T) {
	s := sanitizer(t, nil)
	m := page(t, storyURL, story).Engaged(Engagement{})
	for country, want := range map[string]string{"DE": "DE", "LI": "--", "": "--", "XX": "--", "joe": "--"} {
		if r, _ := s.Check(m, Moment{now(), country}); r.Country != want {
			t.Errorf("%q is told as %q", country, r.Country)
		}
	}
	east := time.FixedZone("east", 9*3600)
	if r, _ := s.Check(m, Moment{Now: time.Date(2026, 12, 2, 3, 0, 0, 0, east)}); r.Day != "2026-12-01" {
		t.Errorf("the day is that of the place: %s", r.Day)
	}
	seen := map[uint32]bool{}
	low := 0
	const n = 2000
	for range n {
		r, _ := s.Check(m, Moment{Now: now()})
		if r.AntiDuplicate >= numbers {
			t.Fatalf("number %d", r.AntiDuplicate)
		}
		seen[r.AntiDuplicate] = true
		if r.AntiDuplicate < numbers/2 {
			low++
		}
	}
	if len(seen) < n-5 || low < n/2-200 || low > n/2+200 {
		t.Errorf("%d different numbers of %d, %d in the lower half", len(seen), n, low)
	}
	for _, c := range []Config{{}, {Rules: s.config.Rules, Countries: map[string]uint64{"de": 1}}} {
		if _, err := NewSanitizer(c); err == nil {
			t.Errorf("%+v makes a sanitizer", c.Countries)
		}
	}
}

func TestNewAnswerRefuses(t *testing.T) {
	p := page(t, storyURL, story)
	with := func(f Field) Schema { s := audience(); s.Fields = append(s.Fields, f); return s }
	for name, c := range map[string]struct {
		schema Schema
		values map[string]any
	}{
		"a field is missing":       {audience(), map[string]any{"host": p}},
		"a value without field":    {audience(), map[string]any{"host": p, "visits": int64(1), "more": int64(1)}},
		"a host that is text":      {audience(), map[string]any{"host": "herald.example.org", "visits": int64(1)}},
		"no page":                  {audience(), map[string]any{"host": (*Page)(nil), "visits": int64(1)}},
		"a number that is text":    {audience(), map[string]any{"host": p, "visits": "1"}},
		"a title":                  {with(Field{Name: "title", Kind: Title}), map[string]any{"host": p, "visits": int64(1), "title": "x"}},
		"what the linter refuses":  {with(Field{Name: "note", Kind: Text}), map[string]any{"host": p, "visits": int64(1), "note": "x"}},
		"a schema without a crowd": {Schema{Name: "x", Fields: audience().Fields}, map[string]any{"host": p, "visits": int64(1)}},
	} {
		if a, err := NewAnswer(c.schema, c.values); err == nil {
			t.Errorf("%s: %+v", name, a)
		}
	}
}

// TestRecordsDoNotPrint covers private text in logs.
func TestRecordsDoNotPrint(t *testing.T) {
	r, d := sanitizer(t, nil).Check(page(t, storyURL, story).Engaged(Engagement{}), Moment{Now: now()})
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", slog.Any("r", r), slog.Any("d", d))
	for _, text := range []string{fmt.Sprint(r), fmt.Sprintf("%+v", r), fmt.Sprintf("%#v", r), fmt.Sprintf("%s", r), b.String()} {
		if strings.Contains(text, "herald") || !strings.Contains(text, "record page") {
			t.Errorf("printed: %s", text)
		}
	}
}

// FuzzSanitizer: whatever is put into a message, what leaves would pass again.
func FuzzSanitizer(f *testing.F) {
	rules, err := discovery.NewRules()
	if err != nil {
		f.Fatal(err)
	}
	b := testBundle(f)
	s := sanitizer(f, nil)
	f.Add(storyURL, []byte(story), "Green tea", "https://news.example.com/x", int64(75), 1)
	f.Add("https://herald.example.org/a?b=c#d", []byte("<title>joe@example.org</title>"), "joe at example dot org", "http://10.1/", int64(-1), 2)
	f.Fuzz(func(t *testing.T, raw string, body []byte, words, referrer string, n int64, depth int) {
		u, err := discovery.ParseURL(raw)
		if err != nil {
			return
		}
		p, err := NewPage(anonymous.New(u, nil, body))
		if err != nil {
			return
		}
		clean, err := discovery.ParseURL("https://finch.example.net/search?q=" + words)
		if err != nil {
			return
		}
		from, _ := b.SearchPage(clean)
		messages := []Message{
			p.Engaged(Engagement{Dwell: time.Duration(n), Scrolls: int(n), Mouse: depth}), p.Titled(),
			p.AfterQuery(from, depth), p.AfterPage(referrer),
		}
		if a, err := NewAnswer(badQuery(), map[string]any{"query": words, "engine": "finch", "again": "marlin"}); err == nil {
			messages = append(messages, a)
		}
		if q, err := NewQuery(b, from, anonymous.New(from.Clean, nil, body)); err == nil {
			messages = append(append(messages, q), q.Results()...)
		}
		for _, m := range messages {
			r, d := s.Check(m, Moment{Now: now()})
			if (d.Verdict == discovery.Public) != (r.Name != "") || d.Verdict == discovery.Mask || len(d.Trace) == 0 || d.Why().Verdict != d.Verdict {
				t.Fatalf("%s with record %q", d, r.Name)
			}
			if r.Name == "" {
				continue
			}
			again(t, rules, m.Schema(), r)
		}
	})
}

// again judges each field of a record from nothing but itself.
func again(t *testing.T, rules *discovery.Rules, s Schema, r Record) {
	t.Helper()
	if !slices.Equal(slices.Sorted(maps.Keys(r.Fields)), fieldNames(s)) {
		t.Fatalf("fields %v", slices.Sorted(maps.Keys(r.Fields)))
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		text, _ := r.Fields[f.Name].(string)
		switch f.Kind {
		case URL:
			if d := rules.URL(text, discovery.Evidence{PublicLink: true}); d.Text != text {
				t.Fatalf("%q leaves, and is %s", text, d)
			}
		case Words:
			if d := rules.Query(text); d.Text != text {
				t.Fatalf("%q leaves, and is %s", text, d)
			}
		case Title:
			if d := rules.Title(text); d.Text != text {
				t.Fatalf("%q leaves, and is %s", text, d)
			}
		case Masked:
			if !strings.HasSuffix(text, "/ (PROTECTED)") {
				t.Fatalf("the referrer %q leaves", text)
			}
		case Bucket:
			if n, ok := r.Fields[f.Name].(int64); !ok || !slices.Contains(f.Bounds, n) {
				t.Fatalf("%s: %v", f.Name, r.Fields[f.Name])
			}
		}
	}
}

func fieldNames(s Schema) []string {
	var names []string
	for i := range s.Fields {
		if !s.Fields[i].enveloped() {
			names = append(names, s.Fields[i].Name)
		}
	}
	slices.Sort(names)
	return names
}
