package discovery

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// houseNumber reports whether a word is the number of a house: 12, 12a, 12/4, no year.
func houseNumber(word string) bool {
	return doorNumber(word) && (!yearAt(word, 0) || len(word) != 4)
}

// doorNumber reports whether a word may be the number of a house, a floor or a flat.
func doorNumber(word string) bool {
	n, _ := span(word, 0)
	if n == 0 || n > 5 || len(word) > n+4 {
		return false
	}
	rest := word[n:]
	return rest == "" || len(rest) == 1 && rest[0] >= 'a' && rest[0] <= 'h' || strings.ContainsAny(rest[:1], "/-,")
}

// streetAddress finds a house number in its street, or a flat in its house.
func streetAddress(r *Rules, q *queryText) string {
	if !q.digit {
		return ""
	}
	street, ends, house := r.vocabulary["street"], r.vocabulary["streetend"], r.vocabulary["house"]
	for i, word := range q.words {
		if n := house.at(q.words, i); n > 0 && !logograms(word) && i+n < len(q.words) && houseNumber(q.words[i+n]) {
			return word + " " + q.words[i+n]
		}
		if end := streetEnding(ends, word); end || street.words[word] {
			if i+1 < len(q.words) && houseNumber(q.words[i+1]) {
				return word + " " + q.words[i+1]
			}
			if i > 0 && houseNumber(q.words[i-1]) {
				return q.words[i-1] + " " + word
			}
		}
		if !street.words[word] {
			continue
		}
		// "12 old mill road", "calle de alcala 12".
		for d := 2; d <= 3; d++ {
			if i-d >= 0 && houseNumber(q.words[i-d]) {
				return strings.Join(q.words[i-d:i+1], " ")
			}
			if i+d < len(q.words) && houseNumber(q.words[i+d]) {
				return strings.Join(q.words[i:i+d+1], " ")
			}
		}
	}
	for _, find := range []func(*Rules, *queryText) string{shortStreet, streetBehind, flatNumber} {
		if found := find(r, q); found != "" {
			return found
		}
	}
	if q.solid {
		return solidAddress(q, ends, house)
	}
	return ""
}

// shortStreet finds an abbreviation of a street before its name, "c/ olmo 33",
// "av rivadavia 1200", and between the number and the name, "12 bd voltaire". What
// is a word of its own, too, counts with its dot or stroke only.
func shortStreet(r *Rules, q *queryText) string {
	before, dotted, middle := r.vocabulary["streetbefore"], r.vocabulary["streetdot"], r.vocabulary["streetmid"]
	fields := strings.Fields(q.low)
	for i, field := range fields {
		rest := fields[i+1:]
		if head, name, ok := strings.Cut(field, "/"); ok && name != "" && dotted.words[head+"/"] {
			field, rest = head+"/", append([]string{name}, rest...)
		}
		word := strings.Trim(field, ".,")
		switch {
		case middle.words[word] && i > 0 && len(rest) > 0 && lettersOnly(plainWord(rest[0])) && houseNumber(plainWord(fields[i-1])):
			return strings.Join(fields[i-1:i+2], " ")
		case dotted.words[strings.TrimRight(field, ",")] && len(rest) > 0 && houseNumber(plainWord(rest[0])):
			return field + " " + rest[0]
		case !before.words[word] && !dotted.words[field]:
			continue
		}
		for d := 1; d <= 3 && d < len(rest); d++ {
			if !lettersOnly(plainWord(rest[d-1])) {
				break
			}
			// A number like a year is one of a house if that of a flat follows.
			number := plainWord(rest[d])
			if houseNumber(number) || doorNumber(number) && d+1 < len(rest) && doorNumber(plainWord(rest[d+1])) {
				return strings.Join(append([]string{field}, rest[:d+1]...), " ")
			}
		}
	}
	return ""
}

func plainWord(word string) string {
	return strings.TrimFunc(word, func(r rune) bool { return !alnum(r) && !unicode.IsMark(r) })
}

// leastStreetNumber is from how many digits on the number of a house needs no
// other sign of an address beside an abbreviation: "4417 wren hollow ln".
const leastStreetNumber = 3

// streetBehind finds a number, one to three words and an abbreviation of a
// street, as English writes them. Since most of the abbreviations mean something
// else, too (dr, st, ct), something must show that it is an address: the end of the
// query or a comma behind it, a point of the compass, a flat, a state. A number of
// three digits is enough where the abbreviation has one meaning only.
func streetBehind(r *Rules, q *queryText) string {
	clear, vague := r.vocabulary["streetbehind"], r.vocabulary["streetvague"]
	for i, word := range q.words {
		if !clear.words[word] && !vague.words[word] {
			continue
		}
		for d := 2; d <= 4 && d <= i; d++ {
			number := q.words[i-d]
			if !doorNumber(number) {
				if !lettersOnly(number) && len(number) > 1 || r.vocabulary["notstreet"].words[number] {
					break
				}
				continue
			}
			compass := r.vocabulary["compass"]
			signed := compass.words[q.words[i-d+1]] && d > 2 || i+1 < len(q.words) && (compass.words[q.words[i+1]] || r.vocabulary["unit"].words[q.words[i+1]])
			for j := i + 1; j < len(q.words) && j <= i+3; j++ {
				signed = signed || r.vocabulary["state"].words[q.words[j]]
			}
			digits, _ := span(number, 0)
			if d > 3 && !signed || r.vocabulary["notstreet"].words[q.words[i-1]] {
				break
			}
			ends := i+1 == len(q.words) || strings.Contains(q.low, word+",")
			if signed || houseNumber(number) && (ends || digits >= leastStreetNumber && clear.words[word]) {
				return strings.Join(q.words[i-d:i+1], " ")
			}
			break
		}
	}
	return ""
}

// flatNumber finds a word for a flat, a floor, a door with its number, and another
// number before: "14 кв 52", "no 18 rt 05", "33 piso 2".
func flatNumber(r *Rules, q *queryText) string {
	unit := r.vocabulary["unit"]
	for i, word := range q.words {
		if i == 0 || !unit.words[word] {
			continue
		}
		own := i + 1
		if own >= len(q.words) || !doorNumber(q.words[own]) && utf8.RuneCountInString(q.words[own]) > 1 {
			continue
		}
		for d := 1; d <= 3 && d <= i; d++ {
			if houseNumber(q.words[i-d]) {
				return strings.Join(q.words[i-d:own+1], " ")
			}
		}
	}
	return ""
}

func streetEnding(ends *wordSet, word string) bool {
	for n := 3; n <= 8 && n < len(word)-2; n++ {
		if ends.words[word[len(word)-n:]] {
			return true
		}
	}
	return false
}

// solidAddress finds a street and the number of a house in it where words have
// no spaces: 朝阳路88号, 테헤란로 152.
func solidAddress(q *queryText, ends, house *wordSet) string {
	for _, run := range digitRuns(q.low) {
		before, after := strings.TrimRight(q.low[:run.start], " "), strings.TrimLeft(q.low[run.end:], " ")
		street, number := false, false
		for _, end := range ends.solid {
			street = street || strings.HasSuffix(before, end)
		}
		for _, mark := range house.solid {
			number = number || strings.HasPrefix(after, mark)
		}
		switch first, _ := utf8.DecodeLastRuneInString(before); {
		case yearAt(q.low, run.start) && run.len() == 4:
		case street && number, street && run.len() <= 4 && unicode.Is(unicode.Hangul, first) && strings.Count(q.low, " ") > 0,
			strings.HasPrefix(after, "丁目"), strings.HasPrefix(after, "番地"), strings.HasPrefix(after, "번지"):
			return q.low[max(0, len(before)-12):]
		}
	}
	return ""
}
