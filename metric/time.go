package metric

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// units are the suffixes of durations, the greatest first, in seconds.
func units() []struct {
	suffix  string
	seconds int64
} {
	return []struct {
		suffix  string
		seconds int64
	}{{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}}
}

// parseDuration reads "90s", "1h30m" or "7d": whole numbers with units, the
// greater unit first.
func parseDuration(s string) (int64, bool) {
	total, rest := int64(0), s
	for _, u := range units() {
		number, after, found := strings.Cut(rest, u.suffix)
		if !found {
			continue
		}
		v, err := strconv.ParseUint(number, 10, 31)
		if err != nil {
			return 0, false
		}
		total, rest = total+int64(v)*u.seconds, after
	}
	return total, rest == "" && s != ""
}

// formatDuration writes what parseDuration reads.
func formatDuration(seconds int64) string {
	var b strings.Builder
	for _, u := range units() {
		if n := seconds / u.seconds; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.suffix)
			seconds %= u.seconds
		}
	}
	if b.Len() == 0 {
		return "0s"
	}
	return b.String()
}

// duration reads a duration of low to high seconds.
func (r *reader) duration(n ast.Node, what string, low, high int64) (int64, bool) {
	if v, ok := parseDuration(tokenText(n)); ok && v >= low && v <= high {
		return v, true
	}
	r.fail(n, "%s: %s; want a time from %s to %s, as in 90s, 30m, 1h or 7d", what, describe(n), formatDuration(low), formatDuration(high))
	return 0, false
}

// date reads a day, which begins at midnight UTC.
func (r *reader) date(n ast.Node, what string) (time.Time, bool) {
	at, err := time.Parse(time.DateOnly, tokenText(n))
	if err != nil || at.Year() < 1970 {
		r.fail(n, "%s: %s; want a day as in 2027-01-31", what, describe(n))
		return time.Time{}, false
	}
	return at, true
}
