package discovery

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode"
)

// sketchSize is how many hashes a sketch keeps. The estimate of a similarity s
// has the standard deviation sqrt(s(1-s)/sketchSize), at most 6.3 per cent.
const sketchSize = 64

// A Sketch represents the words of a page: the smallest hashes of all runs of
// three words (of characters, in scripts that write words without spaces). Case
// is folded and numbers count as one word, so that counters and prices do not
// matter. Two sketches show how much the texts have in common without holding
// the texts; short texts can all the same be guessed from them, so a Sketch is
// as private as the page. The zero Sketch is that of a page without text.
// Sketches are comparable.
type Sketch struct {
	n   int
	low [sketchSize]uint32 // ascending, without repetition
}

// Len returns how many different runs of words the sketch holds; it does not
// grow beyond 64.
func (s *Sketch) Len() int { return s.n }

// Similarity estimates which part of the different runs of words of two texts
// both have, in per cent (the Jaccard coefficient). It is exact for texts with
// fewer than 64 runs, and symmetric. Two empty texts are equal.
func (s *Sketch) Similarity(o *Sketch) int {
	both, union := 0, 0
	for i, j := 0, 0; (i < s.n || j < o.n) && union < sketchSize; union++ {
		switch {
		case j == o.n || i < s.n && s.low[i] < o.low[j]:
			i++
		case i == s.n || o.low[j] < s.low[i]:
			j++
		default:
			i, j, both = i+1, j+1, both+1
		}
	}
	if union == 0 {
		return 100
	}
	return 100 * both / union
}

func (s *Sketch) add(h uint32) {
	if s.n == sketchSize && h >= s.low[sketchSize-1] {
		return
	}
	at, found := slices.BinarySearch(s.low[:s.n], h)
	if found {
		return
	}
	if s.n < sketchSize {
		s.n++
	}
	copy(s.low[at+1:s.n], s.low[at:s.n-1])
	s.low[at] = h
}

// MarshalText writes the hashes in base64url.
func (s Sketch) MarshalText() ([]byte, error) {
	b := make([]byte, 0, 4*s.n)
	for _, h := range s.low[:s.n] {
		b = binary.BigEndian.AppendUint32(b, h)
	}
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText reads what MarshalText writes, and nothing else.
func (s *Sketch) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.Strict().AppendDecode(nil, text)
	if err != nil {
		return fmt.Errorf("reading a sketch: %w", err)
	}
	if len(b)%4 != 0 || len(b) > 4*sketchSize {
		return fmt.Errorf("reading a sketch: %d bytes, want up to %d hashes of 4", len(b), sketchSize)
	}
	out := Sketch{n: len(b) / 4}
	for i := range out.n {
		out.low[i] = binary.BigEndian.Uint32(b[4*i:])
		if i > 0 && out.low[i] <= out.low[i-1] {
			return errors.New("reading a sketch: the hashes do not ascend")
		}
	}
	*s = out
	return nil
}

// A sketcher cuts text into words and puts their runs into a sketch.
type sketcher struct {
	sketch *Sketch
	word   uint64 // hash of the word so far; 0 between words
	number bool   // the word so far is of digits only
	last   [2]uint64
	words  int
}

const (
	fnvBasis  = 14695981039346656037
	fnvPrime  = 1099511628211
	numberTag = 0x9e3779b97f4a7c15
)

func (k *sketcher) rune(r rune) {
	switch {
	case r < 0x80 && r|0x20 >= 'a' && r|0x20 <= 'z':
		k.letter(r | 0x20)
	case digit(r):
		if k.word == 0 {
			k.word, k.number = fnvBasis, true
		}
		if !k.number {
			k.letter(r)
		}
	case r < 0x80:
		k.end()
	case unicode.IsLetter(r) || unicode.IsMark(r):
		if r > 0x0e00 && ideographic(r) {
			k.end()
			k.letter(r)
			k.end()
			return
		}
		k.letter(unicode.ToLower(r))
	default:
		k.end()
	}
}

// letter adds a letter to the word; of digits before letters only
// the fact that there were some is kept.
func (k *sketcher) letter(r rune) {
	if k.word == 0 {
		k.word = fnvBasis
	}
	k.number = false
	k.word = (k.word ^ uint64(r)) * fnvPrime
}

// end closes the word, and hashes it with the two before it.
func (k *sketcher) end() {
	if k.word == 0 {
		return
	}
	w := k.word
	if k.number {
		w = numberTag
	}
	k.word, k.number = 0, false
	if k.words++; k.words >= 3 {
		h := (k.last[0]*fnvPrime^k.last[1])*fnvPrime ^ w
		h ^= h >> 32
		h *= 0xd6e8feb86659fd93
		h ^= h >> 32
		k.sketch.add(uint32(h))
	}
	k.last[0], k.last[1] = k.last[1], w
}

// ideographic reports whether a script writes words without spaces.
func ideographic(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}
