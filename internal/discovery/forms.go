package discovery

import (
	"strings"
	"unicode/utf8"
)

// The forms here are read by hand: the package regexp would take three times the
// room of all of them in what a browser downloads. Tests hold them equal to
// expressions.

// findCoordinates returns the first two numbers of a place on earth: at most three
// digits, a point and three digits or more, perhaps with a direction, and one to three
// signs between them.
func findCoordinates(s string) string {
	for i := range len(s) {
		if c := s[i]; c != '-' && c-'0' > 9 {
			continue
		}
		if end := coordinatesAt(s, i); end > 0 {
			return s[i:end]
		}
	}
	return ""
}

// coordinatesAt returns where coordinates that begin at i end, or 0.
func coordinatesAt(s string, i int) int {
	i = degreesAt(s, i)
	if i == 0 {
		return 0
	}
	if i < len(s) && strings.IndexByte("NSEWnsew", s[i]) >= 0 {
		i++
	}
	for range 3 {
		r, n := utf8.DecodeRuneInString(s[i:])
		if n == 0 || r == '.' || r < 0x80 && alnum(r) {
			return 0
		}
		i += n
		if end := degreesAt(s, i); end > 0 {
			return end
		}
	}
	return 0
}

// degreesAt returns where a number that begins at i ends, or 0.
func degreesAt(s string, i int) int {
	if i < len(s) && s[i] == '-' {
		i++
	}
	whole := digitsAt(s, i)
	point := i + whole
	if whole < 1 || whole > 3 || point == len(s) || s[point] != '.' {
		return 0
	}
	if part := digitsAt(s, point+1); part >= 3 {
		return point + 1 + part
	}
	return 0
}

// digitsAt returns how many digits follow from i on.
func digitsAt(s string, i int) int {
	n := 0
	for i+n < len(s) && s[i+n]-'0' <= 9 {
		n++
	}
	return n
}

// withoutModels writes "model" for each word that is the number of a model as titles of
// shops have them: capitals and digits by turns, WH1000XM5.
func withoutModels(s string) string {
	var b strings.Builder
	done := 0
	for i := 0; i < len(s); {
		end := i
		for end < len(s) && (s[end] == '_' || s[end] < 0x80 && alnum(rune(s[end]))) {
			end++
		}
		if modelNumber(s[i:end]) {
			b.WriteString(s[done:i])
			b.WriteString("model")
			done = end
		}
		i = end + 1
	}
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}

// modelNumber reports whether a word is one to four capitals, two to four digits, one to
// four capitals, two to five digits and at most five capitals.
func modelNumber(word string) bool {
	least, most := [5]int{1, 2, 1, 2, 0}, [5]int{4, 4, 4, 5, 5}
	for k := range least {
		n := 0
		for n < len(word) && (k%2 == 0 && word[n]-'A' < 26 || k%2 == 1 && word[n]-'0' <= 9) {
			n++
		}
		if n < least[k] || n > most[k] {
			return false
		}
		word = word[n:]
	}
	return word == ""
}
