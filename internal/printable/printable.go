// Package printable writes and checks short texts for people: on terminals, on pages,
// and in files that they edit.
package printable

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Check returns an error unless s is UTF-8 of low to high bytes without control
// characters other than line feeds, so that what is printed cannot hide a part of
// itself. The error begins with what.
func Check(what, s string, low, high int) error {
	if len(s) < low || len(s) > high {
		return fmt.Errorf("%s has %d bytes, want %d to %d", what, len(s), low, high)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s is not UTF-8", what)
	}
	hidden := func(r rune) bool { return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) }
	if strings.IndexFunc(s, hidden) >= 0 {
		return fmt.Errorf("%s holds control characters", what)
	}
	return nil
}

// Plural returns the number and the word, with an s unless n is 1.
func Plural(n uint64, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// A Unit is a unit of time.
type Unit struct {
	Suffix  string
	Seconds int64
}

// Units returns the units of [Duration], the greatest first.
func Units() []Unit { return []Unit{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}} }

// Duration writes seconds as in 1h30m or 7d.
func Duration(seconds int64) string {
	var b strings.Builder
	for _, u := range Units() {
		if n := seconds / u.Seconds; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.Suffix)
			seconds %= u.Seconds
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}
