package metric

import (
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/shoal-project/shoal/internal/printable"
)

// parseDuration reads "90s", "1h30m" or "7d": whole numbers with units, the
// greater unit first.
func parseDuration(s string) (int64, bool) {
	total, rest := int64(0), s
	for _, u := range printable.Units() {
		number, after, found := strings.Cut(rest, u.Suffix)
		if !found {
			continue
		}
		v, err := strconv.ParseUint(number, 10, 31)
		if err != nil {
			return 0, false
		}
		total, rest = total+int64(v)*u.Seconds, after
	}
	return total, rest == "" && s != ""
}

// duration reads a duration of low to high seconds.
func (r *reader) duration(n ast.Node, what string, low, high int64) (int64, bool) {
	if v, ok := parseDuration(tokenText(n)); ok && v >= low && v <= high {
		return v, true
	}
	r.fail(n, "%s: %s; want a time from %s to %s, as in 90s, 30m, 1h or 7d", what, describe(n), printable.Duration(low), printable.Duration(high))
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
