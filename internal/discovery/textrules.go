package discovery

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A textRule looks at a title, spaces already collapsed.
type textRule struct {
	rule  Rule
	about string
	check func(r *Rules, text string) string
}

// Limits of titles, in characters, words and digits.
const (
	maxWord        = 20
	maxTitle       = 500
	maxTitleDigits = 8

	leastTitleReference = 4 // digits
	maxTitlePlainWord   = 45
)

func titleRules() []textRule {
	return []textRule{
		{RuleTextEmpty, "it is empty, or holds control characters or bytes that are no text", unreadable},
		{RuleTextLength, fmt.Sprintf("it has more than %d characters", maxTitle), func(_ *Rules, t string) string {
			return over(utf8.RuneCountInString(t), maxTitle, "characters")
		}},
		{RuleTextMarkup, "it holds a tag of HTML with attributes, a closing one, or a comment", func(_ *Rules, t string) string { return findTag(t) }},
		{RuleTextEmail, "it holds an e-mail address, as in a query", func(_ *Rules, t string) string { return findEmail(t) }},
		{RuleTextCredentials, "it holds a name and a password as in a URL", func(_ *Rules, t string) string { return findCredentials(t) }},
		{RuleTextNumber, fmt.Sprintf("more than %d digits with no letters between; dates, years and numbers in groups of thousands apart", maxTitleDigits), func(_ *Rules, t string) string {
			if number, n := longestNumber(withoutThousands(withoutDates(t)), "|"); n > maxTitleDigits {
				return number
			}
			return ""
		}},
		{RuleTextWord, fmt.Sprintf("a word has more than %d characters, or %d if it is of letters only", maxWord, maxTitlePlainWord), func(_ *Rules, t string) string { return longWord(identifierParts(t), maxTitlePlainWord) }},
		{RuleTextReference, fmt.Sprintf("a word for an order, account, booking or document before a number of %d digits or more that is no year", leastTitleReference), titleReference},
		{RuleTextToken, "a word looks like a secret (not a model's number among three other words)", func(r *Rules, t string) string {
			if len(strings.Fields(t)) > 3 {
				t = withoutModels(t)
			}
			return r.secretText(t, Lax)
		}},
	}
}

// Title decides about the title of a page. Text is the title with single spaces.
func (r *Rules) Title(title string) Decision {
	return r.text(r.title, title, collapse(title))
}

func (r *Rules) text(rules []textRule, raw, clean string) Decision {
	steps := make([]Step, 0, len(rules))
	// Rules see the text as it was typed: case distinguishes tokens from words.
	text := collapse(raw)
	for _, rule := range rules {
		if found := rule.check(r, text); found != "" {
			return private(append(steps, Step{rule.rule, text, found, Private}), Strict)
		}
		steps = append(steps, Step{rule.rule, text, "", Public})
	}
	return Decision{Verdict: Public, Text: clean, Trace: steps}
}

func collapse(s string) string { return strings.Join(strings.Fields(s), " ") }

func unreadable(_ *Rules, s string) string {
	if !strings.ContainsFunc(s, alnum) && !logograms(s) {
		return "no letter and no digit"
	}
	if !utf8.ValidString(s) {
		return "bytes that are not UTF-8"
	}
	for _, c := range s {
		if unicode.IsControl(c) || c == unicode.ReplacementChar {
			return fmt.Sprintf("U+%04X", c)
		}
	}
	return ""
}

// longWord finds a word that is too long; plain is the limit for words of letters.
func longWord(s string, plain int) string {
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return unicode.IsSpace(r) || r == '/' }) {
		if len(word) <= maxWord {
			continue
		}
		word = strings.TrimFunc(strings.Map(visible, word), func(r rune) bool { return !alnum(r) && !unicode.IsMark(r) })
		n := utf8.RuneCountInString(word)
		if n <= maxWord || logograms(word) {
			continue
		}
		limit := maxWord
		if !strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && r != '-' && r != '\'' && r != '’' }) {
			limit = plain
		}
		if n > limit {
			return word
		}
	}
	return ""
}

// visible drops what is not seen, such as soft hyphens.
func visible(r rune) rune {
	if r >= 0x80 && unicode.Is(unicode.Cf, r) {
		return -1
	}
	return r
}

// refusedURL finds a URL that the rules of URLs would not let pass.
func (r *Rules) refusedURL(q string) string {
	for word := range strings.FieldsSeq(q) {
		host, path, slash := strings.Cut(word, "/")
		switch {
		case strings.Contains(word, "://"):
		case slash && path != "" && (strings.Contains(strings.Trim(host, "."), ".") || hasPort(host)):
			word = "https://" + word
		case r.privateHost(host):
			return word
		default:
			continue
		}
		if d := r.URL(word, Evidence{}); d.Verdict != Public {
			return word
		}
	}
	return ""
}

// hasPort reports whether a host is followed by a port: localhost:8080.
func hasPort(host string) bool {
	name, port, ok := strings.Cut(host, ":")
	return ok && name != "" && port != "" && strings.Trim(port, "0123456789") == ""
}

// privateHost reports whether a word is a name of two labels or more, with a port
// or without, that no public host has (wiki.corp), or that one person runs.
func (r *Rules) privateHost(word string) bool {
	if strings.IndexByte(word, '.') < 0 {
		return false
	}
	name, _, _ := strings.Cut(strings.Trim(word, ".,;!?()[]{}<>\"'"), ":")
	if !strings.Contains(strings.Trim(name, "."), ".") {
		return false
	}
	switch r.URL("https://"+name, Evidence{}).Rule {
	case RuleHostSpecial, RuleHostPersonal, RuleHostEmbedded:
		return true
	}
	return false
}

// leastSpokenHost is how many words such a host has: name dot domain dot suffix.
const leastSpokenHost = 5

// urlInQuery finds a URL that the rules of URLs refuse, or a host that is not
// public, also one that is written with words for its dots.
func urlInQuery(r *Rules, q *queryText) string {
	if found := r.refusedURL(q.raw); found != "" {
		return found
	}
	if len(q.words) < leastSpokenHost {
		return ""
	}
	dot := r.vocabulary["dot"]
	for i := 1; i+1 < len(q.words); i++ {
		if dot.at(q.words, i) == 0 {
			continue
		}
		name := q.words[i-1]
		for i+1 < len(q.words) {
			n := dot.at(q.words, i)
			if n == 0 || i+n >= len(q.words) {
				break
			}
			name += "." + q.words[i+n]
			i += n + 1
		}
		if r.privateHost(name) {
			return name
		}
	}
	return ""
}

// secretText asks the classifier about each word, and about neighbouring words
// that hold digits: a key that is typed in groups.
func (r *Rules) secretText(s string, level Strictness) string {
	var group strings.Builder
	for word := range strings.FieldsSeq(s) {
		if kind, part := r.tokens.Classify(word, level); kind != TokenPlain {
			return part
		}
		if countDigits(word) == 0 || len(word) < 3 || countDigits(word) == len(word) {
			group.Reset()
			continue
		}
		group.WriteString(word)
		if kind, part := r.tokens.Classify(group.String(), Lax); kind != TokenPlain {
			return part
		}
	}
	return ""
}

// withoutThousands replaces numbers in groups of thousands, 100,000,000, by a
// letter: they count things.
func withoutThousands(s string) string {
	if strings.Count(s, ",") < 2 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		n := thousandsAt(s, i)
		if n == 0 {
			b.WriteByte(s[i])
			i++
			continue
		}
		b.WriteByte('d')
		i += n
	}
	return b.String()
}

func thousandsAt(s string, i int) int {
	isDigit := func(j int) bool { return j >= 0 && j < len(s) && s[j] >= '0' && s[j] <= '9' }
	if isDigit(i-1) || i > 1 && s[i-1] == ',' && isDigit(i-2) {
		return 0
	}
	end := i
	for isDigit(end) {
		end++
	}
	if end == i || end-i > 3 {
		return 0
	}
	groups := 0
	for end < len(s) && s[end] == ',' && isDigit(end+1) && isDigit(end+2) && isDigit(end+3) && !isDigit(end+4) {
		end += 4
		groups++
	}
	if groups == 0 {
		return 0
	}
	return end - i
}

// identifierParts puts spaces between the parts of the names of programs.
func identifierParts(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("._:()<>", r) {
			return ' '
		}
		return r
	}, s)
}

// titleReference finds the number of an order, an account, a document.
func titleReference(r *Rules, t string) string {
	if countDigits(t) < leastTitleReference {
		return ""
	}
	q := newQueryText(r.tokens.folder, t)
	reference := r.vocabulary["reference"]
	for i, word := range q.words {
		if countDigits(word) < leastTitleReference || countDigits(word) < len(word) || yearAt(word, 0) && len(word) == 4 {
			continue
		}
		for d := 1; d <= 2 && d <= i; d++ {
			if before := q.words[i-d]; reference.inflected(before) && (d == 1 || numberWord(q.words[i-1])) {
				return before + " " + word
			}
		}
	}
	return ""
}

// findTag finds markup that a browser would interpret: a tag with attributes, a
// closing one, a comment. A name in angle brackets alone is a type or a subject.
func findTag(s string) string {
	for i := strings.IndexByte(s, '<'); i >= 0; {
		rest := s[i+1:]
		rest = strings.TrimPrefix(rest, "/")
		if end := strings.IndexByte(rest, '>'); end > 0 {
			letter := rest[0]|0x20 >= 'a' && rest[0]|0x20 <= 'z'
			if rest[0] == '!' || letter && (len(rest) < len(s)-i-1 || strings.ContainsAny(rest[:end], "=\"'")) {
				return s[i : len(s)-len(rest)+end+1]
			}
		}
		next := strings.IndexByte(s[i+1:], '<')
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return ""
}
