package discovery

import "strings"

// scrambled reports whether a word of Cyrillic letters breaks the rules by which
// their languages put vowels and signs.
func (c *Classifier) scrambled(piece string) bool {
	const vowels, signs, hard = "аеёиоуыэюяіїє", "ьъ", "гкхжшщчц"
	previous, before := rune(0), rune(0)
	n, odd, run := 0, 0, 0
	for _, r := range strings.ToLower(piece) {
		if r < 0x400 || r > 0x4ff {
			if digit(r) {
				continue
			}
			return false
		}
		n++
		vowel, sign := strings.ContainsRune(vowels, r), strings.ContainsRune(signs, r)
		wasVowel, wasSign := strings.ContainsRune(vowels, previous), strings.ContainsRune(signs, previous)
		switch {
		case sign && (previous == 0 || wasVowel || wasSign || previous == 'й'),
			r == 'ы' && (previous == 0 || wasVowel || wasSign || strings.ContainsRune("гкхжшщч", previous)),
			r == 'э' && previous != 0 && !wasVowel,
			r == 'й' && !wasVowel,
			strings.ContainsRune("яю", r) && strings.ContainsRune(hard, previous),
			r == 'ъ' && n == 1,
			vowel && wasVowel && strings.ContainsRune(vowels, before),
			unusual(previous, r):
			odd++
		}
		if run++; vowel || r == 'ъ' { // which is a vowel of Bulgarian
			run = 0
		}
		if run == 4 {
			odd++
		}
		before, previous = previous, r
	}
	return n >= 6 && odd >= 2
}

// unusual reports whether two Cyrillic letters hardly ever follow each other in a
// word of Russian, Ukrainian, Belarusian, Bulgarian, Macedonian or Serbian.
func unusual(first, second rune) bool {
	after := ""
	switch first {
	case 'б':
		after = "йпфщэ"
	case 'г':
		after = "жйпфхцщы"
	case 'д':
		after = "йщэ"
	case 'ж':
		after = "зйпфхцшщэ"
	case 'з':
		after = "йпфхцщэ"
	case 'к':
		after = "бгжйфщэ"
	case 'м':
		after = "жйщэ"
	case 'п':
		after = "бвгджзйщэ"
	case 'т':
		after = "йщэ"
	case 'ф':
		after = "бвгджзйкпхцчшщэ"
	case 'х':
		after = "бгжзйпфцчщэ"
	case 'ц':
		after = "бгджзйлнпрстфхчшщэ"
	case 'ч':
		after = "бгджзйпсфхцщэ"
	case 'ш':
		after = "бгджзйфхщэ"
	case 'щ':
		after = "бвгджзйклмпстфхцчшщэюя"
	case 'в', 'л', 'н', 'р', 'с':
		after = "йщэ"
	case 'й':
		after = "аеёиуыэюяй"
	case 'ё':
		after = "аеёиоуыэя"
	case 'ы':
		after = "аёоуфэ"
	case 'ь':
		after = "аёйуъыьэ"
	case 'э':
		after = "аеёжиоуцщьэяы"
	case 'у', 'о', 'а', 'и', 'е', 'ю', 'я':
		after = "ыэ"
		if first == 'ю' || first == 'я' {
			after = "аёиоуыэ"
		}
	}
	return strings.ContainsRune(after, second)
}
