package discovery

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The rules that compare two fetches of a page.
const (
	RuleCompareIndex     Rule = "compare.indexing"
	RuleCompareTitleText Rule = "compare.title-text"
	RuleCompareShell     Rule = "compare.shell"
	RuleComparePassword  Rule = "compare.password"
	RuleCompareForms     Rule = "compare.forms"
	RuleCompareFrames    Rule = "compare.frames"
	RuleCompareCanonical Rule = "compare.canonical"
	RuleCompareLanguage  Rule = "compare.language"
	RuleCompareTitle     Rule = "compare.title"
	RuleCompareSize      Rule = "compare.size"
	RuleCompareText      Rule = "compare.text"
	RuleCompareLinks     Rule = "compare.links"
	RuleCompareWords     Rule = "compare.words"
)

// Compare decides whether a page that was shown to the person (before) is the
// page that anybody gets (after: fetched without any mark of the person). The
// signatures must be of one URL. Public means yes; anything a login would
// change gives Private, and so does doubt. What passes strictly passes laxly.
// Text is the title of the anonymous fetch, if the verdict is Public.
func (r *Rules) Compare(before, after Signature, level Strictness) Decision {
	return r.comparePair(pair{before: before, after: after, level: level, tolerance: toleranceOf(level)})
}

// SamePage decides whether two anonymous fetches of different URLs gave one
// page, so that the shorter URL may be reported in place of the longer. It is
// symmetric except for the rules about titles that may leave.
func (r *Rules) SamePage(a, b Signature) Decision {
	return r.comparePair(pair{before: a, after: b, level: Strict, tolerance: twin()})
}

func (r *Rules) comparePair(p pair) Decision {
	rules := pairRules()
	steps := make([]Step, 0, len(rules))
	for _, rule := range rules {
		input, found := rule.check(r, p)
		if found != "" {
			return private(append(steps, Step{rule.rule, input, found, Private}), p.level)
		}
		steps = append(steps, Step{rule.rule, input, "", Public})
	}
	return Decision{Verdict: Public, Text: p.after.Title, Strictness: p.level, Trace: steps}
}

// Comparisons lists the rules of Compare in the order in which they are asked.
func Comparisons() []RuleInfo {
	var all []RuleInfo
	for _, r := range pairRules() {
		all = append(all, RuleInfo{r.rule, Private, r.about})
	}
	return all
}

// A pair is what the rules of a comparison look at.
type pair struct {
	before, after Signature
	level         Strictness
	tolerance     tolerance
}

// A tolerance is how much two fetches may differ.
type tolerance struct {
	twins    bool // both fetches are anonymous
	strict   bool
	size     ratio // bytes of HTML
	text     ratio // characters of text
	links    ratio
	inputs   ratio
	forms    int // difference of their numbers
	title    int // words in common, in per cent
	words    int // runs of words in common, in per cent
	password int // characters of text below which a page with a password input is private
	login    int // runs of words in common, in per cent, of pages with a password input
}

// A ratio bounds two numbers: the larger is at most factor times the smaller,
// in quarters, and slack more.
type ratio struct{ quarters, slack int }

func (r ratio) holds(a, b int) bool {
	return 4*max(a, b) <= r.quarters*min(a, b)+4*r.slack
}

func (r ratio) String() string {
	if r.quarters%4 == 0 {
		return fmt.Sprintf("%d times it and %d more", r.quarters/4, r.slack)
	}
	return fmt.Sprintf("%d.%02d times it and %d more", r.quarters/4, 25*(r.quarters%4), r.slack)
}

// minRuns is how many runs of words a page must show to anybody.
const minRuns = 5

func toleranceOf(level Strictness) tolerance {
	if level == Lax {
		return tolerance{
			size: ratio{40, 16 << 10}, text: ratio{16, 400}, links: ratio{16, 20}, inputs: ratio{16, 8},
			forms: 3, title: 75, words: 75, password: 1500, login: 75,
		}
	}
	return tolerance{
		strict: true,
		size:   ratio{16, 4 << 10}, text: ratio{8, 200}, links: ratio{8, 5}, inputs: ratio{5, 2},
		forms: 1, title: 75, words: 75, password: 2000, login: 90,
	}
}

func twin() tolerance {
	return tolerance{
		twins: true, strict: true,
		size: ratio{6, 1 << 10}, text: ratio{5, 100}, links: ratio{5, 3}, inputs: ratio{5, 1},
		forms: 0, title: 100, words: 85, password: 2000, login: 90,
	}
}

// A pairRule compares two signatures.
type pairRule struct {
	rule  Rule
	about string
	check func(*Rules, pair) (input, found string)
}

func pairRules() []pairRule {
	strict, lax := toleranceOf(Strict), toleranceOf(Lax)
	both := func(of string, s, l any) string { return fmt.Sprintf("%s (strict: %v; lax: %v)", of, s, l) }
	return []pairRule{
		{RuleCompareIndex, "one of the fetches forbids indexing, by meta or header", func(_ *Rules, p pair) (string, string) {
			if !p.before.Indexable || !p.after.Indexable {
				return "", "noindex"
			}
			return "", ""
		}},
		{RuleCompareTitleText, "the title of the anonymous fetch is empty, or the rules of titles refuse it", func(r *Rules, p pair) (string, string) {
			if d := r.Title(p.after.Title); d.Verdict != Public {
				return p.after.Title, fmt.Sprintf("%s: %s", d.Rule, d.Why().Found)
			}
			return p.after.Title, ""
		}},
		{RuleCompareShell, fmt.Sprintf("the anonymous fetch has fewer than %d runs of three words", minRuns), func(_ *Rules, p pair) (string, string) {
			if n := p.after.Words.Len(); n < minRuns {
				return fmt.Sprint(n), fmt.Sprintf("%d runs of words", n)
			}
			return fmt.Sprint(p.after.Words.Len()), ""
		}},
		{RuleComparePassword, fmt.Sprintf("one fetch asks for more passwords than the other, unless the page as shown asks for none and its text is shown to everybody (%d per cent, %d characters at least) beside a login box; or a page that asks for one has fewer characters of text, or less of it is shown to everybody, in per cent (strict: %d, %d; lax: %d, %d)", strangers, leastShown, strict.password, strict.login, lax.password, lax.login), comparePasswords},
		{RuleCompareForms, both("the numbers of forms differ by more than allowed, or one fetch has none; or the larger number of inputs exceeds the smaller by more than allowed",
			fmt.Sprintf("%d, %v", strict.forms, strict.inputs), fmt.Sprintf("%d, %v", lax.forms, lax.inputs)), compareForms},
		{RuleCompareFrames, "strict: one of the fetches has frames of its own host or site, which may hold a login, and the other none", compareFrames},
		{RuleCompareCanonical, "the canonical URLs differ, or only the page as shown to the person has one", compareCanonical},
		{RuleCompareLanguage, "strict: the pages name different languages", func(_ *Rules, p pair) (string, string) {
			a, b := primary(p.before.Language), primary(p.after.Language)
			if p.tolerance.strict && a != "" && b != "" && a != b {
				return a + ", " + b, "different languages"
			}
			return a + ", " + b, ""
		}},
		{RuleCompareTitle, both("fewer words of the titles are common to both, in per cent; strict: a word that is no counter is only in what the person was shown; numbers of three digits or fewer do not count", strict.title, lax.title), compareTitles},
		{RuleCompareSize, both("the longer HTML, in bytes, exceeds the shorter by more than allowed", strict.size, lax.size), func(_ *Rules, p pair) (string, string) {
			return within(p.tolerance.size, p.before.Bytes, p.after.Bytes, "bytes")
		}},
		{RuleCompareText, both("the longer text, in characters, exceeds the shorter by more than allowed", strict.text, lax.text), func(_ *Rules, p pair) (string, string) {
			return within(p.tolerance.text, p.before.Text, p.after.Text, "characters of text")
		}},
		{RuleCompareLinks, both("the larger number of links exceeds the smaller by more than allowed", strict.links, lax.links), func(_ *Rules, p pair) (string, string) {
			return within(p.tolerance.links, p.before.Links, p.after.Links, "links")
		}},
		{RuleCompareWords, both("fewer runs of three words are common to both texts, numbers apart, in per cent", strict.words, lax.words), func(_ *Rules, p pair) (string, string) {
			n := p.before.Words.Similarity(&p.after.Words)
			if n < p.tolerance.words {
				return fmt.Sprint(n), fmt.Sprintf("%d %% in common, wanted are %d", n, p.tolerance.words)
			}
			return fmt.Sprint(n), ""
		}},
	}
}

func numbers(a, b int) string { return fmt.Sprintf("%d, %d", a, b) }

func within(r ratio, a, b int, of string) (string, string) {
	if !r.holds(a, b) {
		return numbers(a, b), numbers(a, b) + " " + of
	}
	return numbers(a, b), ""
}

// compareFrames looks at frames of the host of the page and at those of its site.
// A session belongs to a site, so that the login of accounts.example.org may be
// in a page of www.example.org; frames of other sites get no cookies of it.
func compareFrames(_ *Rules, p pair) (string, string) {
	a, b := p.before.FramesSameHost, p.after.FramesSameHost
	if p.tolerance.strict && (a == 0) != (b == 0) {
		return numbers(a, b), numbers(a, b) + " frames of its own host"
	}
	c, d := p.before.FramesSameSite, p.after.FramesSameSite
	if p.tolerance.strict && (c == 0) != (d == 0) {
		return numbers(c, d), numbers(c, d) + " frames of its own site"
	}
	return numbers(a, b), ""
}

// A page with a box to log in for strangers only: how much of what was shown
// everybody must be shown, in per cent of the runs of words, and how many
// characters of text it must have.
const (
	strangers  = 95
	leastShown = 2000
)

// boxForStrangers reports whether the page as shown asks for no password, and
// everybody is shown the same beside a box to log in.
func (p pair) boxForStrangers() bool {
	return p.before.Passwords == 0 && p.after.Passwords == 1 && !p.tolerance.twins &&
		min(p.before.Text, p.after.Text) >= leastShown && p.before.Words.Similarity(&p.after.Words) >= strangers
}

func comparePasswords(_ *Rules, p pair) (string, string) {
	a, b := p.before.Passwords, p.after.Passwords
	switch {
	case a == 0 && b == 0, p.boxForStrangers():
	case a != b:
		return numbers(a, b), "only one asks for a password, or one for more"
	case min(p.before.Text, p.after.Text) < p.tolerance.password:
		return numbers(a, b), "a page to log in"
	default:
		if n := p.before.Words.Similarity(&p.after.Words); n < p.tolerance.login {
			return numbers(a, b), fmt.Sprintf("a page that asks for a password has %d %% in common, wanted are %d", n, p.tolerance.login)
		}
	}
	return numbers(a, b), ""
}

func compareForms(_ *Rules, p pair) (string, string) {
	a, b := p.before.Forms, p.after.Forms
	inputs := p.after.Inputs
	if p.boxForStrangers() { // which is a form with a name, a password, a box to be remembered, a button
		b, inputs = max(b-1, 0), max(inputs-4, min(p.before.Inputs, inputs))
	}
	if (a == 0) != (b == 0) || max(a, b)-min(a, b) > p.tolerance.forms {
		return numbers(a, b), numbers(a, b) + " forms"
	}
	return within(p.tolerance.inputs, p.before.Inputs, inputs, "inputs")
}

func compareCanonical(_ *Rules, p pair) (string, string) {
	a, b := p.before.Canonical, p.after.Canonical
	switch {
	case a == b, a == "" && !p.tolerance.twins:
		return b, ""
	case b == "":
		return a, "the anonymous fetch has none"
	case a == "":
		return b, "only one has one"
	}
	return a + ", " + b, "different canonical URLs"
}

func compareTitles(_ *Rules, p pair) (string, string) {
	input := p.before.Title + " | " + p.after.Title
	if smallNumbers(p.before.Title) == smallNumbers(p.after.Title) && !p.tolerance.twins {
		return input, ""
	}
	a, b := titleWords(p.before.Title), titleWords(p.after.Title)
	common := 0
	var only []string
	for w := range a {
		if b[w] {
			common++
		} else {
			only = append(only, w)
		}
	}
	if p.tolerance.strict && len(only) > 0 {
		return input, "only in what was shown: " + slices.Min(only)
	}
	union := len(a) + len(b) - common
	if union > 0 && 100*common < p.tolerance.title*union {
		return input, fmt.Sprintf("%d of %d words in common", common, union)
	}
	return input, ""
}

// titleWords returns the different words of a title, in whatever language:
// runs of letters and digits in lower case; of scripts without spaces, pairs of
// neighbouring characters. A counter before the title, as in "(3) News", is no
// word, nor is the time of day, as in "News at 18:30".
func titleWords(title string) map[string]bool {
	words := make(map[string]bool)
	for run := range strings.FieldsFuncSeq(strings.ToLower(withoutClock(withoutCounter(title))), func(r rune) bool {
		return !alnum(r) && !unicode.IsMark(r)
	}) {
		var previous rune // the last character, of those without spaces
		from := 0         // where the word begins
		for i, r := range run {
			if r <= 0x0e00 || !ideographic(r) {
				if previous != 0 {
					previous, from = 0, i
				}
				continue
			}
			if previous == 0 && from < i {
				words[run[from:i]] = true
			}
			next := i + utf8.RuneLen(r)
			switch {
			case previous != 0:
				words[string([]rune{previous, r})] = true
			case next == len(run) || !startsIdeographic(run[next:]):
				words[string(r)] = true // it is a word by itself
			}
			previous, from = r, next
		}
		if from < len(run) {
			words[run[from:]] = true
		}
	}
	return words
}

func startsIdeographic(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return ideographic(r)
}

// withoutCounter cuts "(3)" or "[12]" off the beginning.
func withoutCounter(title string) string {
	title = strings.TrimSpace(title)
	for _, ends := range []string{"()", "[]"} {
		inner, ok := strings.CutPrefix(title, ends[:1])
		if !ok {
			continue
		}
		if number, rest, ok := strings.Cut(inner, ends[1:]); ok && number != "" && strings.Trim(number, "0123456789+.,") == "" {
			return rest
		}
	}
	return title
}

// smallNumbers replaces numbers of up to three digits that are words of their own by
// a sign: how many wait, are here, are left changes from one load to the next.
func smallNumbers(title string) string {
	if !hasDigit(title) {
		return title
	}
	var b strings.Builder
	for i := 0; i < len(title); {
		n, _ := span(title, i)
		if n > 0 && n <= 3 && (i == 0 || !alnumByte(title[i-1])) && (i+n == len(title) || !alnumByte(title[i+n])) {
			b.WriteByte('#')
			i += n
			continue
		}
		n = max(n, 1)
		b.WriteString(title[i : i+n])
		i += n
	}
	return b.String()
}

// withoutClock leaves out times of day: 9:05, 18:30, 18:30:15.
func withoutClock(title string) string {
	if strings.IndexByte(title, ':') < 0 {
		return title
	}
	var b strings.Builder
	for i := 0; i < len(title); {
		if n := timeOfDay(title[i:]); n > 0 && (i == 0 || !alnumByte(title[i-1])) && (i+n == len(title) || !alnumByte(title[i+n])) {
			i += n
			continue
		}
		b.WriteByte(title[i])
		i++
	}
	return b.String()
}

// timeOfDay returns the length of a time at the beginning of s, 0 if there is no time.
func timeOfDay(s string) int {
	n, hour := span(s, 0)
	if n == 0 || n > 2 || hour > 24 {
		return 0
	}
	for part := range 2 {
		size, value := 0, 0
		if n < len(s) && s[n] == ':' {
			size, value = span(s, n+1)
		}
		if size != 2 || value > 59 {
			if part == 0 {
				return 0
			}
			break
		}
		n += 3
	}
	return n
}

func alnumByte(c byte) bool { return c >= 0x80 || alnum(rune(c)) }

// primary returns the language of a tag, without region and script.
func primary(tag string) string {
	if i := strings.IndexAny(tag, "-_"); i >= 0 {
		return tag[:i]
	}
	return tag
}
