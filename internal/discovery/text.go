package discovery

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// countDigits counts the decimal digits of all scripts.
func countDigits(s string) int {
	n := 0
	for _, r := range s {
		if digit(r) {
			n++
		}
	}
	return n
}

func digit(r rune) bool {
	if r < 0x80 {
		return r >= '0' && r <= '9'
	}
	return unicode.IsDigit(r)
}

func alnum(r rune) bool {
	if r < 0x80 {
		return r|0x20 >= 'a' && r|0x20 <= 'z' || r >= '0' && r <= '9'
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r)
}

// longestNumber returns the stretch of s with the most digits between
// which there are no letters, and the number of its digits:
// telephone, card and account numbers however they are grouped. A rune of
// stops ends a stretch.
func longestNumber(s, stops string) (string, int) {
	if isASCII(s) && !hasDigit(s) {
		return "", 0
	}
	var best string
	most := 0
	start, end, n := -1, 0, 0
	flush := func() {
		if start >= 0 && n > most {
			best, most = s[start:end], n
		}
		start, n = -1, 0
	}
	for i, r := range s {
		switch {
		case digit(r):
			if start < 0 {
				start = i
			}
			n++
			end = i + utf8.RuneLen(r)
		case alnum(r) || stops != "" && strings.ContainsRune(stops, r):
			flush()
		}
	}
	flush()
	return best, most
}

// findEmail returns what looks like an e-mail address in s, or nothing. It is
// fuzzy: spaces around the sign, (at) and [at] for the sign, (dot) and " dot "
// for the dot.
func findEmail(s string) string {
	if !isASCII(s) {
		s = strings.Map(func(r rune) rune {
			switch {
			case r < 0x80:
			case strings.ContainsRune("．。｡", r): // as input methods write the dot
				return '.'
			case unicode.Is(unicode.Cf, r): // not visible
				return -1
			}
			return r
		}, s)
	}
	if !strings.ContainsAny(s, "@＠") && !containsFold(s, "at)") && !containsFold(s, "at]") && !containsFold(s, " at ") {
		return ""
	}
	low := strings.ToLower(s)
	plain := strings.NewReplacer("(at)", "@", "[at]", "@", "{at}", "@", "＠", "@", "(dot)", ".", "[dot]", ".", "{dot}", ".", " dot ", ".", " punkt ", ".", " point ", ".").Replace(low)
	if strings.Contains(plain, " at ") && plain != low || strings.Contains(low, " dot ") {
		plain = strings.ReplaceAll(plain, " at ", "@")
	}
	for strings.Contains(plain, "@@") {
		plain = strings.ReplaceAll(plain, "@@", "@")
	}
	for at := strings.IndexByte(plain, '@'); at >= 0; {
		if mail := emailAround(plain, at); mail != "" {
			return mail
		}
		next := strings.IndexByte(plain[at+1:], '@')
		if next < 0 {
			break
		}
		at += 1 + next
	}
	return ""
}

func emailAround(s string, at int) string {
	left := strings.TrimRight(s[:at], " ")
	start := strings.LastIndexFunc(left, func(r rune) bool { return !alnum(r) && !strings.ContainsRune("._%+-!#$&'*", r) }) + 1
	local := left[start:]
	right := strings.TrimLeft(s[at+1:], " ")
	end := strings.IndexFunc(right, func(r rune) bool { return !alnum(r) && r != '.' && r != '-' })
	if end < 0 {
		end = len(right)
	}
	domain := strings.Trim(right[:end], ".-")
	dot := strings.LastIndexByte(domain, '.')
	if !strings.ContainsFunc(local, alnum) || dot <= 0 || utf8.RuneCountInString(domain[dot+1:]) < 2 {
		return ""
	}
	return local + "@" + domain
}

// containsFold finds a lower-case ASCII text in s, whatever the case of s.
func containsFold(s, low string) bool {
	for i := 0; i+len(low) <= len(s); i++ {
		if s[i]|0x20 == low[0] && strings.EqualFold(s[i:i+len(low)], low) {
			return true
		}
	}
	return false
}

// findEmbeddedURL finds a URL inside another text. The schemes that are words,
// too, begin one only where it has a form that no title has.
func findEmbeddedURL(s string) string {
	low := strings.ToLower(s)
	for _, mark := range []string{"://", "http:", "https:", "ftp:", "javascript:", "mailto:", "file:/", "=//", "=www."} {
		if i := strings.Index(low, mark); i >= 0 {
			return low[i:min(len(low), i+len(mark)+20)]
		}
	}
	for from := 0; ; {
		i := strings.Index(low[from:], "data:")
		if i < 0 {
			return ""
		}
		i += from
		rest := low[i+len("data:"):]
		rest = rest[:min(len(rest), 80)]
		if mediaType(rest) {
			return low[i:min(len(low), i+25)]
		}
		from = i + len("data:")
	}
}

// mediaType reports whether what follows "data:" is the head of such a URL.
func mediaType(rest string) bool {
	end := strings.IndexAny(rest, ",;")
	return end >= 0 && !strings.ContainsAny(rest[:end], " _")
}

// findCredentials finds "name:password@".
func findCredentials(s string) string {
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return unicode.IsSpace(r) || r == '/' }) {
		colon, at := strings.IndexByte(word, ':'), strings.LastIndexByte(word, '@')
		if colon > 0 && at > colon+1 {
			return word[:at+1]
		}
	}
	return ""
}

// logograms reports whether a script of s writes words without spaces, so that a
// few characters hold as much as a sentence.
func logograms(s string) bool {
	for _, r := range s {
		if r > 0x0e00 && ideographic(r) {
			return true
		}
	}
	return false
}

// hasDigit reports whether there is a digit of ASCII.
func hasDigit(s string) bool {
	for i := range len(s) {
		if s[i]-'0' <= 9 {
			return true
		}
	}
	return false
}
