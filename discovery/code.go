package discovery

import (
	"strings"
	"unicode"
)

// Limits of short codes, which are too short for the model of the classifier.
const (
	leastCode, mostCode = 5, 11
	leastWordPart       = 4 // letters of a part that must read like a word
)

// How surprising the letters of a word may be on average, in sixteenths of a
// bit: the rarer a case is among words, the less.
const (
	lowerSurprise   = 112
	capitalSurprise = 104
	numberSurprise  = 100 // with digits beside it
	camelSurprise   = 78
	upperSurprise   = 76
)

// code finds, strictly, a short code; and at both levels groups of codes and words
// that no language has, in a segment or a parameter, already decoded: an
// invitation, a record locator, an album. A word is not one if its letters read
// like a word, alone or before or after a number; numbers are for other rules.
func (c *Classifier) code(text string, level Strictness) string {
	folded := c.folder.Fold(withoutEnding(text))
	small, mixed := 0, 0
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
		if len(piece) < leastCode {
			small += len(piece)
			if runs(piece) > 1 {
				mixed++
			}
		}
	}
	if joined := groups(folded); joined != "" && mixed > 0 && runs(joined) > 2 {
		return text
	}
	// base64url has hyphens and underscores in it.
	if level == Strict && mixed > 0 && small >= leastCode && mixedCase(folded) && len(folded) >= 8 {
		return text
	}
	return ""
}

// groups joins three groups or more of three or four letters and digits.
func groups(s string) string {
	var joined strings.Builder
	size, n := 0, 0
	for group := range strings.FieldsFuncSeq(s, notAlnum) {
		if size == 0 {
			size = len(group)
		}
		if len(group) != size || size < 3 || size > 4 {
			return ""
		}
		joined.WriteString(group)
		n++
	}
	if n < 3 {
		return ""
	}
	return joined.String()
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
			if !c.wordLike(part, n > 1) {
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

// model tells whether a piece is the number of a product: up to two letters,
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

// wordLike tells whether letters have the case of a word, or of several in camel
// case, and read like words where they are long enough to.
func (c *Classifier) wordLike(letters string, digits bool) bool {
	limit := c.surpriseOf(letters)
	if digits {
		limit = min(limit, numberSurprise)
	}
	if limit != camelSurprise || len(letters) < leastWordPart {
		return len(letters) < leastWordPart && (limit != camelSurprise || letters[0] < 'a') || c.model.Surprise(strings.ToLower(letters)) <= limit
	}
	start := 0
	for i := 1; i <= len(letters); i++ {
		if i < len(letters) && (letters[i] >= 'a' || letters[i-1] < 'a') {
			continue
		}
		part := letters[start:i]
		if len(part) < 3 || c.model.Surprise(strings.ToLower(part)) > camelSurprise {
			return false
		}
		start = i
	}
	return true
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

// scrambled tells whether a word of Cyrillic letters breaks the rules by which
// their languages put vowels and signs.
func (c *Classifier) scrambled(piece string) bool {
	const vowels, signs, hard = "аеёиоуыэюяіїє", "ьъ", "гкхжшщчц"
	previous, before := rune(0), rune(0)
	n, odd, run := 0, 0, 0
	for _, r := range strings.ToLower(piece) {
		if r < 0x400 || r > 0x4ff {
			if digit(r) {
				continue
			}
			return false
		}
		n++
		vowel, sign := strings.ContainsRune(vowels, r), strings.ContainsRune(signs, r)
		wasVowel, wasSign := strings.ContainsRune(vowels, previous), strings.ContainsRune(signs, previous)
		switch {
		case sign && (previous == 0 || wasVowel || wasSign || previous == 'й'),
			r == 'ы' && (previous == 0 || wasVowel || wasSign || strings.ContainsRune("гкхжшщч", previous)),
			r == 'э' && previous != 0 && !wasVowel,
			r == 'й' && !wasVowel,
			strings.ContainsRune("яю", r) && strings.ContainsRune(hard, previous),
			r == 'ъ' && n == 1,
			vowel && wasVowel && strings.ContainsRune(vowels, before),
			previous == 'ъ' && !strings.ContainsRune("еёюяиі", r),
			r == 'щ' && strings.ContainsRune("жшчц", previous), r == 'ж' && strings.ContainsRune("шщц", previous), r == 'ц' && strings.ContainsRune("жшщч", previous):
			odd++
		}
		if run++; vowel {
			run = 0
		}
		if run == 4 {
			odd++
		}
		before, previous = previous, r
	}
	return n >= 6 && odd >= 2
}
