// Package printable checks texts that programs of other people print on terminals
// and pages.
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
