package tokenmodel

import "strings"

// folds lists accented Latin letters, each group behind the ASCII letters that
// it is read as. Word lists and slugs are compared without accents, because
// addresses spell the same word with and without.
const folds = "a:àáâãäåāăąǎạảấầẩẫậắằẳẵặ b:ḃ c:çćĉċč d:ďđð e:èéêëēĕėęěẹẻẽếềểễệ g:ĝğġģ h:ĥħ i:ìíîïĩīĭįıǐịỉ j:ĵ k:ķ l:ĺļľŀł n:ñńņňŋ " +
	"o:òóôõöøōŏőǒọỏốồổỗộớờởỡợơ r:ŕŗř s:śŝşšșſ t:ţťŧț u:ùúûüũūŭůűųǔụủứừửữựư w:ŵ y:ýÿŷỳỵỷỹ z:źżž ss:ß ae:æ oe:œ th:þ"

// A Folder reads accented Latin letters as ASCII. It is immutable.
type Folder struct {
	to map[rune]string
}

// NewFolder builds the table.
func NewFolder() *Folder {
	f := &Folder{to: map[rune]string{'İ': "I"}}
	for group := range strings.FieldsSeq(folds) {
		ascii, letters, _ := strings.Cut(group, ":")
		for _, r := range letters {
			f.to[r] = ascii
			if upper := strings.ToUpper(string(r)); len([]rune(upper)) == 1 && upper != string(r) && r != 'ı' && r != 'ſ' {
				f.to[[]rune(upper)[0]] = strings.ToUpper(ascii[:1]) + ascii[1:]
			}
		}
	}
	return f
}

// Fold returns s with the accented Latin letters it knows read as ASCII.
// Letters of other scripts stay.
func (f *Folder) Fold(s string) string {
	ascii := true
	for i := range len(s) {
		if s[i] >= 0x80 {
			ascii = false
			break
		}
	}
	if ascii {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		if r >= 0x300 && r <= 0x36f { // combining marks of decomposed letters
			continue
		}
		if to, ok := f.to[r]; ok {
			b.WriteString(to)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
