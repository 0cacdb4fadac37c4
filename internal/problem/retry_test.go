package problem_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shoal-project/shoal/internal/problem"
)

func TestTemporary(t *testing.T) {
	want := map[int]bool{407: true, 408: true, 425: true, 429: true}
	for status := range 700 {
		if got := problem.Temporary(status); got != (want[status] || status >= 500) {
			t.Errorf("%d: %v", status, got)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 1, time.UTC) // a nanosecond after the second
	for value, want := range map[string]time.Duration{
		"":                               0,
		"0":                              0,
		"7":                              7 * time.Second,
		"3600":                           time.Hour,
		"3601":                           time.Hour,
		"2147483647":                     time.Hour,
		strings.Repeat("9", 100):         time.Hour,
		"-1":                             0,
		"+1":                             0,
		"1.5":                            0,
		" 7":                             0,
		"soon":                           0,
		"Mon, 30 Nov 2026 12:00:10 GMT":  10 * time.Second, // 9.999999999 s
		"Mon, 30 Nov 2026 12:00:01 GMT":  time.Second,
		"Mon, 30 Nov 2026 12:00:00 GMT":  0,
		"Mon, 30 Nov 2026 11:00:00 GMT":  0,
		"Fri, 31 Dec 9999 23:59:59 GMT":  time.Hour,
		"Monday, 30-Nov-26 12:00:10 GMT": 10 * time.Second,
		"Mon Nov 30 12:00:10 2026":       10 * time.Second,
	} {
		if got := problem.RetryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
	if got := problem.RetryAfter(http.Header{}, now); got != 0 {
		t.Errorf("no header: %v", got)
	}
}

// TestSetRetry: a client that waits as asked is not back too early, and one that reads
// what was written gets it back.
func TestSetRetry(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "", 0: "", 1: "1", time.Millisecond: "1", time.Second: "1", time.Second + 1: "2",
		90 * time.Second: "90", time.Hour: "3600", time.Hour + 1: "3600", 1<<63 - 1: "3600",
	} {
		h := http.Header{}
		problem.SetRetry(h, d)
		if got := h.Get("Retry-After"); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
		if got := problem.RetryAfter(h, time.Now()); got < min(d, problem.MaxRetry) {
			t.Errorf("%v is read as %v", d, got)
		}
	}
}
