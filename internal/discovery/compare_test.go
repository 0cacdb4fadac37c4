package discovery

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// story is the HTML of a public page; extra is put before its end.
func story(title, extra string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<html lang=en><title>%s</title><h1>%s</h1>", title, title)
	for i := range 20 {
		fmt.Fprintf(&b, "<p>Sentence %c of the story tells how the %s went on for a while, <a href=/%d>and on</a>.</p>", 'a'+i, strings.Repeat(string(rune('a'+i)), 4), i)
	}
	return b.String() + extra
}

func sign(t testing.TB, html string) Signature {
	t.Helper()
	s, err := Sign(page(t), nil, []byte(html))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCompare: what a login changes is found, what changes from one load to the
// next is not. The verdicts are those of Strict and of Lax.
func TestCompare(t *testing.T) {
	r := newRules(t)
	const title = "The long history of the bicycle"
	plain := story(title, "")
	box := "<form><input name=user><input type=password></form>"
	long := strings.Repeat("<p>More text that makes the page a long one, as pages of forums are.</p>", 40)
	for _, c := range []struct {
		name          string
		before, after string
		strict, lax   Rule
	}{
		{"the same", plain, plain, RuleNone, RuleNone},
		{"an advertisement more", story(title, "<div>Buy a new lamp now, it is cheap <a href=x>here</a></div>"), plain, RuleNone, RuleNone},
		{"counters and prices", story(title, "<p>1,234 readers like this, it costs 30</p>"), story(title, "<p>987 readers like this, it costs 3120</p>"), RuleNone, RuleNone},
		{"a counter in the title", story("(3) "+title, ""), plain, RuleNone, RuleNone},
		{"noindex for others", plain, `<meta name=robots content=noindex>` + plain, RuleCompareIndex, RuleCompareIndex},
		{"noindex as shown", `<meta name=robots content=noindex>` + plain, plain, RuleCompareIndex, RuleCompareIndex},
		{"no title", plain, story("", ""), RuleCompareTitleText, RuleCompareTitleText},
		{"a title with a number of a customer", story("Order 123 456 789 000", ""), story("Order 123 456 789 000", ""), RuleCompareTitleText, RuleCompareTitleText},
		{"nothing to see without scripts", plain, "<title>" + title + "</title><div id=app></div>", RuleCompareShell, RuleCompareShell},
		{"log in in place", plain, story(title, box), RuleComparePassword, RuleComparePassword},
		{"a wall to log in", plain, "<title>" + title + "</title><p>Please log in to read on, it takes a moment only.</p>" + box, RuleComparePassword, RuleComparePassword},
		{"log in only for the person", story(title, box), plain, RuleComparePassword, RuleComparePassword},
		{"a page to log in", "<title>Log in to the bank</title><p>Please enter your name and your password</p>" + box, "<title>Log in to the bank</title><p>Please enter your name and your password</p>" + box, RuleComparePassword, RuleComparePassword},
		{"a log in box beside a long text", story(title, box+long), story(title, box+long), RuleNone, RuleNone},
		{"a form only for the person", story(title, "<form><textarea></textarea><input><input><input></form>"), plain, RuleCompareForms, RuleCompareForms},
		{"another form for the person", story(title, "<form></form><form><textarea></textarea><input></form><form></form>"), story(title, "<form></form>"), RuleCompareForms, RuleNone},
		{"many forms only for the person", story(title, strings.Repeat("<form><input></form>", 4)), plain, RuleCompareForms, RuleCompareForms},
		{"log in by a frame", plain, story(title, "<iframe src=/auth></iframe>"), RuleCompareFrames, RuleNone},
		{"frames of others", plain, story(title, "<iframe src=https://ads.example.com></iframe>"), RuleNone, RuleNone},
		{"log in by a frame of its site", plain, story(title, "<iframe src=https://accounts.example.org/auth></iframe>"), RuleCompareFrames, RuleNone},
		{"frames of its site for both", story(title, "<iframe src=https://accounts.example.org/auth></iframe>"), story(title, "<iframe src=https://accounts.example.org/auth></iframe>"), RuleNone, RuleNone},
		{"one of the host, one of its site", story(title, "<iframe src=/auth></iframe>"), story(title, "<iframe src=https://accounts.example.org/auth></iframe>"), RuleCompareFrames, RuleNone},
		{"another time of day in the title", story("18:30: "+title, ""), story("19:05: "+title, ""), RuleNone, RuleNone},
		{"how many wait, in the title", story(title+", 12 wait", ""), story(title+", 130 wait", ""), RuleNone, RuleNone},
		{"a long number in the title", story(title+", 12345 wait", ""), story(title+", 13210 wait", ""), RuleCompareTitle, RuleNone},
		{"a number only for the person", story(title+" 12", ""), story(title, ""), RuleCompareTitle, RuleNone},
		{"a box to log in for strangers", story(title, "<form><input name=q></form>"+long), story(title, "<form><input name=q></form>"+long+box), RuleNone, RuleNone},
		{"the same, and no other form", story(title, long), story(title, long+box), RuleNone, RuleNone},
		{"the same, of few words", plain[:700], plain[:700] + box, RuleComparePassword, RuleComparePassword},
		{"the same, two passwords", story(title, long), story(title, long+box+box), RuleComparePassword, RuleComparePassword},
		{"a box to log in for the person only", story(title, long+box), story(title, long), RuleComparePassword, RuleComparePassword},
		{"the same, with text for the person", story(title, long+strings.Repeat("<p>What only Anna may read of all this.</p>", 12)), story(title, long+box), RuleComparePassword, RuleComparePassword},
		{"the same, with other text", story(title, long), strings.ReplaceAll(story(title, long), "forums", "verses of songs") + box, RuleComparePassword, RuleComparePassword},
		{"another canonical URL", `<link rel=canonical href=/a>` + plain, `<link rel=canonical href=/b>` + plain, RuleCompareCanonical, RuleCompareCanonical},
		{"no canonical URL for others", `<link rel=canonical href=/a>` + plain, plain, RuleCompareCanonical, RuleCompareCanonical},
		{"a canonical URL for others", plain, `<link rel=canonical href=/a>` + plain, RuleNone, RuleNone},
		{"another language", strings.Replace(plain, "lang=en", "lang=de-AT", 1), plain, RuleCompareLanguage, RuleNone},
		{"another region", strings.Replace(plain, "lang=en", "lang=en-GB", 1), plain, RuleNone, RuleNone},
		{"the person's name in the title", story("Welcome Anna to the long history of the bicycle", ""), story("Welcome to the long history of the bicycle", ""), RuleCompareTitle, RuleNone},
		{"another title", story("Your letters", ""), story("Please log in", ""), RuleCompareTitle, RuleCompareTitle},
		{"another title, in Japanese", story("あなたの受信トレイ", ""), story("ログインしてください", ""), RuleCompareTitle, RuleCompareTitle},
		{"a title in Japanese with a name", story("山田さんの長い自転車の歴史について", ""), story("長い自転車の歴史について", ""), RuleCompareTitle, RuleCompareTitle},
		{"a teaser of an article", story(title, strings.Repeat("<p>All that only subscribers may read of it, and it is a lot of text.</p>", 60)), plain, RuleCompareText, RuleNone},
		{"much more text", story(title, strings.Repeat("<p>All that only subscribers may read of it, and it is a lot of text.</p>", 95)), plain, RuleCompareText, RuleCompareText},
		{"much more HTML", plain, plain + "<script>" + strings.Repeat("x", 20<<10) + "</script>", RuleCompareSize, RuleNone},
		{"many more links", story(title, strings.Repeat("<a href=y></a>", 60)), plain, RuleCompareLinks, RuleNone},
		{"other words, same shape", strings.NewReplacer("Sentence", "Chapter", "the story", "a fable", "while", "year", "went", "ran").Replace(plain), plain, RuleCompareWords, RuleCompareWords},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after := sign(t, c.before), sign(t, c.after)
			for level, want := range map[Strictness]Rule{Strict: c.strict, Lax: c.lax} {
				d := r.Compare(before, after, level)
				if d.Rule != want || (d.Verdict == Public) != (want == RuleNone) || d.Strictness != level {
					t.Errorf("%s: %s (%s), want %q", level, d, d.Why().Found, want)
				}
				if d.Verdict == Public && d.Text != after.Title || d.Verdict != Public && d.Text != "" {
					t.Errorf("%s: text %q", level, d.Text)
				}
				if len(d.Trace) == 0 || d.Verdict != Public && d.Why().Rule != want {
					t.Errorf("%s: the trace ends with %q", level, d.Why().Rule)
				}
			}
		})
	}
}

// TestSamePage: two URLs with one page.
func TestSamePage(t *testing.T) {
	r := newRules(t)
	a := sign(t, story("A story", ""))
	for html, want := range map[string]Rule{
		story("A story", ""):                                  RuleNone,
		story("A story", "<p>read by 12 people</p>"):          RuleNone,
		story("Stories", ""):                                  RuleCompareTitle,
		story("A story of", ""):                               RuleCompareTitle,
		`<link rel=canonical href=/x>` + story("A story", ""): RuleCompareCanonical,
		story("A story", "<form></form>"):                     RuleCompareForms,
		strings.ReplaceAll(story("A story", ""), "went on for a while", "came to an end at last"): RuleCompareWords,
	} {
		b := sign(t, html)
		if d := r.SamePage(a, b); d.Rule != want {
			t.Errorf("%s, want %q", d, want)
		}
		if d := r.SamePage(b, a); d.Rule != want {
			t.Errorf("the other way: %s, want %q", d, want)
		}
	}
}

// drawSignature draws a signature, often near to another one.
func drawSignature(t *rapid.T, name string, near *Signature) Signature {
	n := func(field string, limit, base int) int {
		if near != nil && rapid.IntRange(0, 3).Draw(t, name+" near "+field) > 0 {
			return max(0, base+rapid.IntRange(-limit/8, limit/8).Draw(t, name+" "+field))
		}
		return rapid.IntRange(0, limit).Draw(t, name+" "+field)
	}
	words := []string{"a", "story", "news", "Anna", "log", "in", "歴史", "2024", "(3)"}
	var base Signature
	if near != nil {
		base = *near
	}
	s := Signature{
		Bytes: n("bytes", 100_000, base.Bytes), Text: n("text", 10_000, base.Text), Links: n("links", 80, base.Links), Inputs: n("inputs", 16, base.Inputs),
		Passwords: rapid.IntRange(0, 1).Draw(t, name+" passwords"), Forms: n("forms", 8, base.Forms), FramesSameHost: rapid.IntRange(0, 1).Draw(t, name+" frames"),
		Indexable: rapid.IntRange(0, 9).Draw(t, name+" indexable") > 0, Title: strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 1, 5).Draw(t, name+" title"), " "),
		Canonical: rapid.SampledFrom([]string{"", "https://a.example.org/", "https://a.example.org/b"}).Draw(t, name+" canonical"),
		Language:  rapid.SampledFrom([]string{"", "en", "en-gb", "de"}).Draw(t, name+" language"),
	}
	for i := range 40 {
		if rapid.IntRange(0, 9).Draw(t, name+" word") < 8 {
			s.Words.add(uint32(i))
		}
	}
	return s
}

// TestStrictnessIsMonotonic: what passes strictly passes laxly, and the rules
// that are symmetric are.
func TestStrictnessIsMonotonic(t *testing.T) {
	r := newRules(t)
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		a := drawSignature(t, "a", nil)
		b := drawSignature(t, "b", &a)
		if rapid.Bool().Draw(t, "alike") {
			b.Title, b.Canonical, b.Language, b.Passwords, b.FramesSameHost = a.Title, a.Canonical, a.Language, 0, a.FramesSameHost
			a.Passwords, a.Indexable, b.Indexable = 0, true, true
		}
		strict, lax := r.Compare(a, b, Strict), r.Compare(a, b, Lax)
		if strict.Verdict == Public {
			passed++
			if lax.Verdict != Public {
				t.Fatalf("passes strictly and not laxly: %s (%s)", lax, lax.Why().Found)
			}
		}
		if same := r.SamePage(a, b); same.Verdict == Public && strict.Verdict != Public {
			t.Fatalf("one page to SamePage and not to Compare: %s", strict)
		}
		for _, level := range []Strictness{Strict, Lax} {
			there := pair{before: a, after: b, level: level, tolerance: toleranceOf(level)}
			back := there
			back.before, back.after = b, a
			for _, rule := range pairRules() {
				switch rule.rule {
				case RuleCompareTitleText, RuleCompareShell, RuleCompareCanonical:
					continue // they are about the anonymous fetch
				case RuleCompareTitle:
					if level == Strict {
						continue // what only the person was shown
					}
				}
				if there.boxForStrangers() || back.boxForStrangers() {
					continue // the box is the one of the anonymous fetch
				}
				_, x := rule.check(r, there)
				_, y := rule.check(r, back)
				if (x == "") != (y == "") {
					t.Fatalf("%s, %s: %q one way, %q the other", level, rule.rule, x, y)
				}
			}
		}
	})
	if passed == 0 {
		t.Error("no pair passed strictly: nothing was tested")
	}
}

func TestSketch(t *testing.T) {
	a := sign(t, story("A story", "")).Words
	if a.Len() == 0 || a.Similarity(&a) != 100 {
		t.Fatalf("%d runs, %d %% like itself", a.Len(), a.Similarity(&a))
	}
	text, err := json.Marshal(a)
	var back Sketch
	if err != nil || json.Unmarshal(text, &back) != nil || back != a {
		t.Errorf("%s does not come back: %v", text, err)
	}
	for _, bad := range []string{`"AAAA"`, `"AAAAAg AAAA"`, `"AAAAAgAAAAI"`, `"AAAAAwAAAAI"`, `"=="`, `1`, `"` + strings.Repeat("AAAA", 100) + `"`} {
		if json.Unmarshal([]byte(bad), &back) == nil {
			t.Errorf("%s was read", bad)
		}
	}
	var none Sketch
	if none.Similarity(&none) != 100 || none.Similarity(&a) != 0 {
		t.Error("empty sketches")
	}
	// The estimate for large texts, against the exact figure of 50 %.
	var x, y Sketch
	for i := range uint32(3000) {
		h := i * 2654435761
		if i < 2250 {
			x.add(h)
		}
		if i >= 750 {
			y.add(h)
		}
	}
	if s := x.Similarity(&y); s < 30 || s > 70 || s != y.Similarity(&x) {
		t.Errorf("similarity %d %%, want about 50", s)
	}
}

// TestTitleWords: titles are cut alike in all languages.
func TestTitleWords(t *testing.T) {
	for title, want := range map[string]string{
		"The Café: (new) & open": "the café new open",
		"(12) News":              "news",
		"[3+] News":              "news",
		"(new) News":             "new news",
		"日本語":                    "日本 本語",
		"日":                      "日",
		"Tokyo東京2020":            "tokyo 東京 2020",
		"Ёлка":                   "ёлка",
		"हिन्दी समाचार":          "हिन्दी समाचार",
		"":                       "",
	} {
		got := titleWords(title)
		fields := strings.Fields(want)
		if len(got) != len(fields) {
			t.Errorf("%q: %v, want %v", title, got, fields)
			continue
		}
		for _, w := range fields {
			if !got[w] {
				t.Errorf("%q: %v, want %v", title, got, fields)
			}
		}
	}
}

// FuzzCompare compares whatever two pages.
func FuzzCompare(f *testing.F) {
	f.Add([]byte(story("A story", "")), []byte(story("A story", "<input type=password>")))
	f.Add([]byte("<title>\xff(1"), []byte("<title>日本</title><link rel=canonical href=x>"))
	r := newRules(f)
	u := page(f)
	f.Fuzz(func(t *testing.T, a, b []byte) {
		before, err := Sign(u, nil, a)
		if err != nil {
			return
		}
		after, err := Sign(u, nil, b)
		if err != nil {
			return
		}
		strict, lax := r.Compare(before, after, Strict), r.Compare(before, after, Lax)
		if strict.Verdict == Public && lax.Verdict != Public {
			t.Fatalf("passes strictly, laxly %s", lax)
		}
		if lax.Verdict == Public && (!after.Indexable || after.Title == "" || before.Passwords != after.Passwords && (before.Passwords > 0 || after.Passwords > 1)) {
			t.Fatalf("%+v passes", after)
		}
		if r.SamePage(before, after).Verdict == Public && r.SamePage(after, before).Verdict != Public {
			t.Fatal("SamePage is not symmetric")
		}
		text, err := json.Marshal(after)
		var back Signature
		if err != nil || json.Unmarshal(text, &back) != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if back != after {
			t.Fatalf("%s came back as another signature", text)
		}
	})
}
