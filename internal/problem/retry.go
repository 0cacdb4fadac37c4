package problem

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetry is how long a peer can make a client wait by Retry-After: one that asks for
// years must not hold up what depends on it.
const MaxRetry = time.Hour

// Temporary reports whether the same request, sent again, may succeed although this
// status was the answer to it. These are the statuses that blame the moment or something
// between the two ends, not the request:
//
//   - 407 Proxy Authentication Required: the proxy on the way wants credentials, the
//     server has not seen the request (RFC 9110, section 15.5.8).
//   - 408 Request Timeout: the body did not arrive in time; a client may repeat the
//     request (RFC 9110, section 15.5.9).
//   - 425 Too Early: the request has to come again without early data (RFC 8470,
//     section 5.2).
//   - 429 Too Many Requests: the server has enough to do for now (RFC 6585, section 4).
//   - 5xx, all of them, the unassigned too: the server knows that it has failed, not
//     the request (RFC 9110, section 15.6). 501 and 505 are among them because a proxy
//     or a server that is being replaced answers so for a while, and a report that is
//     dropped for it is lost.
//
// Each other 4xx is final: the peer has judged this request, and it has to change, unless
// the caller knows better (a leader waits for a helper that does not know its token yet). A
// problem document does not alter that: RFC 9457 has no member for a retry, and the
// types of DAP (section "Errors") all blame the request, so the status decides, also
// where a busy server sends one of them with 429.
func Temporary(status int) bool {
	switch status {
	case http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// RetryAfter returns how long the header Retry-After asks to wait, in either of its
// forms (RFC 9110, section 10.2.3), in whole seconds rounded up and at most [MaxRetry].
// It is 0 without the header, for a malformed one and for a date that is not after now.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if value != "" && strings.Trim(value, "0123456789") == "" {
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil { // more digits than that
			return MaxRetry
		}
		return min(time.Duration(n)*time.Second, MaxRetry)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(roundUp(min(max(0, at.Sub(now)), MaxRetry)), MaxRetry)
}

// SetRetry sets Retry-After to d. It sets nothing unless d is positive.
func SetRetry(h http.Header, d time.Duration) {
	if d > 0 {
		h.Set("Retry-After", FormatRetry(d))
	}
}

// FormatRetry returns d as a value of Retry-After: whole seconds, rounded up, so that a
// client is not back before d has passed, and at most [MaxRetry].
func FormatRetry(d time.Duration) string {
	return strconv.FormatInt(int64(roundUp(min(d, MaxRetry))/time.Second), 10)
}

// roundUp rounds a duration of at most [MaxRetry] up to whole seconds.
func roundUp(d time.Duration) time.Duration {
	return (d + time.Second - 1).Truncate(time.Second)
}
