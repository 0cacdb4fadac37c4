package discovery

import (
	"strings"
	"unicode"
)

// Limits of short codes, which are too short for the model of the classifier.
const (
	leastCode, mostCode = 5, 11
	leastWordPart       = 4 // letters of a part that must read like a word
	leastTitled         = 9 // letters of a title in camel case
	mostShort           = 7 // letters and digits of a code that needs clear words to be none
)

// How surprising the letters of a word may be on average, in sixteenths of a
// bit: the rarer a case is among words, the less.
const (
	lowerSurprise   = 112
	capitalSurprise = 104
	numberSurprise  = 100 // with digits beside it
	camelSurprise   = 78
	upperSurprise   = 72
	shortSurprise   = 62 // in capitals with digits beside them, or in camel case up to mostShort letters
	titledSurprise  = 76
)

// code finds, strictly, a short code; and at both levels groups of codes and words
// that no language has, in a segment or a parameter, already decoded: an
// invitation, a record locator, an album. A word is not one if its letters read
// like a word, alone or before or after a number; numbers are for other rules.
func (c *Classifier) code(text string, level Strictness) string {
	text = withoutPaper(text)
	folded := c.folder.Fold(withoutEnding(text))
	if level == Strict && meeting(folded) {
		return text
	}
	small, mixed, words, all := 0, 0, 0, 0
	for piece := range strings.FieldsFuncSeq(folded, notAlnum) {
		if !isASCII(piece) {
			if c.scrambled(piece) {
				return piece
			}
			continue
		}
		if level == Strict && len(piece) >= leastCode && len(piece) <= mostCode && c.codeLike(piece) {
			return piece
		}
		all += len(piece)
		switch {
		case len(piece) >= leastCode:
			words += len(piece)
			continue
		case runs(piece) > 1:
			mixed++
		case len(piece) > 2 && c.surpriseOf(piece) != camelSurprise && piece[0] > '9':
			words += len(piece)
		}
		small += len(piece)
	}
	if joined := groups(folded); joined != "" && mixed > 0 && runs(joined) > 2 {
		return text
	}
	// base64url has hyphens and underscores in it; a title has words between them.
	if level == Strict && mixed > 0 && small >= leastCode && 2*words < all+leastCode && mixedCase(folded) && len(folded) >= 8 {
		return text
	}
	return ""
}

// withoutPaper cuts the version off the number of a paper (monthly).
func withoutPaper(text string) string {
	number, version, ok := strings.Cut(withoutEnding(text), "v")
	if ok && monthly(number) && len(version) == 1 && version[0] >= '1' && version[0] <= '9' {
		return number
	}
	return text
}

// meeting reports whether a text is the name of a meeting: three, four and three
// small letters, a form that words next to never have.
func meeting(s string) bool {
	if len(s) != 12 || s[3] != '-' || s[8] != '-' {
		return false
	}
	for i := range len(s) {
		if i != 3 && i != 8 && (s[i] < 'a' || s[i] > 'z') {
			return false
		}
	}
	return true
}

// groups joins three groups or more of three or four letters and digits.
func groups(s string) string {
	size, n := 0, 0
	for group := range strings.FieldsFuncSeq(s, notAlnum) {
		if size == 0 {
			size = len(group)
		}
		if len(group) != size || size < 3 || size > 4 {
			return ""
		}
		n++
	}
	if n < 3 {
		return ""
	}
	joined := make([]byte, 0, n*size)
	for i := range len(s) {
		if alnumByte(s[i]) {
			joined = append(joined, s[i])
		}
	}
	return string(joined)
}

func mixedCase(s string) bool {
	return strings.ContainsFunc(s, unicode.IsUpper) && strings.ContainsFunc(s, unicode.IsLower)
}

// runs counts the stretches of letters and of digits.
func runs(piece string) int {
	n := 0
	for i := range len(piece) {
		if i == 0 || (piece[i] <= '9') != (piece[i-1] <= '9') {
			n++
		}
	}
	return n
}

// codeLike judges a stretch of ASCII letters and digits.
func (c *Classifier) codeLike(piece string) bool {
	n := runs(piece)
	switch {
	case model(piece):
		return false
	case piece[0] <= '9' && n == 1:
		return false
	case len(piece) == leastCode && c.abbreviation(piece):
		return false
	case n > 3:
		return true
	}
	letters, longest := 0, 0
	for i := 0; i < len(piece); {
		end := i + 1
		for end < len(piece) && (piece[end] <= '9') == (piece[i] <= '9') {
			end++
		}
		if part := piece[i:end]; piece[i] > '9' {
			if !c.wordLike(part, n > 1, len(piece) <= mostShort) {
				return true
			}
			letters++
			longest = max(longest, len(part))
		}
		i = end
	}
	switch {
	case n < 3:
		return false
	case letters == 1: // 4x4
		return longest < leastWordPart && len(piece) > leastCode
	}
	return longest < leastWordPart || strings.ToUpper(piece) == piece
}

// abbreviation reports whether a piece of five is letters of one case, or three or
// four of them before digits: csssr, html5, OWASP. Chance makes few codes so.
func (c *Classifier) abbreviation(piece string) bool {
	letters := strings.TrimRight(piece, "0123456789")
	return len(letters) >= 3 && !hasDigit(letters) && (strings.ToLower(letters) == letters || strings.ToUpper(letters) == letters)
}

// model reports whether a piece is the number of a product: up to two letters,
// three or four digits, one or two letters, perhaps a digit, seven in all: wh1000xm5.
func model(piece string) bool {
	var sizes [5]int
	at := 0
	for i := range len(piece) {
		if piece[i] > 'z' || piece[i] > '9' && piece[i] < 'a' {
			return false
		}
		if letter := piece[i] > '9'; letter != (at%2 == 0) {
			if at++; at == len(sizes) {
				return false
			}
		}
		sizes[at]++
	}
	return len(piece) >= 7 && sizes[0] <= 2 && (sizes[1] == 3 || sizes[1] == 4) && (sizes[2] == 1 || sizes[2] == 2) && sizes[3] <= 1 && sizes[4] == 0
}

// wordLike reports whether letters have the case of a word, or of several in camel
// case, and read like words where they are long enough to.
func (c *Classifier) wordLike(letters string, digits, short bool) bool {
	limit := c.surpriseOf(letters)
	switch {
	case digits && short && limit == upperSurprise && len(letters) >= leastWordPart:
		limit = shortSurprise
	case digits:
		limit = min(limit, numberSurprise)
	}
	switch {
	case limit != camelSurprise && len(letters) < leastWordPart:
		return true
	case limit != camelSurprise:
		return c.model.Surprise(strings.ToLower(letters)) <= limit
	case len(letters) < leastWordPart:
		return false
	}
	if short {
		return c.camel(letters, shortSurprise)
	}
	return c.camel(letters, camelSurprise)
}

// camel reports whether letters are words in camel case: parts of three letters or
// more that read like words (up to a limit), at least half of the letters in parts of four or
// more; beside them abbreviations in capitals and a short beginning.
func (c *Classifier) camel(letters string, limit int) bool {
	long, odd := 0, 0
	for start, i := 0, 1; i <= len(letters); i++ {
		if i < len(letters) && !camelTurn(letters, i) {
			continue
		}
		part := letters[start:i]
		start = i
		upper := part[len(part)-1] < 'a'
		switch {
		case upper && len(part) > leastWordPart, !upper && len(part) < 3:
			odd++
		case upper:
		case c.model.Surprise(strings.ToLower(part)) > limit:
			return false
		case len(part) >= leastWordPart:
			long += len(part)
		}
	}
	return odd <= 1 && 2*long > len(letters)
}

// titled reports whether a long piece is a title in camel case, whose parts are words
// except the small words between them and one abbreviation: RubyOnRailsBook.
func (c *Classifier) titled(piece string) bool {
	piece = strings.TrimRight(piece, "0123456789")
	if len(piece) < leastTitled || hasDigit(piece) {
		return false
	}
	long, short := 0, 0
	for start, i := 0, 1; i <= len(piece); i++ {
		if i < len(piece) && !camelTurn(piece, i) {
			continue
		}
		part := piece[start:i]
		start = i
		switch {
		case len(part) >= leastWordPart && part[len(part)-1] >= 'a':
			if c.model.Surprise(strings.ToLower(part)) > titledSurprise {
				return false
			}
			long += len(part)
		case !between(part):
			short++
		}
	}
	return short <= 1 && 3*long >= 2*len(piece)
}

// between reports whether a part of a title is one of the small words between others.
func between(part string) bool {
	switch strings.ToLower(part) {
	case "a", "an", "and", "at", "by", "for", "in", "is", "of", "on", "or", "the", "to", "up", "my", "no", "vs", "de", "del", "la", "le", "les", "el", "en", "y", "e", "et", "du", "des", "der", "die", "das", "und", "im", "di", "da", "do":
		return true
	}
	return false
}

// camelTurn reports whether a word begins at letter i: a capital after a small
// letter, or before one.
func camelTurn(letters string, i int) bool {
	return letters[i] < 'a' && (letters[i-1] >= 'a' || i+1 < len(letters) && letters[i+1] >= 'a')
}

// surpriseOf returns the limit that the case of letters sets.
func (c *Classifier) surpriseOf(letters string) int {
	uppers := 0
	for i := range len(letters) {
		if letters[i] < 'a' {
			uppers++
		}
	}
	switch {
	case uppers == 0:
		return lowerSurprise
	case uppers == 1 && letters[0] < 'a':
		return capitalSurprise
	case uppers == len(letters):
		return upperSurprise
	}
	return camelSurprise
}
