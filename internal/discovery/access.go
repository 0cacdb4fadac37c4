package discovery

import (
	_ "embed"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/shoal-project/shoal/internal/discovery/tokenmodel"
)

//go:embed accesswords.txt
var accessWordList string

// Limits of what is read as a name of a page that one person has access to.
const (
	maxAccessWords = 6  // words of a segment, those that change nothing included
	maxNamedWords  = 2  // words of a segment in which something that happens is found
	leastAct       = 6  // letters of a word that is found among others
	leastCompound  = 8  // letters of an entry that begins a compound
	leastEnd       = 9  // letters of an entry that ends a compound
	maxCompound    = 40 // letters of a word that is taken apart
	leastInflected = 7  // Latin letters of an entry that is found inflected
	maxEnding      = 3  // letters that an inflected word has after its stem
	maxSolidExtra  = 5  // characters beside an entry of a script without spaces
)

// accessWords is the list of words that mark access for one person.
type accessWords struct {
	act, own      map[string]bool
	beside        map[string]bool // change nothing
	docs, route   map[string]bool
	published     map[string]bool
	heads         map[string]bool // first words of entries of several
	stems         map[string]bool // of entries of languages that inflect
	starts, ends  map[string]bool // entries that begin and end compounds
	solid         []string        // of scripts without spaces
	folder        *tokenmodel.Folder
	leastS, mostS int              // bytes of entries of starts and ends
	entries       map[string]entry // of act, own and beside together
	firsts        [256]bool        // bytes that entries, stems and starts begin with
}

// An entry is what a word is by itself.
type entry struct {
	kind   named
	beside bool
}

// inflecting and compounding list languages whose words are found with other
// endings, and joined to others.
const (
	inflecting  = " de da no sv fi is et lv lt pl cs sk hu ro mo hr sr bs sl mk bg sq ru uk be el tr az kk uz ka hy "
	compounding = " de nl da no sv fi is et hu af "
)

// newAccessWords reads the list that this package carries.
func newAccessWords(f *tokenmodel.Folder, list string) (*accessWords, error) {
	a := &accessWords{folder: f, leastS: leastCompound}
	for _, m := range []*map[string]bool{&a.act, &a.own, &a.beside, &a.docs, &a.route, &a.published, &a.heads, &a.stems, &a.starts, &a.ends} {
		*m = make(map[string]bool)
	}
	umlauts := strings.NewReplacer("ae", "a", "oe", "o", "ue", "u")
	sections := map[string]map[string]bool{"act": a.act, "own": a.own, "beside": a.beside, "docs": a.docs, "route": a.route, "published": a.published}
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		section := sections[fields[0]]
		if len(fields) < 3 || section == nil {
			return nil, fmt.Errorf("the words of access: %.40q is not a section, languages and words", line)
		}
		for _, entry := range fields[2:] {
			a.add(section, fields[0], fields[1], a.fold(entry))
			if fields[1] == "de" { // ä is folded to a
				if plain := umlauts.Replace(entry); plain != entry {
					a.add(section, fields[0], fields[1], plain)
				}
			}
		}
	}
	a.entries = make(map[string]entry, len(a.act)+len(a.own)+len(a.beside))
	for word := range a.beside {
		a.entries[word] = entry{beside: true}
	}
	for word := range a.own {
		a.entries[word] = entry{namedOwn, a.beside[word]}
	}
	for word := range a.act { // an entry of both is an act
		a.entries[word] = entry{namedAct, a.beside[word]}
	}
	a.firsts['m'] = true // of "my" and "mi"
	for _, set := range []map[string]bool{a.act, a.own, a.beside, a.stems, a.starts} {
		for word := range set {
			if word != "" {
				a.firsts[word[0]] = true
			}
		}
	}
	return a, nil
}

func (a *accessWords) add(section map[string]bool, name, languages, entry string) {
	joined := strings.ReplaceAll(entry, "_", "")
	section[entry], section[joined] = true, true
	if head, _, ok := strings.Cut(entry, "_"); ok {
		a.heads[head] = true
	}
	if name != "act" && name != "own" {
		return
	}
	if logograms(entry) {
		a.solid = append(a.solid, joined)
		return
	}
	in := func(set string) bool {
		for l := range strings.SplitSeq(languages, ",") {
			if strings.Contains(set, " "+l+" ") {
				return true
			}
		}
		return false
	}
	n := utf8.RuneCountInString(joined)
	if in(inflecting) && (n >= leastInflected || !isASCII(joined) && n >= leastInflected-2) {
		_, last := utf8.DecodeLastRuneInString(joined)
		a.stems[joined[:len(joined)-last]] = true
	}
	if in(compounding) && n >= leastCompound {
		a.starts[joined] = true
		if n >= leastEnd {
			a.ends[joined] = true
		}
		a.mostS = max(a.mostS, len(joined))
	}
}

// fold returns lower case, without the accents of Latin and Greek, and with one
// spelling of letters that keyboards of one script write differently.
func (a *accessWords) fold(s string) string {
	s = a.folder.Fold(foldQuery(s))
	if isASCII(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 0x64b && r <= 0x652, r == 'ـ', unicode.Is(unicode.Cf, r):
			return -1
		case r == 'ё':
			return 'е'
		case r == 'ς':
			return 'σ'
		}
		const accented, plain = "άέήίϊΐόύϋΰώأإآةىیکے", "αεηιιιουυυωاااهييكي"
		if at := strings.IndexRune(accented, r); at >= 0 {
			return []rune(plain)[utf8.RuneCountInString(accented[:at])]
		}
		return r
	}, s)
}

// words splits a segment at everything that is no letter, digit or mark, and
// where camel case turns.
func (a *accessWords) words(into []string, segment string) []string {
	if words, ok := plainWords(into, segment); ok {
		return words
	}
	var b strings.Builder
	b.Grow(len(segment) + 8)
	previous, word := rune(0), 1
	for i, r := range segment {
		switch {
		case !alnum(r) && !unicode.IsMark(r):
			r = ' '
			word++
		case unicode.IsUpper(r) && unicode.IsLower(previous), unicode.IsUpper(r) && unicode.IsUpper(previous) && lowerFollows(segment[i+utf8.RuneLen(r):]):
			b.WriteByte(' ')
			word++
		}
		if word > 3*maxAccessWords {
			return nil
		}
		b.WriteRune(r)
		previous = r
	}
	for word := range strings.FieldsSeq(a.fold(b.String())) {
		into = append(into, word)
	}
	return into
}

// plainWords splits a segment of small ASCII letters and digits, as most are,
// without a copy; false if it has others.
func plainWords(into []string, segment string) ([]string, bool) {
	for i := range len(segment) {
		if c := segment[i]; c >= 0x80 || c >= 'A' && c <= 'Z' {
			return nil, false
		}
	}
	for word := range strings.FieldsFuncSeq(segment, notAlnum) {
		if len(into) == 3*maxAccessWords {
			return nil, true
		}
		into = append(into, word)
	}
	return into, true
}

func lowerFollows(rest string) bool {
	r, _ := utf8.DecodeRuneInString(rest)
	return unicode.IsLower(r)
}

// A named is what a segment means for access.
type named uint8

const (
	namedNothing named = iota
	namedOwn           // something of one person, nothing beside it
	namedAct           // something happens
)

// named judges a segment, a value of a parameter or a label of a host.
func (a *accessWords) named(segment string) (named, string) {
	if len(segment) > 200 || separators(segment) > maxAccessWords || strings.Trim(segment, "0123456789") == "" {
		return namedNothing, ""
	}
	if !isASCII(segment) && logograms(segment) {
		return a.namedSolid(segment)
	}
	var buffer [3*maxAccessWords + 1]string
	words := a.words(buffer[:0], withoutEnding(segment))
	if len(words) == 0 || len(words) > maxAccessWords {
		return namedNothing, ""
	}
	others, own, act := 0, "", ""
	for i := 0; i < len(words); {
		n, kind := a.at(words, i)
		entry := strings.Join(words[i:i+n], "-")
		switch {
		case kind == namedAct && act == "":
			act = entry
		case kind == namedOwn && own == "":
			own = entry
		case kind != namedNothing, a.beside[words[i]], hasDigit(words[i]):
		default:
			others++
		}
		i += n
	}
	switch {
	case act != "" && (others == 0 || others < maxNamedWords && (utf8.RuneCountInString(act) >= leastAct || act == "login" || act == "unsub")):
		return namedAct, act
	case own != "" && others == 0:
		return namedOwn, own
	}
	return namedNothing, ""
}

// namedSolid judges a segment of a script that writes words without spaces.
func (a *accessWords) namedSolid(segment string) (named, string) {
	text := a.fold(segment)
	n := utf8.RuneCountInString(text)
	for _, entry := range a.solid {
		if n-utf8.RuneCountInString(entry) <= maxSolidExtra && strings.Contains(text, entry) {
			if a.act[entry] {
				return namedAct, entry
			}
			return namedOwn, entry
		}
	}
	return namedNothing, ""
}

// separators counts the signs between words: titles of articles have many.
func separators(segment string) int {
	n := 0
	for i := range len(segment) {
		if c := segment[i]; c == '-' || c == '_' || c == '+' || c == ' ' {
			n++
		}
	}
	return n
}

// withoutEnding cuts the ending of a file.
func withoutEnding(segment string) string {
	if dot := strings.LastIndexByte(segment, '.'); dot > 0 && len(segment)-dot <= 6 {
		return segment[:dot]
	}
	return segment
}

// at returns how many words from i on are one entry, one at least, and what kind.
func (a *accessWords) at(words []string, i int) (int, named) {
	if a.heads[words[i]] {
		phrase := words[i]
		found, kind := 0, namedNothing
		for n := 2; n <= maxPhrase+1 && i+n <= len(words); n++ {
			phrase += "_" + words[i+n-1]
			if k := a.kind(phrase); k != namedNothing {
				found, kind = n, k
			}
		}
		if found > 0 {
			return found, kind
		}
	}
	if k := a.kind(words[i]); k != namedNothing {
		return 1, k
	}
	return 1, a.grown(words[i])
}

func (a *accessWords) kind(word string) named { return a.entries[word].kind }

// grown finds an entry inflected, in a compound, or written together with others.
func (a *accessWords) grown(word string) named {
	if len(word) < leastAct || len(word) > maxCompound || a.beside[word] {
		return namedNothing
	}
	begins := a.firsts[word[0]]
	stem := word
	for range maxEnding + 2 {
		if begins && a.stems[stem] {
			return namedOwn
		}
		_, last := utf8.DecodeLastRuneInString(stem)
		if stem = stem[:len(stem)-last]; len(stem) < leastInflected-2 {
			break
		}
	}
	for n := a.leastS; n <= min(a.mostS, len(word)-2); n++ {
		if begins && a.starts[word[:n]] || a.ends[word[len(word)-n:]] {
			return namedOwn
		}
	}
	if !begins {
		return namedNothing
	}
	steps := 0
	return a.together(word, 0, &steps)
}

// together takes a word apart into entries and words beside them, without rest.
func (a *accessWords) together(rest string, depth int, steps *int) named {
	if depth == 4 {
		return namedNothing
	}
	for n := 2; n <= len(rest); n++ {
		if *steps++; *steps > 200 {
			return namedNothing
		}
		part := rest[:n]
		found := a.entries[part]
		kind := found.kind
		if n < 3 || kind == namedNothing && !found.beside {
			if n != 2 || part != "my" && part != "mi" {
				continue
			}
		}
		if n == len(rest) {
			if depth > 0 && kind != namedNothing {
				return namedOwn
			}
			if depth > 0 && found.beside {
				return namedBeside
			}
			continue
		}
		switch after := a.together(rest[n:], depth+1, steps); {
		case after == namedOwn, after == namedBeside && kind != namedNothing:
			return namedOwn
		case after == namedBeside:
			return namedBeside
		}
	}
	return namedNothing
}

// namedBeside is what is left of a word that means nothing for access.
const namedBeside named = 255
