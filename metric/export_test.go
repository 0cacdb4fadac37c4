package metric

import "github.com/shoal-project/shoal/internal/printable"

// Keys returns every key of the format, for the test that holds the
// documentation complete.
func Keys() []string {
	var out []string
	for _, keys := range [][]string{fileKeys(), partyKeys(), metricKeys(), fieldKeys(), fragmentKeys(), privacyKeys()} {
		out = append(out, keys...)
	}
	return out
}

// Parse reads a file without checking its content.
func Parse(name string, src []byte) (*File, error) {
	r := &reader{file: name}
	f := r.parse(src)
	return f, r.problems.err()
}

// ParseDuration and FormatDuration are the two ways between text and seconds.
var (
	ParseDuration  = parseDuration
	FormatDuration = printable.Duration
)
