package discovery

import (
	"strings"
)

// referenceCode finds the number or the code of an order, an account, a document.
func referenceCode(r *Rules, q *queryText) string {
	if !q.digit {
		return ""
	}
	code := loneNumber(q.low, leastReference)
	for _, word := range q.words {
		if code == "" && mixedCode(word) {
			code = word
		}
	}
	if word := r.vocabulary["secret"].in(q); word != "" {
		if found := besideSecret(q, word); found != "" {
			return found
		}
	}
	if code == "" {
		return ""
	}
	if word := r.vocabulary["reference"].in(q); word != "" {
		return word + " " + code
	}
	for _, word := range q.words {
		if numberWord(word) {
			return word + " " + code
		}
	}
	return ""
}

// besideSecret finds what may be a secret beside the word for one: letters and
// digits mixed, or a number of four digits that is no year.
func besideSecret(q *queryText, word string) string {
	for i, other := range q.words {
		switch {
		case !hasDigit(other) || product(other):
		case strings.Trim(other, "0123456789") != "":
			return word + " " + other
		case len(other) == 4 && !yearAt(other, 0) && (i > 0 && q.words[i-1] == word || i+1 < len(q.words) && q.words[i+1] == word):
			return word + " " + other
		}
	}
	return ""
}

// product reports whether a word is one that people put beside "password" when they
// ask for help with a program.
func product(word string) bool {
	switch strings.TrimRight(word, "0123456789") {
	case "windows", "win", "office", "wpa", "base", "md", "sha", "iphone", "ipad", "ios", "android", "galaxy", "ps", "outlook", "o":
		return true
	}
	return false
}

// numberWord reports whether a word announces a number: kundennummer, nr.
func numberWord(word string) bool {
	switch word {
	case "number", "numbers", "nr", "num", "id", "ids", "numero", "no", "numer", "cislo", "szama", "№", "رقم", "شماره", "מספר":
		return word != "no"
	}
	for _, end := range []string{"nummer", "numer", "number", "numero", "nr", "номер", "번호", "番号", "编号", "號碼", "号码"} {
		if strings.HasSuffix(word, end) && len(word) > len(end) || word == end {
			return true
		}
	}
	return false
}
