package discovery

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A queryRule looks at a query.
type queryRule struct {
	rule  Rule
	about string
	check func(r *Rules, q *queryText) string
}

// The rules that only queries have.
const (
	RuleTextDevice      Rule = "text.device"
	RuleTextPath        Rule = "text.path"
	RuleTextCoordinates Rule = "text.coordinates"
	RuleTextAddress     Rule = "text.address"
	RuleTextPerson      Rule = "text.person"
	RuleTextReference   Rule = "text.reference"
	RuleTextPlate       Rule = "text.plate"
)

// Limits of queries: letters and digits, words, digits.
const (
	maxQuery          = 100
	maxLogogramQuery  = 50
	maxWords          = 15
	maxQueryDigits    = 7
	maxQueryRun       = 4
	maxQueryPlainWord = 45
	leastReference    = 5 // digits of a number that an order, an account, a case has
	leastPersonNumber = 3 // digits of a number beside a name
)

func queryRules() []queryRule {
	return []queryRule{
		{RuleTextEmpty, "it is empty, or holds control characters or bytes that are no text", func(r *Rules, q *queryText) string { return unreadable(r, q.raw) }},
		{RuleTextLength, fmt.Sprintf("it has more than %d letters and digits, or more than %d in a script without spaces; marks are not counted", maxQuery, maxLogogramQuery), longQuery},
		{RuleTextWords, fmt.Sprintf("it has more than %d words", maxWords), func(_ *Rules, q *queryText) string { return over(len(q.words), maxWords, "words") }},
		{RuleTextEmail, "it holds an e-mail address; also with spaces, (at), [at], \" dot \", and as it is spoken in 30 languages (arroba … punto)", writtenEmail},
		{RuleTextCredentials, "it holds a name and a password as in a URL (name:password@)", func(_ *Rules, q *queryText) string {
			if strings.IndexByte(q.raw, '@') < 0 {
				return ""
			}
			return findCredentials(q.raw)
		}},
		{RuleTextURL, "it holds a URL, or a host with a path, that the rules of URLs refuse; or the name of a host that is not public or one person's (dynamic names, storage at home, tunnels), also with its dots in words", urlInQuery},
		{RuleTextDevice, "it holds the address of a device: MAC, IPv4, IPv6", deviceAddress},
		{RuleTextPath, "it holds the path of a file: of Windows, of a share, below a user's folder", filePath},
		{RuleTextCoordinates, "it holds two decimal fractions side by side: a place", func(r *Rules, q *queryText) string {
			if !q.digit || strings.IndexByte(q.low, '.') < 0 {
				return ""
			}
			return findCoordinates(q.low)
		}},
		{RuleTextAddress, "a number beside a word for a street, or beside another number and a word for a flat, floor or door", streetAddress},
		{RuleTextPerson, fmt.Sprintf("a person's name beside a number of %d digits or more that is no year, or beside a possible birthday", leastPersonNumber), personNumber},
		{RuleTextReference, fmt.Sprintf("a word for an order, account, booking, document (in 30 languages) or password (in 70) beside a number of %d digits or more, or letters and digits mixed", leastReference), referenceCode},
		{RuleTextPlate, "a number plate: groups of letters and digits beside a word for one or its keeper, or in an order that only plates have", numberPlate},
		{RuleTextNumber, fmt.Sprintf("more than %d digits with no letters between, or a number of more than %d digits (5 if called a postcode); years, dates, times, round numbers, error codes, ISBN and ISSN apart", maxQueryDigits, maxQueryRun), identifyingNumber},
		{RuleTextWord, fmt.Sprintf("a word has more than %d characters, or %d if it is of letters only", maxWord, maxQueryPlainWord), longQueryWord},
		{RuleTextToken, "a word, or all together, look like a secret or a code (letters and digits in turn)", secretQuery},
	}
}

// Query decides about what a person typed into a search field. Text is the
// query in lower case with single spaces, if it is public; nothing of it if not.
// What identifies somebody is refused: numbers, codes, addresses. No rule can prove that
// the words are harmless: a crowd must.
func (r *Rules) Query(query string) Decision {
	raw := collapse(query)
	q := newQueryText(r.tokens.folder, raw)
	steps := make([]Step, 0, len(r.query))
	for _, rule := range r.query {
		if found := rule.check(r, q); found != "" {
			return private(append(steps, Step{rule.rule, raw, found, Private}), Strict)
		}
		steps = append(steps, Step{rule.rule, raw, "", Public})
	}
	return Decision{Verdict: Public, Text: strings.ToLower(raw), Trace: steps}
}

func longQuery(_ *Rules, q *queryText) string {
	if q.solid {
		return over(q.size, maxLogogramQuery, "letters and digits")
	}
	return over(q.size, maxQuery, "letters and digits")
}

// writtenEmail finds a mail address, in signs or in words.
func writtenEmail(r *Rules, q *queryText) string {
	if strings.IndexByte(q.low, '@') >= 0 || strings.Contains(q.low, "at") {
		if mail := findEmail(q.raw); mail != "" {
			return mail
		}
	}
	for _, word := range q.words {
		if at := strings.IndexByte(word, '@'); at > 0 && at < len(word)-1 && strings.IndexByte(word, ':') < 0 {
			return word // no host is needed to know whose it is
		}
	}
	for i := 1; i < len(q.words); i++ {
		if r.vocabulary["mail"].words[mailHouse(q.words[i])] && strings.ContainsAny(q.words[i-1], "._0123456789") {
			if host := strings.Join(q.words[i:min(i+2, len(q.words))], " "); strings.ContainsAny(host, ". ") {
				return q.words[i-1] + " " + host
			}
		}
		n := r.vocabulary["at"].at(q.words, i)
		if n == 0 {
			continue
		}
		if host := r.spokenHost(q.words[i+n:]); host != "" {
			return q.words[i-1] + " " + strings.Join(q.words[i:i+n], " ") + " " + host
		}
	}
	return ""
}

// mailHouse is the first label of what may be a host.
func mailHouse(word string) string {
	name, _, _ := strings.Cut(word, ".")
	return name
}

// spokenHost finds a host at the beginning of words, in signs or in words.
func (r *Rules) spokenHost(words []string) string {
	for i := range min(len(words), 5) {
		if i == 0 && strings.Contains(words[0], ".") {
			return words[0]
		}
		if i == 0 {
			continue
		}
		n := r.vocabulary["dot"].at(words, i)
		if n == 0 || i+n >= len(words) {
			continue
		}
		if size := utf8.RuneCountInString(words[i+n]); size >= 2 && size <= 10 {
			return strings.Join(words[:i+n+1], " ")
		}
	}
	return ""
}

// deviceAddress finds a MAC or an IP address.
func deviceAddress(_ *Rules, q *queryText) string {
	if !q.digit && strings.IndexByte(q.low, ':') < 0 {
		return ""
	}
	for word := range strings.FieldsSeq(q.low) {
		word = strings.Trim(word, ",;!?()[]{}\"'")
		if macAddress(word) {
			return word
		}
		host, _, _ := strings.Cut(word, "/")
		if addr, err := netip.ParseAddr(strings.Trim(host, ".")); err == nil && (addr.Is4() || strings.Count(host, ":") >= 3) {
			return word
		}
		if port, err := netip.ParseAddrPort(host); err == nil {
			return port.String()
		}
	}
	return ""
}

// macAddress reports whether a word is six or eight bytes with signs between them,
// or three groups of four digits with dots.
func macAddress(word string) bool {
	mark := strings.IndexAny(word, ":-.")
	if mark != 2 && mark != 4 {
		return false
	}
	groups := 0
	for group := range strings.SplitSeq(word, word[mark:mark+1]) {
		if len(group) != mark || strings.ContainsFunc(group, func(r rune) bool { return r >= 0x80 || hexDigit(byte(r)) < 0 }) {
			return false
		}
		groups++
	}
	return mark == 2 && (groups == 6 || groups == 8) || mark == 4 && groups == 3 && word[4] == '.'
}

// filePath finds the path of a file of a person.
func filePath(_ *Rules, q *queryText) string {
	if !strings.ContainsAny(q.low, `\/:`) {
		return ""
	}
	for word := range strings.FieldsSeq(q.low) {
		word = strings.TrimLeft(word, "\"'(")
		switch {
		case strings.HasPrefix(word, `\\`), strings.HasPrefix(word, "file:"), strings.HasPrefix(word, "content://"):
			return word
		case len(word) > 3 && word[1] == ':' && (word[2] == '\\' || word[2] == '/') && word[0] >= 'a' && word[0] <= 'z':
			if rest := word[3:]; !strings.HasPrefix(rest, "windows") && !strings.HasPrefix(rest, "program") {
				return word
			}
		case strings.Contains(word, `\users\`), strings.Contains(word, `\home\`), strings.Count(word, `\`) > 2:
			return word
		}
		for _, folder := range []string{"/home/", "/users/", "/volumes/", "/media/", "/mnt/", "~/", "/root/", "/srv/", "/data/user/", "/storage/emulated/", "/sdcard/"} {
			if strings.HasPrefix(word, folder) && len(word) > len(folder) {
				return word
			}
		}
	}
	return ""
}

// personNumber finds a name of a person beside a number or a birthday.
func personNumber(r *Rules, q *queryText) string {
	if !q.digit {
		return ""
	}
	number, birthday := loneNumber(q.low, leastPersonNumber), birthdate(q.low)
	if number == "" && birthday == "" {
		return ""
	}
	if birthday != "" && (r.vocabulary["born"].in(q) != "" || len(q.words) <= 4 && len(q.words) > 1) {
		return birthday
	}
	names := r.vocabulary["name"]
	for i, word := range q.words {
		if !names.words[word] && !names.words[strings.TrimSuffix(word, "'s")] {
			continue
		}
		if i+1 < len(q.words) && lettersOnly(q.words[i+1]) || i > 0 && lettersOnly(q.words[i-1]) {
			return word + " " + number + birthday
		}
	}
	if q.solid {
		for _, name := range names.solid {
			if strings.Contains(q.low, name) {
				return name + " " + number + birthday
			}
		}
	}
	return ""
}

// lettersOnly reports whether a word of two letters or more is of letters.
func lettersOnly(word string) bool {
	return utf8.RuneCountInString(word) > 1 && !strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) && r != '-' && r != '\'' })
}

// loneNumber finds a number of so many digits that is no year, no date and not
// round.
func loneNumber(low string, least int) string {
	rest, _ := publicNumbers(low)
	for _, run := range digitRuns(rest) {
		if run.len() >= least {
			return rest[run.start:run.end]
		}
	}
	return ""
}

// birthdate finds a date on which a living person may be born.
func birthdate(low string) string {
	for _, run := range digitRuns(low) {
		if n, year := fullDate(low, run.start); n > 0 && year >= 1920 && year <= 2015 {
			return low[run.start : run.start+n]
		}
	}
	return ""
}

// identifyingNumber finds digits that identify a person.
func identifyingNumber(r *Rules, q *queryText) string {
	if !q.digit {
		return ""
	}
	if _, n := longestNumber(q.low, ""); n <= maxQueryRun {
		return ""
	}
	rest, _ := publicNumbers(q.low)
	for from := 0; from < len(rest); {
		size := strings.IndexFunc(q.low[from:], unicode.IsLetter)
		if size < 0 {
			size = len(rest) - from
		}
		if stretch := q.low[from : from+size]; identifies(stretch, rest[from:from+size]) {
			return strings.TrimSpace(stretch)
		}
		_, letter := utf8.DecodeRuneInString(q.low[from+size:])
		from += size + letter
	}
	for _, run := range digitRuns(rest) {
		if run.len() > maxQueryRun && (run.len() > 5 || r.vocabulary["postcode"].in(q) == "") {
			return rest[run.start:run.end]
		}
	}
	return ""
}

// identifies reports whether a stretch without letters has more digits than allowed,
// of which rest leaves more than may be beside a year or two. A part of a
// telephone number may look like a year.
func identifies(stretch, rest string) bool {
	all, left := countDigits(stretch), countDigits(rest)
	if all <= maxQueryDigits || left == 0 && all <= 12 {
		return false
	}
	_, years := publicNumbers(stretch)
	return left > maxQueryRun || years > 2
}

// longQueryWord finds a word that is too long; marks are not counted.
func longQueryWord(_ *Rules, q *queryText) string {
	for word := range strings.FieldsFuncSeq(q.low, func(r rune) bool { return unicode.IsSpace(r) || r == '/' }) {
		n, limit := 0, maxQueryPlainWord
		for _, r := range word {
			switch {
			case unicode.IsMark(r):
			case !unicode.IsLetter(r) && !strings.ContainsRune("-'’.,?!:;…()\"“”„«»", r):
				limit = maxWord
				n++
			default:
				n++
			}
		}
		if n > limit && !logograms(word) {
			return word
		}
	}
	return ""
}

// secretQuery asks the classifier about each word, about words put together, and
// looks for codes of letters and digits in turn.
func secretQuery(r *Rules, q *queryText) string {
	if found := r.secretText(withoutPublicNumbers(q.raw), Strict); found != "" {
		return found
	}
	if !q.digit {
		return ""
	}
	for _, word := range q.words {
		if shortCode(word) {
			return word
		}
	}
	return ""
}

// withoutPublicNumbers leaves out the words that are numbers of the world.
func withoutPublicNumbers(s string) string {
	if !hasDigit(s) {
		return s
	}
	words := strings.Fields(s)
	kept := words[:0]
	for _, word := range words {
		low := foldQuery(word)
		if rest, _ := publicNumbers(low); rest != low && !hasDigit(rest) {
			continue
		}
		kept = append(kept, word)
	}
	return strings.Join(kept, " ")
}

// codeRuns splits a word into runs of letters and of digits. It returns their
// lengths, whether the first is of letters, and false if the word has anything else.
func codeRuns(word string) (runs []int, letters, ok bool) {
	kind := -1
	for i := range len(word) {
		k := 0
		switch c := word[i]; {
		case c >= 'a' && c <= 'z':
			k = 1
		case c < '0' || c > '9':
			return nil, false, false
		}
		if k != kind {
			runs, kind = append(runs, 0), k
		}
		runs[len(runs)-1]++
	}
	return runs, len(word) > 0 && word[0] >= 'a', true
}

// shortCode reports whether a word looks like the code of a booking or a link:
// letters and digits in turn, as models and versions have them seldom.
func shortCode(word string) bool {
	if len(word) < 5 || len(word) > 20 || strings.HasPrefix(word, "0x") {
		return false
	}
	runs, letters, ok := codeRuns(word)
	switch {
	case !ok || len(runs) < 2:
		return false
	case len(runs) >= 4:
		return true
	case len(runs) == 3 && letters:
		return runs[0] <= 4 && runs[1] <= 2 && runs[2] >= 3 // xk9qzp; not gtx1080ti
	case len(runs) == 3:
		return len(word) >= 6 && runs[1] <= 4 && runs[2] >= 2
	}
	number := runs[0]
	if letters {
		number = runs[1]
	}
	return number > 5 && !strings.HasPrefix(word, "kb")
}

// mixedCode reports whether a word of five characters or more has letters and
// digits, so that it may be the code of what is named beside it.
func mixedCode(word string) bool {
	plain := strings.NewReplacer("-", "", "/", "", ".", "").Replace(word)
	runs, letters, ok := codeRuns(plain)
	if !ok || len(runs) < 2 || len(plain) < 5 {
		return false
	}
	if len(runs) == 2 && letters && runs[0] >= 4 && runs[1] <= 2 {
		return false // windows11, covid19
	}
	if len(runs) == 2 && !letters && runs[1] <= 2 {
		return false // 1000mg, 2020s, 256gb
	}
	return true
}
