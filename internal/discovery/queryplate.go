package discovery

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// numberPlate finds the number plate of a vehicle.
func numberPlate(r *Rules, q *queryText) string {
	if !q.digit {
		return ""
	}
	word := r.vocabulary["plate"].in(q)
	for i, first := range q.words {
		if plateOrder(first) {
			return first
		}
		if i+3 < len(q.words) && shapeOf(q.words[i:i+4]) == "L2 D2 L2 D4" {
			return strings.Join(q.words[i:i+4], " ") // India
		}
		if word == "" {
			continue
		}
		for n := 1; n <= 4 && i+n <= len(q.words); n++ {
			if group := q.words[i : i+n]; plateGroup(group) {
				return word + " " + strings.Join(group, " ")
			}
		}
	}
	if word != "" && q.solid && logograms(word) {
		if number := loneNumber(q.low, 3); number != "" {
			return word + " " + number
		}
	}
	return ""
}

// shapeOf describes words by runs: L2 D2 for "ka" "01".
func shapeOf(words []string) string {
	var b strings.Builder
	for i, word := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		for _, run := range letterRuns(word) {
			kind := byte('L')
			if run < 0 {
				kind, run = 'D', -run
			}
			b.WriteByte(kind)
			b.WriteByte('0' + byte(min(run, 9)))
		}
	}
	return b.String()
}

// letterRuns returns the lengths of the runs of letters of a word, and those of
// digits as negative numbers; nil if it has anything else.
func letterRuns(word string) []int {
	var runs []int
	last := 0
	for _, r := range word {
		kind := 1
		if r >= '0' && r <= '9' {
			kind = -1
		} else if !unicode.IsLetter(r) {
			return nil
		}
		if kind != last {
			runs, last = append(runs, 0), kind
		}
		runs[len(runs)-1] += kind
	}
	return runs
}

// plateGroup reports whether words make a number plate: one to three
// letters in a group, two to six digits in all, nothing else. What ends with a
// year, a graphics card or a unit is no plate.
func plateGroup(words []string) bool {
	letters, digits, year, vowel := 0, 0, false, false
	for _, word := range words {
		for part := range strings.FieldsFuncSeq(word, func(r rune) bool { return r == '-' || r == '.' || r == '/' }) {
			runs := letterRuns(part)
			if len(runs) == 0 || len(runs) > 4 {
				return false
			}
			for _, run := range runs {
				if run > 3 || run < -5 {
					return false
				}
				letters += max(run, 0)
				digits += max(-run, 0)
			}
			year = year || len(part) == 4 && yearAt(part, 0)
			vowel = vowel || len(runs) == 1 && runs[0] > 0 && strings.ContainsAny(part, "aeiou")
			if notPlate(part) {
				return false
			}
		}
	}
	return letters > 0 && letters <= 6 && digits >= 2 && digits <= 6 && letters+digits >= 4 && (!year || !vowel && letters >= 2)
}

// notPlate reports whether a word is used beside numbers that are no plates.
func notPlate(word string) bool {
	switch word {
	case "rtx", "gtx", "rx", "hd", "gb", "tb", "mb", "mm", "cm", "km", "kg", "hp", "cv", "ps", "usb", "pci", "de", "do", "da", "la", "el", "en", "in", "of", "to", "a", "e", "y", "o", "i":
		return true
	}
	return strings.HasPrefix(word, "rtx") || strings.HasPrefix(word, "gtx")
}

// plateOrder reports whether a word has an order of letters and digits that number
// plates have and hardly anything else: 123가4567, 粤b12345, а123вс77, and
// ab-344-ca, 12-abc-3 with both hyphens.
func plateOrder(word string) bool {
	if strings.Count(word, "-") == 2 {
		return hyphenPlate(word)
	}
	if utf8.RuneCountInString(word) == len(word) {
		return false
	}
	first, _ := utf8.DecodeRuneInString(word)
	runs := letterRuns(word)
	switch {
	case len(runs) == 3 && runs[0] <= -2 && runs[0] >= -3 && runs[1] == 1 && runs[2] == -4:
		return strings.ContainsFunc(word, func(r rune) bool { return unicode.Is(unicode.Hangul, r) })
	case len(runs) >= 2 && runs[0] == 2 && unicode.Is(unicode.Han, first):
		size := utf8.RuneCountInString(word)
		return size >= 7 && size <= 8 && len(word) == size+2
	case len(runs) >= 3 && runs[0] == 1 && runs[1] == -3 && runs[2] == 2 && unicode.Is(unicode.Cyrillic, first):
		return len(runs) == 3 || len(runs) == 4 && runs[3] >= -3
	}
	return false
}

// hyphenPlate reports whether three groups are letters, digits, letters or the other
// way round, six or seven in all.
func hyphenPlate(word string) bool {
	kind, size := 0, 0
	for part := range strings.SplitSeq(word, "-") {
		runs := letterRuns(part)
		if len(runs) != 1 || runs[0] > 3 || runs[0] < -3 || kind > 0 && runs[0] > 0 || kind < 0 && runs[0] < 0 {
			return false
		}
		kind = runs[0]
		size += max(kind, -kind)
	}
	return size == 6 || size == 7
}
