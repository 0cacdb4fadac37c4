package tokengen

import (
	"fmt"
	"math/rand/v2" //nolint:depguard // training and its tests draw from a seed and keep no secret
	"strings"
)

// Words is the vocabulary of one language: lower-case ASCII words.
type Words []string

func (w Words) one(r *rand.Rand) string { return w[r.IntN(len(w))] }

// Title draws an article's slug: two to nine words of one language, sometimes
// with a year, a small number or the number of an article.
func Title(r *rand.Rand, w Words) string {
	parts := make([]string, 0, 11)
	for range 2 + r.IntN(8) {
		parts = append(parts, w.one(r))
	}
	at := r.IntN(len(parts) + 1)
	switch r.IntN(8) {
	case 0:
		parts = insert(parts, at, fmt.Sprint(1950+r.IntN(80)))
	case 1:
		parts = insert(parts, at, fmt.Sprint(1+r.IntN(100)))
	case 2:
		parts = append(parts, fmt.Sprint(1000+r.IntN(9_999_000)))
	}
	return strings.Join(parts, "-")
}

// Plain draws a slug of one to six words and nothing else.
func Plain(r *rand.Rand, w Words) string {
	parts := make([]string, 1+r.IntN(6))
	for i := range parts {
		parts[i] = w.one(r)
	}
	return strings.Join(parts, "-")
}

func insert(parts []string, at int, s string) []string {
	parts = append(parts, "")
	copy(parts[at+1:], parts[at:])
	parts[at] = s
	return parts
}

// Product draws a product's slug: a maker, a model, what it is, its size.
func Product(r *rand.Rand, w Words) string {
	parts := []string{Brand(r)}
	if r.IntN(2) == 0 {
		parts = append(parts, w.one(r))
	}
	parts = append(parts, Model(r))
	for range r.IntN(4) {
		parts = append(parts, w.one(r))
	}
	if r.IntN(3) == 0 {
		units := []string{"gb", "tb", "mm", "cm", "ml", "kg", "inch", "w", "mah", "hz", "x", "l", "mp", "v"}
		parts = append(parts, fmt.Sprint(1+r.IntN(1000))+units[r.IntN(len(units))])
	}
	return strings.Join(parts, "-")
}

// Brand draws an invented name that can be spoken.
func Brand(r *rand.Rand) string {
	onsets := strings.Fields("b br c ch cl d dr f fl g gr h j k kr l m n p pl pr qu r s sh sk sl sp st t th tr v w x y z")
	nuclei := strings.Fields("a e i o u a e i o u ai ea ee ia io oo ou y")
	codas := strings.Fields("b ck d ff g k l ll m n n n nd ng nk r r rd rt s s ss t x z")
	var b strings.Builder
	for i := range 1 + r.IntN(3) {
		b.WriteString(onsets[r.IntN(len(onsets))])
		b.WriteString(nuclei[r.IntN(len(nuclei))])
		if i > 0 || r.IntN(2) == 0 {
			b.WriteString(codas[r.IntN(len(codas))])
		}
	}
	return b.String()
}

// Model draws the short code of a product, like wh-1000xm5, xps-13 or rtx4090.
func Model(r *rand.Rand) string {
	number := func() string {
		return fmt.Sprint([]int{1 + r.IntN(30), 100 * (1 + r.IntN(99)), 10 + r.IntN(9990)}[r.IntN(3)])
	}
	suffixes := strings.Fields("s x pro max mini plus ti xt k g b w u fe se ii iii v2 mk2 xl lite ultra")
	join := []string{"", "", "-"}[r.IntN(3)]
	s := Text(r, Lower, 1+r.IntN(3)) + join + number()
	switch r.IntN(4) {
	case 0:
		s += Text(r, Lower, 1+r.IntN(2))
	case 1:
		s += Text(r, Lower, 2) + Text(r, Digits, 1)
	case 2:
		s += join + suffixes[r.IntN(len(suffixes))]
	}
	return s
}

// Romanised draws a word of Japanese or Chinese in Latin letters.
func Romanised(r *rand.Rand) string {
	kana := strings.Fields("a i u e o ka ki ku ke ko sa shi su se so ta chi tsu te to na ni nu ne no ha hi fu he ho ma mi mu me mo ya yu yo ra ri ru re ro wa n ga gi gu ge go za ji zu da de do ba bi bu be bo pa pi pu pe po kya kyu kyo sha shu sho cha chu cho ryu ryo")
	initials := strings.Fields("b p m f d t n l g k h j q x zh ch sh r z c s y w")
	finals := strings.Fields("a o e ai ei ao ou an en ang eng ong i ia ie iao iu ian in iang ing iong u ua uo ui uan un uang ue")
	var b strings.Builder
	if r.IntN(2) == 0 {
		for range 2 + r.IntN(3) {
			b.WriteString(kana[r.IntN(len(kana))])
		}
		return b.String()
	}
	for range 1 + r.IntN(3) {
		b.WriteString(initials[r.IntN(len(initials))])
		b.WriteString(finals[r.IntN(len(finals))])
	}
	return b.String()
}
