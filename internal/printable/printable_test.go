package printable_test

import (
	"strings"
	"testing"

	"github.com/shoal-project/shoal/internal/printable"
)

func TestCheck(t *testing.T) {
	for s, want := range map[string]string{
		"a":                     "",
		"two\nlines":            "",
		"":                      "0 bytes, want 1 to 20",
		strings.Repeat("x", 21): "21 bytes",
		"\xff":                  "not UTF-8",
		"\x1b[2K":               "control characters",
		"right\u202eleft":       "control characters",
		"carriage\rreturn":      "control characters",
	} {
		err := printable.Check("text", s, 1, 20)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", s, err, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for seconds, want := range map[int64]string{0: "0s", 59: "59s", 3600: "1h", 5400: "1h30m", 7 * 86400: "7d", 86401: "1d1s"} {
		if got := printable.Duration(seconds); got != want {
			t.Errorf("%d seconds are %q, want %q", seconds, got, want)
		}
	}
	if got := printable.Plural(1, "crowd") + ", " + printable.Plural(0, "report"); got != "1 crowd, 0 reports" {
		t.Error(got)
	}
}
