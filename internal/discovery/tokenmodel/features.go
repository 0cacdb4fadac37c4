package tokenmodel

import "math/bits"

// Features is the number of inputs of the network.
const Features = 20

// The unit of features that are shares or averages: 256 is one.
const unit = 256

// maxToken bounds the bytes of a token that are looked at.
const maxToken = 256

// class of a byte of a token.
const (
	classSeparator = iota
	classLower
	classUpper
	classDigit
	classOther // part of a letter of a script that is not Latin
)

func class(c byte) int {
	switch {
	case c >= 'a' && c <= 'z':
		return classLower
	case c >= 'A' && c <= 'Z':
		return classUpper
	case c >= '0' && c <= '9':
		return classDigit
	case c >= 0x80:
		return classOther
	}
	return classSeparator
}

// A Vector is what the network sees of a token.
type Vector [Features]int32

// tally is what one pass over a token counts.
type tally struct {
	alnum, letters, digits, uppers, seps, hexes, vowels int32
	mixes, caseTurns                                    int32 // letter next to digit; upper after lower inside a piece
	digitRun, letterRun, piece, mixedPiece              int32 // longest
	shortRuns                                           int32 // letter runs of one or two letters inside a mixed piece
	grams, surprise, excess, worst                      int32
	known                                               int32 // letters in runs that read like words
	seen                                                uint64
}

// Vector measures a token, already folded.
func (g *Trigrams) Vector(token string) Vector {
	if len(token) > maxToken {
		token = token[:maxToken]
	}
	var t tally
	for start := 0; start < len(token); {
		if class(token[start]) == classSeparator {
			t.seps++
			start++
			continue
		}
		end := start
		for end < len(token) && class(token[end]) != classSeparator {
			end++
		}
		g.piece(&t, token[start:end])
		start = end
	}
	return t.vector()
}

// piece counts one stretch without separators.
func (g *Trigrams) piece(t *tally, s string) {
	var letters, digits, run, short int32
	for i := 0; i < len(s); {
		c := class(s[i])
		end := i + 1
		for end < len(s) && sameRun(c, class(s[end])) {
			end++
		}
		n := int32(end - i)
		switch c {
		case classDigit:
			digits += n
			t.digitRun = max(t.digitRun, n)
			for j := i; j < end; j++ {
				t.hexes++
				t.seen |= 1 << (26 + s[j] - '0')
			}
		case classLower, classUpper:
			letters += n
			t.letterRun = max(t.letterRun, n)
			if n <= 2 {
				short++
			}
			g.letters(t, s[i:end])
		}
		if i > 0 && c != classOther && class(s[i-1]) != classOther {
			t.mixes++
		}
		i = end
		run++
	}
	size := letters + digits
	t.letters += letters
	t.digits += digits
	t.alnum += size
	t.piece = max(t.piece, size)
	if run > 1 {
		t.mixedPiece = max(t.mixedPiece, size)
		t.shortRuns += short
	}
}

func sameRun(a, b int) bool {
	letter := func(c int) bool { return c == classLower || c == classUpper }
	return a == b || letter(a) && letter(b)
}

// letters counts one run of letters, and how surprising its trigrams are. A
// turn from lower to upper case starts a new word (camel case).
func (g *Trigrams) letters(t *tally, s string) {
	for start := 0; start < len(s); {
		end := start + 1
		for end < len(s) && (class(s[end]) != classUpper || class(s[end-1]) != classLower) {
			end++
		}
		if start > 0 {
			t.caseTurns++
		}
		g.word(t, s[start:end])
		start = end
	}
}

// word counts one run of letters without camel turns.
func (g *Trigrams) word(t *tally, s string) {
	a, b := 0, 0
	var sum, excess int32
	for i := range len(s) {
		c := s[i]
		if class(c) == classUpper {
			t.uppers++
			c += 'a' - 'A'
		}
		switch c {
		case 'a', 'e', 'i', 'o', 'u', 'y':
			t.vowels++
		}
		if c <= 'f' {
			t.hexes++
		}
		t.seen |= 1 << (c - 'a')
		sym := int(c-'a') + 1
		cost := int32(g.cost[(a*symbols+b)*symbols+sym])
		sum += cost
		excess += max(0, cost-typicalCost)
		a, b = b, sym
	}
	cost := int32(g.cost[(a*symbols+b)*symbols])
	sum += cost
	excess += max(0, cost-typicalCost)
	n := int32(len(s)) + 1
	t.grams += n
	t.surprise += sum
	t.excess += excess
	mean := sum / n
	if len(s) >= 4 {
		t.worst = max(t.worst, mean)
	}
	if len(s) >= 3 && mean < wordCost {
		t.known += int32(len(s))
	}
}

// Costs are sixteenths of a bit.
const (
	typicalCost = 4 * 16
	wordCost    = 9 * 16 / 2
	evenCost    = 75 // of a letter among 26 that are equally likely
)

func (t *tally) vector() Vector {
	n := max(t.alnum, 1)
	letters := max(t.letters, 1)
	return Vector{
		min(t.alnum, 48) * 32,
		t.surprise * 16 / max(t.grams, 1),
		t.worst * 16,
		min(t.excess, 1024) * 4,
		t.digits * unit / n,
		t.mixes * unit / n,
		t.caseTurns * unit / n,
		t.uppers * unit / letters,
		t.hexes * unit / n,
		int32(bits.OnesCount64(t.seen)) * unit / n,
		min(t.digitRun, 16) * 64,
		min(t.letterRun, 24) * 64,
		t.seps * unit / (n + t.seps),
		t.known * unit / letters,
		t.vowels * unit / letters,
		min(t.shortRuns, 16) * 64,
		max(min(t.surprise-t.grams*evenCost, 1024), -1024) * 2,
		min(t.mixedPiece, 32) * 64,
		min(t.piece, 40) * 32,
		min(t.mixes+t.caseTurns, 16) * 64,
	}
}

// NoWord is the surprise of what is no word of ASCII letters: more than any word has.
const NoWord = 1 << 20

// Surprise returns the mean cost of the letters of a word of lower-case ASCII
// letters, its end included, in sixteenths of a bit. Anything else is NoWord.
func (g *Trigrams) Surprise(word string) int {
	a, b, sum := 0, 0, 0
	for i := range len(word) {
		if word[i] < 'a' || word[i] > 'z' {
			return NoWord
		}
		symbol := int(word[i]-'a') + 1
		sum += int(g.cost[(a*symbols+b)*symbols+symbol])
		a, b = b, symbol
	}
	sum += int(g.cost[(a*symbols+b)*symbols])
	return sum / (len(word) + 1)
}
