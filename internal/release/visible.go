package release

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/shoal-project/shoal/metric/task"
)

// Released values come from clients: they may hold what a terminal acts on, what
// reorders text, and what a spreadsheet computes.

// Visible escapes, as in Go, what could move a cursor or reorder text: control
// characters, format characters such as bidirectional marks, and bytes that are no
// UTF-8.
func Visible(s string) string {
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || r == utf8.RuneError
}

// JSONText escapes the same in encoded JSON, which means what it meant before.
func JSONText(b []byte) []byte {
	if bytes.IndexFunc(b, hidden) < 0 {
		return b
	}
	out := make([]byte, 0, len(b)+16)
	for _, r := range string(b) {
		switch {
		case !hidden(r) || r < 0x80: // encoders escape the controls of ASCII in strings
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, "\\u%04x\\u%04x", high, low)
		default:
			out = fmt.Appendf(out, "\\u%04x", r)
		}
	}
	return out
}

// idLength is that of the text of a [task.ID].
const idLength = 43

// Spreadsheet is [Visible], and puts an apostrophe before what a spreadsheet would
// take for a formula: a CSV file is often opened by one. Parquet and JSON hold
// values as they are. An ID of a task is left alone, since files are joined by it: one
// in 64 begins with a minus, and it holds nothing that a formula could call.
func Spreadsheet(s string) string {
	if len(s) == idLength { // without it, decoding passes over line ends
		if _, err := task.ParseID(s); err == nil {
			return s
		}
	}
	s = Visible(s)
	if trimmed := strings.TrimLeft(s, " \"'"); trimmed != "" && strings.ContainsRune("=+-@\uFF1D\uFF0B\uFF0D\uFF20", firstRune(trimmed)) {
		return "'" + s
	}
	return s
}

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}
