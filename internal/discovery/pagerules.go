package discovery

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// A pageRule looks at what follows the host. What it finds means: no more than
// the host may leave.
type pageRule hostRule

func pageRules() []pageRule {
	strict, lax := limitsOf(Strict), limitsOf(Lax)
	return []pageRule{
		{RuleFragment, fmt.Sprintf("the fragment has more than %d bytes and is no name of a section (at most %d words, none a secret), unless the page is a known search page; others, and text fragments (#:~:text=), are removed", maxFragment, maxSection), func(r *Rules, s *subject) (string, string) {
			if s.evidence.SearchPage {
				return s.url.fragment, ""
			}
			return s.url.fragment, r.stateful(s.url.fragment)
		}},
		{RuleLength, fmt.Sprintf("the URL has more than %d bytes", maxURL), func(_ *Rules, s *subject) (string, string) {
			n := len(s.url.path) + len(s.url.query) + len(s.url.fragment) + len(s.host)
			return fmt.Sprint(n), over(n, maxURL, "bytes")
		}},
		{RuleEncoding, fmt.Sprintf("percent-encoding is nested more than %d times, or hides control characters or bytes that are no text", maxLayers), hiddenText},
		{RuleEmail, "path or query hold an e-mail address, however it is encoded; also (at), [at], \" dot \"", func(_ *Rules, s *subject) (string, string) {
			if mail := findEmail(s.path); mail != "" {
				return s.path, mail
			}
			return s.path + "?" + s.query, findEmail(s.query)
		}},
		{RuleEmbeddedURL, "path or query hold another URL, however it is encoded; a copy in an archive of the web is judged as the page is", func(r *Rules, s *subject) (string, string) {
			if s.copied != nil {
				if d := r.Page(*s.copied, s.evidence.ofCopy()); d.Verdict != Public {
					return s.copied.String(), "a copy of a page that is refused: " + string(d.Rule)
				}
			}
			if url := findEmbeddedURL(s.path); url != "" {
				return s.path, url
			}
			return s.path + "?" + s.query, findEmbeddedURL("=" + s.query)
		}},
		{RuleCoordinates, "path or query hold two decimal fractions side by side: a place", func(r *Rules, s *subject) (string, string) {
			for _, text := range []string{s.path, s.query} {
				if strings.Count(text, ".") >= 2 && countDigits(text) >= 8 {
					if place := findCoordinates(text); place != "" {
						return text, place
					}
				}
			}
			return s.path, ""
		}},
		{RulePathDepth, fmt.Sprintf("the path has more than %d segments", maxParts), func(_ *Rules, s *subject) (string, string) {
			return s.path, over(len(s.segments), maxParts, "segments")
		}},
		{RulePathKeyword, "a segment is about access of one person, in more than 50 languages: a word for an action (log in, log out, unsubscribe, reset, confirm, invite) and at most one other word, or only words for possessions (account, order, cart, invoice, booking, ticket, patient, share, token, ...) and fillers (my, list, status, numbers), except below folders of documentation without a number, and before a date and a title in words; or a route between places follows; strict: a segment that a person typed follows (/search/...)", pathKeyword},
		{RulePathToken, fmt.Sprintf("a part of the path looks like a secret: UUID, 12 or more hexadecimal digits (also over several segments), 9 or more digits, or %d or more letters and digits (lax: %d) that the model finds random; strict: or a code of 5 to 11 letters and digits that does not read like words or has letters and digits in turn, or a Cyrillic word in an order of letters that no language has; an ISBN with a right check digit is a book", strictToken, laxToken), func(r *Rules, s *subject) (string, string) {
			if in, found := r.token(withoutISBNs(s.segments), s.level); found != "" {
				return in, found
			}
			return s.path, scattered(s.segments)
		}},
		{RulePathNumber, fmt.Sprintf("more than %d digits (lax: %d) in a segment, whatever is between them, dates and years apart (below the date of an article each number counts alone, up to 7 digits); or a segment is a number of 8 digits that is no date and does not follow a word for what is published (question, article, news, ...)", strict.digits, lax.digits), pathNumber},
		{RulePathWord, fmt.Sprintf("a word of the path has more than %d letters (lax: %d; %d if it reads like a compound), or more than %d with digits among them", strict.word, lax.word, maxCompoundWord, maxMixedWord), pathWord},
		{RuleShortener, "the host has at most 8 characters and the path is one short code: a shortened URL", shortened},
		{RuleQueryLength, fmt.Sprintf("the decoded query has more than %d bytes (lax: %d), the page's language (lang=de) apart", strict.query, lax.query), func(_ *Rules, s *subject) (string, string) {
			return s.query, over(s.size, s.limits.query, "bytes of query")
		}},
		{RuleQueryCount, fmt.Sprintf("the query has more than %d parameter (lax: %d), the page's language apart", strict.parameters, lax.parameters), func(_ *Rules, s *subject) (string, string) {
			return s.url.query, over(s.count, s.limits.parameters, "parameters")
		}},
		{RuleQueryKeyword, "a parameter is named after users, sessions, redirects, places or tracking (user, token, ref, url, lat, utm, ...), or name or value are about access as in a path; strict: or about what a person typed (q, search, text, ...)", parameterKeyword},
		{RuleQueryNumber, fmt.Sprintf("more than %d digits (lax: %d) in a parameter, whatever is between them, dates and years apart", strict.value, lax.value), func(_ *Rules, s *subject) (string, string) {
			for _, p := range s.params {
				if number, n := longestNumber(withoutDates(p.value), ""); n > s.limits.value {
					return p.value, number
				}
			}
			return s.query, ""
		}},
		{RuleQueryToken, "the name or value of a parameter looks like a secret", func(r *Rules, s *subject) (string, string) {
			for _, p := range s.params {
				if in, found := r.token([]string{p.key, p.value}, s.level); found != "" {
					return in, found
				}
			}
			return s.query, ""
		}},
		{RuleQueryText, fmt.Sprintf("the value of a parameter is a text (it has spaces, or more than %d characters) that the rules of queries refuse; strict: it has spaces", maxMixedWord), func(r *Rules, s *subject) (string, string) {
			for _, p := range s.params {
				spaces := strings.ContainsFunc(p.value, unicode.IsSpace)
				if spaces && s.level == Strict {
					return p.value, "several words, as a person types them"
				}
				if !spaces && utf8.RuneCountInString(p.value) <= maxMixedWord {
					continue
				}
				if d := r.Query(p.value); d.Verdict != Public {
					return p.value, string(d.Rule)
				}
			}
			return s.query, ""
		}},
	}
}

// stateful finds a fragment that names another page than the URL without it:
// the state of a program, a key. The name of a section does not.
func (r *Rules) stateful(fragment string) string {
	found := over(len(fragment), maxFragment, "bytes of fragment")
	fragment, _, _ = strings.Cut(fragment, ":~:")
	name, layers := decodeAll(fragment)
	switch {
	case found == "" || len(fragment) <= maxFragment:
		return ""
	case layers > 1 || len(fragment) > maxSection || strings.ContainsAny(name, "/=&?!@;%"):
		return found
	}
	if kind, _ := r.tokens.Classify(name, Strict); kind != TokenPlain || r.tokens.code(name, Strict) != "" || countDigits(name) > maxSectionDigits {
		return found
	}
	return ""
}

func (r *Rules) token(texts []string, level Strictness) (string, string) {
	for _, text := range texts {
		if kind, part := r.tokens.Classify(text, level); kind != TokenPlain {
			return text, found(kind, part)
		}
		if part := r.tokens.code(text, level); part != "" {
			return text, "a short code: " + part
		}
	}
	return strings.Join(texts, "/"), ""
}

// scattered finds /9f/86/d0/81/88/4c: four or more short segments in a row that
// together are a hexadecimal secret.
func scattered(segments []string) string {
	var run strings.Builder
	count := 0
	for i := range len(segments) + 1 {
		if i < len(segments) && len(segments[i]) <= 8 && strings.Trim(segments[i], "0123456789abcdefABCDEF") == "" {
			run.WriteString(segments[i])
			count++
			continue
		}
		if count >= 4 && shape(run.String()) == TokenHex {
			return found(TokenHex, run.String())
		}
		run.Reset()
		count = 0
	}
	return ""
}

func hiddenText(_ *Rules, s *subject) (string, string) {
	if s.layers > maxLayers {
		return s.url.path + "?" + s.url.query, over(s.layers, maxLayers, "layers")
	}
	for _, text := range []string{s.path, s.query} {
		for _, r := range text {
			if r >= ' ' && r < 0x7f {
				continue
			}
			if r == unicode.ReplacementChar || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d' {
				return text, fmt.Sprintf("U+%04X", r)
			}
		}
	}
	return s.path, ""
}

// stem is a segment as keywords are written: lower case, hyphens, no ending.
func stem(segment string) string {
	low := strings.ReplaceAll(strings.ToLower(segment), "_", "-")
	if dot := strings.LastIndexByte(low, '.'); dot > 0 && len(low)-dot <= 6 {
		low = low[:dot]
	}
	return low
}

func pathKeyword(r *Rules, s *subject) (string, string) {
	low := strings.ToLower(s.path)
	for _, p := range r.words.patterns {
		if strings.Contains(low, p) {
			return s.path, p
		}
	}
	for i, l := range s.labels[:len(s.labels)-s.site] {
		name := l
		if strings.HasPrefix(l, "xn--") {
			if u, err := idna.Punycode.ToUnicode(l); err == nil {
				name = u
			}
		}
		if kind, word := r.access.named(name); kind == namedAct || kind == namedOwn && i == len(s.labels)-s.site-1 && !isASCII(name) {
			return s.host, word
		}
	}
	about := false // the path leads to pages about things
	for i, segment := range s.segments {
		kind, word := r.access.named(segment)
		if kind == namedAct || kind == namedOwn && !(about && r.mentioned(s.segments, i)) && !datedTitle(s.segments[i+1:]) {
			return segment, word
		}
		name := stem(segment)
		if s.level == Strict && len(name) > 1 && r.words.typed[name] && i+1 < len(s.segments) {
			return segment, name + ": before what a person typed"
		}
		if len(name) <= maxRoute && r.access.route[r.access.fold(strings.ReplaceAll(name, "-", "_"))] && routed(s.segments[i+1:]) {
			return segment, name + ": before places"
		}
		about = about || r.access.docs[name] || modulePath(segment)
	}
	return s.path, ""
}

// leastTitleWords is how many words the title of a published page has.
const leastTitleWords = 4

// datedTitle reports whether segments are a year, a month and perhaps a day and a
// name, and at the end a title in words: /statements/2019/nov/18/somebody/what-was-meant-by-it.
func datedTitle(segments []string) bool {
	if len(segments) < 3 || len(segments[0]) != 4 || !yearAt(segments[0], 0) {
		return false
	}
	month := strings.ToLower(segments[1])
	if n, value := span(month, 0); n != len(month) || value < 1 || value > 12 {
		if strings.IndexByte("jfmasond", month[0]) < 0 || len(month) < 3 || len(month) > 9 || strings.ContainsFunc(month, func(r rune) bool { return r < 'a' || r > 'z' }) {
			return false
		}
	}
	words := 0
	for word := range strings.FieldsFuncSeq(withoutEnding(segments[len(segments)-1]), notAlnum) {
		if countDigits(word) > 0 {
			return false
		}
		words++
	}
	return words >= leastTitleWords
}

// mentioned reports whether segment i, below a folder of pages about things, is
// what a page is about: no number and no code is in it or follows it.
func (r *Rules) mentioned(segments []string, i int) bool {
	if i+1 < len(segments) && countDigits(segments[i+1]) > 0 {
		return false
	}
	name := strings.TrimSuffix(strings.ToLower(segments[i]), "2")
	return countDigits(name) == 0
}

// modulePath reports whether a segment is a host, as the paths of packages have it.
func modulePath(segment string) bool {
	name, end, ok := strings.Cut(segment, ".")
	return ok && len(name) > 1 && (end == "org" || end == "com" || end == "net" || end == "io" || end == "dev" || end == "in")
}

// routed reports whether segments name two places, or one in several words.
func routed(segments []string) bool {
	return len(segments) > 1 || len(segments) == 1 && strings.ContainsAny(segments[0], "+, ")
}

func pathNumber(r *Rules, s *subject) (string, string) {
	before, dated := s.labels[0], 0
	for _, segment := range withoutISBNs(s.segments) {
		rest := withoutDates(segment)
		if monthly(withoutPaper(rest)) {
			before = segment
			continue
		}
		number, n := longestNumber(rest, "")
		if n > s.limits.digits && !(dated >= datedFolders && article(rest)) {
			return segment, number
		}
		if name := stem(rest); len(name) >= 8 && countDigits(name) == len(name) && !(len(name) == 8 && r.access.published[r.access.fold(before)]) {
			return segment, name
		}
		if year := dateAt(segment, 0) == 4 && len(segment) == 4; year || dated > 0 && len(segment) <= 2 && countDigits(segment) == len(segment) {
			dated++
		}
		before = segment
	}
	return s.path, ""
}

// datedFolders is how many folders date an article: year, month.
const datedFolders = 2

// article reports whether a segment is the name of an article: a word, and numbers
// of at most seven digits behind it.
func article(segment string) bool {
	word, longest := 0, 0
	for run := range strings.FieldsFuncSeq(withoutEnding(segment), notAlnum) {
		switch digits := countDigits(run); digits {
		case 0:
			word = max(word, len(run))
		case len(run):
			longest = max(longest, digits)
		}
	}
	return word >= 5 && longest <= 7
}

// monthly reports whether a segment is the number of a paper as archives count
// them each month: 2602.21826.
func monthly(segment string) bool {
	month, count, ok := strings.Cut(segment, ".")
	return ok && len(month) == 4 && countDigits(month) == 4 && (len(count) == 4 || len(count) == 5) && countDigits(count) == len(count) &&
		month[2:] >= "01" && month[2:] <= "12" && month >= "0704" && month < "4000"
}

// withoutISBNs replaces ISBNs of 13 digits by a word: they name a book. Of
// numbers drawn at random one in five thousand is one.
func withoutISBNs(segments []string) []string {
	for i, segment := range segments {
		at := isbnIn(segment)
		if at < 0 {
			continue
		}
		clean := slices.Clone(segments)
		for ; at >= 0; at = isbnIn(clean[i]) {
			clean[i] = clean[i][:at] + "isbn" + clean[i][at+13:]
		}
		return append(clean[:i+1], withoutISBNs(clean[i+1:])...)
	}
	return segments
}

// isbnIn returns where an ISBN with a right check digit begins, -1 if nowhere.
func isbnIn(s string) int {
	if !strings.Contains(s, "97") {
		return -1
	}
	for i := 0; i+13 <= len(s); i++ {
		if s[i:i+3] != "978" && s[i:i+3] != "979" || i > 0 && digit(rune(s[i-1])) || i+13 < len(s) && digit(rune(s[i+13])) {
			continue
		}
		sum, ok := 0, true
		for j := range 13 {
			c := s[i+j]
			ok = ok && c >= '0' && c <= '9'
			sum += int(c-'0') * (1 + j%2*2)
		}
		if ok && sum%10 == 0 {
			return i
		}
	}
	return -1
}

// withoutDates replaces dates and years (1900 to 2099) by a letter: they
// date a text, and name no person.
func withoutDates(s string) string {
	if countDigits(s) < 4 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		n := dateAt(s, i)
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

// dateAt returns the length of the date or year that begins at s[i], 0 if none.
func dateAt(s string, i int) int {
	isDigit := func(j int) bool { return j >= 0 && j < len(s) && s[j] >= '0' && s[j] <= '9' }
	two := func(j, most int) bool {
		if !isDigit(j) || !isDigit(j+1) {
			return false
		}
		n := int(s[j]-'0')*10 + int(s[j+1]-'0')
		return n >= 1 && n <= most
	}
	if isDigit(i-1) || i+4 > len(s) || s[i:i+2] != "19" && s[i:i+2] != "20" || !isDigit(i+2) || !isDigit(i+3) {
		return 0
	}
	if two(i+4, 12) && two(i+6, 31) && !isDigit(i+8) {
		return 8
	}
	if isDigit(i + 4) {
		return 0
	}
	j := i + 5
	if j < len(s) && strings.IndexByte("-_.", s[i+4]) >= 0 && two(j, 12) && j+2 < len(s) && s[j+2] == s[i+4] && two(j+3, 31) && !isDigit(j+5) {
		return 10
	}
	return 4
}

func pathWord(r *Rules, s *subject) (string, string) {
	for word := range strings.FieldsFuncSeq(s.path, func(r rune) bool { return strings.ContainsRune("/._ -:+;,()", r) }) {
		if len(word) <= maxMixedWord {
			continue
		}
		limit := s.limits.word
		switch {
		case !isASCII(word):
			limit = 2 * s.limits.word
		case countDigits(word) > 0:
			limit = maxMixedWord
		case len(word) > limit && len(word) <= maxCompoundWord && r.tokens.model.Surprise(strings.ToLower(word)) <= compoundSurprise:
			continue
		}
		if found := over(utf8.RuneCountInString(word), limit, "letters"); found != "" {
			return word, found
		}
	}
	return s.path, ""
}

func shortened(_ *Rules, s *subject) (string, string) {
	if len(s.host) > 8 || len(s.segments) != 1 {
		return s.host, ""
	}
	code := s.segments[0]
	if len(code) < 4 || len(code) > 12 || strings.ContainsFunc(code, notAlnum) {
		return s.host, ""
	}
	lower := strings.ContainsAny(code, "abcdefghijklmnopqrstuvwxyz")
	upper := strings.ContainsAny(code[1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	if countDigits(code) > 0 || lower && upper {
		return s.host + "/" + code, "a short code"
	}
	return s.host, ""
}

func parameterKeyword(r *Rules, s *subject) (string, string) {
	for _, p := range s.params {
		low := strings.ToLower(p.key)
		for _, mark := range r.words.inKeys {
			if strings.Contains(low, mark) {
				return p.key, mark
			}
		}
		if kind, word := r.access.named(p.key); kind != namedNothing && len(p.key) > 2 {
			return p.key, word
		}
		if kind, word := r.access.named(p.value); kind == namedAct || kind == namedOwn && p.key != "" && len(p.value) > 3 {
			return p.value, word
		}
		for word := range strings.FieldsFuncSeq(low, notAlnum) {
			if r.words.keys[word] || s.level == Strict && r.words.typed[word] {
				return p.key, word
			}
		}
	}
	return s.query, ""
}
