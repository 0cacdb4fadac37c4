// Package tokengen draws the tokens that the classifier is trained and judged
// on: secrets of the kinds that sites put into links, and harmless slugs. All
// randomness is the caller's, so that a seed gives the same tokens for ever.
package tokengen

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2" //nolint:depguard // training and its tests draw from a seed and keep no secret
	"strings"
)

// Alphabets of the kinds.
const (
	Hex    = "0123456789abcdef"
	Digits = "0123456789"
	Lower  = "abcdefghijklmnopqrstuvwxyz"
	Base36 = Digits + Lower
	Base62 = Digits + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" + Lower
	Base32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
)

// A Kind is one way in which secrets are written.
type Kind struct {
	Name     string
	Required bool // part of the promise of the classifier
	Draw     func(*rand.Rand) string
}

// Kinds lists what the classifier is judged on.
func Kinds() []Kind {
	return []Kind{
		{"hex, 12", true, Fixed(Hex, 12)},
		{"hex, 16", true, Fixed(Hex, 16)},
		{"hex, 32", true, Fixed(Hex, 32)},
		{"hex, 40", true, Fixed(Hex, 40)},
		{"hex in capitals, 16", true, func(r *rand.Rand) string { return strings.ToUpper(Text(r, Hex, 16)) }},
		{"UUID", true, UUID},
		{"base62, 11", true, Fixed(Base62, 11)},
		{"base62, 16", true, Fixed(Base62, 16)},
		{"base62, 22", true, Fixed(Base62, 22)},
		{"[0-9a-z], 12", true, Fixed(Base36, 12)},
		{"[0-9a-z], 16", true, Fixed(Base36, 16)},
		{"[0-9a-z], 25", true, Fixed(Base36, 25)},
		{"base64url, 16", true, Base64URL(12)},
		{"base64url, 22", true, Base64URL(16)},
		{"base64url, 43", true, Base64URL(32)},
		{"digits, 9", true, Fixed(Digits, 9)},
		{"digits, 12", true, Fixed(Digits, 12)},
		{"digits, 18", true, Fixed(Digits, 18)},
		{"base62, 8", false, Fixed(Base62, 8)},
		{"a-z, 12", false, Fixed(Lower, 12)},
		{"a-z, 16", false, Fixed(Lower, 16)},
		{"base32, 16", false, Fixed(Base32, 16)},
		{"base32 in groups, 4-4-4-4", false, Grouped(Base32, 4, 4, 4, 4)},
		{"[0-9a-z] in groups, 4-4-4", false, Grouped(Base36, 4, 4, 4)},
		{"a-z in groups, 3-4-3", false, Grouped(Lower, 3, 4, 3)},
		{"words, then hex 16", false, func(r *rand.Rand) string { return "annual-report-" + Text(r, Hex, 16) }},
	}
}

// Text draws n letters of an alphabet.
func Text(r *rand.Rand, alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

// Fixed draws texts of one length.
func Fixed(alphabet string, n int) func(*rand.Rand) string {
	return func(r *rand.Rand) string { return Text(r, alphabet, n) }
}

// Grouped draws texts in groups with hyphens between, like product keys and
// the names of meetings.
func Grouped(alphabet string, sizes ...int) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		groups := make([]string, len(sizes))
		for i, n := range sizes {
			groups[i] = Text(r, alphabet, n)
		}
		return strings.Join(groups, "-")
	}
}

// UUID draws a version 4 UUID.
func UUID(r *rand.Rand) string {
	b := Bytes(r, 16)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Bytes draws n bytes.
func Bytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// Base64URL draws n bytes and writes them as base64url without padding.
func Base64URL(n int) func(*rand.Rand) string {
	return func(r *rand.Rand) string { return base64.RawURLEncoding.EncodeToString(Bytes(r, n)) }
}

// cyrillic has the letters of Russian.
const cyrillic = "абвгдежзийклмнопрстуфхцчшщъыьэюя"

// ShortKinds lists codes of few letters and digits, as invitations, bookings and
// shared files have them. A slug is drawn of a fixed list of words.
func ShortKinds() []Kind {
	return []Kind{
		{"b62_6", false, Fixed(Base62, 6)},
		{"b62_7", false, Fixed(Base62, 7)},
		{"b62_8", false, Fixed(Base62, 8)},
		{"low36_6", false, Fixed(Base36, 6)},
		{"low36_8", false, Fixed(Base36, 8)},
		{"alpha_8", false, Fixed(Lower, 8)},
		{"record locator, 6", false, Fixed(Digits+"ABCDEFGHIJKLMNOPQRSTUVWXYZ", 6)},
		{"low36 in groups, 3-3-3", false, Grouped(Base36, 3, 3, 3)},
		{"slug + low36_6", false, func(r *rand.Rand) string { return Slug(r) + "-" + Text(r, Base36, 6) }},
		{"5~5 base62", false, func(r *rand.Rand) string { return Text(r, Base62, 5) + "~" + Text(r, Base62, 5) }},
		{"two segments, base62, 6", false, func(r *rand.Rand) string { return Text(r, Base62, 6) + "/" + Text(r, Base62, 6) }},
		{"base64url, 11", false, Base64URL(8)},
		{"cyrillic random 12", false, func(r *rand.Rand) string {
			letters := []rune(cyrillic)
			s := make([]rune, 12)
			for i := range s {
				s[i] = letters[r.IntN(len(letters))]
			}
			return string(s)
		}},
	}
}

// Slug draws two to four common words.
func Slug(r *rand.Rand) string {
	words := strings.Fields("garden party summer holiday notes annual report family picnic weekly meeting project budget team plan draft recipe photo album birthday list")
	parts := make([]string, 2+r.IntN(3))
	for i := range parts {
		parts[i] = words[r.IntN(len(words))]
	}
	return strings.Join(parts, "-")
}
