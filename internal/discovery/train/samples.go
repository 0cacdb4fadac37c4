package main

import (
	"fmt"
	"math/rand/v2" //nolint:depguard // training and its tests draw from a seed and keep no secret
	"strings"

	"github.com/shoal-project/shoal/internal/discovery/tokengen"
	"github.com/shoal-project/shoal/internal/discovery/tokenmodel"
)

// draw makes n samples, half of them secrets.
func draw(r *rand.Rand, g *tokenmodel.Trigrams, languages []language, n int) []sample {
	samples := make([]sample, 0, n)
	for range n / 2 {
		samples = append(samples, sample{g.Vector(secret(r, languages)), true})
		w := languages[r.IntN(len(languages))].train
		samples = append(samples, sample{g.Vector(harmless(r, w)), false})
	}
	return samples
}

// secret draws a token as sites make them.
func secret(r *rand.Rand, languages []language) string {
	s := bare(r)
	if r.IntN(8) > 0 {
		return s
	}
	w := languages[r.IntN(len(languages))].train
	word := w[r.IntN(len(w))]
	return []string{word + "-" + s, word + "_" + s, s + "-" + word, tokengen.Plain(r, w) + "-" + s}[r.IntN(4)]
}

func bare(r *rand.Rand) string {
	switch r.IntN(10) {
	case 0, 1:
		s := tokengen.Text(r, tokengen.Hex, 8+r.IntN(40))
		if r.IntN(4) == 0 {
			return strings.ToUpper(s)
		}
		return s
	case 2:
		return tokengen.Text(r, tokengen.Hex, 12)
	case 3, 4:
		return tokengen.Text(r, tokengen.Base62, 8+r.IntN(25))
	case 5, 6:
		return tokengen.Text(r, tokengen.Base36, 9+r.IntN(24))
	case 7:
		return tokengen.Base64URL(12 + r.IntN(32))(r)
	case 8:
		return tokengen.Text(r, tokengen.Lower, 12+r.IntN(12))
	}
	return tokengen.Text(r, tokengen.Base32, 10+r.IntN(16))
}

// harmless draws a path segment, a word of a path or a title's word.
func harmless(r *rand.Rand, w tokengen.Words) string {
	one := func() string { return w[r.IntN(len(w))] }
	switch r.IntN(20) {
	case 0, 1, 2:
		return tokengen.Title(r, w)
	case 3, 4, 5:
		return one()
	case 6, 7:
		return tokengen.Product(r, w)
	case 8:
		return tokengen.Model(r)
	case 9: // companies, user names, hosts
		return one() + one()
	case 10:
		return []string{tokengen.Brand(r), tokengen.Romanised(r), tokengen.Brand(r) + "-" + tokengen.Romanised(r), tokengen.Brand(r) + one()}[r.IntN(4)]
	case 11: // titles in capitals, camel case
		a, b := capital(one()), capital(one())
		return []string{a, a + "_" + b, a + b, one() + b, strings.ToUpper(a), a + "_(" + one() + ")", a + "_" + one() + "_" + b}[r.IntN(7)]
	case 12: // numbers of articles
		id := fmt.Sprint(1 + r.IntN(99_999_999))
		return []string{id, one() + id, tokengen.Text(r, tokengen.Lower, 1) + id, one() + "-" + id, tokengen.Text(r, tokengen.Lower, 2) + "-" + id, id + "-" + one()}[r.IntN(6)]
	case 13: // dates, versions
		y, m, d := 1990+r.IntN(45), 1+r.IntN(12), 1+r.IntN(28)
		return []string{
			fmt.Sprintf("%d-%02d-%02d", y, m, d), fmt.Sprintf("%d-%02d-%02d-%s", y, m, d, tokengen.Plain(r, w)), fmt.Sprintf("%d%02d%02d", y, m, d),
			fmt.Sprintf("v%d.%d.%d", r.IntN(20), r.IntN(30), r.IntN(30)), fmt.Sprintf("%s-%d.%d", one(), r.IntN(20), r.IntN(30)), fmt.Sprintf("%s%d", one(), y),
		}[r.IntN(6)]
	case 14: // files
		ends := []string{"html", "php", "aspx", "pdf", "jpg", "md", "go", "mp4", "htm", "txt"}
		return []string{one(), tokengen.Plain(r, w), one() + "_" + one(), fmt.Sprintf("%s%d", one(), r.IntN(1000))}[r.IntN(4)] + "." + ends[r.IntN(len(ends))]
	case 15, 16:
		return technical(r, w)
	case 17: // names of sites
		short := tokengen.Text(r, tokengen.Lower, 1+r.IntN(4))
		return []string{short + one() + one(), one() + one() + one(), one() + short, one() + "4" + one(), short + "-" + one()}[r.IntN(5)]
	case 18:
		return file(r, w)
	}
	return abbreviated(r, w)
}

// file draws a long name of a page as older sites write it: words in capitals,
// hyphens and underscores, the number of an article, an ending.
func file(r *rand.Rand, w tokengen.Words) string {
	parts := make([]string, 2+r.IntN(6))
	joins := []string{"-", "_", "-", "+", "--"}
	join := joins[r.IntN(len(joins))]
	for i := range parts {
		parts[i] = w[r.IntN(len(w))]
		if r.IntN(3) > 0 {
			parts[i] = capital(parts[i])
		}
	}
	if r.IntN(2) == 0 {
		parts = append(parts, tokengen.Text(r, tokengen.Lower, r.IntN(3))+fmt.Sprint(1+r.IntN(9_999_999)))
		at := r.IntN(len(parts))
		parts[at], parts[len(parts)-1] = parts[len(parts)-1], parts[at]
	}
	s := strings.Join(parts, join)
	if r.IntN(3) == 0 {
		s = strings.Replace(s, join, "_", 1)
	}
	return s + []string{"", "", ".html", ".aspx", ".php"}[r.IntN(5)]
}

// technical draws names of programs, standards and documents: LibYAML,
// JsonPath, LICENSE-2.0, e2fsprogs, RFC2119, IPv6.
func technical(r *rand.Rand, w tokengen.Words) string {
	word, other := w[r.IntN(len(w))], w[r.IntN(len(w))]
	start := word[:min(len(word), 2+r.IntN(4))]
	switch r.IntN(10) {
	case 0:
		return capital(start) + capital(other)
	case 1:
		return capital(start) + strings.ToUpper(tokengen.Text(r, tokengen.Lower, 2+r.IntN(3)))
	case 2:
		return strings.ToUpper(tokengen.Text(r, tokengen.Lower, 2+r.IntN(3))) + capital(other)
	case 3:
		return strings.ToUpper(word) + fmt.Sprintf("-%d.%d", r.IntN(10), r.IntN(10))
	case 4:
		return tokengen.Text(r, tokengen.Lower, 1) + tokengen.Text(r, tokengen.Digits, 1) + other
	case 5:
		return start + tokengen.Text(r, tokengen.Lower, 1+r.IntN(3)) + tokengen.Text(r, tokengen.Digits, 1)
	case 6:
		return strings.ToUpper(tokengen.Text(r, tokengen.Lower, 2+r.IntN(3))) + fmt.Sprint(1+r.IntN(9999))
	case 7:
		return capital(word) + "-" + strings.ToUpper(start) + fmt.Sprintf("v%d", 1+r.IntN(9))
	case 8:
		return capital(start) + capital(other) + capital(word[len(word)/2:])
	}
	return strings.ToUpper(word) + "_" + strings.ToUpper(other)
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// abbreviated draws words that no dictionary has: initials before a word, a
// word without its vowels, a word with a number in it.
func abbreviated(r *rand.Rand, w tokengen.Words) string {
	word := w[r.IntN(len(w))]
	switch r.IntN(4) {
	case 0:
		return tokengen.Text(r, tokengen.Lower, 1+r.IntN(3)) + word
	case 1:
		short := strings.Map(func(c rune) rune {
			if strings.ContainsRune("aeiou", c) {
				return -1
			}
			return c
		}, word)
		if short != "" && len(short) <= 6 {
			return short
		}
		return word
	case 2:
		return word + fmt.Sprint(r.IntN(100)) + w[r.IntN(len(w))]
	}
	return tokengen.Text(r, tokengen.Lower, 2+r.IntN(3)) + "-" + word
}
