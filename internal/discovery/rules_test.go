package discovery

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

func newRules(t testing.TB) *Rules {
	t.Helper()
	r, err := NewRules()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestURLVerdicts names the threat beside each address: what must not leave.
func TestURLVerdicts(t *testing.T) {
	r := newRules(t)
	for _, c := range []struct {
		url     string
		verdict Verdict
		rule    Rule
	}{
		{"https://example.org/", Public, RuleNone},
		{"http://example.org:80/a", Public, RuleNone},
		{"https://www.example.org/2024/05/17/the-long-history-of-the-bicycle", Public, RuleNone},
		{"https://www.example.org/news/world-europe-56912345", Public, RuleNone},
		{"https://www.example.org/shop?p=123456", Public, RuleNone},
		{"https://de.wikipedia.org/wiki/Stra%C3%9Fenbahn", Public, RuleNone},
		{"https://b\u00fccher.example.org/regal", Public, RuleNone},

		// Not the web, or not to be read.
		{"ftp://example.org/", Private, RuleScheme},
		{"file:///home/joe/diary.txt", Private, RuleScheme},
		{"javascript:alert(1)", Private, RuleScheme},
		{"about:blank", Private, RuleScheme},
		{"example.org/a", Private, RuleUnreadable},
		{"https://exa mple.org/", Private, RuleUnreadable},

		// What a person typed, under whatever name.
		{"https://www.example.org/s?wd=divorce+lawyer", Mask, RuleQueryKeyword},
		{"https://www.example.org/find?about=divorce%20lawyer", Mask, RuleQueryText},
		{"https://www.example.org/find?about=divorce-lawyer", Public, RuleNone},

		// A short token below the name of a site.
		{"https://q7xk2vzp.example.org/", Private, RuleHostToken},
		{"https://kxqvzjwp.example.org/", Private, RuleHostToken},
		{"https://harbours.example.org/", Public, RuleNone},
		{"https://subscribe.news.example.org/", Public, RuleNone},

		// International names are read before they are judged.
		{"https://kqzvxwtrplmnbdghä.example.org/", Private, RuleHostToken},
		{"https://münchen.example.org/", Public, RuleNone},

		// The fragment is looked at first, so that none is too long to be seen.
		{"https://example.org/app#" + strings.Repeat("route/", 200), Mask, RuleFragment},

		// Access that a person has and others do not.
		{"https://joe:secret@example.org/", Private, RuleCredentials},
		{"https://joe@example.org/", Private, RuleCredentials},
		{"https://example.org:8443/", Private, RulePort},
		{"http://example.org:443/", Public, RuleNone},

		// Addresses in all spellings: private networks.
		{"http://127.0.0.1/", Private, RuleHostAddress},
		{"http://0x7f.1/", Private, RuleHostAddress},
		{"http://017700000001/", Private, RuleHostAddress},
		{"http://2130706433/", Private, RuleHostAddress},
		{"http://１２７．０．０．１/", Private, RuleHostAddress},
		{"http://%31%32%37.1/", Private, RuleHostAddress},
		{"http://192.168.1.1./", Private, RuleHostAddress},
		{"https://[::1]/", Private, RuleHostAddress},
		{"https://[::ffff:10.0.0.1]/", Private, RuleHostAddress},
		{"https://93.184.216.34/", Private, RuleHostAddress},
		{"http://10.0.0.1.nip.io/", Private, RuleHostEmbedded},
		{"http://app.10-0-0-1.example.org/", Private, RuleHostEmbedded},

		// Names that only some networks know.
		{"http://localhost/", Private, RuleHostSpecial},
		{"http://LOCALHOST./", Private, RuleHostSpecial},
		{"http://app.localhost/", Private, RuleHostSpecial},
		{"https://printer.local/", Private, RuleHostSpecial},
		{"https://wiki.internal/", Private, RuleHostSpecial},
		{"https://router.home.arpa/", Private, RuleHostSpecial},
		{"https://expyuzz4wqqyqhjn.onion/", Private, RuleHostSpecial},
		{"https://fritz.box/", Private, RuleHostSpecial},
		{"https://printer/", Private, RuleHostSingle},
		{"https://a..example.org/", Private, RuleHostMalformed},
		{"https://a.b.c.d.e.f.example.org/", Private, RuleHostLabels},
		{"https://customer123456.example.org/", Private, RuleHostDigits},
		{"https://a-b-c-d-e-f.example.org/", Private, RuleHostHyphens},
		{"https://" + strings.Repeat("abcde.", 5) + strings.Repeat("x", 25) + ".org/", Private, RuleHostLength},
		{"https://d1kq7vbzx9xk.cloud.example.org/", Private, RuleHostToken},

		// Capability links.
		{"https://example.org/i/9f86d081884c7d65", Mask, RulePathToken},
		{"https://example.org/s/abc123def456ghi/file.pdf?dl=0", Mask, RulePathToken},
		{"https://example.org/invite/0123456789abcdef0123456789abcdef", Mask, RulePathKeyword},
		{"https://example.org/v/123e4567-e89b-12d3-a456-426614174000", Mask, RulePathToken},
		{"https://example.org/v/a23e4567-e89b-1ad3-a456-426a14c74000", Mask, RulePathToken},
		{"https://example.org/thank-you?order=123456", Mask, RulePathKeyword},
		{"https://example.org/Order_Confirmation.aspx", Mask, RulePathKeyword},
		{"https://example.org/trip/ERECY9", Mask, RulePathToken},
		{"https://example.org/a/elveUT", Mask, RulePathToken},
		{"https://example.org/c/егцютучхикапыв", Mask, RulePathToken},
		{"https://example.org/статьи/въпросите-на-читателите", Public, RuleNone},
		{"https://example.org/blog/NodeJS", Public, RuleNone},
		{"https://example.org/statements/2019/nov/18/david-mckinley/what-value-drugs-come-us-border/", Public, RuleNone},
		{"https://example.org/statements/2019/11/what-we-said-of-the-river.html", Public, RuleNone},
		{"https://example.org/statements/2019/11/18", Mask, RulePathKeyword},
		{"https://example.org/orders/2019/11/18/anna-steiner", Mask, RulePathKeyword},
		{"https://example.org/orders/2019/11/18/order-of-anna-58213", Mask, RulePathKeyword},
		{"https://example.org/unsubscribe/2019/11/18/what-we-said-of-the-river", Mask, RulePathKeyword},
		{"https://example.org/9f/86/d0/81/88/4c/7d", Mask, RulePathToken},
		{"https://example.org/2024/05/17/12/34", Public, RuleNone},
		{"https://example.org/xkq7-vbn2-zpt9", Mask, RulePathToken},
		{"https://example.org/best-bars-near-home", Public, RuleNone},
		{"https://example.org/p/12345679", Mask, RulePathNumber},
		{"https://example.org/p/20240517", Public, RuleNone},
		{"https://example.org/book/9780306406157", Public, RuleNone},
		{"https://example.org/book/the-garden-9780306406157.html", Public, RuleNone},
		{"https://example.org/book/9780306406158", Mask, RulePathToken},
		{"https://example.org/book/19780306406157", Mask, RulePathToken},
		{"https://example.org/book/9780306406157-123456789", Mask, RulePathToken},
		{"https://example.org/p/030-555-1234-99", Mask, RulePathNumber},
		{"https://example.org/a?k=dQw4w9WgXcQ", Mask, RuleQueryToken},
		{"https://example.org/a;jsessionid=1", Mask, RulePathKeyword},
		{"https://example.org/a;sid=1", Mask, RuleQueryKeyword},
		{"https://t.io/x7Kp", Mask, RuleShortener},

		// What people are called, where they are, what they type.
		{"https://example.org/unsub/joe@example.org", Mask, RuleEmail},
		{"https://example.org/unsub/joe%40example.org", Mask, RuleEmail},
		{"https://example.org/unsub/joe%2540example.org", Mask, RuleEmail},
		{"https://example.org/?m=joe%20(at)%20example.org", Mask, RuleEmail},
		{"https://example.org/map/@52.5200,13.4050,15z", Mask, RuleCoordinates},
		{"https://example.org/loc/51.50740N/0.12780W", Mask, RuleCoordinates},
		{"https://example.org/?s=my+history", Mask, RuleQueryKeyword},
		{"https://example.org/search/how+to+leave", Mask, RulePathKeyword},
		{"https://example.org/search", Public, RuleNone},
		{"https://example.org/map?ll=52.5,13.4", Mask, RuleQueryKeyword},
		{"https://example.org/go/https://example.com/x", Mask, RuleEmbeddedURL},
		{"https://example.org/go?x=https%3A%2F%2Fexample.com", Mask, RuleEmbeddedURL},
		{"https://example.org/go?user=joe", Mask, RuleQueryKeyword},
		{"https://example.org/a?zip=10117", Mask, RuleQueryKeyword},
		{"https://example.org/a?x=1&y=2", Mask, RuleQueryCount},
		{"https://example.org/a?page=abcdefghijklmnopqrstuvw", Mask, RuleQueryLength},
		{"https://example.org/a?n=12-34-56-78", Mask, RuleQueryNumber},
		{"https://example.org/a?x=a+b+c+d+e+f+g+h", Mask, RuleQueryText},
		{"https://example.org/%25252525252541", Mask, RuleEncoding},
		{"https://example.org/a%00b", Mask, RuleEncoding},
		{"https://example.org/a%ffb", Mask, RuleEncoding},
		{"https://example.org/a#0123456789", Mask, RuleFragment},
		{"https://example.org/a/b/c/d/e/f/g/h/i", Mask, RulePathDepth},
		{"https://example.org/" + strings.Repeat("word-", 200), Mask, RuleLength},
		{"https://example.org/w/pneumonoultramicroscopicsilicovolcanoconiosis", Mask, RulePathWord},
	} {
		d := r.URL(c.url, Evidence{})
		if d.Verdict != c.verdict || d.Rule != c.rule {
			t.Errorf("%s: got %s (%s), want %s %s", c.url, d, d.Why().Found, c.verdict, c.rule)
		}
	}
}

// TestWhatLeaves covers the texts of decisions: nothing private may be in them.
func TestWhatLeaves(t *testing.T) {
	r := newRules(t)
	for url, want := range map[string]string{
		"HTTPS://WWW.Example.ORG:443/a/../b c?q#top":    "https://www.example.org/b%20c?q",
		"https://example.org/i/9f86d081884c7d65?x#y":    "https://example.org/ (PROTECTED)",
		"https://joe:secret@example.org/":               "",
		"https://printer.local/":                        "",
		"https://example.org/a#9f86d081884c7d65abcdef0": "https://example.org/ (PROTECTED)",
	} {
		if d := r.URL(url, Evidence{}); d.Text != want {
			t.Errorf("%s: %q leaves, want %q", url, d.Text, want)
		}
	}
	for url, want := range map[string]string{
		"https://example.org/what/was/read": "https://example.org/ (PROTECTED)",
		"https://10.0.0.1/admin":            "",
		"https://example.org/invite/x":      "https://example.org/ (PROTECTED)",
	} {
		if d := r.Referrer(url); d.Text != want || d.Verdict == Public {
			t.Errorf("referrer %s: %q leaves (%s), want %q", url, d.Text, d, want)
		}
	}
}

func TestStrictness(t *testing.T) {
	r := newRules(t)
	for _, c := range []struct {
		url  string
		e    Evidence
		want Strictness
	}{
		{"https://example.org/a/story?x=1&y=2", Evidence{}, Strict},
		{"https://example.org/a/story?x=1&y=2", Evidence{PublicLink: true}, Lax},
		{"https://example.org/a/story?x=1&y=2", Evidence{Canonical: "https://example.org/a/story"}, Lax},
		{"https://example.org/a/story?x=1&y=2", Evidence{Canonical: "/a/story"}, Lax},
		{"https://example.org/a/story?x=1&y=2", Evidence{Canonical: "https://other.example.org/a"}, Lax}, // one registrable domain
		{"https://example.org/a/story?x=1&y=2", Evidence{Canonical: "https://other.example.com/a"}, Strict},
		{"https://anna.github.io/a/story?x=1&y=2", Evidence{Canonical: "https://bert.github.io/a"}, Strict}, // a public suffix
		{"https://example.org/a/story", Evidence{Canonical: "https://example.org/a/story"}, Strict},
		{"https://example.org/a/story#part", Evidence{Canonical: "https://example.org/a/story"}, Strict},
		{"https://example.org/a/story?x=1&y=2", Evidence{Canonical: "https://example.org/i/9f86d081884c"}, Strict},
		{"https://example.org/a/story?x=1&y=2", Evidence{Canonical: "http://["}, Strict},
	} {
		u, err := ParseURL(c.url)
		if err != nil {
			t.Fatal(err)
		}
		got, steps := r.Strictness(u, c.e)
		if got != c.want || len(steps) != 1 || steps[0].Rule != RuleStrictness {
			t.Errorf("%s with %+v: got %s %v, want %s", c.url, c.e, got, steps, c.want)
		}
		if d := r.URL(c.url, c.e); d.Strictness != c.want {
			t.Errorf("%s with %+v: decided with %s", c.url, c.e, d.Strictness)
		}
	}
	if d := r.URL("https://example.org/a/story?x=1&y=2", Evidence{PublicLink: true}); d.Verdict != Public {
		t.Errorf("lax: %s", d)
	}
	// Evidence never opens what looks like a secret.
	if d := r.URL("https://example.org/i/9f86d081884c7d65", Evidence{PublicLink: true}); d.Rule != RulePathToken {
		t.Errorf("token with evidence: %s", d)
	}
	if d := r.URL("https://example.org/search#q=long-fragment", Evidence{SearchPage: true}); d.Verdict != Public || d.Text != "https://example.org/search" {
		t.Errorf("search page: %s %q", d, d.Text)
	}
}

func TestQueryVerdicts(t *testing.T) {
	r := newRules(t)
	for query, want := range map[string]Rule{
		"Best  private browser ":          RuleNone,
		"iphone 15 pro max 256gb":         RuleNone,
		"krankenversicherungsbeitrag":     RuleNone,
		"東京 天気":                           RuleNone,
		"golang.org/pkg/net/url":          RuleNone,
		"1&1 webmail":                     RuleNone,
		"":                                RuleTextEmpty,
		"?!":                              RuleTextEmpty,
		"a\x00b":                          RuleTextEmpty,
		"a\xffb":                          RuleTextEmpty,
		strings.Repeat("abcdefgh ", 13):   RuleTextLength,
		strings.Repeat("東", 51):           RuleTextLength,
		"a b c d e f g h i j k l m n o p": RuleTextWords,
		"joe@example.org":                 RuleTextEmail,
		"joe@@example.org":                RuleTextEmail,
		"joe (at) example.org":            RuleTextEmail,
		"joe at example dot com":          RuleTextEmail,
		"joe＠example.org":                 RuleTextEmail,
		"ｊｏｅ＠ｅｘａｍｐｌｅ．ｏｒｇ":                RuleTextEmail,
		"joe@example。org":                RuleTextEmail,
		"joe\u200b@example\u00ad.org":    RuleTextEmail,
		"wiki.corp":                      RuleTextURL,
		"salaries vault.internal:8443":   RuleTextURL,
		"localhost:8080/patients/smith":  RuleTextURL,
		"localhost:8080 refused":         RuleNone,
		"python 3.12":                    RuleNone,
		"true and/or false":              RuleNone,
		"http://joe:pw@host/":            RuleTextCredentials,
		"(090)90-2 5555 3235":            RuleTextNumber,
		"4111 1111 1111 1111":            RuleTextNumber,
		"٠١٢٣٤٥٦٧٨":                      RuleTextNumber,
		"http://192.168.1.1/admin":       RuleTextURL,
		"docs.example.org/d/1aBcDe/edit": RuleTextURL,
		"aaaaaaaaaaaaaaa1bbbbbbbbbbbbbb": RuleTextWord,
		"9f86d081884c7d65":               RuleTextNumber,
		"sfc9xk2mpqwz":                   RuleTextToken,
		"key a8f3 9c2e 77b1":             RuleTextToken,
	} {
		d := r.Query(query)
		if d.Rule != want || (d.Verdict == Public) != (want == RuleNone) || d.Verdict != Public && d.Text != "" {
			t.Errorf("%q: got %s %q (%s), want %q", query, d, d.Text, d.Why().Found, want)
		}
	}
	if d := r.Query(" Best  PRIVATE browser"); d.Text != "best private browser" {
		t.Errorf("query: %q", d.Text)
	}
}

func TestTitleVerdicts(t *testing.T) {
	r := newRules(t)
	for title, want := range map[string]Rule{
		"Ranked: Best Browsers for Privacy in 2021 | A Blog": RuleNone,
		"Bundestagswahl am 2021-09-26: Ergebnisse 1990–2021": RuleNone,
		"5 < 6 and other truths":                             RuleNone,
		"\t":                                                 RuleTextEmpty,
		strings.Repeat("title ", 90):                         RuleTextLength,
		"hello <b>world</b>":                                 RuleTextMarkup,
		"hello <script src=x>":                               RuleTextMarkup,
		"Inbox (3) - joe@example.org":                        RuleTextEmail,
		"Order 1234-5678-90":                                 RuleTextNumber,
		"Call 0309 555 1234":                                 RuleTextNumber,
		"commit 356a192b7913b04c54574d18c28d46e6395428ab":    RuleTextWord,
		"build 356a192b7913b04c":                             RuleTextToken,
	} {
		if d := r.Title(title); d.Rule != want {
			t.Errorf("%q: got %s (%s), want %q", title, d, d.Why().Found, want)
		}
	}
}

// TestTrace: the trace of a decision ends with its reason, and every rule of
// the table can be recognised in it.
func TestTrace(t *testing.T) {
	r := newRules(t)
	urls, queries, titles := Table()
	asked := func(rules []RuleInfo, d Decision, skip ...Rule) {
		t.Helper()
		i := 0
		for _, info := range rules {
			if slices.Contains(skip, info.Rule) {
				continue
			}
			if i >= len(d.Trace) || d.Trace[i].Rule != info.Rule {
				t.Fatalf("step %d of the trace is not %s: %v", i, info.Rule, d.Trace)
			}
			i++
		}
	}
	asked(urls, r.URL("https://example.org/story", Evidence{}), RuleUnreadable, RuleScheme, RuleReferrer)
	asked(queries, r.Query("best private browser"))
	asked(titles, r.Title("A title"))
}

// TestDecisionsDoNotPrint covers private text in logs.
func TestDecisionsDoNotPrint(t *testing.T) {
	d := newRules(t).URL("https://example.org/i/9f86d081884c7d65", Evidence{})
	var b strings.Builder
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", slog.Any("d", d))
	for _, text := range []string{fmt.Sprint(d), fmt.Sprintf("%+v", d), fmt.Sprintf("%#v", d), fmt.Sprintf("%s", d), b.String()} {
		if strings.Contains(text, "9f86") || strings.Contains(text, "example.org") || !strings.Contains(text, "mask: path.token") {
			t.Errorf("printed: %s", text)
		}
	}
}

// check is what holds of every decision.
func check(t *testing.T, d Decision) {
	t.Helper()
	if len(d.Trace) == 0 || (d.Rule == RuleNone) != (d.Verdict == Public) {
		t.Fatalf("%s with %d steps", d, len(d.Trace))
	}
	for i, s := range d.Trace {
		if last := i == len(d.Trace)-1; !last && s.Verdict != Public || last && s.Verdict != d.Verdict {
			t.Fatalf("%s: step %d of %d says %s", d, i, len(d.Trace), s.Verdict)
		}
	}
	if d.Verdict != Public && d.Why().Rule != d.Rule {
		t.Fatalf("%s is explained by %s", d, d.Why().Rule)
	}
	if (d.Verdict == Private) != (d.Text == "") {
		t.Fatalf("%s, and %q leaves", d, d.Text)
	}
}

// TestHostileInputs covers pages that want to stall the engine: none of these
// may take more than linear time. A quadratic rule would not end within a test's time.
func TestHostileInputs(t *testing.T) {
	r := newRules(t)
	const n = 1 << 18
	for _, unit := range []string{"@", "a@", ":@", "1", "1-", "a", "%25", "%", "/", "../", "&", ";=", " ", "1.234 ", "<", "</a", "é", "日", "\xff", "http:", "xn--", "0x", ".", "(at)", " dot "} {
		text := strings.Repeat(unit, n/len(unit))
		for _, url := range []string{text, "https://" + text, "https://example.org/" + text, "https://example.org/?" + text, "https://example.org/#" + text, "https://" + text + "@example.org/"} {
			check(t, r.URL(url, Evidence{Canonical: text}))
		}
		check(t, r.Query(text))
		check(t, r.Title(text))
		c := classifier(t)
		c.Classify(text, Strict)
	}
}

func FuzzURLRules(f *testing.F) {
	r := newRules(f)
	f.Add("https://example.org/a/b?c=d#e", "/a", true)
	f.Add("https://example.org/%2525252541?x=%40&y;z=@52.5200,13.4050", "", false)
	f.Fuzz(func(t *testing.T, raw, canonical string, linked bool) {
		for _, e := range []Evidence{{}, {Canonical: canonical, PublicLink: linked}} {
			d := r.URL(raw, e)
			check(t, d)
			if d.Verdict != Public {
				continue
			}
			u, err := ParseURL(d.Text)
			if err != nil || u.String() != d.Text || u.Fragment() != "" {
				t.Fatalf("%q leaves as %q", raw, d.Text)
			}
			// What may leave is judged alike when it is judged again without the evidence.
			e.Canonical = ""
			if again := r.Page(u, e); d.Strictness == Strict && again.Verdict != Public {
				t.Fatalf("%q leaves as %q, which is %s", raw, d.Text, again)
			}
		}
		d := r.Referrer(raw)
		check(t, d)
		if d.Verdict == Public {
			t.Fatalf("the referrer %q is told in full", raw)
		}
	})
}

func FuzzTextRules(f *testing.F) {
	r := newRules(f)
	f.Add("best private browser")
	f.Add("joe (at) example dot org <b> x:y@ 4111-1111")
	f.Fuzz(func(t *testing.T, text string) {
		check(t, r.Query(text))
		check(t, r.Title(text))
	})
}

// TestAnyLetters: words of all scripts and signs are judged by every rule.
func TestAnyLetters(t *testing.T) {
	r := newRules(t)
	for _, word := range []string{"RubyOnRailsКнига", "Kraftfahrzeug~haftpflicht'versicherung@gesellschaft", "日本語TitelDerSeite", "ÉtatsUnisDeBelgique", "{RubyOn}RailsBook[of]Käse", "Bookİİİİİİİİ", strings.Repeat("é", 30), strings.Repeat("aB", 40)} {
		for _, text := range []string{word, "a " + word, word + "-" + word} {
			r.Query(text)
			r.Title(text)
			for _, level := range []Evidence{{}, {PublicLink: true}, {Listed: true}} {
				r.URL("https://example.org/"+text+"/"+text+"?"+text+"="+text+"#"+text, level)
				r.URL("https://"+word+".example.org/", level)
			}
		}
	}
}
