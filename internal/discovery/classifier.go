package discovery

import (
	_ "embed"
	"strings"

	"github.com/shoal-project/shoal/internal/discovery/tokenmodel"
)

//go:generate go run ./train -out model.bin -report testdata/held-out.md

//go:embed model.bin
var encodedModel []byte

// A TokenKind is what made a token look like a secret.
type TokenKind string

// The kinds of tokens.
const (
	TokenPlain  TokenKind = ""               // words, names, short numbers
	TokenUUID   TokenKind = "UUID"           // 8-4-4-4-12 hexadecimal digits
	TokenHex    TokenKind = "hexadecimal"    // 12 or more hexadecimal digits, letters and digits mixed
	TokenNumber TokenKind = "number"         // 9 or more decimal digits
	TokenRandom TokenKind = "random-looking" // by the model
)

// Thresholds of the score, in 256ths of a logit, and the shortest stretch of
// letters and digits that the model is asked about.
const (
	strictScore, strictToken = -128, 8
	laxScore, laxToken       = 0, 9
)

// A Classifier distinguishes secrets from words: is this string a token that somebody
// made up for one person? It is immutable and may be used concurrently.
type Classifier struct {
	model  *tokenmodel.Model
	folder *tokenmodel.Folder
}

// NewClassifier returns the classifier with the model that this package carries.
func NewClassifier() (*Classifier, error) { return ReadClassifier(encodedModel) }

// ReadClassifier returns the classifier with a model that internal/discovery/train wrote.
func ReadClassifier(model []byte) (*Classifier, error) {
	m, err := tokenmodel.Decode(model)
	if err != nil {
		return nil, err
	}
	return &Classifier{model: m, folder: tokenmodel.NewFolder()}, nil
}

// Classify judges a token: a segment of a path, a parameter, a word; already
// percent-decoded. It returns the kind and the part that gave it away.
func (c *Classifier) Classify(token string, s Strictness) (TokenKind, string) {
	if uuid := findUUID(token); uuid != "" {
		return TokenUUID, uuid
	}
	if logograms(token) {
		return c.classifyMixed(token, s)
	}
	least, threshold := strictToken, strictScore
	if s == Lax {
		least, threshold = laxToken, laxScore
	}
	folded := c.folder.Fold(token)
	pieces := 0
	for piece := range strings.FieldsFuncSeq(folded, notAlnum) {
		pieces++
		if kind := shape(piece); kind != TokenPlain {
			return kind, piece
		}
		if latin(piece) >= least && c.score(piece) > threshold && !c.named(piece) {
			return TokenRandom, piece
		}
	}
	if pieces > 1 && latin(folded) >= least && c.score(folded) > threshold && !c.allNamed(folded, least) {
		return TokenRandom, token
	}
	if joined := ungroup(folded); joined != "" && c.score(joined) > threshold {
		return TokenRandom, token
	}
	return TokenPlain, ""
}

// classifyMixed judges each stretch between characters of a script that writes
// words without spaces: such a stretch holds words of its own, such as the names
// of keys in "PCをCtrl+Alt+K".
func (c *Classifier) classifyMixed(token string, s Strictness) (TokenKind, string) {
	for part := range strings.FieldsFuncSeq(token, func(r rune) bool { return r > 0x0e00 && ideographic(r) }) {
		if kind, found := c.Classify(part, s); kind != TokenPlain {
			return kind, found
		}
	}
	return TokenPlain, ""
}

// named reports whether a piece that the model finds random is a name or a word that
// it does not know: of Finnish, or a title in camel case.
func (c *Classifier) named(piece string) bool { return geminate(piece) || c.titled(piece) }

// allNamed reports whether a text holds such pieces, and what is left of it is too
// short or no secret.
func (c *Classifier) allNamed(folded string, least int) bool {
	var rest []string
	found := false
	for piece := range strings.FieldsFuncSeq(folded, notAlnum) {
		if c.named(piece) {
			found = true
			continue
		}
		rest = append(rest, piece)
	}
	left := strings.Join(rest, "-")
	return found && (latin(left) < least || c.score(left) <= strictScore)
}

func (c *Classifier) score(folded string) int {
	v := c.model.Vector(folded)
	return c.model.Score(&v)
}

// mostGroups is how many groups a key has at most.
const mostGroups = 8

// ungroup joins what is written in groups like a product key or the name of a
// meeting: three or more of four or five letters and digits, or 3-4-3. It
// returns nothing for other tokens.
func ungroup(s string) string {
	separators := 0
	for i := range len(s) {
		if notAlnum(rune(s[i])) {
			separators++
		}
	}
	if separators < 2 {
		return ""
	}
	var joined strings.Builder
	var sizes [3]int
	groups, even := 0, true
	for group := range strings.FieldsFuncSeq(s, notAlnum) {
		if len(group) < 3 || len(group) > 5 || groups == mostGroups {
			return ""
		}
		if groups < len(sizes) {
			sizes[groups] = len(group)
		}
		even = even && len(group) == sizes[0]
		groups++
		joined.WriteString(group)
	}
	if groups >= 3 && even && sizes[0] >= 4 || groups == 3 && sizes == [3]int{3, 4, 3} {
		return joined.String()
	}
	return ""
}

// geminate reports whether a word has the double letters of Finnish and Estonian:
// three pairs or more in lower-case letters, vowels and consonants in turn. Of
// random words of twelve letters none of ten thousand is one.
func geminate(piece string) bool {
	pairs, run, vowels := 0, 0, 0
	for i := range len(piece) {
		c := piece[i]
		if c < 'a' || c > 'z' {
			return false
		}
		vowel := strings.IndexByte("aeiouy", c) >= 0
		if vowel {
			vowels++
		}
		if i > 0 && c == piece[i-1] {
			pairs++
		}
		if i > 0 && vowel == (strings.IndexByte("aeiouy", piece[i-1]) >= 0) {
			if run++; run > 2 {
				return false
			}
		} else {
			run = 0
		}
	}
	return pairs >= 3 && vowels*3 >= len(piece)
}

// latin counts the ASCII bytes of s: all that the model can read.
func latin(s string) int {
	n := 0
	for i := range len(s) {
		if s[i] < 0x80 {
			n++
		}
	}
	return n
}

// shape judges a stretch of letters and digits by its alphabet alone.
func shape(piece string) TokenKind {
	digits, hexes := 0, 0
	for i := range len(piece) {
		if hexDigit(piece[i]) < 0 {
			return TokenPlain
		}
		hexes++
		if piece[i] <= '9' {
			digits++
		}
	}
	switch {
	case digits == hexes && digits >= 9:
		return TokenNumber
	case hexes >= 12 && digits > 0 && digits < hexes:
		return TokenHex
	}
	return TokenPlain
}

func notAlnum(r rune) bool {
	return r < 0x80 && !alnum(r)
}

// findUUID returns the first UUID in s, or nothing.
func findUUID(s string) string {
	const size = 36
	for i := 0; i+size <= len(s); i++ {
		if uuid := s[i : i+size]; isUUID(uuid) {
			return uuid
		}
	}
	return ""
}

func isUUID(s string) bool {
	for i := range len(s) {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (s[i] == '-') || !dash && hexDigit(s[i]) < 0 {
			return false
		}
	}
	return true
}
