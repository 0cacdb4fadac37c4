package discovery

import (
	_ "embed"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/shoal-project/shoal/internal/discovery/tokenmodel"
)

//go:embed querywords.txt
var queryWordList string

// A queryText is a query as the rules read it.
type queryText struct {
	raw   string   // spaces collapsed
	low   string   // lower case, accents folded, digits of all scripts as ASCII, nothing invisible
	words []string // of low, without punctuation at their ends
	digit bool     // it has a digit
	solid bool     // it has words of a script that writes them without spaces
	size  int      // letters and digits; marks of vowels and tones are none
}

func newQueryText(f *tokenmodel.Folder, raw string) *queryText {
	q := &queryText{raw: raw, low: f.Fold(foldQuery(raw))}
	q.words = make([]string, 0, 8)
	for word := range strings.FieldsSeq(q.low) {
		if word = strings.TrimFunc(word, func(r rune) bool { return !alnum(r) && !unicode.IsMark(r) }); word != "" {
			q.words = append(q.words, word)
		}
	}
	for _, r := range q.low {
		if alnum(r) {
			q.size++
		}
	}
	q.digit = hasDigit(q.low)
	q.solid = logograms(q.low)
	return q
}

// foldQuery returns lower case, full-width forms as ASCII, digits of all scripts
// as ASCII, and nothing of what is not seen.
func foldQuery(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || c >= 'A' && c <= 'Z' {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x80:
		case r >= 0xff01 && r <= 0xff5e:
			r -= 0xfee0
		case strings.ContainsRune("．。｡", r):
			return '.'
		case unicode.Is(unicode.Cf, r):
			return -1
		case unicode.IsDigit(r):
			return '0' + digitValue(r)
		}
		return unicode.ToLower(r)
	}, s)
}

// digitValue returns the value of a decimal digit: Unicode has them in tens.
func digitValue(r rune) rune {
	for _, t := range unicode.Digit.R16 {
		if r >= rune(t.Lo) && r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10
		}
	}
	for _, t := range unicode.Digit.R32 {
		if r >= rune(t.Lo) && r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10
		}
	}
	return 0
}

// maxPhrase is how many words an entry of the list has at most.
const maxPhrase = 4

// leastStem is how many letters an entry must share with an inflected word.
const leastStem = 5

// A wordSet is one section of the list.
type wordSet struct {
	words map[string]bool
	heads map[string]bool // first words of entries of several
	stems map[string]bool // entries without their last letter
	solid []string        // of scripts without spaces: found anywhere
}

func (w *wordSet) add(entry string) {
	if logograms(entry) {
		w.solid = append(w.solid, entry)
	}
	w.words[entry] = true
	if head, _, ok := strings.Cut(entry, "_"); ok {
		w.heads[head] = true
	}
	if n := utf8.RuneCountInString(entry); n > leastStem {
		_, last := utf8.DecodeLastRuneInString(entry)
		w.stems[entry[:len(entry)-last]] = true
	}
}

// at returns the number of words from i on that are one entry, 0 if none.
func (w *wordSet) at(words []string, i int) int {
	phrase := words[i]
	if !w.heads[phrase] {
		if w.words[phrase] {
			return 1
		}
		return 0
	}
	for n := 1; ; n++ {
		if w.words[phrase] {
			return n
		}
		if n == maxPhrase || i+n >= len(words) {
			return 0
		}
		phrase += "_" + words[i+n]
	}
}

// inflected reports whether a word is an entry with at most three other letters at
// its end.
func (w *wordSet) inflected(word string) bool {
	if w.words[word] {
		return true
	}
	for range 4 {
		if w.stems[word] {
			return true
		}
		_, last := utf8.DecodeLastRuneInString(word)
		word = word[:len(word)-last]
		if len(word) < leastStem {
			return false
		}
	}
	return false
}

// in finds an entry anywhere in a query: as words, inflected, or inside of a text
// without spaces.
func (w *wordSet) in(q *queryText) string {
	for i, word := range q.words {
		if n := w.at(q.words, i); n > 0 {
			return strings.Join(q.words[i:i+n], " ")
		}
		if w.inflected(word) {
			return word
		}
	}
	if q.solid {
		for _, entry := range w.solid {
			if strings.Contains(q.low, entry) {
				return entry
			}
		}
	}
	return ""
}

// A vocabulary is the list of words by which queries are judged, by section.
type vocabulary map[string]*wordSet

// newVocabulary reads the list that this package carries.
func newVocabulary(f *tokenmodel.Folder, list string) (vocabulary, error) {
	v := make(vocabulary)
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if len(fields) < 3 {
			return nil, fmt.Errorf("the words of queries: a line of %d fields, want a section, languages and words", len(fields))
		}
		if v[fields[0]] == nil {
			v[fields[0]] = &wordSet{words: make(map[string]bool), heads: make(map[string]bool), stems: make(map[string]bool)}
		}
		for _, word := range fields[2:] {
			v[fields[0]].add(f.Fold(foldQuery(word)))
		}
	}
	for _, section := range []string{
		"at", "dot", "mail", "street", "streetend", "streetbefore", "streetdot", "streetmid", "streetbehind", "streetvague",
		"notstreet", "compass", "state", "unit", "house", "reference", "secret", "plate", "postcode", "born", "name",
	} {
		if v[section] == nil {
			return nil, fmt.Errorf("the words of queries: no section %q", section)
		}
	}
	return v, nil
}
